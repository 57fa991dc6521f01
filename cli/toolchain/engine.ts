import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  statSync,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runDirectory } from "../../spec/names.ts";
import { CliError } from "../console.ts";
import { connectEngine, type EngineClient, type EngineVersion, versionOf } from "../engine-api.ts";
import { root } from "../paths.ts";
import { mustRun, run, tail } from "../run.ts";

/** Oldest Engine API that berth works with: Engine 20.10. */
export const oldestApi = [1, 41] as const;

/** Debian suites and the Engines they carry: what `make up` starts, and the ends that `make test-engines` covers. */
export const suites = { standard: "trixie", oldest: "bookworm", newest: "sid" } as const;

const script = join(root, "toolchain/engine.sh");
const systemSocket = "/var/run/docker.sock";
/** Directory that holds every stack's sockets. */
const runRoot = dirname(runDirectory("any"));

/** Where an Engine of ours is kept. */
export interface OwnEngine {
  readonly suite: string;
  /** Its root tree, in the cache: can be deleted at any time while it does not run. */
  readonly tree: string;
  /** Its data: images, volumes, containers. */
  readonly data: string;
  /** Socket, pid file and log. */
  readonly run: string;
  /** Value for `DOCKER_HOST`. */
  readonly url: string;
}

/** The places of an Engine of ours. The standard suite's has the plain names. */
export function ownEngine(cache: string, suite: string = suites.standard): OwnEngine {
  const suffix = suite === suites.standard ? "" : `-${suite}`;
  const directory = `/run/berth-engine${suffix}`;
  return {
    suite,
    tree: join(cache, "engine", suite),
    data: `/var/lib/berth/engine${suffix}`,
    run: directory,
    url: `unix://${directory}/docker.sock`,
  };
}

/** An Engine that answers. */
export interface FoundEngine {
  readonly says: string;
  readonly url: string;
  readonly client: EngineClient;
  readonly version: EngineVersion;
  /** It is an Engine of ours, started now or earlier. */
  readonly own: boolean;
  /** It was started by this very call. */
  readonly started: boolean;
}

/**
 * The Engine to work with: the one that `DOCKER_HOST` names, else ours where it runs, else the system's, else ours started now.
 * @throws CliError with the cure where none answers and none can be started
 */
export async function ensureEngine(options: {
  readonly cache: string;
  readonly env: NodeJS.ProcessEnv;
  readonly say: (line: string) => void;
}): Promise<FoundEngine> {
  const own = ownEngine(options.cache);
  const found = await findEngine(options.env, own);
  if (found) {
    await prepareRunDirectory(found);
    return found;
  }
  const obstacle = obstacleToStart();
  if (obstacle)
    throw new CliError(`no Docker Engine answers, and none can be started here: ${obstacle}`);
  return startEngine(own, options.say);
}

/** An Engine that is named or there, and cannot be worked with. */
export class EngineError extends CliError {
  /** What is wrong, without the cure. */
  readonly problem: string;
  readonly cure: string;

  constructor(problem: string, cure: string) {
    super(`${problem}: ${cure}`);
    this.problem = problem;
    this.cure = cure;
  }
}

/** The Engine that answers now. @throws EngineError where `DOCKER_HOST` names one that does not, or one is too old */
export async function findEngine(
  env: NodeJS.ProcessEnv,
  own: OwnEngine,
): Promise<FoundEngine | undefined> {
  const named = env.DOCKER_HOST;
  if (named && named !== own.url) {
    if (!/^(unix|tcp):\/\//.test(named)) {
      throw new EngineError(
        `DOCKER_HOST or berth:dockerHost is ${named}, and make and berth work through unix:///path or tcp://host:port`,
        "bring its socket here (ssh -nNT -L /run/far-docker.sock:/var/run/docker.sock user@host) and name that, or run make on that host; plain pulumi up takes ssh:// as it is",
      );
    }
    const found = await answering(named, false);
    if (found) return found;
    throw new EngineError(
      `no Engine answers at ${named}, which DOCKER_HOST or berth:dockerHost names`,
      "start it, or unset DOCKER_HOST (and take berth:dockerHost out of the stack's config file) so that another one is used",
    );
  }
  return (
    (existsSync(join(own.run, "dockerd.pid")) ? await answering(own.url, true) : undefined) ??
    (existsSync(systemSocket) ? await answering(`unix://${systemSocket}`, false) : undefined)
  );
}

async function answering(url: string, own: boolean): Promise<FoundEngine | undefined> {
  const client = connectEngine(url);
  const version = await versionOf(client);
  if (!version) return undefined;
  if (!apiIsEnough(version.ApiVersion)) {
    throw new EngineError(
      `the Engine at ${url} is ${version.Version}, and berth needs Docker 20.10 (API ${oldestApi.join(".")}) or later`,
      "upgrade it",
    );
  }
  const whose = own ? "berth's own Engine" : "the Engine";
  return {
    says: `using ${whose} ${version.Version} at ${url.replace("unix://", "")}`,
    url,
    client,
    version,
    own,
    started: false,
  };
}

