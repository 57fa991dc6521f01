import type { OpReference } from "../../../spec/references.ts";
import { Redacted } from "../../common/redacted.ts";
import { copyOf, type Resolution, wipe } from "../value.ts";
import type { Found, References, Sink } from "./reading.ts";

/** How a reference is called here: the same for equal references. */
export function keyOf(reference: OpReference): string {
  const { vault, item, section, field, attribute, sshFormat } = reference;
  return JSON.stringify([vault, item, section, field, attribute, sshFormat]);
}

/** What is known of the wanted references. Values are overwritten with zeros when they go. */
export class Held {
  readonly #found = new Map<string, Found>();
  /** The item of each reference: known before its value is, so that nobody gets another's value in between. */
  readonly #items = new Map<string, string>();
  #revision = 0;
  #wanted: References = new Map();
  /** What the look that is under way looks for. */
  #asked: References = new Map();

  /** Drops what is not among these. @returns whether there is one of which nothing is known or being asked */
  want(references: Iterable<OpReference>): boolean {
    this.#wanted = new Map([...references].map((reference) => [keyOf(reference), reference]));
    for (const key of [...this.#found.keys()]) if (!this.#wanted.has(key)) this.#drop(key);
    for (const key of [...this.#items.keys()]) if (!this.#wanted.has(key)) this.#locate(key);
    return [...this.#wanted.keys()].some((key) => !this.#found.has(key) && !this.#asked.has(key));
  }

  /** A look begins. @returns what it is to look for */
  look(): References {
    this.#asked = this.#wanted;
    return this.#asked;
  }

  /** The look has ended. */
  looked(): void {
    this.#asked = new Map();
  }

  /** Takes what a look tells, unless it was ended or nobody wants it any more. @param work ends the look */
  sink(work: AbortSignal): Sink {
    const takes = (key: string) => !work.aborted && this.#wanted.has(key);
    return {
      known: (key) => this.#found.get(key),
      located: (key, item) => {
        if (takes(key)) this.#locate(key, item);
      },
      found: (key, what) => {
        if (takes(key)) {
          this.#drop(key);
          this.#found.set(key, what);
        } else if ("value" in what) wipe(what.value);
      },
    };
  }

  /** The consumers have had their turn: what is good for a moment only goes. */
  passed(): void {
    for (const [key, what] of this.#found) {
      if (what.kind !== "otp") continue;
      wipe(what.value);
      this.#found.set(key, { ...what, value: undefined });
    }
  }

  /** Drops everything. */
  forget(): void {
    for (const key of [...this.#found.keys()]) this.#drop(key);
    for (const key of [...this.#items.keys()]) this.#locate(key);
  }

  /** What is known of a reference; a value is the caller's own copy. Undefined: nothing is. */
  resolve(reference: OpReference): Resolution | undefined {
    const found = this.#found.get(keyOf(reference));
    switch (found?.kind) {
      case undefined:
        return undefined;
      case "gone":
        return { kind: "gone", reason: found.reason };
      case "unavailable": {
        const { kind, reason, wrong } = found;
        return wrong ? { kind, reason, wrong } : { kind, reason };
      }
      case "value":
        return { kind: "value", value: new Redacted(copyOf(found.value), "secret") };
      case "otp": {
        const identity = `one-time ${found.item} ${found.version}`;
        return found.value
          ? { kind: "value", value: new Redacted(copyOf(found.value), "secret"), identity }
          : { kind: "stands", identity };
      }
    }
  }

  /** The item, by its id, that a reference leads to, where that is known. */
  itemOf(reference: OpReference): string | undefined {
    return this.#items.get(keyOf(reference));
  }

  /** Another number whenever a reference leads to another item. */
  get revision(): number {
    return this.#revision;
  }

  #locate(key: string, item?: string): void {
    if (this.#items.get(key) === item) return;
    this.#revision += 1;
    if (item === undefined) this.#items.delete(key);
    else this.#items.set(key, item);
  }

  #drop(key: string): void {
    const found = this.#found.get(key);
    if (found && "value" in found) wipe(found.value);
    this.#found.delete(key);
  }
}
