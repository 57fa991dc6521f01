import type { UserProfile } from "@mattermost/types/users";
import type { Log } from "../common/log.ts";
import { ensureBot, revokeTokens, tokenPrefix } from "./accounts.ts";
import { ChatClient, isStatus, orMissing } from "./chat-client.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Store } from "./store.ts";

/** Name of the admin bridge's own bot. */
export const selfName = "berth";

/** A working relation with Mattermost: our own account, its token, the team and the home channel. */
export interface Session {
  readonly client: ChatClient;
  readonly userId: string;
  readonly tokenId: string;
  readonly token: string;
  readonly teamId: string;
  readonly homeId: string;
}

/**
 * Makes a session: the account `berth` with its rights, a new token (old ones are revoked first), team and home channel.
 * Everything is found by name before it is made, so it may be repeated at any time.
 */
export async function openSession(options: {
  readonly local: LocalMode;
  readonly url: string;
  readonly stack: string;
  readonly team: string;
  readonly channel: string;
  readonly store: Store;
  readonly log: Log;
}): Promise<Session> {
  const { local, stack } = options;
  await local.ping();
  const self = await ensureBot(local, selfName, {
    knownId: options.store.meta("self"),
    keep: (userId) => options.store.setMeta("self", userId),
    // Nobody but an administrator makes a bot an administrator.
    isOurs: isAdministrator,
  });
  if (!isAdministrator(self)) {
    await local.setRoles(self.id, "system_admin system_user");
  }
  const prefix = tokenPrefix.agent(stack, selfName);
  await revokeTokens(local, self.id, prefix);
  const minted = await local.createToken(self.id, `${prefix}${options.store.nextGeneration()}`);
  const client = new ChatClient(options.url, minted.token);
  const teamId = await ensureTeam(client, options.team);
  await ensureTeamMember(client, teamId, self.id);
  const homeId = await ensureChannel(client, teamId, options.channel);
  await ensureChannelMember(client, homeId, self.id);
  options.log.info("session", { user: selfName, team: options.team, channel: options.channel });
  return { client, userId: self.id, tokenId: minted.id, token: minted.token, teamId, homeId };
}

function isAdministrator(user: Pick<UserProfile, "roles">): boolean {
  return user.roles.split(" ").includes("system_admin");
}

/** Whether the server still takes the session's token. Anything but a 401 is no answer to that, and counts as yes. */
export async function isAlive(client: ChatClient): Promise<boolean> {
  try {
    await client.getMe();
    return true;
  } catch (error) {
    return !isStatus(error, 401);
  }
}

async function ensureTeam(client: ChatClient, name: string): Promise<string> {
  const found = await orMissing(client.getTeamByName(name));
  if (found) {
    if (found.delete_at > 0) await client.unarchiveTeam(found.id);
    return found.id;
  }
  const wanted = { name, display_name: name, type: "I" } as Parameters<typeof client.createTeam>[0];
  return (await client.createTeam(wanted)).id;
}

/** Finds, brings back from the archive, or creates a channel. @returns its id */
export async function ensureChannel(
  client: ChatClient,
  teamId: string,
  name: string,
): Promise<string> {
  const found = await orMissing(client.getChannelByName(teamId, name, true));
  if (found) {
    if (found.delete_at > 0) await client.unarchiveChannel(found.id);
    return found.id;
  }
  const wanted = { team_id: teamId, name, display_name: name, type: "O" } as const;
  return (await client.createChannel(wanted)).id;
}

/** Makes a user a member of the team, where it is none. */
export async function ensureTeamMember(
  client: ChatClient,
  teamId: string,
  userId: string,
): Promise<void> {
  const member = await orMissing(client.getTeamMember(teamId, userId));
  if (!member || member.delete_at > 0) await client.addToTeam(teamId, userId);
}

/** Makes a user a member of a channel, where it is none. */
export async function ensureChannelMember(
  client: ChatClient,
  channelId: string,
  userId: string,
): Promise<void> {
  const member = await orMissing(client.getChannelMember(channelId, userId));
  if (!member) await client.addToChannel(userId, channelId);
}
