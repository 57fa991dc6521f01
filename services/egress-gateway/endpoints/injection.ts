import type { Endpoint } from "../../../spec/secrets.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import type { Limits } from "../limits.ts";
import type { AskStore, Injected, StoreAnswer } from "./store.ts";

const away: StoreAnswer = { kind: "unavailable", message: "The secret store does not answer." };

/**
 * What is added to the requests of one declared endpoint, in memory only. Asked of the store when it is older than
 * `endpointFreshMs`; while the store is away, or cannot tell, the last good value is used. One of these lives as long
 * as its declaration does not change.
 */
export class Injection {
  readonly #agent: string;
  readonly #name: string;
  readonly #declared: Endpoint;
  readonly #ask: AskStore;
  readonly #limits: Limits;
  readonly #log: Log;
  #held: Injected | undefined;
  /** What the last question gave, until when it stands, and what runs. */
  #answer: StoreAnswer | undefined;
  #until = Number.NEGATIVE_INFINITY;
  #asking: Promise<StoreAnswer> | undefined;
  /** The store was last heard not to tell the value. */
  #missing = false;
  #dropped = false;

  constructor(
    of: { readonly agent: string; readonly name: string; readonly declared: Endpoint },
    ask: AskStore,
    limits: Limits,
    log: Log,
  ) {
    this.#agent = of.agent;
    this.#name = of.name;
    this.#declared = of.declared;
    this.#ask = ask;
    this.#limits = limits;
    this.#log = log;
  }

  /** The value to add now, or why there is none. Never rejects. */
  async get(): Promise<StoreAnswer> {
    const fresh = this.#answer && performance.now() < this.#until ? this.#answer : undefined;
    const answer = fresh ?? (await this.#refreshed());
    if (this.#dropped) return { kind: "unknown", message: "It is no longer declared." };
    if (answer.kind !== "unavailable" || !this.#held) return answer;
    return { kind: "value", injected: this.#held };
  }

  /** Forgets the value for good. */
  drop(): void {
    this.#dropped = true;
    this.#held = undefined;
    this.#answer = undefined;
  }

  /** Where the store was last heard to be away and there is a value, a question is not waited for to its end. */
  async #refreshed(): Promise<StoreAnswer> {
    const asking = this.#refresh();
    if (!this.#missing || !this.#held) return asking;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<StoreAnswer>((done) => {
      timer = setTimeout(done, this.#limits.endpointRetryMs, away);
    });
    return Promise.race([asking, late]).finally(() => clearTimeout(timer));
  }

  #refresh(): Promise<StoreAnswer> {
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askOnce(): Promise<StoreAnswer> {
    // From now on, not from the answer on: that is how old the value may be.
    const asked = performance.now();
    const answer = await this.#ask(this.#agent, this.#name, this.#declared).catch(
      (error: unknown): StoreAnswer => {
        this.#note(true, reasonOf(error));
        return away;
      },
    );
    if (this.#dropped) return answer;
    if (answer.kind === "unavailable") this.#note(true, answer.message);
    else {
      this.#note(false);
      this.#held = answer.kind === "value" ? answer.injected : undefined;
    }
    this.#answer = answer;
    const { endpointFreshMs, endpointRetryMs } = this.#limits;
    this.#until =
      answer.kind === "value" ? asked + endpointFreshMs : performance.now() + endpointRetryMs;
    return answer;
  }

  /** One line where the store stops to tell the value, one where it does again. */
  #note(missing: boolean, reason?: string): void {
    if (this.#missing === missing) return;
    this.#missing = missing;
    const about = { agent: this.#agent, endpoint: this.#name };
    if (missing)
      this.#log.warn("endpoint-value", { ...about, kept: this.#held !== undefined, reason });
    else this.#log.info("endpoint-value", about);
  }
}
