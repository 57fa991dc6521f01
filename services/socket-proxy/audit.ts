import { writeSync } from "node:fs";
import {
  type AuditLine,
  type AuditRecord,
  type ChainHead,
  fitted,
  genesis,
  seal,
} from "../../spec/audit-chain.ts";
import { Service } from "../../spec/names.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Denial } from "./denial.ts";

/** The record of every decision: hash-chained JSON lines, numbered without a gap. */
export interface Audit {
  /**
   * Writes a record before a mutation; the mutation must not happen where this throws.
   * @throws Denial 503
   */
  require(record: AuditRecord): void;
  /** Writes a record of anything else; a failure to write is not a reason to refuse a read. */
  note(record: AuditRecord): void;
  /** The last record that is kept. */
  head(): ChainHead;
  /** Whether the last record that was to be written could be. While it is false, mutations are refused and reads are not. */
  readonly writable: boolean;
  /** Writes a day's mark and tells the head to the ordinary log, a second place. */
  anchor(): void;
}

/** What opening a sink finds. */
export interface Opened {
  /** The last record that is there. */
  readonly head: ChainHead;
  /** Bytes of a broken-off line that were taken away. */
  readonly torn: number;
}

/** Where the lines are kept. */
export interface AuditSink {
  readonly isOpen: boolean;
  /** @throws Error where it cannot be opened */
  open(): Opened;
  /**
   * Appends a line, whole or not at all, before it returns.
   * @param seq number of the line's record
   * @returns whether a new file was begun for it
   * @throws Error where it could not be written; closed then: it has to be opened again first
   */
  append(line: string, seq: number): boolean;
}

export interface AuditOptions {
  /** Where each record goes as a log line besides; a failure there changes nothing. */
  readonly copy?: (line: string) => void;
  /** Gets the anchors, and what is wrong with the sink. */
  readonly log?: Log;
  readonly now?: () => Date;
}

/** What the audit says of itself. */
const own = { client: "socket-proxy", verb: "audit" } as const;

/**
 * Makes the audit, and opens its sink. One that cannot be opened is tried again with each record.
 * @param kept where the records are kept; a function gets each line, whole, and throws where it cannot keep it
 */
export function createAudit(
  kept: AuditSink | ((line: string) => void),
  options: AuditOptions = {},
): Audit {
  const audit = new ChainedAudit(typeof kept === "function" ? lineSink(kept) : kept, options);
  audit.start();
  return audit;
}

/** A day, in ms. */
const anchorMs = 24 * 3600 * 1000;

