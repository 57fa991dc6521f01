import type { Fields, Log } from "../common/log.ts";

/**
 * The log of one agent's decisions. An agent can cause decisions as fast as it likes; so that it cannot wash others'
 * lines out of the log, lines beyond a rate are counted instead, and the count stands in the next line.
 */
export class Audit {
  readonly #agent: string;
  readonly #log: Log;
  readonly #perSecond: number;
  #allowance: number;
  #at = Date.now();
  #left = 0;

  constructor(agent: string, log: Log, linesPerSecond: number) {
    this.#agent = agent;
    this.#log = log;
    this.#perSecond = linesPerSecond;
    this.#allowance = linesPerSecond * 10;
  }

  /** One decision or its end. */
  write(event: string, fields: Fields): void {
    const now = Date.now();
    const refill = (Math.max(0, now - this.#at) / 1000) * this.#perSecond;
    this.#allowance = Math.min(this.#allowance + refill, this.#perSecond * 10);
    this.#at = now;
    if (this.#allowance < 1) {
      this.#left += 1;
      return;
    }
    this.#allowance -= 1;
    const unlogged = this.#left > 0 ? { unlogged: this.#left } : {};
    this.#left = 0;
    this.#log.info(event, { agent: this.#agent, ...fields, ...unlogged });
  }
}
