import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { CliError } from "../cli/console.ts";
import { connectEngine, versionOf } from "../cli/engine-api.ts";
import { cacheDirectory, root } from "../cli/paths.ts";
import { dockerHost } from "../test/support/engine.ts";
import { findHaproxy } from "./proxy-haproxy.ts";
import { buildLoad } from "./proxy-load.ts";
import { Measurement, type Operation, operations, type Row } from "./proxy-measure.ts";
import { aimsOf, markdown, type Report } from "./proxy-report.ts";
import { client, Stage } from "./proxy-stage.ts";
import { Subjects } from "./proxy-subjects.ts";

/** Streams that are held open at once. */
const streams = 1000;
/** The whole run is given up after this. */
const longestMs = 15 * 60_000;

const say = (line: string) => void process.stderr.write(`${line}\n`);

/**
 * Measures the socket proxy beside the Engine's own socket and HAProxy. The report goes to standard output and to
 * test-results/bench-proxy.json. Needs root on the Engine's own machine. @param wanted operations; none: all
 * @returns the exit code: 1 where something could not be measured, whatever became of the aims
 * @throws CliError where it cannot run here
 */
export async function benchProxy(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.filter((name) => !operations.some((known) => known === name));
  if (unknown.length > 0) {
    throw new CliError(`${unknown.join(", ")}: choose of ${operations.join(", ")}`, 2);
  }
  const chosen = operations.filter((name) => wanted.length === 0 || wanted.includes(name));
  const engine = connectEngine(dockerHost);
  if (!("socketPath" in engine.endpoint) || process.getuid?.() !== 0) {
    throw new CliError(
      "run it as root on the Engine's own machine, with the Engine on a unix socket",
    );
  }
  const engineSocket = engine.endpoint.socketPath;
  const ending = endOfRun();
  const cache = cacheDirectory(process.env);
  const haproxy = await findHaproxy(cache, say);
  const program = await buildLoad({ cache, say });
  const stack = `bench${randomBytes(3).toString("hex")}`;
  const imageCache = join(cache, "images");
  const stage = await Stage.create({ stack, engine, engineSocket, load: program, imageCache, say });
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-proxy-"));
  const subjects = new Subjects({ engine, stage, haproxy, folder });
  try {
    const machine = {
      cores: cpus().length,
      Engine: (await versionOf(engine))?.Version ?? "?",
      HAProxy: haproxy.version,
      Node: process.version,
      "load before": loadavg()[0]?.toFixed(1) ?? "?",
    };
    const { problems, ...rest } = await measure(subjects, stage, program.path, chosen, ending);
    const load = loadavg()[0]?.toFixed(1) ?? "?";
    const report = { machine: { ...machine, "load after": load }, ...rest };
    const aims = aimsOf(report);
    mkdirSync(join(root, "test-results"), { recursive: true });
    writeFileSync(
      join(root, "test-results/bench-proxy.json"),
      `${JSON.stringify({ ...report, aims, problems }, undefined, 2)}\n`,
    );
    console.log(markdown(report, aims));
    for (const problem of problems) say(`not measured: ${problem}`);
    return problems.length === 0 ? 0 : 1;
  } finally {
    await subjects.end();
    await stage.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  subjects: Subjects,
  stage: Stage,
  program: string,
  chosen: readonly Operation[],
  signal: AbortSignal,
): Promise<Omit<Report, "machine"> & { readonly problems: readonly string[] }> {
  signal.throwIfAborted();
  say("measuring start-up and memory");
  const startUp = await subjects.start();
  const idle = await subjects.memory();
  const sockets = {
    engine: stage.engineSocket,
    haproxy: subjects.haproxySocket,
    berth: stage.socketOf(client),
  };
  const measurement = new Measurement({ program, stage, sockets, signal });
  const rows: Row[] = [];
  for (const operation of chosen) {
    signal.throwIfAborted();
    say(`measuring ${operation}`);
    rows.push(...(await measurement.rows(operation)));
  }
  const loaded = await subjects.memory();
  say(`measuring ${streams} open streams`);
  const streaming = await subjects.memoryWithStreams(streams);
  return {
    rows,
    startUp,
    memory: { idle, loaded, streaming },
    streams,
    image: await subjects.imageSize(),
    problems: measurement.problems,
  };
}

/** Aborted by a signal and when the time is over; what was made is then removed as ever. */
function endOfRun(): AbortSignal {
  const ending = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => ending.abort(new CliError(`ended by ${name}`)));
  }
  const late = () => ending.abort(new CliError("it takes too long"));
  setTimeout(late, longestMs).unref();
  return ending.signal;
}
