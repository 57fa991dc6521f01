import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname } from "node:path";
import { advisoriesFor } from "../spec/engine-advisories.ts";
import { Label } from "../spec/names.ts";
import { presets } from "../spec/presets.ts";
import { CPU, GiB } from "../spec/units.ts";
import { type EngineClient, type EngineInfo, engineJson } from "./engine-api.ts";
import { onPath } from "./paths.ts";
import type { HostConfig } from "./stack-config.ts";
import { atLeast, parseVersion } from "./toolchain/pulumi.ts";

/** One precondition. */
export interface Check {
  readonly name: string;
  readonly state: "ok" | "note" | "failed";
  readonly says: string;
  /** What to do; on everything that is not ok. */
  readonly cure?: string;
}

/** This version of berth came out then: a clock before it is wrong. */
const releaseDate = Date.parse("2026-11-01T00:00:00Z");
/** Largest difference between this clock and the Engine's. */
const maxSkewMs = 30_000;
/** Space that images, volumes and builds need. */
const leastDiskBytes = 5 * GiB;

export const ok = (name: string, says: string): Check => ({ name, state: "ok", says });
export const note = (name: string, says: string, cure: string): Check => ({
  name,
  state: "note",
  says,
  cure,
});
export const failed = (name: string, says: string, cure: string): Check => ({
  name,
  state: "failed",
  says,
  cure,
});

/** The clock is not before this release. */
export function checkClock(now: number): Check {
  return now >= releaseDate
    ? ok("clock", new Date(now).toISOString())
    : failed(
        "clock",
        `it says ${new Date(now).toISOString()}, which is before this version was made`,
        "set the clock (for example: timedatectl set-ntp true); certificates and tokens depend on it",
      );
}

/** A folder's file system has room. `where` need not exist yet. */
export async function checkDisk(name: string, where: string): Promise<Check> {
  let folder = where;
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const says = `${(free / GiB).toFixed(1)} GiB free at ${where}`;
  return free >= leastDiskBytes
    ? ok(name, says)
    : failed(name, says, `make room: at least ${leastDiskBytes / GiB} GiB are needed there`);
}

/** The published ports are free, or held by this stack's own containers. */
export async function checkPorts(
  config: HostConfig,
  stack: string,
  engine?: EngineClient,
): Promise<Check[]> {
  const held = engine ? await publishedPorts(engine, stack) : new Set<number>();
  const wanted = [
    ["mattermostPort", config.mattermostPort],
    ["adminPort", config.adminPort],
  ] as const;
  return Promise.all(
    wanted.map(async ([key, port]) => {
      const name = `port ${port}`;
      if (held.has(port)) return ok(name, "used by this stack");
      const problem = await whyNotFree(port, config.bindAddress);
      return problem === undefined
        ? ok(name, `free on ${config.bindAddress}`)
        : failed(
            name,
            `cannot be used on ${config.bindAddress}: ${problem}`,
            `stop what listens there (ss -ltnp 'sport = :${port}'), or set berth:${key} in Pulumi.${stack}.yaml`,
          );
    }),
  );
}

/** Why a port cannot be listened on; undefined: it can. */
export function whyNotFree(port: number, address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, address, () => server.close(() => resolve(undefined)));
  });
}

