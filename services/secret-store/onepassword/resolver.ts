import type { OpReference } from "../../../spec/references.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import type { Redacted } from "../../common/redacted.ts";
import type { Clock } from "../clock.ts";
import type { Resolution } from "../value.ts";
import { type Ask, Asker, asBackendError } from "./asker.ts";
import type { Backend, BackendError } from "./backend.ts";
import { Held } from "./held.ts";
import { Pause } from "./pause.ts";
import { type Found, listVaults, placeOf, type References, read } from "./reading.ts";
import { type ResolverState, type ResolverStatus, stateAfter, whyNoValue } from "./state.ts";

export interface ResolverOptions {
  readonly makeBackend: (token: Redacted<string>) => Promise<Backend>;
  readonly pollMs: number;
  readonly clock: Clock;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  readonly log: Log;
  /** Called after every look at 1Password: the files are put right meanwhile. */
  readonly onRead: () => Promise<void>;
  /** Called at every change of the state and after every failed look; `failures` counts those in a row. */
  readonly onState: (status: ResolverStatus, failures: number) => void;
}

/**
 * Keeps the values of the wanted 1Password references in memory, by the version of their items, and looks for new ones. While
 * 1Password is away, limits or refuses, the values that it has hold.
 */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #asker: Asker;
  readonly #pause: Pause;
  readonly #held = new Held();
  #token: Redacted<string> | undefined;
  #backend: Backend | undefined;
  /** Ends the requests of the token that is being used. */
  #work = new AbortController();
  /** Ends the trials of tokens. */
  #trials = new AbortController();
  #state: ResolverState = "locked";
  #since: number;
  #reason: string | undefined;
  #failures = 0;
  #lastRead: number | undefined;
  #nextRead: number | undefined;
  #requestsBefore = 0;
  #untime: () => void = () => undefined;
  /** Looks run one after the other; calls that come while one waits share it. */
  #looks: Promise<void> = Promise.resolve();
  #waiting = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#asker = new Asker(options.clock);
    this.#pause = new Pause(options.random);
    this.#since = options.clock.now();
  }

  get status(): ResolverStatus {
    const at = (ms: number) => new Date(ms).toISOString();
    return {
      state: this.#state,
      since: at(this.#since),
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...(this.#lastRead === undefined ? {} : { lastRead: at(this.#lastRead) }),
      ...(this.#nextRead === undefined ? {} : { nextRead: at(this.#nextRead) }),
      requests: this.#requestsBefore + (this.#backend?.requests ?? 0),
    };
  }

  /**
   * Says which references are wanted from now on: values of others are overwritten and dropped at once. New ones are looked
   * up soon, but in no pause.
   */
  want(references: Iterable<OpReference>): void {
    const isNew = this.#held.want(references);
    if (isNew && this.#state === "ready") void this.#look();
  }

  /** What is known of a reference. A value is the caller's own copy. */
  resolve(reference: OpReference): Resolution {
    const known = this.#held.resolve(reference);
    return known ?? { kind: "unavailable", reason: this.#whyNot() };
  }

  /** The item, by its id, that a reference leads to, where that is known. */
  itemOf(reference: OpReference): string | undefined {
    return this.#held.itemOf(reference);
  }

  /** Another number whenever {@link itemOf} has another answer. */
  get revision(): number {
    return this.#held.revision;
  }

  /**
   * Takes a token and tries it. One that 1Password refuses is not kept, and whatever was used before goes on; where 1Password
   * cannot be asked now it is kept and tried again. Ends when everything wanted was looked up.
   * @throws BackendError where 1Password refuses the token
   */
  async unlock(token: Redacted<string>): Promise<ResolverStatus> {
    const trial = this.#trials.signal;
    let backend: Backend | undefined;
    let failed: BackendError | undefined;
    try {
      const ask = this.#asker.until(trial);
      const made = await this.#make(token, ask);
      backend = made;
      await ask((signal) => listVaults(made, signal));
    } catch (error) {
      failed = asBackendError(error);
    }
    const isRefused = failed?.kind === "refused" || failed?.kind === "forbidden";
    if (isRefused || trial.aborted) {
      backend?.close();
      this.#requestsBefore += backend?.requests ?? 0;
    }
    // Locked meanwhile: the token that was being tried is not kept either.
    if (trial.aborted) return this.status;
    if (failed && isRefused) {
      if (!this.#token) this.#enter("refused", failed.message);
      throw failed;
    }
    this.#let();
    this.#token = token;
    this.#backend = backend;
    this.#pause.reset();
    this.#failures = 0;
    if (failed) await this.#settle(failed);
    else {
      this.#enter("ready");
      await this.#look();
    }
    return this.status;
  }

  /** Forgets the token and every value, and a token that is being tried. What was delivered stays delivered. */
  async lock(): Promise<void> {
    this.#endTrials();
    this.#let();
    this.#held.forget();
    this.#enter("locked");
    await this.#options.onRead();
  }

  /** Looks now, whatever pause there is; ends when that is done. */
  async refresh(): Promise<void> {
    this.#pause.reset();
    await this.#look();
  }

  /**
   * Looks up references beside the wanted ones and keeps nothing of them.
   * @throws BackendError where 1Password cannot be asked
   */
  async peek(references: References): Promise<ReadonlyMap<string, Found>> {
    const seen = new Map<string, Found>();
    const way = this.#way();
    try {
      await read(references, way, {
        known: () => undefined,
        located: () => undefined,
        found: (key, what) => seen.set(key, what),
      });
    } catch (error) {
      if (seen.size === 0) throw error;
      // The error is about those that are left.
      const { message: reason } = asBackendError(error);
      for (const key of references.keys())
        if (!seen.has(key)) seen.set(key, { kind: "unavailable", reason });
    }
    return seen;
  }

  /** Writes a value to where a reference points. @throws BackendError */
  async write(reference: OpReference, value: Redacted<string>): Promise<void> {
    const { backend, ask } = this.#way();
    const place = await placeOf(reference, { backend, ask });
    const { item: title, section, field } = reference;
    const named = { ...place, title, ...(section === undefined ? {} : { section }), field };
    await ask((signal) => backend.write(named, value, signal));
  }

  /** Ends everything; values are overwritten. */
  close(): void {
    this.#endTrials();
    this.#let();
    this.#held.forget();
  }

  #endTrials(): void {
    this.#trials.abort();
    this.#trials = new AbortController();
  }

  async #make(token: Redacted<string>, ask: Ask): Promise<Backend> {
    let making: Promise<Backend> | undefined;
    try {
      return await ask(() => {
        making = this.#options.makeBackend(token);
        return making;
      });
    } catch (error) {
      // Not waited for any longer, but it may still come.
      making?.then(
        (late) => late.close(),
        () => undefined,
      );
      throw error;
    }
  }

  #way() {
    const backend = this.#backend;
    if (!backend) throw new Error(this.#whyNot());
    return { backend, ask: this.#asker.until(this.#work.signal) };
  }

  /** Lets go of the token and of what is under way with it. */
  #let(): void {
    this.#untime();
    this.#nextRead = undefined;
    this.#work.abort();
    this.#work = new AbortController();
    this.#requestsBefore += this.#backend?.requests ?? 0;
    this.#backend?.close();
    this.#backend = undefined;
    this.#token = undefined;
  }

  /** Never rejects. */
  #look(): Promise<void> {
    if (this.#waiting) return this.#looks;
    this.#waiting = true;
    this.#looks = this.#looks.then(async () => {
      this.#waiting = false;
      await this.#lookOnce();
    });
    return this.#looks;
  }

  async #lookOnce(): Promise<void> {
    const token = this.#token;
    if (!token) return;
    this.#untime();
    const work = this.#work;
    let failed: BackendError | undefined;
    try {
      const ask = this.#asker.until(work.signal);
      let backend = this.#backend;
      if (!backend) {
        backend = await this.#make(token, ask);
        if (work.signal.aborted) return backend.close();
        this.#backend = backend;
      }
      const held = this.#held;
      await read(held.look(), { backend, ask }, held.sink(work.signal));
    } catch (error) {
      failed = asBackendError(error);
    } finally {
      this.#held.looked();
    }
    // Another token has come meanwhile, or none is left.
    if (this.#work !== work) return;
    await this.#settle(failed);
  }

  /** Takes the outcome of a look, says when the next one is, and lets the files follow. */
  async #settle(failed: BackendError | undefined): Promise<void> {
    const { clock, log, pollMs } = this.#options;
    if (failed) {
      // What other requests of this look still bring is of no use.
      this.#work.abort();
      this.#work = new AbortController();
      this.#failures += 1;
      const state = stateAfter(failed);
      log.warn("look-failed", { kind: failed.kind, reason: failed.message });
      // A refused token may be good again, as when an account was frozen; but that is not worth many requests.
      this.#schedule(
        state === "refused"
          ? this.#pause.longest()
          : this.#pause.next(failed.retryAfterMs, state === "limited"),
      );
      this.#enter(state, failed.message);
    } else {
      this.#failures = 0;
      this.#pause.reset();
      this.#lastRead = clock.now();
      this.#schedule(pollMs);
      this.#enter("ready");
    }
    await this.#options
      .onRead()
      .catch((error: unknown) => log.error("not-delivered", { reason: reasonOf(error) }));
    this.#held.passed();
  }

  #schedule(ms: number): void {
    this.#untime();
    this.#nextRead = this.#options.clock.now() + ms;
    this.#untime = this.#options.clock.after(ms, () => void this.#look());
  }

  #enter(state: ResolverState, reason?: string): void {
    if (state !== this.#state) {
      this.#since = this.#options.clock.now();
      this.#options.log.info("state", { state, reason });
    }
    this.#state = state;
    this.#reason = reason;
    this.#options.onState(this.status, this.#failures);
  }

  #whyNot(): string {
    return whyNoValue(this.#state, this.#reason);
  }
}
