import { Redacted } from "../common/redacted.ts";
import { copyOf, problemOfValue, type Resolution, wipe } from "./value.ts";

/** Most values that are held. */
const maxValues = 1024;
/** Names of values, as `env:NAME` writes them. */
const namePattern = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Values that the operator pushed, in memory only. They are gone when the process ends, and then pushed again. */
export class PushedValues {
  /** A name without a value was withdrawn on purpose. */
  readonly #values = new Map<string, Redacted<Buffer> | undefined>();

  /**
   * Takes `{ NAME: "value" }`; `null` withdraws a name. All of it or, where anything is wrong, nothing.
   * @returns the number of names
   * @throws Error that lists every problem by name, never a value
   */
  push(values: unknown): number {
    if (typeof values !== "object" || values === null || Array.isArray(values))
      throw new Error('expected a JSON object like {"API_TOKEN": "…"}');
    const entries = Object.entries(values as Record<string, unknown>);
    const problems = entries.flatMap(([name, value]) => {
      if (!namePattern.test(name)) return ["a name is not of the form API_TOKEN"];
      if (value === null) return [];
      if (typeof value !== "string")
        return [`${name}: the value must be a text, or null to withdraw it`];
      const problem = problemOfValue(Buffer.from(value));
      return problem ? [`${name}: ${problem}`] : [];
    });
    const names = new Set([...this.#values.keys(), ...entries.map(([name]) => name)]);
    if (names.size > maxValues) problems.push(`more than ${maxValues} names`);
    if (problems.length > 0) throw new Error([...new Set(problems)].join("; "));
    for (const [name, value] of entries) {
      wipe(this.#values.get(name));
      this.#values.set(
        name,
        typeof value === "string" ? new Redacted(Buffer.from(value), "secret") : undefined,
      );
    }
    return entries.length;
  }

  /** What is known of a name; a value is the caller's own copy. */
  resolve(name: string): Resolution {
    const value = this.#values.get(name);
    if (value) return { kind: "value", value: new Redacted(copyOf(value), "secret") };
    return this.#values.has(name)
      ? { kind: "gone", reason: `${name} was withdrawn` }
      : {
          kind: "unavailable",
          reason: `${name} was not pushed since the secret store started: run berth secrets push`,
        };
  }
}
