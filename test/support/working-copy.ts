import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { dockerHost, engineAnswer, labelled, stackName } from "./engine.ts";
import { freePort, root } from "./stack.ts";

/** What a program on the working copy said. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Folders of the project that a fresh clone has not. */
const local = [".git", ".berth", "node_modules", "test-results", "coverage"];

/**
 * The project as someone has just cloned it and installed its packages, with a stack of its own: for the commands that people
 * run, through the real `make`.
 */
export class WorkingCopy {
  readonly directory: string;
  readonly stack: string;
  readonly mattermostPort: number;
  readonly adminPort: number;

  private constructor(directory: string, stack: string, ports: readonly [number, number]) {
    this.directory = directory;
    this.stack = stack;
    [this.mattermostPort, this.adminPort] = ports;
  }

  static async create(seed: string): Promise<WorkingCopy> {
    const directory = mkdtempSync(join(tmpdir(), `berth-${seed}-`));
    cpSync(root, directory, {
      recursive: true,
      filter: (path) => !local.includes(basename(path)) || !statSync(path).isDirectory(),
    });
    const packages = join(root, "node_modules");
    // Hard links where both are on one file system.
    if (!succeeds("cp", "-al", packages, directory)) must("cp", "-a", packages, directory);
    const stamp = join(directory, "node_modules/.berth-lock");
    const lock = readFileSync(join(directory, "package-lock.json"));
    rmSync(stamp, { force: true }); // a hard link must not be written through
    writeFileSync(stamp, createHash("sha256").update(lock).digest("hex").slice(0, 16));
    const copy = new WorkingCopy(directory, stackName(seed), [await freePort(), await freePort()]);
    writeFileSync(
      join(directory, `Pulumi.${copy.stack}.yaml`),
      `config:\n  berth:mattermostPort: ${copy.mattermostPort}\n  berth:adminPort: ${copy.adminPort}\n`,
    );
    return copy;
  }

  /** The environment of someone who has said nothing but which stack and which Engine. */
  env(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      DOCKER_HOST: dockerHost,
      BERTH_STACK: this.stack,
      ...more,
    };
    // What `make test` has set for its own run is not this person's.
    for (const name of Object.keys(env)) {
      if (/^(PULUMI_(?!HOME$)|MAKE|MFLAGS|NODE_ENV|VITEST|NODE_PATH)/.test(name)) delete env[name];
    }
    return env;
  }

  make(target: string, more: NodeJS.ProcessEnv = {}): Promise<Said> {
    return this.run("make", ["-s", target], more);
  }

  berth(...args: string[]): Promise<Said> {
    return this.run(process.execPath, ["cli/berth.ts", ...args]);
  }

  run(program: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Said> {
    return said(this.start(program, args, more));
  }

  start(program: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): ChildProcess {
    return spawn(program, args, {
      cwd: this.directory,
      env: this.env(more),
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Process ids of Pulumi's CLI at work on this copy. */
  async pulumis(): Promise<number[]> {
    const found: number[] = [];
    for (const pid of (await readdir("/proc")).filter((name) => /^[0-9]+$/.test(name))) {
      try {
        const cwd = await readlink(`/proc/${pid}/cwd`);
        if (cwd !== this.directory) continue;
        if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "pulumi") found.push(Number(pid));
      } catch {
        // ended meanwhile
      }
    }
    return found;
  }

  /** Removes all that is left of the stack, and the copy; for `afterAll`. */
  async remove(): Promise<void> {
    for (const object of await labelled(this.stack)) {
      const [kind, name] = object.split(":");
      await engineAnswer(`/${kind}s/${name}?force=1`, "DELETE");
    }
    rmSync(`/run/berth/${this.stack}`, { recursive: true, force: true });
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits for a program's end and gives what it said. */
export function said(child: ChildProcess): Promise<Said> {
  return new Promise((resolve, reject) => {
    let stdout = "";
    let stderr = "";
    child.stdout?.on("data", (part: Buffer) => (stdout += part.toString()));
    child.stderr?.on("data", (part: Buffer) => (stderr += part.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

/** A file system in memory that is as good as full; given back by `remove`. */
export function tinyDisk(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "berth-tiny-"));
  must("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path);
  return {
    path,
    remove: () => {
      must("umount", path);
      rmSync(path, { recursive: true });
    },
  };
}

function succeeds(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

function must(program: string, ...args: string[]): void {
  if (!succeeds(program, ...args)) throw new Error(`${program} ${args.join(" ")} failed`);
}
