import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { auditFile } from "../../spec/audit-files.ts";
import { Path, Service } from "../../spec/names.ts";
import {
  type AuditBytes,
  describeRecord,
  filesOfContainer,
  lastLines,
  linesOfReport,
  logLines,
  readHead,
  readLogLine,
  readShown,
  verifyContainer,
  verifyFiles,
} from "../audit.ts";
import { type Command, readArguments, wholeNumber } from "../command.ts";
import { CliError, type Console, terminal } from "../console.ts";
import type { EngineClient } from "../engine-api.ts";
import { containerOf, openLive } from "../live-stack.ts";

/** Checks the socket proxy's audit, or shows it. */
export const audit: Command = {
  usage:
    "audit verify [file|-]… [--head SEQ:HASH] | audit tail [file|-]… [-n N] [--follow] [--json]",
  summary: "check the socket proxy's audit, or read it",
  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        head: { type: "string" },
        lines: { type: "string", short: "n" },
        follow: { type: "boolean", short: "f" },
        json: { type: "boolean" },
      },
      { least: 1, most: 100, usage: audit.usage },
    );
    const { head, lines, follow = false, json = false } = values;
    const [action, ...paths] = positionals;
    const isForeign =
      action === "verify" ? lines !== undefined || follow || json : head !== undefined;
    if ((action !== "verify" && action !== "tail") || isForeign) {
      throw new CliError(`usage: berth ${audit.usage}`, 2);
    }
    if (action === "verify") return verify(paths, head);
    if (follow && paths.length > 0) {
      throw new CliError("--follow is for the running stack; use tail -f for a file", 2);
    }
    return tail(paths, { count: wholeNumber(lines ?? "20", "-n", 0, 1_000_000), follow, json });
  },
};

async function verify(paths: readonly string[], head: string | undefined): Promise<number> {
  const expected = head === undefined ? {} : { head: readHead(head) };
  if (paths.length > 0) {
    const report = verifyFiles(await readFiles(paths), expected);
    for (const line of linesOfReport(report, paths.join(", "))) terminal.print(line);
    return report.ok ? 0 : 1;
  }
  if (head !== undefined) {
    throw new CliError("--head is for files: the running stack is checked against its log", 2);
  }
  const { session, engine } = await openLive();
  const report = await verifyContainer(engine, containerOf(session, Service.socketProxy));
  const what = `audit of the stack ${session.stack}, files: ${report.files}`;
  for (const line of linesOfReport(report, what)) session.console.print(line);
  return report.ok ? 0 : 1;
}

interface TailOptions {
  readonly count: number;
  readonly follow: boolean;
  readonly json: boolean;
}

async function tail(paths: readonly string[], options: TailOptions): Promise<number> {
  if (paths.length > 0) {
    show(lastLines(await readFiles(paths), options.count), options.json, terminal);
    return 0;
  }
  const { session, engine } = await openLive();
  const container = containerOf(session, Service.socketProxy);
  await tailContainer(engine, container, options, session.console);
  return 0;
}

/** Shows the last records of the proxy's container, and those that come after them until it ends. */
export async function tailContainer(
  engine: EngineClient,
  container: string,
  options: TailOptions,
  console: Console,
): Promise<void> {
  const { count, follow, json } = options;
  // Before the file is read, so that no record falls between the two.
  const coming = follow ? await logLines(engine, container, { follow, tail: 0 }) : undefined;
  const newest = await filesOfContainer(engine, container, `${Path.audit}/${auditFile}`);
  let last = lastLines(newest, count);
  if (last.length < count) last = lastLines(await filesOfContainer(engine, container), count);
  show(last, json, console);
  if (!coming) return;
  let seen = lastLines(newest, 1)[0]?.record?.seq ?? 0;
  for await (const line of coming) {
    const told = readLogLine(line);
    if (told?.sealed === undefined || told.head.seq <= seen) continue;
    seen = told.head.seq;
    show([readShown(told.sealed)], json, console);
  }
}

function show(lines: ReturnType<typeof lastLines>, json: boolean, console: Console): void {
  for (const { text, record, problem } of lines) {
    if (record) console.print(json ? text : describeRecord(record));
    else console.say(`a line that is no record: ${problem}; see "berth audit verify"`);
  }
}

function readFiles(paths: readonly string[]): Promise<AuditBytes[]> {
  if (paths.filter((path) => path === "-").length > 1) {
    throw new CliError("standard input can be read once only", 2);
  }
  return Promise.all(
    paths.map(async (path) => {
      if (path === "-") return { name: "standard input", bytes: await buffer(process.stdin) };
      try {
        return { name: path, bytes: await readFile(path) };
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? "unknown reason";
        throw new CliError(`${path}: cannot be read (${code})`);
      }
    }),
  );
}
