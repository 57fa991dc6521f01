import { existsSync, linkSync, mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { onPath, root } from "../paths.ts";
import { run } from "../run.ts";
import { type GoProgram, goBuild } from "./go-build.ts";

/** The CLI that the Go module in `toolchain/pulumi-cli` builds, and the oldest that is taken from PATH. */
const pinned = { cli: [3, 259, 0] } as const;

const instead = "install Pulumi 3.259 or later (its download brings the Node language host along)";

const cli: GoProgram = {
  name: "pulumi",
  module: join(root, "toolchain/pulumi-cli"),
  target: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
  flags: [
    "-ldflags",
    `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${pinned.cli.join(".")}`,
  ],
  instead,
};

const languageHost: GoProgram = {
  name: "pulumi-language-nodejs",
  module: join(root, "toolchain/language-nodejs"),
  target: "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
  flags: ["-ldflags", "-s -w"],
  instead,
};

/** Pulumi's programs, by the folders to put first on PATH (none where they are there already). */
export interface Pulumi {
  readonly says: string;
  readonly folders: readonly string[];
  /** Path of the CLI. */
  readonly cli: string;
}

/** Finds the CLI and its Node language host on PATH, else builds them. @throws CliError that says what to install */
export async function ensurePulumi(options: {
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  readonly say: (line: string) => void;
}): Promise<Pulumi> {
  const found = onPath("pulumi", options.env, existsSync, options.cache);
  if (found) {
    const version = await versionOf(found, options.env);
    const host =
      existsSync(join(dirname(found), languageHost.name)) ||
      onPath(languageHost.name, options.env, existsSync, options.cache) !== undefined;
    if (version && host && atLeast(version, pinned.cli)) {
      return { says: `using ${version.join(".")} on PATH`, folders: [], cli: found };
    }
    const why = !version
      ? "it does not tell its version"
      : host
        ? `it is ${version.join(".")}`
        : "its Node language host is missing";
    options.say(`pulumi: not using ${found}: ${why}`);
  }
  // One after the other: a Go build uses every core by itself.
  const built = await goBuild(cli, options);
  const host = await goBuild(languageHost, options);
  // Side by side, as in Pulumi's own download: the CLI takes a language host beside it without a warning.
  const folder = join(options.cache, "bin", `${built.key}-${host.key}`);
  for (const { path } of [built, host]) linkInto(folder, path);
  return {
    says: `${built.fresh || host.fresh ? "built" : "reusing the built"} ${pinned.cli.join(".")} and its Node language host`,
    folders: [folder],
    cli: join(folder, cli.name),
  };
}

/** Puts a file into a folder under its own name, by a hard link. */
function linkInto(folder: string, path: string): void {
  const place = join(folder, basename(path));
  if (existsSync(place)) return;
  mkdirSync(folder, { recursive: true });
  linkSync(path, place);
}

async function versionOf(
  program: string,
  env: NodeJS.ProcessEnv,
): Promise<readonly number[] | undefined> {
  try {
    const result = await run(program, ["version"], {
      env: { ...env, PULUMI_SKIP_UPDATE_CHECK: "true" },
      timeoutMs: 20_000,
    });
    return parseVersion(result.output);
  } catch {
    return undefined; // not executable
  }
}

/** The numbers of `v3.259.0`, also with what may follow; undefined: no version. */
export function parseVersion(text: string): readonly number[] | undefined {
  const match = /^v?([0-9]+)\.([0-9]+)\.([0-9]+)\b/m.exec(text);
  return match ? match.slice(1, 4).map(Number) : undefined;
}

/** Whether a version of the same major number is not older. */
export function atLeast(version: readonly number[], least: readonly number[]): boolean {
  if (version[0] !== least[0]) return false;
  for (const [i, part] of least.entries()) {
    const own = version[i] ?? 0;
    if (own !== part) return own > part;
  }
  return true;
}
