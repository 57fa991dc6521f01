import { CliError } from "../console.ts";
import { jsonIn, reasonIn, type SecretStatus, type Store, StoreError } from "./store.ts";

/** How long the new values may take to their agent. */
const limitMs = 90_000;
const everyMs = 500;

/** What was rotated, and what was not and why. */
export interface Rotation {
  readonly rotated: readonly string[];
  /** `NAME: why`. */
  readonly skipped: readonly string[];
}

/**
 * Has the store make new values for an agent's generated secrets: all of them, or those that are named.
 * @throws StoreError where the store refuses; that an agent has none that could be rotated is no refusal where none was named
 */
export async function rotateSecrets(
  store: Store,
  agent: string,
  names: readonly string[],
): Promise<Rotation> {
  const result = await store.run("rotate", [agent, ...names]);
  if (result.exitCode !== 0) {
    const reason = reasonIn(result);
    // The store does nothing by halves: where nothing can be rotated it refuses.
    const nothing = /nothing was rotated: (.*)$/s.exec(reason)?.[1];
    if (nothing === undefined || names.length > 0) throw new StoreError(reason);
    return { rotated: [], skipped: nothing.split("; ") };
  }
  const { rotated, skipped } = jsonIn("rotate", result) as { rotated?: unknown; skipped?: unknown };
  if (!Array.isArray(rotated) || !Array.isArray(skipped)) {
    throw new StoreError(
      'rotate: the answer is none: run "make up", so that store and command are of one version',
    );
  }
  return { rotated: rotated.map(String), skipped: skipped.map(String) };
}

/**
 * Waits until the store has handed over every secret of the agent that has these names.
 * @returns the agent's other secrets that are not delivered
 * @throws CliError that names those that were not handed over in time, with the store's reason
 */
export async function untilDelivered(
  store: Store,
  agent: string,
  names: readonly string[],
  options: { readonly limitMs?: number; readonly everyMs?: number } = {},
): Promise<SecretStatus[]> {
  const end = Date.now() + (options.limitMs ?? limitMs);
  for (;;) {
    const all = (await store.status()).secrets.filter((secret) => secret.agent === agent);
    const late = all.filter(({ state }) => state !== "delivered");
    const waited = late.filter(({ name }) => names.includes(name));
    if (waited.length === 0) return late;
    if (Date.now() >= end) {
      throw new CliError(
        `new values were made, and these did not reach ${agent}:\n${waited.map(lineOf).join("\n")}\n` +
          'Look at "berth secrets status"; the store goes on trying',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? everyMs));
  }
}

/** A secret that is not delivered, in one line. */
export function lineOf({ name, state, reason }: SecretStatus): string {
  return `${name}: ${state}${reason ? `: ${reason}` : ""}`;
}
