import type { Timing } from "../settings.ts";
import { Backoff } from "../wait.ts";

/** Counts crashes of a program and says how long to wait before the next start. */
export class Restarts {
  readonly #backoff: Backoff;
  readonly #stableAfter: number;
  #crashes = 0;

  constructor(timing: Timing) {
    this.#backoff = new Backoff(timing.restartFirst, timing.restartMost);
    this.#stableAfter = timing.stableAfter;
  }

  /** Crashes since the program last ran long enough to count as stable. */
  get crashes(): number {
    return this.#crashes;
  }

  /** The program keeps crashing: time to say so. */
  get repeated(): boolean {
    return this.#crashes >= 3;
  }

  /** Notes an end after `livedMs`. @returns milliseconds to wait before the next start */
  crashed(livedMs: number): number {
    if (livedMs >= this.#stableAfter) {
      this.#crashes = 0;
      this.#backoff.reset();
    }
    this.#crashes++;
    return this.#backoff.next();
  }
}
