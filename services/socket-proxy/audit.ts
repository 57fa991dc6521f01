import { writeSync } from "node:fs";
import { Service } from "../../spec/names.ts";
import { reasonOf } from "../common/log.ts";
import { Denial } from "./denial.ts";

/** One decision or its result. Names and rule ids only: no value of any container, no query, no header. */
interface AuditRecord {
  /** `decision` is written before anything is done, `result` after; `alert` is a container that is not as declared. */
  readonly phase: "decision" | "result" | "alert";
  readonly client: string;
  readonly request: string;
  readonly verb: string;
  readonly decision?: "allow" | "deny";
  readonly rule?: string;
  readonly status?: number;
  /** Name of the container, image or network meant. */
  readonly object?: string;
  readonly id?: string;
  readonly agent?: string;
  /** Method and path of a refused request, made visible. */
  readonly asked?: string;
  /** Names of differing fields. */
  readonly fields?: readonly string[];
}

/** The record of every decision: one JSON line each, numbered without a gap. */
export interface Audit {
  /**
   * Writes a record before a mutation; the mutation must not happen where this throws.
   * @throws Denial 503
   */
  require(record: AuditRecord): void;
  /** Writes a record of anything else; a failure to write is not a reason to refuse a read. */
  note(record: AuditRecord): void;
}

/** @param write writes one line, whole, before it returns; throws where it cannot */
export function createAudit(write: (line: string) => void = writeLine): Audit {
  let sequence = 0;
  const put = (record: AuditRecord) => {
    const level = record.phase === "alert" ? "error" : record.decision === "deny" ? "warn" : "info";
    const head = { time: new Date().toISOString(), level, service: Service.socketProxy };
    write(JSON.stringify({ ...head, event: "audit", seq: sequence + 1, ...record }));
    sequence += 1;
  };
  return {
    require(record) {
      try {
        put(record);
      } catch (error) {
        throw new Denial(503, "audit", `its audit record cannot be written (${codeOf(error)})`);
      }
    },
    note(record) {
      try {
        put(record);
      } catch {
        // Reads go on; the gap in nobody's sequence is closed by the next record that can be written.
      }
    },
  };
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === "string" ? code : reasonOf(error).slice(0, 60);
}

/** Tries at a full pipe before the record counts as not written: half a second in all. */
const maxTries = 100;

/** Writes a line to standard output, synchronously, so that it is out before the decision is acted on. */
function writeLine(line: string): void {
  let rest: Buffer = Buffer.from(`${line}\n`);
  for (let tries = 0; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || ++tries > maxTries) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** What a client sent, fit for a log line: printable ASCII, no query, bounded. */
export function visible(method: string, target: string): string {
  return `${method} ${target.split("?", 1)[0] ?? ""}`.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}
