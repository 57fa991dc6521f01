import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CliError } from "../console.ts";
import { mustRun, run, tail } from "../run.ts";

/** A program of `toolchain/` that Go builds from pinned modules. */
export interface GoProgram {
  /** File name of the program. */
  readonly name: string;
  /** Folder of its module. */
  readonly module: string;
  /** Package to build, and the flags that are its own. */
  readonly target: string;
  readonly flags: readonly string[];
  /** For messages: what it is and where else it can be had. */
  readonly instead: string;
}

/** What a build gave. */
export interface Built {
  readonly path: string;
  /** Hash of all that went into it. */
  readonly key: string;
  /** Built now, not found in the cache. */
  readonly fresh: boolean;
}

/** Longest time of one build: a cold one takes three minutes on two cores. */
const buildTimeoutMs = 30 * 60_000;

/**
 * Builds a program, or finds it in the cache under the hash of its go.mod, go.sum, sources and the Go that builds it.
 * @throws CliError where Go is missing or the build fails
 */
export async function goBuild(
  program: GoProgram,
  options: {
    readonly cache: string;
    readonly env: NodeJS.ProcessEnv;
    readonly say: (line: string) => void;
  },
): Promise<Built> {
  const env = goEnvironment(options.env);
  const version = await goVersion(env, program);
  const key = buildKey(program, version);
  const folder = join(options.cache, "go", `${program.name}-${key}`);
  const path = join(folder, program.name);
  if (existsSync(path)) return { path, key, fresh: false };
  options.say(`${program.name}: building from pinned Go modules; minutes the first time`);
  const part = `${folder}.${process.pid}`;
  mkdirSync(part, { recursive: true });
  try {
    const built = await run(
      "go",
      [
        "build",
        "-mod=readonly",
        "-trimpath",
        ...program.flags,
        "-o",
        join(part, program.name),
        program.target,
      ],
      { cwd: program.module, env, timeoutMs: buildTimeoutMs },
    );
    if (built.code !== 0) {
      throw new CliError(
        `${program.name} could not be built${built.timedOut ? " in time" : ""}:\n${tail(built.output)}\n` +
          `Check that the Go module proxy can be reached, or ${program.instead}`,
      );
    }
    if (!existsSync(path)) {
      rmSync(folder, { recursive: true, force: true });
      renameSync(part, folder);
    }
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
  return { path, key, fresh: true };
}

/** 16 hex digits over everything that decides what a build gives. */
export function buildKey(program: GoProgram, goVersionText: string): string {
  const hash = createHash("sha256").update(
    JSON.stringify([goVersionText, program.target, program.flags]),
  );
  for (const file of sources(program.module)) {
    hash.update(`\0${file}\0`).update(readFileSync(join(program.module, file)));
  }
  return hash.digest("hex").slice(0, 16);
}

/** The module's files that a build reads, sorted; tests are none of them. */
function sources(module: string): string[] {
  return readdirSync(module, { recursive: true, encoding: "utf8" })
    .filter((file) => /(\.go|go\.mod|go\.sum)$/.test(file) && !file.endsWith("_test.go"))
    .sort();
}

/** Environment of the Go command: static builds of this module alone, Go's usual place on PATH as well. */
export function goEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return {
    ...env,
    PATH: `${env.PATH ?? ""}:/usr/local/go/bin`,
    CGO_ENABLED: "0",
    GOWORK: "off",
  };
}

async function goVersion(env: NodeJS.ProcessEnv, program: GoProgram): Promise<string> {
  try {
    // Asked inside the module: its go.mod may select another Go.
    return await mustRun("go", ["version"], { cwd: program.module, env, timeoutMs: 120_000 });
  } catch (error) {
    throw new CliError(
      `${program.name} is missing and Go, which would build it, cannot be run: install Go 1.26 or later, ` +
        `or ${program.instead} (${tail(String((error as Error).message), 2)})`,
    );
  }
}
