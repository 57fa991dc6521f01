import type { Fields, Log } from "../common/log.ts";
import type { Limits } from "./limits.ts";
import { Bucket } from "./rate.ts";

/** Lines of one kind: what may be written, and how many were not. */
interface Budget {
  readonly bucket: Bucket;
  left: number;
  timer?: NodeJS.Timeout | undefined;
}

/**
 * The log of one agent's decisions. An agent can cause decisions as fast as it likes; so that it cannot wash lines
 * out of the log, its own of yesterday among them, lines beyond a rate are counted instead. Refusals and what was
 * allowed have budgets of their own: neither can hide the other. A count stands in the next line of its kind, or
 * where none comes in a line of its own.
 */
export class Audit {
  readonly #agent: string;
  readonly #log: Log;
  readonly #summaryMs: number;
  readonly #refused: Budget;
  readonly #allowed: Budget;

  constructor(agent: string, log: Log, limits: Limits) {
    this.#agent = agent;
    this.#log = log;
    this.#summaryMs = limits.logSummaryMs;
    this.#refused = { bucket: new Bucket(limits.logRefusals), left: 0 };
    this.#allowed = { bucket: new Bucket(limits.logAllowed), left: 0 };
  }

  /** One decision (`decision: "deny"` and `"fail"` are refusals), or the end of something allowed. */
  write(event: string, fields: Fields): void {
    const refusal = fields.decision === "deny" || fields.decision === "fail";
    const budget = refusal ? this.#refused : this.#allowed;
    if (!budget.bucket.take()) {
      budget.left += 1;
      budget.timer ??= setTimeout(() => {
        budget.timer = undefined;
        const unlogged = budget.left;
        budget.left = 0;
        if (unlogged === 0) return;
        const of = refusal ? "refusals" : "allowed";
        this.#log.info("unlogged", { agent: this.#agent, of, unlogged });
      }, this.#summaryMs).unref();
      return;
    }
    const unlogged = budget.left > 0 ? { unlogged: budget.left } : {};
    budget.left = 0;
    this.#log.info(event, { agent: this.#agent, ...fields, ...unlogged });
  }
}
