import type { Declaration } from "../../spec/declaration.ts";
import { checkDeclaration } from "../../spec/declaration-check.ts";
import { request } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Backoff, pause } from "./wait.ts";

/** What the gateway tells an agent about itself. */
export interface Self {
  readonly declaration: Declaration;
  /** The bot's Mattermost user. */
  readonly userId: string;
  readonly username: string;
}

/** Asks the gateway once. @throws Error where it does not answer, is not ready, or answers nonsense */
export async function readSelf(gatewaySocket: string): Promise<Self> {
  const answer = await request(
    { socketPath: gatewaySocket },
    { path: "/berth/self", timeoutMs: 5_000 },
  );
  if (answer.status !== 200) throw new Error(`the gateway answered ${answer.status}`);
  const value = JSON.parse(answer.text) as Partial<Self>;
  const problems = checkDeclaration(value.declaration);
  if (problems.length > 0) throw new Error(`the declaration is wrong: ${problems.join("; ")}`);
  if (typeof value.userId !== "string" || !value.userId) throw new Error("no userId");
  if (typeof value.username !== "string" || !value.username) throw new Error("no username");
  return {
    declaration: value.declaration as Declaration,
    userId: value.userId,
    username: value.username,
  };
}

/**
 * Asks until the gateway answers: it may start later than the agent.
 * @throws Error after `patienceMs`, so that the Engine starts the container afresh
 */
export async function waitForSelf(
  gatewaySocket: string,
  options: { readonly patienceMs: number; readonly signal: AbortSignal; readonly log: Log },
): Promise<Self | undefined> {
  const giveUpAt = Date.now() + options.patienceMs;
  const backoff = new Backoff(20, 2_000);
  let attempts = 0;
  while (!options.signal.aborted) {
    try {
      return await readSelf(gatewaySocket);
    } catch (error) {
      attempts++;
      const waitMs = backoff.next();
      if (Date.now() + waitMs > giveUpAt) {
        throw new Error(
          `no gateway at ${gatewaySocket} after ${attempts} attempts (${reasonOf(error)}): is the egress gateway running, and is this agent declared?`,
        );
      }
      if (attempts === 5) options.log.warn("gateway-awaited", { reason: reasonOf(error) });
      await pause(waitMs, options.signal);
    }
  }
  return undefined;
}
