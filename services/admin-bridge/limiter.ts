/** Lets at most `most` things of a key through within `windowMs`. Bounded in memory. */
export class Limiter {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #times = new Map<string, number[]>();

  constructor(most: number, windowMs: number) {
    this.#most = most;
    this.#windowMs = windowMs;
  }

  /** True where the key may go on now; that counts. */
  allows(key: string, now = Date.now()): boolean {
    const recent = (this.#times.get(key) ?? []).filter((at) => now - at < this.#windowMs);
    const free = recent.length < this.#most;
    if (free) recent.push(now);
    if (this.#times.size > 1_000) this.#times.clear();
    this.#times.set(key, recent);
    return free;
  }
}