/** Anchors the audit once a day until the signal ends it. */
export function anchorDaily(audit: Audit, signal: AbortSignal, everyMs = anchorMs): void {
  const timer = setInterval(() => audit.anchor(), everyMs).unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

class ChainedAudit implements Audit {
  readonly #sink: AuditSink;
  readonly #options: AuditOptions;
  /** Undefined: the sink was never open. */
  #head: ChainHead | undefined;
  /** What an opening has to say, still to be written. */
  #due: AuditRecord[] = [];
  #lost = 0;
  #writable = true;

  constructor(sink: AuditSink, options: AuditOptions) {
    this.#sink = sink;
    this.#options = options;
    if (sink.isOpen) this.#head = genesis;
  }

  get writable(): boolean {
    return this.#writable;
  }

  head(): ChainHead {
    return this.#head ?? genesis;
  }

  /** Opens the sink, so that a start is on record before the first request. */
  start(): void {
    try {
      if (!this.#sink.isOpen) this.#open();
      this.#keep();
    } catch (error) {
      this.#failed(error);
    }
  }

  require(record: AuditRecord): void {
    try {
      this.#put(record);
    } catch (error) {
      throw new Denial(503, "audit", `its audit record cannot be written (${codeOf(error)})`);
    }
  }

  note(record: AuditRecord): void {
    try {
      this.#put(fitted(record));
    } catch {
      // Reads go on; the next record that can be written says how many are missing.
    }
  }

  anchor(): void {
    this.note({ ...own, phase: "anchor", request: "day" });
    this.#tellHead("day");
  }

  #put(record: AuditRecord): void {
    try {
      if (!this.#sink.isOpen) this.#open();
      try {
        this.#keep(record);
      } catch (error) {
        if (this.#sink.isOpen) throw error;
        // It is no longer the file that was opened: once more with the one that is there now.
        this.#open();
        this.#keep(record);
      }
    } catch (error) {
      this.#lost += 1;
      this.#failed(error);
      throw error;
    }
    if (!this.#writable) this.#options.log?.info("audit-writable", { seq: this.head().seq });
    this.#writable = true;
  }

  #open(): void {
    const { head, torn } = this.#sink.open();
    // What this process has written is the truth; a file that says otherwise was changed, and the broken link shows it.
    const known = this.#head;
    this.#head ??= head;
    const start = { ...own, phase: "open", request: "start" } as const;
    this.#due = [{ ...start, ...(torn > 0 ? { torn } : {}) }];
    if (known && known.hash !== head.hash) {
      this.#options.log?.error("audit-changed", { seq: known.seq, found: head.seq });
      this.#due.push({ ...own, phase: "alert", request: "start", rule: "audit-changed" });
    }
  }

  /** Writes what an opening has to say, then the record. */
  #keep(record?: AuditRecord): void {
    for (let due = this.#due[0]; due; due = this.#due[0]) {
      this.#append(due);
      this.#due.shift();
      if (this.#due.length === 0) this.#tellHead("start");
    }
    if (record) this.#append(record);
  }

  #append(record: AuditRecord): void {
    const { seq, hash: prev } = this.head();
    const time = (this.#options.now?.() ?? new Date()).toISOString();
    const full = this.#lost > 0 ? { ...record, lost: this.#lost } : record;
    const { line, head } = seal(full, { seq: seq + 1, prev, time });
    const rotated = this.#sink.append(line, head.seq);
    this.#head = head;
    this.#lost = 0;
    this.#copy({ ...full, prev, ...head }, time);
    if (rotated) this.#tellHead("rotation");
  }

  /** With all that is in the line, so that the log alone can be compared with the file. */
  #copy(record: Omit<AuditLine, "time">, time: string): void {
    const { copy } = this.#options;
    if (!copy) return;
    const level = record.phase === "alert" ? "error" : record.decision === "deny" ? "warn" : "info";
    const start = { time, level, service: Service.socketProxy, event: "audit", seq: record.seq };
    try {
      copy(JSON.stringify({ ...start, ...record }));
    } catch {
      // The record itself is kept.
    }
  }

  #failed(error: unknown): void {
    if (this.#writable) {
      this.#options.log?.error("audit-unwritable", {
        reason: reasonOf(error).slice(0, 500),
        effect: "starts, stops and creates are refused until records can be written again",
      });
    }
    this.#writable = false;
  }

  #tellHead(why: "start" | "rotation" | "day"): void {
    const { seq, hash } = this.head();
    this.#options.log?.info("audit-anchor", { seq, hash, why });
  }
}

/** A sink that hands each line on and keeps nothing. */
function lineSink(write: (line: string) => void): AuditSink {
  return {
    isOpen: true,
    open: () => ({ head: genesis, torn: 0 }),
    append(line) {
      write(line);
      return false;
    },
  };
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === "string" ? code : reasonOf(error).slice(0, 60);
}

/** Tries at a full pipe before a line counts as not written: half a second in all. */
const maxTries = 100;
/** Whether a full pipe is waited for: not again until a line has gone through. */
let waits = true;

/**
 * Writes a line to standard output, synchronously.
 * @throws Error where it could not be written whole
 */
export function writeLine(line: string): void {
  let rest: Buffer = Buffer.from(`${line}\n`);
  for (let tries = waits ? 0 : maxTries; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      const isFull = (error as NodeJS.ErrnoException).code === "EAGAIN";
      if (!isFull || ++tries > maxTries) {
        waits = false;
        throw error;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  waits = true;
}

/** What a client sent, fit for a log line: printable ASCII, no query, bounded. */
export function visible(method: string, target: string): string {
  return `${method} ${target.split("?", 1)[0] ?? ""}`.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}
