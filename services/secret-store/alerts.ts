import { randomBytes } from "node:crypto";

/** Something that a person should hear of. The members are those of the socket proxy's alerts. */
export interface Alert {
  /** Different for every alert, also of different runs of the store. */
  readonly id: string;
  readonly time: string;
  /**
   * `locked`: nobody has given the store its token. `refused`, `limited`, `unreachable`: how 1Password answers it.
   * `reference`: what a declaration names is not there, or may not be had.
   */
  readonly kind: "locked" | "refused" | "limited" | "unreachable" | "reference";
  readonly client: "secret-store";
  /** One sentence, of names only. */
  readonly text: string;
}

/** The newest alerts that a new listener gets, too. */
const maxKept = 100;

/** The alerts of this run, for those who pass them on to people. */
export class Alerts {
  readonly #run = randomBytes(4).toString("hex");
  readonly #now: () => number;
  readonly #kept: Alert[] = [];
  readonly #listeners = new Set<(alert: Alert) => void>();
  #count = 0;

  /** @param now wall clock, in ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  raise(kind: Alert["kind"], text: string): void {
    this.#count += 1;
    const id = `${this.#run}-${this.#count}`;
    const time = new Date(this.#now()).toISOString();
    const alert: Alert = { id, time, kind, client: "secret-store", text };
    this.#kept.push(alert);
    if (this.#kept.length > maxKept) this.#kept.shift();
    for (const listener of this.#listeners) listener(alert);
  }

  /** Calls `listener` with the alerts that are kept, then with each new one. @returns ends it */
  subscribe(listener: (alert: Alert) => void): () => void {
    for (const alert of this.#kept) listener(alert);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
