import { randomBytes } from "node:crypto";
import type { UserProfile } from "@mattermost/types/users";
import type { LocalMode } from "./local-mode.ts";
import { randomPassword } from "./passwords.ts";
import { PlainError } from "./words.ts";

/** Addresses of our bots: never deliverable (RFC 2606). They prove nothing: an account's holder can change its address. */
const botDomain = "bot.berth.invalid";
/** Addresses of people whom the operator made; nothing is ever sent there. */
const personDomain = "berth.invalid";

/** By what an account that has a bot's name is known as ours. Nothing of it is in the hands of the account's holder. */
export interface Claim {
  /** Id of the account that we made or took under this name, from our own database. */
  readonly knownId: string | undefined;
  /** Keeps that id. Called as soon as there is one, before the account becomes a bot. */
  readonly keep: (userId: string) => void;
  /** Tells a bot of ours where the database is lost, by what only administrators can set. */
  readonly isOurs: (bot: UserProfile) => boolean;
}

/**
 * Finds or creates the bot account of that name, and enables it where it was disabled. Idempotent, and safe to repeat
 * after it broke off half-way.
 * @throws PlainError where the account of that name is not ours
 */
export async function ensureBot(
  local: LocalMode,
  username: string,
  claim: Claim,
): Promise<UserProfile> {
  let user = await local.findUser(username);
  if (user && user.id !== claim.knownId) {
    if (!user.is_bot || !claim.isOurs(user)) {
      const holder = user.is_bot ? "a bot that this stack did not make" : "a person";
      throw new PlainError(
        `The chat name ${username} belongs to ${holder}, so it cannot be an agent's: rename the agent or that account.`,
      );
    }
    // Known by its marks only: whatever was minted for it before is in hands that we do not know.
    await revokeTokens(local, user.id, "");
    claim.keep(user.id);
  }
  if (!user) {
    // The password is discarded: nobody ever logs in as a bot. Twice random bytes, to satisfy any length rule.
    user = await local.createUser({
      username,
      email: `${username}@${botDomain}`,
      password: `${randomPassword()}${randomBytes(8).toString("hex")}`,
    });
    claim.keep(user.id);
  }
  if (!user.is_bot) await local.convertToBot(user.id);
  if (user.delete_at > 0) {
    // Enabling revives the tokens that a disabled bot had.
    await revokeTokens(local, user.id, "");
    await local.enableBot(user.id);
  }
  return { ...user, is_bot: true, delete_at: 0 };
}

/** Finds or creates a person. The password is there only where the account is new, and is kept nowhere. */
export async function ensurePerson(
  local: LocalMode,
  username: string,
): Promise<{ user: UserProfile; password?: string }> {
  const found = await local.findUser(username);
  if (found?.is_bot) throw new PlainError(`The chat name ${username} belongs to a bot.`);
  if (found) return { user: found };
  const password = randomPassword();
  const user = await local.createUser({
    username,
    email: `${username}@${personDomain}`,
    password,
  });
  return { user, password };
}

/**
 * Revokes every token of a user whose description begins with the prefix.
 * @param keep id of one that stays
 * @returns how many
 */
export async function revokeTokens(
  local: LocalMode,
  userId: string,
  prefix: string,
  keep?: string,
): Promise<number> {
  const strays = (await local.listTokens(userId)).filter(
    (token) => token.description.startsWith(prefix) && token.id !== keep,
  );
  for (const stray of strays) await local.revokeToken(stray.id);
  return strays.length;
}

/**
 * Prefixes of token descriptions. A bot has up to two tokens: the one its agent works with, held by the egress gateway,
 * and the one with which we listen for it while it sleeps. They are revoked apart, so neither prefix begins the other:
 * a stack's name never holds a `+`.
 */
export const tokenPrefix = {
  agent: (stack: string, agent: string) => `${stack}/${agent}/`,
  wake: (stack: string, agent: string) => `${stack}+wake/${agent}/`,
} as const;
