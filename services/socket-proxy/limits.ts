import { Transform, type TransformCallback } from "node:stream";
import type { ClientQuotas, Suspension, Verb } from "../../spec/grants.ts";
import { Denial, forbidden, isProbe, type Rule } from "./denial.ts";

/** What a suspended client can still ask: whether the proxy is there, and what people are told about it. */
const spared: ReadonlySet<string> = new Set<Verb>(["ping", "alerts"]);

/** Refusals that can come as fast as somebody sends: all others end in one of these. */
const unbounded: ReadonlySet<Rule> = new Set<Rule>(["rate", "suspended", "source"]);

/** Allowed reads go on record this seldom, each verb by itself: a client could push what was done out of the record. */
const readRecordMs = 60_000;
/** A stream that is written without a pause may be this far ahead of its speed; then its reader is dropped. */
const maxAheadMs = 5_000;

/** How much one client asks for, so that no client can keep the proxy or the Engine from the others. */
export class ClientLimits {
  readonly #quotas: ClientQuotas;
  readonly #suspension: Suspension;
  readonly #now: () => number;
  #left: number;
  #at: number;
  #streams = 0;
  #underWay = 0;
  readonly #recordedAt = new Map<string, number>();
  #probes: number[] = [];
  #suspendedUntil = Number.NEGATIVE_INFINITY;
  /** When the bytes that were let through so far would have been sent at the allowed speed. */
  #sentUntil = 0;

  /** @param now a clock that never goes back, in ms */
  constructor(
    quotas: ClientQuotas,
    suspension: Suspension,
    now: () => number = () => performance.now(),
  ) {
    this.#quotas = quotas;
    this.#suspension = suspension;
    this.#now = now;
    this.#left = quotas.requestBurst;
    this.#at = now();
  }

  /** Answers that are open. */
  get streams(): number {
    return this.#streams;
  }

  get isSuspended(): boolean {
    return this.#now() < this.#suspendedUntil;
  }

  /** @throws Denial 403 while the client is suspended and the verb is not one that is spared */
  checkSuspension(verb: string): void {
    if (!this.isSuspended || spared.has(verb)) return;
    const seconds = Math.ceil((this.#suspendedUntil - this.#now()) / 1000);
    throw forbidden(
      "suspended",
      `too many forbidden requests; answered again in ${seconds} seconds`,
    );
  }

  /** Counts a refusal. @returns whether the client is suspended by it, now and not before */
  noteRefusal(denial: Denial): boolean {
    if (!isProbe(denial) || this.isSuspended) return false;
    const now = this.#now();
    const since = now - this.#suspension.windowSeconds * 1000;
    while (this.#probes.length > 0 && (this.#probes[0] ?? 0) <= since) this.#probes.shift();
    this.#probes.push(now);
    if (this.#probes.length < this.#suspension.denials) return false;
    this.#probes = [];
    this.#suspendedUntil = now + this.#suspension.seconds * 1000;
    return true;
  }

  /** Counts a request. @throws Denial 429 */
  request(): void {
    const now = this.#now();
    const regained = ((now - this.#at) / 1000) * this.#quotas.requestsPerSecond;
    this.#left = Math.min(this.#quotas.requestBurst, this.#left + regained);
    this.#at = now;
    if (this.#left < 1) throw new Denial(429, "rate", "too many requests; ask again in a second");
    this.#left -= 1;
  }

  /**
   * Counts an answer that is under way, streams aside, of which there are never more than may be asked for at once:
   * whoever does not read, or asks for what takes long, has to wait.
   * @returns ends the count; may be called more than once
   * @throws Denial 429
   */
  enter(): () => void {
    const most = this.#quotas.requestBurst;
    if (this.#underWay - this.#streams >= most) {
      throw new Denial(429, "rate", `${most} requests are under way; wait for their answers`);
    }
    this.#underWay += 1;
    let isOver = false;
    return () => {
      if (!isOver) this.#underWay -= 1;
      isOver = true;
    };
  }

  /** Runs a stream, as long as it takes. @throws Denial 429 where too many are open */
  async stream(run: () => Promise<void>): Promise<void> {
    if (this.#streams >= this.#quotas.streams) {
      throw new Denial(429, "streams", `${this.#quotas.streams} streams are open already`);
    }
    this.#streams += 1;
    try {
      await run();
    } finally {
      this.#streams -= 1;
    }
  }

  /** Lets bytes through at the client's speed, whatever stream they are of; the rest waits at the Engine. */
  throttle(): Transform {
    const delay = (bytes: number) => this.#delayOf(bytes);
    return new Transform({
      transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
        const waitMs = delay(chunk.length);
        if (waitMs <= 0) done(null, chunk);
        else setTimeout(() => done(null, chunk), waitMs);
      },
    });
  }

  /** Counts bytes that are written at once. @returns false where the client gets more a second than it may */
  spend(bytes: number): boolean {
    return this.#delayOf(bytes) <= maxAheadMs;
  }

  /** Whether an allowed read goes on record. */
  isReadRecorded(verb: Verb): boolean {
    return this.#isDue(`read ${verb}`, readRecordMs);
  }

  /** How long so many bytes have to wait, in ms. A second's worth may go at once. */
  #delayOf(bytes: number): number {
    const now = this.#now();
    const costMs = (bytes / this.#quotas.streamBytesPerSecond) * 1000;
    this.#sentUntil = Math.max(this.#sentUntil, now - 1000) + costMs;
    return this.#sentUntil - now;
  }

  /** Whether a refusal goes on record: of those that nothing else bounds one a second each, or the flood would be in the record instead. */
  isRecorded({ rule }: Denial): boolean {
    return !unbounded.has(rule) || this.#isDue(rule, 1000);
  }

  #isDue(what: string, everyMs: number): boolean {
    const now = this.#now();
    if (now - (this.#recordedAt.get(what) ?? Number.NEGATIVE_INFINITY) < everyMs) return false;
    this.#recordedAt.set(what, now);
    return true;
  }
}
