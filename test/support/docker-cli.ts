import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheDirectory, onPath } from "../../cli/paths.ts";
import { ownEngine, suites } from "../../cli/toolchain/engine.ts";

/** A docker command of one version, and the words that start it. */
export interface DockerCommand {
  readonly version: string;
  readonly argv: readonly [string, ...string[]];
}

/** What a command of it did. */
export interface DockerRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const cache = cacheDirectory(process.env);
/** Where Debian's package is unpacked when no other docker command is on the machine. */
const unpacked = join(cache, "docker-cli");

/**
 * Every docker command on this machine: the one on PATH and those in root trees of berth's own Engines. Where there is
 * none, Debian's package is unpacked into the cache; nothing is installed.
 * @throws Error with the cure where that cannot be done
 */
export function dockerCommands(): DockerCommand[] {
  const found = findAll();
  if (found.length > 0) return found;
  unpackDebianPackage();
  const [unpackedOne] = findAll();
  if (!unpackedOne) throw new Error(`the docker command in ${unpacked} does not run here`);
  return [unpackedOne];
}

/** One of {@link dockerCommands}, the one on PATH first. */
export function dockerCommand(): DockerCommand {
  const [first] = dockerCommands();
  if (!first) throw new Error("no docker command");
  return first;
}

function findAll(): DockerCommand[] {
  const path = onPath("docker", process.env, existsSync);
  const trees = [...Object.values(suites).map((suite) => ownEngine(cache, suite).tree), unpacked];
  const candidates: (readonly [string, ...string[]])[] = [
    ...(path ? [[path] as const] : []),
    ...trees.flatMap((tree) => inTree(tree)),
  ];
  const commands = new Map<string, DockerCommand>();
  for (const argv of candidates) {
    const version = versionOf(argv);
    if (version && !commands.has(version)) commands.set(version, { version, argv });
  }
  return [...commands.values()];
}

/** A program of a tree of another Debian needs that tree's libraries, where it has any. */
function inTree(tree: string): [string, ...string[]][] {
  const program = join(tree, "usr/bin/docker");
  if (!existsSync(program)) return [];
  const loader = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"]
    .map((path) => join(tree, path))
    .find(existsSync);
  const libraries = join(tree, "usr/lib");
  const folders = existsSync(libraries)
    ? readdirSync(libraries).filter((name) => name.endsWith("-linux-gnu"))
    : [];
  return loader
    ? [[loader, "--library-path", folders.map((f) => join(libraries, f)).join(":"), program]]
    : [[program]];
}

function versionOf([program, ...args]: readonly [string, ...string[]]): string | undefined {
  try {
    const text = execFileSync(program, [...args, "--version"], { encoding: "utf8", stdio: "pipe" });
    return /^Docker version ([^,\s]+)/.exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** Newer suites have the command in a package of its own. */
function unpackDebianPackage(): void {
  if (!existsSync("/usr/bin/apt-get")) {
    throw new Error(
      "no docker command is on this machine, and it is no Debian or Ubuntu: install Docker's",
    );
  }
  const folder = mkdtempSync(join(tmpdir(), "berth-docker-cli-"));
  const apt = (...args: string[]) =>
    execFileSync("apt-get", args, { cwd: folder, encoding: "utf8", stdio: "pipe" });
  const download = () => {
    try {
      apt("download", "docker-cli");
    } catch {
      apt("download", "docker.io");
    }
  };
  try {
    try {
      download();
    } catch {
      apt("update");
      download();
    }
    const [file = ""] = readdirSync(folder).filter((name) => name.endsWith(".deb"));
    execFileSync("/usr/bin/dpkg-deb", ["-x", join(folder, file), join(folder, "tree")]);
    mkdirSync(cache, { recursive: true });
    rmSync(unpacked, { recursive: true, force: true });
    // By way of the same file system, so that nobody finds half of it.
    const part = mkdtempSync(`${unpacked}.`);
    execFileSync("cp", ["-a", `${join(folder, "tree")}/.`, part]);
    renameSync(part, unpacked);
  } catch (error) {
    throw new Error("Debian's package of the docker command could not be had; install Docker's", {
      cause: error,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nothing of the machine's or its user's own docker settings. */
const plainEnvironment = {
  PATH: "/usr/bin:/bin",
  HOME: "/nonexistent",
  DOCKER_CONFIG: "/nonexistent/.docker",
  DOCKER_BUILDKIT: "0",
  DOCKER_CLI_HINTS: "false",
};

/**
 * Runs a docker command against a host (`tcp://…`, `unix://…`) to its end.
 * @param options.input standard input; @param options.timeoutMs it is killed then, which shows as code 124
 */
export function docker(
  { argv: [program, ...before] }: DockerCommand,
  host: string,
  args: readonly string[],
  options: {
    readonly input?: string;
    readonly timeoutMs?: number;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
  } = {},
): Promise<DockerRun> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...before, "-H", host, ...args],
      {
        env: { ...plainEnvironment, ...options.env },
        timeout: options.timeoutMs ?? 60_000,
        killSignal: "SIGKILL",
        maxBuffer: 64 * 1024 * 1024,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 124;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input ?? "");
  });
}

/** Starts a docker command that goes on, such as `logs -f`; its output comes as it is written. */
export function followDocker(
  { argv: [program, ...before] }: DockerCommand,
  host: string,
  args: readonly string[],
): { readonly output: () => string; readonly done: Promise<number>; readonly kill: () => void } {
  const child = spawn(program, [...before, "-H", host, ...args], {
    env: plainEnvironment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part: Buffer) => {
      output += part.toString();
    });
  }
  const done = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? 124)));
  return { output: () => output, done, kill: () => void child.kill("SIGKILL") };
}
