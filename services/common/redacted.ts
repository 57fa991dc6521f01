import { inspect } from "node:util";

/**
 * A secret value that can be handed around but not shown by accident: text, JSON, inspection and template literals
 * give its label. Only {@link reveal} gives the value.
 */
export class Redacted<T> {
  readonly #value: T;
  readonly #label: string;

  /** @param label what stands in the value's place; must itself be fit to be shown */
  constructor(value: T, label = "secret") {
    this.#value = value;
    this.#label = label;
  }

  /** The value itself: only where it leaves for its consumer. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return `[${this.#label}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.toPrimitive](): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
