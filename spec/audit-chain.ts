import { canonicalJson, hashOf, type Json } from "./canonical.ts";
import { agentNamePattern, instanceNamePattern } from "./names.ts";
import { list, object, oneOf, type Rule, text, whole } from "./rules.ts";

/**
 * The socket proxy's audit: lines of canonical JSON, each with the hash of the one before. Whoever changes, removes or
 * moves a line has to write all later ones anew, and then the head is not the one that was told elsewhere.
 */

/**
 * One decision or what became of it. Names, hashes and rule ids only: no value of any container, no query, no header.
 * `decision` is written before anything is done, `result` after; `alert` is something that is not as it should be; `lease`
 * is what the proxy does on its own to a container that it made; `open` is a start of the proxy, or another file found in the
 * audit's place; `anchor` is a day's mark.
 */
export interface AuditRecord {
  readonly phase: "decision" | "result" | "alert" | "lease" | "open" | "anchor";
  readonly client: string;
  /** Id of the request; a word where no request is behind it. */
  readonly request: string;
  readonly verb: string;
  readonly decision?: "allow" | "deny";
  readonly rule?: string;
  readonly status?: number;
  /** Name of the container, image or network meant. */
  readonly object?: string;
  readonly id?: string;
  readonly agent?: string;
  /** `lal.review`. */
  readonly template?: string;
  /** Hash of what the template renders to. */
  readonly templateHash?: string;
  /** Name among the instances of the template. */
  readonly instance?: string;
  /** Method and path of a refused request, made visible. */
  readonly asked?: string;
  /** Names of differing fields. */
  readonly fields?: readonly string[];
  /** Of an instance whose lease ended. */
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** Records before this one that could not be written. */
  readonly lost?: number;
  /** Bytes of a last line, broken off by a kill or a power cut, that were taken away. */
  readonly torn?: number;
  /** Names of members that were left out since their values are none. */
  readonly unfit?: readonly string[];
}

/** A point in the chain: a record's number and its hash. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** A record as it stands in the file. */
export interface AuditLine extends AuditRecord, ChainHead {
  /** ISO 8601, UTC, with milliseconds. */
  readonly time: string;
  /** Hash of the line before; of the first ever: zeros. */
  readonly prev: string;
}

/** Before the first record. */
export const genesis: ChainHead = { seq: 0, hash: "0".repeat(64) };

/** No line is longer, its end included. */
export const maxLineBytes = 32 * 1024;

const hash = text(/^[0-9a-f]{64}$/, "64 hex digits");
// Printable ASCII: no control character, no mark that turns the direction of writing, no letter that looks like another.
const fieldList = list(text(/^[\x20-\x7e]{1,128}$/, "1 to 128 printable characters"), 1, 64);
const count = whole(1, Number.MAX_SAFE_INTEGER);
const word = text(/^[a-z][a-z0-9-]{0,63}$/, "a word of a-z, 0-9 and -");

/** Rules of the members that a record brings along. */
const recordRules: { readonly [member in keyof Required<AuditRecord>]: Rule } = {
  phase: oneOf("decision", "result", "alert", "lease", "open", "anchor"),
  client: word,
  request: text(/^[A-Za-z0-9._-]{1,64}$/, "an id"),
  verb: text(/^[a-z][a-z0-9_-]{0,63}$/, "a verb"),
  decision: oneOf("allow", "deny"),
  rule: word,
  status: whole(100, 599),
  object: text(/^[\x21-\x7e]{1,512}$/, "a name"),
  id: hash,
  agent: text(agentNamePattern, "an agent's name"),
  template: text(/^[a-z][a-z0-9-]{1,30}\.[a-z][a-z0-9-]{0,30}$/, "a template's id"),
  templateHash: text(/^[0-9a-f]{16,64}$/, "16 to 64 hex digits"),
  instance: text(instanceNamePattern, "an instance's name"),
  asked: text(/^[\x20-\x7e]{1,256}$/, "1 to 256 printable characters"),
  fields: fieldList,
  lost: count,
  torn: count,
  exitCode: whole(-1, 65_535),
  oomKilled: oneOf(true, false),
  unfit: list(text(/^[A-Za-z]{1,32}$/, "a member's name"), 1, 16),
};
const required: readonly string[] = ["phase", "client", "request", "verb"];
const optional = Object.keys(recordRules).filter((member) => !required.includes(member));

