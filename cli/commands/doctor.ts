import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { release } from "node:os";
import { basename } from "node:path";
import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import {
  type Check,
  checkClient,
  checkClock,
  checkDisk,
  checkEngine,
  checkImages,
  checkPorts,
  checkRunDirectory,
  type RunDirectory,
} from "../doctor.ts";
import {
  checkCorePattern,
  checkOp,
  checkSwap,
  checkSystemd,
  checkTpm,
  swapsIn,
} from "../doctor-secrets.ts";
import { type EngineClient, type EngineInfo, infoOf } from "../engine-api.ts";
import { root } from "../paths.ts";
import { hasTpm2, systemdVersion } from "../secrets/systemd-creds.ts";
import { openSession, type Session } from "../session.ts";
import {
  canPutRunDirectoryOnRam,
  EngineError,
  type FoundEngine,
  findEngine,
  type OwnEngine,
  obstacleToStart,
  ownEngine,
  runDirectoryIsRam,
  runDirectoryMode,
} from "../toolchain/engine.ts";

/** Checks every precondition and names the cure of each that fails. */
export const doctor: Command = {
  usage: "doctor [--json]",
  summary: "check every precondition; print the cure of each that fails",
  async run(args) {
    const { values } = readArguments(
      args,
      { json: { type: "boolean", default: false } },
      { least: 0, most: 0, usage: doctor.usage },
    );
    const session = openSession({ quiet: true });
    const checks = await diagnose(session);
    if (values.json) session.console.print(JSON.stringify(checks, null, 2));
    else for (const line of linesOf(checks)) session.console.print(line);
    return checks.some((check) => check.state === "failed") ? 1 : 0;
  },
};

/** Every precondition, the Engine's only where one answers. */
export async function diagnose(session: Session): Promise<Check[]> {
  const own = ownEngine(session.cache);
  let engine: FoundEngine | undefined;
  let reach: Check;
  try {
    engine = await findEngine(session.env, own);
    reach = engine
      ? { name: "engine", state: "ok", says: engine.says }
      : startableCheck(obstacleToStart());
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    reach = { name: "engine", state: "failed", says: error.problem, cure: error.cure };
  }
  const client = engine?.client;
  const info = client ? await infoOf(client) : undefined;
  const local = engine === undefined || engine.url.startsWith("unix://");
  return [
    reach,
    ...(engine && info ? checkEngine(engine.version.Version, info, Date.now()) : []),
    ...(local ? await checkPorts(session.config, session.stack, client) : []),
    ...(local ? [await checkDisk("disk of the Engine", dataOf(engine, info, own))] : []),
    await checkDisk("disk of this folder", root),
    await checkDisk("disk of the cache", session.cache),
    checkClock(Date.now()),
    ...(local ? checkRunDirectory(await runDirectoryFacts(engine)) : []),
    ...(client ? [await imagesOf(client)] : []),
    checkClient(session.env),
    ...(local ? await checkSecrets(session) : []),
  ];
}

/** What keeping secrets needs of this machine, as far as Linux tells it. */
async function checkSecrets({ config, env }: Session): Promise<Check[]> {
  const op = checkOp(config.secrets, isProgram);
  if (process.platform !== "linux") return op;
  const read = (path: string) => readFile(path, "utf8").catch(() => "");
  const isThere = existsSync("/dev/tpmrm0");
  return [
    checkTpm({ isThere, isUsable: await hasTpm2(env) }),
    checkSystemd(await systemdVersion(env)),
    checkSwap(swapsIn(await read("/proc/swaps"), swapIsSafe), release()),
    checkCorePattern(await read("/proc/sys/kernel/core_pattern")),
    ...op,
  ];
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Compressed RAM is no disk; an encrypted device says so of itself in its id (cryptsetup: `CRYPT-…`). */
function swapIsSafe(path: string): boolean {
  let device = path;
  try {
    device = realpathSync(path);
    const id = readFileSync(`/sys/class/block/${basename(device)}/dm/uuid`, "utf8");
    return id.startsWith("CRYPT-");
  } catch {
    // Not of the device mapper: a plain partition, a file, or zram.
    return /^\/dev\/zram\d+$/.test(device);
  }
}

async function runDirectoryFacts(engine: FoundEngine | undefined): Promise<RunDirectory> {
  return {
    isRam: runDirectoryIsRam(),
    canMount: await canPutRunDirectoryOnRam(engine),
    mode: runDirectoryMode(),
    isRoot: process.getuid?.() === 0,
  };
}

/** Which images the Engine lacks. Loaded here: reading every source's hash is not for commands that need none. */
async function imagesOf(engine: EngineClient): Promise<Check> {
  const { imageReference } = await import("../../images/catalog.ts");
  const { hasImage } = await import("../../images/engine-images.ts");
  const { stackImages } = await import("../../images/recipes.ts");
  const has = await Promise.all(stackImages.map((name) => hasImage(engine, imageReference(name))));
  const canBuild = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  return checkImages(
    stackImages.filter((_, index) => !has[index]),
    canBuild,
  );
}

/** Where the Engine's data is on this machine. An Engine of ours tells the path inside its own root tree. */
function dataOf(
  engine: FoundEngine | undefined,
  info: EngineInfo | undefined,
  own: OwnEngine,
): string {
  return engine && info && !engine.own ? info.DockerRootDir : own.data;
}

/** Runs the checks before `up`: shows notes, and stops at failures. @throws CliError with every cure */
export async function mustBeHealthy(session: Session): Promise<{ says: string }> {
  const checks = await diagnose(session);
  const bad = checks.filter((check) => check.state === "failed");
  if (bad.length > 0) throw new CliError(`this machine is not ready:\n${linesOf(bad).join("\n")}`);
  return { says: `${checks.length} preconditions hold ("make doctor" lists them)` };
}

function startableCheck(obstacle: string | undefined): Check {
  return obstacle === undefined
    ? { name: "engine", state: "ok", says: 'none answers; "make up" starts one of its own' }
    : {
        name: "engine",
        state: "failed",
        says: "none answers, and none can be started here",
        cure: obstacle,
      };
}

/** Checks as lines for people. */
export function linesOf(checks: readonly Check[]): string[] {
  const marks = { ok: "ok  ", note: "note", failed: "FAIL" } as const;
  return checks.flatMap((check) => [
    `${marks[check.state]}  ${check.name}: ${check.says}`,
    ...(check.cure ? [`      cure: ${check.cure}`] : []),
  ]);
}
