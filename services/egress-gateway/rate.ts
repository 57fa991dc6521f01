/** A token bucket: so much a second, over a burst that it holds at most. Full at the beginning. */
export class Bucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #level: number;
  #at = performance.now();

  constructor(rate: { readonly perSecond: number; readonly burst: number }) {
    this.#perSecond = rate.perSecond;
    this.#burst = rate.burst;
    this.#level = rate.burst;
  }

  /** Takes `cost` where that much is there. @returns whether it was */
  take(cost = 1): boolean {
    this.#refill();
    if (this.#level < cost) return false;
    this.#level -= cost;
    return true;
  }

  /**
   * Takes `cost` in any case, on credit where the bucket is empty.
   * @returns milliseconds to wait until it is paid; undefined: the debt is over `mostMs` and nothing was taken
   */
  charge(cost: number, mostMs: number): number | undefined {
    this.#refill();
    if (this.#level < 0 && this.#waitMs() > mostMs) return undefined;
    this.#level -= cost;
    return this.#waitMs();
  }

  #waitMs(): number {
    return Math.max(0, (-this.#level / this.#perSecond) * 1000);
  }

  #refill(): void {
    const now = performance.now();
    const gained = ((now - this.#at) / 1000) * this.#perSecond;
    this.#level = Math.min(this.#burst, this.#level + gained);
    this.#at = now;
  }
}