const lineRule = object(
  {
    ...recordRules,
    time: text(/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z$/, "a time in UTC"),
    seq: count,
    prev: hash,
    hash,
  },
  optional,
);

/**
 * Makes the line of a record.
 * @param place number and time of the record, and the hash of the one before
 * @throws Error that names every member which breaks the schema, never its value
 */
export function seal(
  record: AuditRecord,
  place: { readonly seq: number; readonly prev: string; readonly time: string },
): { readonly line: string; readonly head: ChainHead } {
  const { seq, prev, time } = place;
  const open = { ...record, seq, prev, time };
  const head = { seq, hash: hashOf(open as unknown as Json) };
  const sealed = { ...open, hash: head.hash };
  const problems = lineRule(withoutUndefined(sealed));
  if (problems.length > 0) throw new Error(`no audit record: ${problems.join("; ")}`);
  return { line: canonicalJson(sealed as unknown as Json), head };
}

/**
 * The record with texts that anybody may have chosen made visible and cut, and without the optional members that still break
 * the schema; `unfit` names those. So no name, whoever made it up, keeps a refusal out of the record.
 */
export function fitted(record: AuditRecord): AuditRecord {
  const { object: name, asked, fields } = record;
  const visible = {
    ...record,
    ...(name === undefined ? {} : { object: shown(name, /[^\x21-\x7e]/g, 512) }),
    ...(asked === undefined ? {} : { asked: shown(asked, /[^\x20-\x7e]/g, 256) }),
    ...(fields === undefined
      ? {}
      : { fields: fields.slice(0, 64).map((field) => shown(field, /[^\x20-\x7e]/g, 128)) }),
  };
  const unfit = Object.entries(visible)
    .filter(([member, value]) => value !== undefined && optional.includes(member))
    .filter(([member, value]) => recordRules[member as keyof AuditRecord](value).length > 0)
    .map(([member]) => member)
    .sort();
  if (unfit.length === 0) return visible;
  const rest = Object.entries(visible).filter(([member]) => !unfit.includes(member));
  return { ...Object.fromEntries(rest), unfit } as unknown as AuditRecord;
}

function shown(value: string, hidden: RegExp, most: number): string {
  return value.replace(hidden, "?").slice(0, most);
}

/** Reads a line without its end. @throws Error that says what is wrong with it, in visible characters */
export function readLine(line: string): AuditLine {
  if (line.length >= maxLineBytes) throw new Error(`longer than ${maxLineBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error("not JSON");
  }
  const problems = lineRule(value).map((problem) => shown(problem, /[^\x20-\x7e]/g, 120));
  if (problems.length > 0) {
    throw new Error(`not a record: ${problems.slice(0, 5).join("; ").replace(/^:\s/, "it ")}`);
  }
  const sealed = value as AuditLine;
  // Members twice, other spellings of a number: parsed alike, but not what was written.
  if (canonicalJson(sealed as unknown as Json) !== line) throw new Error("not canonical JSON");
  const { hash: stated, ...open } = sealed;
  if (hashOf(open as unknown as Json) !== stated)
    throw new Error("its hash is not that of its text");
  return sealed;
}

/**
 * The lines of a file, each with its end: the last one has none where the file breaks off.
 * Bytes are taken one to a character, so that no two files have the same lines.
 */
export function* linesOf(bytes: Uint8Array): Generator<string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start < buffer.length; ) {
    const end = buffer.indexOf(0x0a, start);
    const next = end === -1 ? buffer.length : end + 1;
    yield buffer.toString("latin1", start, next);
    start = next;
  }
}

function withoutUndefined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));
}
