const shortestMs = 5_000;
const longestMs = 30 * 60_000;
/** What 1Password may ask for: its longest limit is counted by day. */
const longestAskedMs = 24 * 60 * 60_000;

/** Pauses between failed attempts: 5 s, doubled each time up to 30 min, with jitter so that many hosts do not come at once. */
export class Pause {
  readonly #random: () => number;
  #failures = 0;

  /** @param random from 0 to 1 */
  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * How long to wait after one more failure, in ms.
   * @param askedMs what the answer asked for
   * @param isLimit whether that is 1Password's word on its limit, which wins; of anybody on the way it can only be longer
   */
  next(askedMs?: number, isLimit = false): number {
    const growing = Math.min(shortestMs * 2 ** this.#failures, longestMs);
    // Bounded, so that the power above stays a number.
    this.#failures = Math.min(this.#failures + 1, 16);
    const own = Math.min(Math.round(growing * (0.8 + 0.4 * this.#random())), longestMs);
    if (askedMs === undefined) return own;
    return Math.min(Math.max(askedMs, isLimit ? shortestMs : own), longestAskedMs);
  }

  /** The pause that no failure can make longer. */
  longest(): number {
    this.#failures = 16;
    return this.next();
  }

  /** After a success. */
  reset(): void {
    this.#failures = 0;
  }
}