/** Whether an API version like `1.45` is new enough. */
export function apiIsEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > oldestApi[0] || (major === oldestApi[0] && minor >= oldestApi[1]);
}

/** Why no Engine of ours can be started on this machine, with the cure; undefined: it can. */
export function obstacleToStart(): string | undefined {
  if (process.platform !== "linux") return "install Docker (20.10 or later) and start it";
  if (process.getuid?.() !== 0) {
    return existsSync(systemSocket)
      ? `${systemSocket} is there but does not answer you: start Docker, or add yourself to the group "docker"`
      : "install Docker (20.10 or later), or run this as root on Debian or Ubuntu";
  }
  return existsSync("/usr/bin/apt-get")
    ? undefined
    : "this is not Debian or Ubuntu: install Docker (20.10 or later) and start it";
}

/** Makes the root tree of an Engine of ours where it is missing. */
export async function ensureTree(own: OwnEngine, say: (line: string) => void): Promise<boolean> {
  if (existsSync(own.tree)) return false;
  say(`engine: making a Debian ${own.suite} root tree for it; about a minute`);
  const made = await run(script, ["tree", own.suite, own.tree], { timeoutMs: 20 * 60_000 });
  if (made.code !== 0) {
    throw new CliError(
      `the Engine's root tree could not be made${made.timedOut ? " in time" : ""}:\n${tail(made.output)}`,
    );
  }
  return true;
}

/**
 * Starts an Engine of ours and waits until it answers.
 * @param netns network namespace to run in, for a second Engine on one machine
 */
export async function startEngine(
  own: OwnEngine,
  say: (line: string) => void,
  netns?: string,
): Promise<FoundEngine> {
  const fresh = await ensureTree(own, say);
  await mustRun(script, ["ram"]);
  await mustRun(script, ["start", own.tree, own.data, own.run, ...(netns ? [netns] : [])], {
    timeoutMs: 120_000,
  });
  const client = connectEngine(own.url);
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const found = await answering(own.url, true);
    if (found) {
      return {
        ...found,
        says: `started berth's own Engine ${found.version.Version}${fresh ? "" : " from the cache"}`,
        client,
        started: true,
      };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const log = readFileSync(join(own.run, "dockerd.log"), "utf8");
  throw new CliError(`the Engine did not start within a minute; its log ends with:\n${tail(log)}`);
}

/** Stops an Engine of ours; its data stays. */
export async function stopEngine(own: OwnEngine): Promise<void> {
  await mustRun(script, ["stop", own.run], { timeoutMs: 90_000 });
}

/** Whether `/run/berth`, or the directory it would be made in, is memory. */
export function runDirectoryIsRam(): boolean {
  if (process.platform !== "linux") return true; // the Engine's machine is another one
  const ramfs = [0x01021994, 0x858458f6]; // tmpfs, ramfs
  return ramfs.includes(statfsSync(existsSync(runRoot) ? runRoot : dirname(runRoot)).type);
}

/**
 * Whether this process can put `/run/berth` on RAM: as root, for an Engine that sees this process's mounts. Another one would
 * go on seeing the old directory.
 */
export async function canPutRunDirectoryOnRam(engine?: FoundEngine): Promise<boolean> {
  return process.getuid?.() === 0 && (engine === undefined || (await enginesShareMounts()));
}

/** Mode of `/run/berth`; undefined: it is not there. */
export function runDirectoryMode(): number | undefined {
  const found = statSync(runRoot, { throwIfNoEntry: false });
  return found === undefined ? undefined : found.mode & 0o777;
}

/**
 * Makes `/run/berth` for an Engine of this machine before the Engine does: that one would make it open to every local user,
 * who could then pass through to agents' sockets. Nobody but root can; `doctor` says so.
 */
async function prepareRunDirectory(engine: FoundEngine): Promise<void> {
  const local = process.platform === "linux" && engine.url.startsWith("unix://");
  if (!local || process.getuid?.() !== 0) return;
  mkdirSync(runRoot, { recursive: true, mode: 0o700 });
  if (runDirectoryMode() !== 0o700) chmodSync(runRoot, 0o700);
  if (!runDirectoryIsRam() && (await canPutRunDirectoryOnRam(engine))) {
    await mustRun(script, ["ram"]);
  }
}

/** Whether every Engine process of this machine is in this process's mount namespace. */
async function enginesShareMounts(): Promise<boolean> {
  const mine = readlinkSync("/proc/self/ns/mnt");
  let found = 0;
  for (const pid of await readdir("/proc")) {
    if (!/^[0-9]+$/.test(pid)) continue;
    try {
      if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== "dockerd") continue;
      if (readlinkSync(`/proc/${pid}/ns/mnt`) !== mine) return false;
      found++;
    } catch {
      // ended meanwhile
    }
  }
  return found > 0;
}