async function publishedPorts(engine: EngineClient, stack: string): Promise<Set<number>> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${Label.stack}=${stack}`] }));
  const containers = await engineJson<{ Ports: { PublicPort?: number }[] }[]>(engine, {
    path: `/containers/json?filters=${filters}`,
  });
  return new Set(containers.flatMap(({ Ports }) => Ports.map((port) => port.PublicPort ?? 0)));
}

/** The Engine itself: its version, its storage, the limits it can set, its CPUs, its clock. */
export function checkEngine(version: string, info: EngineInfo, now: number): Check[] {
  return [
    checkVersion(version),
    ...checkAdvisories(version),
    checkKind(info),
    checkStorage(info),
    checkLimits(info),
    checkCpus(info),
    checkSkew(info, now),
  ];
}

function checkVersion(version: string): Check {
  const numbers = parseVersion(version) ?? [0, 0, 0];
  const major = numbers[0] ?? 0;
  if (major < 20 || (major === 20 && !atLeast(numbers, [20, 10, 0]))) {
    return failed("engine version", version, "upgrade Docker: 20.10 is the oldest that works");
  }
  // Moby maintains the last two or three majors; older ones get no security fixes from upstream.
  return major < 25
    ? note("engine version", `${version} gets no fixes upstream`, "upgrade Docker when you can")
    : ok("engine version", version);
}

/** Known trouble of the Engine's version: what is bad each with its cure, what cannot be reached in one line. */
function checkAdvisories(version: string): Check[] {
  const known = advisoriesFor(version);
  const bad = known.filter(({ severity }) => severity === "bad");
  const others = known.filter(({ severity }) => severity === "note").map(({ id }) => id);
  return [
    ...bad.map(({ topic, id, means, cure }) => note(topic, `${version}: ${means} (${id})`, cure)),
    ok(
      "engine advisories",
      others.length === 0
        ? `${bad.length === 0 ? "none" : "no others"} known of ${version}`
        : `known of ${version}, and no way to them through the socket proxy: ${others.join(", ")}`,
    ),
  ];
}

function checkKind(info: EngineInfo): Check {
  const name = "engine kind";
  if (/docker desktop/i.test(info.OperatingSystem)) {
    return failed(
      name,
      "Docker Desktop cannot bind the directories that the sockets live in",
      "use an Engine on Linux (a virtual machine will do) and point DOCKER_HOST to it",
    );
  }
  const rootless = (info.SecurityOptions ?? []).some((option) => option.includes("name=rootless"));
  return rootless
    ? note(
        name,
        "rootless",
        "if limits are missing below: delegate cgroup controllers to your user",
      )
    : ok(name, info.OperatingSystem);
}

function checkStorage(info: EngineInfo): Check {
  const good = ["overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs"];
  return good.includes(info.Driver)
    ? ok("storage driver", info.Driver)
    : note(
        "storage driver",
        `${info.Driver} copies every image for every container`,
        "give the Engine a file system that overlay2 works on (ext4, xfs with ftype=1)",
      );
}

function checkLimits(info: EngineInfo): Check {
  const missing = [
    ...(info.MemoryLimit ? [] : ["memory"]),
    ...(info.PidsLimit ? [] : ["pids"]),
    ...(info.CpuCfsQuota ? [] : ["cpu"]),
  ];
  const name = "cgroup limits";
  if (missing.length > 0) {
    return failed(
      name,
      `the Engine cannot limit: ${missing.join(", ")}`,
      "enable the cgroup controllers (cgroup v2, or kernel parameters cgroup_enable=memory swapaccount=1)",
    );
  }
  return info.SwapLimit
    ? ok(name, `memory, swap, pids, cpu (cgroup v${info.CgroupVersion ?? "1"})`)
    : note(name, "memory, pids, cpu; not swap", "boot with swapaccount=1, or run without swap");
}

function checkCpus(info: EngineInfo): Check {
  const needed = Math.max(...Object.values(presets).map((limits) => limits.nanoCpus)) / CPU;
  return info.NCPU >= needed
    ? ok("cpus", `${info.NCPU}, presets use up to ${needed}`)
    : failed(
        "cpus",
        `${info.NCPU}, and presets use up to ${needed}: the Engine refuses such a container`,
        `give the machine ${needed} CPUs, or lower resources.cpus of each agent`,
      );
}

function checkSkew(info: EngineInfo, now: number): Check {
  const skew = Math.abs(Date.parse(info.SystemTime) - now);
  return skew <= maxSkewMs
    ? ok("engine clock", "agrees with this one")
    : failed(
        "engine clock",
        `${Math.round(skew / 1000)} s away from this one`,
        "synchronise both machines' clocks (NTP)",
      );
}

/** What is known of `/run/berth`. */
export interface RunDirectory {
  readonly isRam: boolean;
  /** `up` can mount RAM there. */
  readonly canMount: boolean;
  /** Its mode; undefined: it is not there. */
  readonly mode: number | undefined;
  /** `up` can make and close it. */
  readonly isRoot: boolean;
}

/** Sockets and secret files live on RAM, behind a door that only root opens, or will when `up` has seen to it. */
export function checkRunDirectory(found: RunDirectory): Check[] {
  const name = "/run/berth";
  const place = found.isRam
    ? ok(name, "on RAM")
    : found.canMount
      ? ok(name, 'not on RAM yet: "make up" mounts it')
      : note(
          name,
          "on disk: sockets and secret files of agents would be written there",
          "before the Engine starts: mount -t tmpfs -o mode=0700,noexec,nosuid,nodev,size=64m tmpfs /run/berth",
        );
  return [place, checkRunDirectoryMode(found)];
}

function checkRunDirectoryMode({ mode, isRoot }: RunDirectory): Check {
  const name = "mode of /run/berth";
  if (mode === 0o700) return ok(name, "0700: local users reach no agent's socket");
  if (isRoot) return ok(name, 'not 0700 yet: "make up" sees to it');
  return note(
    name,
    mode === undefined
      ? "the Engine will make it, open to every local user"
      : `0${mode.toString(8)}: local users can go on to what is in it`,
    "as root: install -d -m 0700 /run/berth",
  );
}

/** Images that the Engine lacks can be made here: their Debian trees need root on Debian or Ubuntu. */
export function checkImages(missing: readonly string[], canBuild: boolean): Check {
  const name = "images";
  if (missing.length === 0) return ok(name, "the Engine has all");
  if (canBuild) return ok(name, `${missing.length} to be built`);
  return failed(
    name,
    `the Engine lacks ${missing.join(", ")}, and building needs root on Debian or Ubuntu`,
    "run make up once as root (being in the group docker is enough afterwards, until sources change), or build on such a machine and move the images with docker save and docker load",
  );
}

/** The docker command, which berth itself does not use. */
export function checkClient(env: NodeJS.ProcessEnv): Check {
  return onPath("docker", env, existsSync)
    ? ok("docker client", "the docker command is there")
    : note(
        "docker client",
        "not on PATH",
        "only needed to look around by hand (docs/architecture.md): install docker-cli",
      );
}
