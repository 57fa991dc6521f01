import type { Declaration } from "../../../spec/declaration.ts";
import { deliveryOf } from "../../../spec/secrets.ts";
import { type Delivered, type Directories, type Missing, waitForDelivered } from "./delivered.ts";
import { Redaction } from "./redaction.ts";
import { Rotation } from "./rotation.ts";

/** What the secret store delivers to this agent: awaited before each start, looked at again while the program runs. */
export class Deliveries {
  readonly directories: Directories;
  readonly #rotation: Rotation;
  readonly #redaction = new Redaction();

  constructor(directories: Directories) {
    this.directories = directories;
    this.#rotation = new Rotation(directories);
  }

  /** A line of the program's without the values that were ever delivered. */
  readonly redact = (line: string): string => this.#redaction.clean(line);

  /** Waits for all that is declared, like {@link waitForDelivered}, for a start of the program. */
  async awaited(
    declaration: () => Declaration,
    options: {
      readonly patienceMs: number;
      readonly signal: AbortSignal;
      readonly onMissing: (missing: readonly Missing[]) => void;
    },
  ): Promise<Delivered | undefined> {
    const found = await waitForDelivered(this.directories, declaration, options);
    if (!found) return undefined;
    this.#redaction.learn(declaration(), found.delivered);
    this.#rotation.started(found);
    return found.delivered;
  }

  /** Looks for new values. @returns the names for which the running program must be started anew */
  async look(declaration: Declaration): Promise<readonly string[]> {
    const found = await this.#rotation.look(declaration);
    if (!found) return [];
    this.#redaction.learn(declaration, found.delivered);
    return found.restartFor;
  }

  /** The program is being ended, to be started with what is there then. */
  ending(): void {
    this.#rotation.started(undefined);
  }
}

/**
 * Whether a running program would be started in the same way by another declaration. Where a value comes from makes no
 * difference: a new one is noticed when it is there.
 */
export function startsAlike(a: Declaration, b: Declaration): boolean {
  const parts = ({ program, secrets, configFiles = {}, endpoints = {} }: Declaration) =>
    JSON.stringify([
      program,
      Object.entries(secrets).map(([name, secret]) => [name, deliveryOf(secret)]),
      Object.keys(configFiles).length > 0,
      Object.keys(endpoints),
    ]);
  return parts(a) === parts(b);
}
