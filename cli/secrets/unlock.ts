import { reasonOf } from "../../services/common/log.ts";
import { withoutControls } from "../console.ts";
import type { EngineClient } from "../engine-api.ts";
import type { Session } from "../session.ts";
import { type Found, finderFor, NoTokenError } from "./finder.ts";
import { jsonIn, reasonIn, type Store, StoreError, type StoreState, storeOf } from "./store.ts";
import type { Token } from "./token.ts";

/** States in which the secret store waits for a token. */
const waiting: readonly StoreState[] = ["locked", "refused"];

/**
 * Hands the token to the secret store, on the standard input of a command in its container.
 * @returns the state that it then has, with the reason where it tells one: limited and unreachable are states in which it tries on by itself
 * @throws StoreError with 1Password's or the store's reason, without any of the token
 */
export async function unlockWith(store: Store, token: Token): Promise<string> {
  const result = await store.run("unlock", [], token.reveal());
  if (result.exitCode !== 0) throw new StoreError(withoutToken(reasonIn(result), token));
  const { state, reason } = jsonIn("unlock", result) as { state?: unknown; reason?: unknown };
  const why = typeof reason === "string" ? ` (${withoutControls(reason)})` : "";
  return withoutToken(`${String(state)}${why}`, token);
}

/** A text that others made and that the token has gone to: kept back where it shares a piece with the token. */
export function withoutToken(text: string, token: Token): string {
  const value = token.reveal();
  const piece = 8;
  for (let at = 0; at + piece <= text.length; at++) {
    if (value.includes(text.slice(at, at + piece)))
      return "refused (the reason holds a piece of the token and is not shown)";
  }
  return text;
}

/** Unlocks the store where it waits for a token. @returns what was done, in words; undefined: it did not wait */
export async function unlockIfWaiting(
  store: Store,
  find: () => Promise<Found>,
): Promise<string | undefined> {
  if (!waiting.includes((await store.status()).state)) return undefined;
  const { token, from } = await find();
  return `${await unlockWith(store, token)}, with the token of ${from}`;
}

/** After `pulumi up`: unlocks with what is sealed here, or says what to run. Asks nobody, and is no reason to fail. */
export async function unlockAfterUp(
  session: Session,
  engine: EngineClient,
  find = finderFor(session, { isQuiet: true }),
): Promise<void> {
  const { say } = session.console;
  try {
    const done = await unlockIfWaiting(storeOf(session, engine), find);
    if (done) say(`secrets: the secret store is ${done}`);
  } catch (error) {
    const cure = error instanceof NoTokenError ? "" : ' ("berth secrets unlock" tries again)';
    say(`secrets: the secret store is not unlocked: ${reasonOf(error)}${cure}`);
  }
}
