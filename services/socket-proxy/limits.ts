import { Denial } from "./denial.ts";

/** What one client may ask for. All of it together is far more than the services need, and little for the Engine. */
const clientLimits = {
  /** Requests a second in the long run. */
  perSecond: 50,
  /** Requests at once after a quiet time: a bridge that starts asks for every agent. */
  burst: 200,
  /** Answers that stay open: `wait`, `logs`, `events`, the watch of declarations. */
  streams: 16,
} as const;

/** How much one client asks for, so that no client can keep the proxy or the Engine from the others. */
export class ClientLimits {
  readonly #now: () => number;
  #left: number = clientLimits.burst;
  #at: number;
  #streams = 0;
  #recordedAt = Number.NEGATIVE_INFINITY;

  /** @param now a clock that never goes back, in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** Counts a request. @throws Denial 429 */
  request(): void {
    const now = this.#now();
    const regained = ((now - this.#at) / 1000) * clientLimits.perSecond;
    this.#left = Math.min(clientLimits.burst, this.#left + regained);
    this.#at = now;
    if (this.#left < 1) throw new Denial(429, rateRule, "too many requests; ask again in a second");
    this.#left -= 1;
  }

  /** Runs a stream, as long as it takes. @throws Denial 429 where too many are open */
  async stream(run: () => Promise<void>): Promise<void> {
    if (this.#streams >= clientLimits.streams) {
      throw new Denial(429, "streams", `${clientLimits.streams} streams are open already`);
    }
    this.#streams += 1;
    try {
      await run();
    } finally {
      this.#streams -= 1;
    }
  }

  /** Whether a refusal goes on record: of those for the rate one a second, or the flood would be in the record instead. */
  isRecorded(denial: Denial): boolean {
    if (denial.rule !== rateRule) return true;
    const now = this.#now();
    if (now - this.#recordedAt < 1000) return false;
    this.#recordedAt = now;
    return true;
  }
}

const rateRule = "rate";
