import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../console.ts";
import { root } from "../paths.ts";
import { run, tail } from "../run.ts";
import { type GoProgram, goBuild } from "./go-build.ts";

/** Version of npm `@pulumi/docker` in package.json, which the plugin must have too. */
export const pluginVersion = "5.2.0";

const own: GoProgram = {
  name: "pulumi-resource-docker",
  module: join(root, "toolchain/docker-plugin"),
  target: ".",
  flags: ["-tags", "no_compose", "-ldflags", "-s -w"],
  instead: `install the official plugin where the network allows: pulumi plugin install resource docker ${pluginVersion}`,
};

/** Longest time that the official download may take before our own build is used. */
const downloadTimeoutMs = 45_000;
/** How long a failed download is remembered. */
const rememberMs = 24 * 3600_000;

/** Which plugin is installed now. */
export interface Plugin {
  readonly says: string;
  readonly official: boolean;
}

/**
 * Makes the docker plugin available in `$PULUMI_HOME/plugins`: the one that is there, else the official download, else ours,
 * which answers to the same name and version. Our own is replaced when its sources have changed.
 */
export async function ensureDockerPlugin(options: {
  readonly pulumi: string;
  /** `PULUMI_HOME`. */
  readonly home: string;
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  readonly say: (line: string) => void;
}): Promise<Plugin> {
  const folder = join(options.home, "plugins", `resource-docker-v${pluginVersion}`);
  const mark = join(folder, "berth-build");
  const installed = existsSync(join(folder, own.name));
  if (installed && !existsSync(mark)) {
    return { says: `using the official ${pluginVersion}`, official: true };
  }
  if (!installed && (await downloaded(options))) {
    return { says: `downloaded the official ${pluginVersion}`, official: true };
  }
  const built = await goBuild(own, options);
  if (installed && readFileSync(mark, "utf8") === built.key) {
    return { says: `reusing our own build as ${pluginVersion}`, official: false };
  }
  const result = await run(
    options.pulumi,
    [
      ...["plugin", "install", "resource", "docker", pluginVersion],
      ...["--file", built.path, "--reinstall"],
    ],
    { env: options.env, timeoutMs: 60_000 },
  );
  if (result.code !== 0 || !existsSync(folder)) {
    throw new CliError(
      `the docker plugin could not be installed in ${options.home}:\n${tail(result.output)}`,
    );
  }
  writeFileSync(mark, built.key);
  return {
    says: `installed our own build as ${pluginVersion} (the official one cannot be downloaded here)`,
    official: false,
  };
}

/** Tries the official download once a day at most; a failure is remembered, so that the next run does not wait for it. */
async function downloaded(options: {
  readonly pulumi: string;
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
}): Promise<boolean> {
  const memory = join(options.cache, "plugin-download-failed");
  const failedAt = statSync(memory, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (Date.now() - failedAt < rememberMs) return false;
  const result = await run(
    options.pulumi,
    ["plugin", "install", "resource", "docker", pluginVersion],
    { env: options.env, timeoutMs: downloadTimeoutMs },
  );
  if (result.code === 0) return true;
  mkdirSync(options.cache, { recursive: true });
  writeFileSync(memory, `${tail(result.output, 3)}\n`);
  return false;
}
