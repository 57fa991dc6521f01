import type { IncomingMessage } from "node:http";
import { basename } from "node:path";
import { type AuditLine, type ChainHead, linesOf, readLine } from "../spec/audit-chain.ts";
import { auditFile, keptFiles, rotatedNumber } from "../spec/audit-files.ts";
import {
  type ChainExpectation,
  type ChainRemark,
  type ChainReport,
  verifyChain,
} from "../spec/audit-verify.ts";
import { canonicalJson, type Json } from "../spec/canonical.ts";
import { Path } from "../spec/names.ts";
import { CliError } from "./console.ts";
import { type EngineClient, messageOf } from "./engine-api.ts";
import { FrameReader } from "./frames.ts";
import { filesInTar } from "./tar.ts";

/** Bytes of one file of the audit. */
export interface AuditBytes {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Most that is read: nine files of 16 MiB, and room for the archive around them. */
const maxBytes = 256 * 1024 * 1024;

/** The audit's files out of the proxy's container, running or not, oldest first. @throws CliError where there are none */
export async function filesOfContainer(
  engine: EngineClient,
  container: string,
  path: string = Path.audit,
): Promise<AuditBytes[]> {
  const answer = await engine.stream({
    method: "GET",
    path: `/containers/${encodeURIComponent(container)}/archive?path=${encodeURIComponent(path)}`,
  });
  const archive = await wholeAnswer(answer, `no audit in the container ${container}`);
  const files = filesInTar(archive)
    .map(({ name, bytes }) => ({ name: basename(name), bytes }))
    .filter(({ name }) => name === auditFile || rotatedNumber(name) !== undefined);
  if (files.length === 0) throw new CliError(`the container ${container} has no ${auditFile} yet`);
  const place = (name: string) => rotatedNumber(name) ?? Number.POSITIVE_INFINITY;
  return files.sort((a, b) => (place(a.name) < place(b.name) ? -1 : 1));
}

/**
 * The log of the proxy, line by line, of its standard output.
 * @throws CliError where there is none
 */
export async function logLines(
  engine: EngineClient,
  container: string,
  options: { readonly follow: boolean; readonly tail: number | "all" },
): Promise<AsyncGenerator<string>> {
  const query = `stdout=1&stderr=0&tail=${options.tail}&follow=${options.follow ? 1 : 0}`;
  const answer = await engine.stream({
    method: "GET",
    path: `/containers/${encodeURIComponent(container)}/logs?${query}`,
  });
  if (answer.statusCode !== 200) await wholeAnswer(answer, `no log of the container ${container}`);
  return linesOfLog(answer);
}

async function* linesOfLog(answer: IncomingMessage): AsyncGenerator<string> {
  let text = "";
  const frames = new FrameReader(({ bytes }) => {
    text += bytes.toString("latin1");
  });
  for await (const part of answer) {
    frames.push(part as Buffer);
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

/** What a line of the log says of the audit: a point in its chain, and for a record's copy the record's line. */
export function readLogLine(
  line: string,
): { readonly head: ChainHead; readonly sealed: string | undefined } | undefined {
  if (!line.includes('"event":"audit')) return undefined;
  try {
    const { level, service, event, ...rest } = JSON.parse(line) as Record<string, unknown>;
    const { seq, hash } = rest;
    const isPoint = Number.isSafeInteger(seq) && /^[0-9a-f]{64}$/.test(String(hash));
    if (!isPoint || (event !== "audit" && event !== "audit-anchor")) return undefined;
    return {
      head: { seq: seq as number, hash: hash as string },
      sealed: event === "audit" ? canonicalJson(rest as Json) : undefined,
    };
  } catch {
    return undefined;
  }
}

/** A report that names files. */
export interface FilesReport extends Omit<ChainReport, "problems" | "notes"> {
  readonly problems: readonly string[];
  readonly notes: readonly string[];
}

/** Verifies files as one chain, in the order of their first records. */
export function verifyFiles(
  files: readonly AuditBytes[],
  expected: ChainExpectation = {},
): FilesReport {
  const starts: { name: string; line: number }[] = [];
  let count = 0;
  function* lines(): Generator<string> {
    for (const { name, bytes } of inOrder(files)) {
      starts.push({ name, line: count });
      for (const line of linesOf(bytes)) {
        count += 1;
        yield line;
      }
    }
  }
  const report = verifyChain(lines(), expected);
  const placed = ({ line, problem }: ChainRemark) => {
    const start = starts.findLast((file) => file.line < line);
    return start ? `${start.name}:${line - start.line}: ${problem}` : problem;
  };
  const empty = report.records === 0 && report.ok ? ["there is no record in it"] : [];
  return {
    ...report,
    ok: report.ok && empty.length === 0,
    problems: [...report.problems.map(placed), ...empty],
    notes: report.notes.map(placed),
  };
}

/** Times that a running proxy's files are read again: it may write, or begin a file, while they are. */
const maxReads = 3;

/** Verifies the audit in the proxy's container against all that its log has told of it. */
export async function verifyContainer(
  engine: EngineClient,
  container: string,
): Promise<FilesReport & { readonly files: number }> {
  // The log first: whatever it knows is in the files by then.
  const anchors: ChainHead[] = [];
  for await (const line of await logLines(engine, container, { follow: false, tail: "all" })) {
    const told = readLogLine(line);
    if (told) anchors.push(told.head);
  }
  for (let reads = 1; ; reads++) {
    const files = await filesOfContainer(engine, container);
    const report = verifyFiles(files, { anchors });
    const isShort = report.firstSeq > 1 && files.length <= keptFiles;
    const missing = `records 1 to ${report.firstSeq - 1} are missing: ${keptFiles} closed files are kept, ${files.length - 1} are there`;
    const whole = {
      ...report,
      files: files.length,
      ok: report.ok && !isShort,
      problems: isShort ? [...report.problems, missing] : report.problems,
    };
    if (whole.ok || reads === maxReads) return whole;
  }
}

/** A report as lines for people. */
export function linesOfReport(report: FilesReport, what: string): string[] {
  const { ok, records, head, anchors, problems, notes } = report;
  const span = head
    ? [`${records} records, ${report.firstSeq} to ${head.seq}, ${report.from} to ${report.to}`]
    : ["no record"];
  return [
    `${what}: ${span}`,
    ...(head ? [`head: ${head.seq}:${head.hash}`] : []),
    ...(anchors > 0 ? [`${anchors} records are the same as they were told elsewhere`] : []),
    ...notes.map((note) => `note: ${note}`),
    ...problems.map((problem) => `problem: ${problem}`),
    ok ? "the chain holds" : `THE CHAIN DOES NOT HOLD: problems: ${problems.length}`,
  ];
}

/** The last `count` lines of files, each with its record or what is wrong with it. */
export function lastLines(
  files: readonly AuditBytes[],
  count: number,
): { readonly text: string; readonly record: AuditLine | undefined; readonly problem: string }[] {
  const last: string[] = [];
  for (const { bytes } of inOrder(files)) {
    for (const line of linesOf(bytes)) {
      last.push(line);
      if (last.length > 2 * count) last.splice(0, last.length - count);
    }
  }
  return (count === 0 ? [] : last.slice(-count)).map((line) => readShown(line.replace(/\n$/, "")));
}

/** A line with its record; one that is none is not fit to be shown. */
export function readShown(text: string): {
  readonly text: string;
  readonly record: AuditLine | undefined;
  readonly problem: string;
} {
  try {
    return { text, record: readLine(text), problem: "" };
  } catch (error) {
    return { text, record: undefined, problem: (error as Error).message };
  }
}

/** A record in one line for people: time, number, client, verb, object, outcome, rule. */
export function describeRecord(record: AuditLine): string {
  const { object, template, instance, agent, asked } = record;
  const made = template && (instance ? `${template}.${instance}` : template);
  const told = [
    record.decision ?? record.phase,
    ...(record.status === undefined ? [] : [String(record.status)]),
    ...(record.rule ? [`[${record.rule}]`] : []),
    ...(record.fields ? [record.fields.join(", ")] : []),
    ...(record.lost ? [`${record.lost} records before it were lost`] : []),
    ...(record.torn ? [`${record.torn} bytes before it were cut`] : []),
  ];
  const columns = [
    record.time,
    String(record.seq).padStart(7),
    record.client.padEnd(14),
    record.verb.padEnd(8),
    (object ?? made ?? agent ?? asked ?? "-").padEnd(24),
    ...told,
  ];
  return columns.join(" ");
}

/** Reads `SEQ:HASH`, as `berth audit verify` prints a head. @throws CliError (exit code 2) */
export function readHead(text: string): ChainHead {
  const match = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text);
  if (!match?.[1] || !match[2]) {
    throw new CliError(`--head: must be a record's number, a colon and its 64 hex digits`, 2);
  }
  return { seq: Number(match[1]), hash: match[2] };
}

/** Files by the number of their first record; one without any keeps its place at the end. */
function inOrder(files: readonly AuditBytes[]): AuditBytes[] {
  const first = ({ bytes }: AuditBytes) => {
    for (const line of linesOf(bytes)) {
      const { record } = readShown(line.replace(/\n$/, ""));
      if (record) return record.seq;
    }
    return Number.POSITIVE_INFINITY;
  };
  return files
    .map((file, place) => ({ file, place, seq: first(file) }))
    .sort((a, b) => (a.seq === b.seq ? a.place - b.place : a.seq < b.seq ? -1 : 1))
    .map(({ file }) => file);
}

/** All of an answer, which has to be a good one. @throws CliError with the Engine's own words */
async function wholeAnswer(answer: IncomingMessage, failed: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxBytes) throw new CliError(`${failed}: more than ${maxBytes} bytes`);
    parts.push(part);
  }
  const bytes = Buffer.concat(parts);
  if (answer.statusCode === 200) return bytes;
  const text = bytes.toString("utf8");
  const why = messageOf({ status: answer.statusCode ?? 0, headers: answer.headers, text });
  throw new CliError(`${failed}: ${why}. Is the stack up? "berth status" tells`);
}
