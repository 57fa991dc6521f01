import { randomBytes } from "node:crypto";

/** Something that a person should hear of. */
export interface Alert {
  /** Different for every alert, also of different runs of the proxy. */
  readonly id: string;
  readonly time: string;
  /**
   * `suspended`: a client keeps asking for what is forbidden. `mismatch`: a container is not as declared. `audit`: records
   * cannot be written.
   */
  readonly kind: "suspended" | "mismatch" | "audit";
  /** Client that it is about. */
  readonly client: string;
  /** One sentence, of names only. */
  readonly text: string;
}

/** The newest alerts that a new listener gets, too. */
const maxKept = 50;

/** The alerts of this run, for those who pass them on to people. */
export class Alerts {
  readonly #run = randomBytes(4).toString("hex");
  readonly #kept: Alert[] = [];
  readonly #listeners = new Set<(alert: Alert) => void>();
  #count = 0;

  raise(kind: Alert["kind"], client: string, text: string): void {
    this.#count += 1;
    const id = `${this.#run}-${this.#count}`;
    const alert = { id, time: new Date().toISOString(), kind, client, text };
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
