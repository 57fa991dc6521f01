import { createHash } from "node:crypto";
import type { App } from "./app.ts";
import type { Actor } from "./auth.ts";
import { ApiError } from "./errors.ts";
import { tellChannel, tellUser, writePost } from "./posting.ts";
import {
  addChannelMember,
  type Channel,
  type ChannelMember,
  channelsOf,
  createChannel,
  defaultChannel,
  findChannelByName,
  getChannelMember,
  removeChannelMember,
} from "./store/channels.ts";
import {
  countTeamMembers,
  createTeam,
  endTeamMember,
  findTeamMember,
  getTeamMember,
  listTeamMembers,
  saveTeamMember,
  type Team,
  type TeamMember,
} from "./store/teams.ts";
import { getUser, type User, usersByIds } from "./store/users.ts";

/** Channels that are made with every team. */
const initialChannels = [
  [defaultChannel, "Town Square"],
  ["off-topic", "Off-Topic"],
] as const;

/** Makes a team with its first channels; its maker, if there is one, is its administrator. */
export async function foundTeam(
  app: App,
  actor: Actor,
  team: Pick<
    Team,
    "name" | "display_name" | "description" | "email" | "type" | "allow_open_invite"
  >,
): Promise<Team> {
  const made = await app.db.transaction(async (sql) => {
    const saved = await createTeam(sql, team);
    for (const [name, display_name] of initialChannels) {
      await createChannel(sql, {
        team_id: saved.id,
        type: "O",
        name,
        display_name,
        header: "",
        purpose: "",
        creator_id: actor.userId,
      });
    }
    return saved;
  });
  if (actor.user) await joinTeam(app, made, actor.user, undefined, true);
  return made;
}

/** Makes a user a member of a team and of its first channels. @throws ApiError 400 where the team is full */
export async function joinTeam(
  app: App,
  team: Team,
  user: User,
  requestor: User | undefined,
  admin = false,
): Promise<TeamMember> {
  const before = await findTeamMember(app.db, team.id, user.id);
  if (before?.delete_at === 0) return before;
  const member = await app.db.transaction(async (sql) => {
    // One at a time in a team, so that two cannot both take the last place.
    await sql.rows("SELECT 1 FROM teams WHERE id = $1 FOR UPDATE", [team.id]);
    if ((await countTeamMembers(sql, team.id)) >= app.config.maxUsersPerTeam) {
      throw new ApiError(
        400,
        "app.team.join_user_to_team.max_accounts.app_error",
        "This team has reached the maximum number of allowed accounts.",
      );
    }
    return saveTeamMember(sql, team.id, user.id, admin);
  });
  tellUser(app, user.id, "added_to_team", { team_id: team.id, user_id: user.id });
  for (const [name] of initialChannels) {
    const channel = await findChannelByName(app.db, team.id, name, false);
    if (channel && (await addChannelMember(app.db, channel.id, user.id, admin)))
      await announceMember(
        app,
        channel,
        user,
        requestor,
        name === defaultChannel ? "team" : "none",
      );
  }
  return member;
}

/** Ends a membership and those in the team's channels. */
export async function leaveTeam(app: App, team: Team, userId: string, actor: Actor): Promise<void> {
  await getTeamMember(app.db, team.id, userId);
  const channels = (await channelsOf(app.db, userId, team.id, true)).filter(
    (channel) => channel.team_id === team.id,
  );
  await app.db.transaction(async (sql) => {
    await endTeamMember(sql, team.id, userId);
    for (const channel of channels) await removeChannelMember(sql, channel.id, userId);
  });
  for (const channel of channels) await announceRemoval(app, channel, userId, actor);
  await tellTeam(app, team.id, "leave_team", { user_id: userId, team_id: team.id }, [userId]);
}

/** Tells a team's members, and `others`, about something. */
export async function tellTeam(
  app: App,
  teamId: string,
  event: string,
  data: Readonly<Record<string, unknown>>,
  others: readonly string[] = [],
): Promise<void> {
  const members = await listTeamMembers(app.db, teamId, 100_000, 0);
  app.hub.publish({
    event,
    data,
    broadcast: { team_id: teamId },
    to: new Set([...members.map((member) => member.user_id), ...others]),
  });
}

/** Makes a member of the team a member of one of its channels; being one already is fine. @throws ApiError 404 */
export async function joinChannel(
  app: App,
  channel: Channel,
  user: User,
  requestor: User | undefined,
): Promise<ChannelMember> {
  const inTeam = await getTeamMember(app.db, channel.team_id, user.id);
  if (inTeam.delete_at > 0) {
    throw new ApiError(
      400,
      "api.channel.add_user.to.channel.failed.deleted.app_error",
      "Failed to add user to channel because they have been removed from the team.",
    );
  }
  const added = await addChannelMember(app.db, channel.id, user.id);
  if (!added) return getChannelMember(app.db, channel.id, user.id);
  await announceMember(app, channel, user, requestor, "channel");
  return added;
}

async function announceMember(
  app: App,
  channel: Channel,
  user: User,
  requestor: User | undefined,
  post: "team" | "channel" | "none",
): Promise<void> {
  await tellChannel(app, channel.id, "user_added", {
    user_id: user.id,
    team_id: channel.team_id,
  });
  if (post === "none") return;
  const added = requestor && requestor.id !== user.id ? requestor : undefined;
  const words = added
    ? `${user.username} added to the ${post} by ${added.username}.`
    : `${user.username} joined the ${post}.`;
  await writePost(app, added ?? user, channel, {
    message: words,
    type: `system_${added ? "add_to" : "join"}_${post}`,
    props: added
      ? {
          userId: added.id,
          username: added.username,
          addedUserId: user.id,
          addedUsername: user.username,
        }
      : { username: user.username },
  });
}

/** Ends a membership in a channel. @throws ApiError 400 for the default channel, 404 where there is none */
export async function leaveChannel(
  app: App,
  channel: Channel,
  userId: string,
  actor: Actor,
): Promise<void> {
  if (channel.name === defaultChannel && channel.team_id !== "") {
    throw new ApiError(
      400,
      "api.channel.remove.default.app_error",
      `Unable to remove user from the default channel ${defaultChannel}.`,
    );
  }
  const user = await getUser(app.db, userId);
  await getChannelMember(app.db, channel.id, userId);
  await removeChannelMember(app.db, channel.id, userId);
  await announceRemoval(app, channel, userId, actor);
  if (channel.delete_at > 0) return;
  const removed = actor.user && actor.userId !== userId;
  await writePost(app, removed && actor.user ? actor.user : user, channel, {
    message: removed
      ? `${user.username} was removed from the channel.`
      : `${user.username} has left the channel.`,
    type: removed ? "system_remove_from_channel" : "system_leave_channel",
    props: removed
      ? { removedUserId: userId, removedUsername: user.username }
      : { username: user.username },
  });
}

async function announceRemoval(
  app: App,
  channel: Channel,
  userId: string,
  actor: Actor,
): Promise<void> {
  const remover = actor.userId;
  await tellChannel(app, channel.id, "user_removed", { user_id: userId, remover_id: remover });
  tellUser(app, userId, "user_removed", { channel_id: channel.id, remover_id: remover });
}

/** The direct channel of two users (or of one with itself), made where it is not there yet. */
export async function openDirect(app: App, first: User, second: User): Promise<Channel> {
  const name = [first.id, second.id].sort().join("__");
  return openWith(app, "D", name, "", [first, second], (channel) =>
    tellChannel(app, channel.id, "direct_added", {
      creator_id: first.id,
      teammate_id: second.id,
    }),
  );
}

/** The channel of three to eight users. */
export async function openGroup(app: App, ids: readonly string[]): Promise<Channel> {
  const users = await usersByIds(app.db, ids);
  if (users.length !== ids.length) await Promise.all(ids.map((id) => getUser(app.db, id)));
  const name = createHash("sha1")
    .update([...ids].sort().join(""))
    .digest("hex");
  const display = users.map((user) => user.username).join(", ");
  return openWith(app, "G", name, display, users, (channel) =>
    tellChannel(app, channel.id, "group_added", { teammate_ids: JSON.stringify(ids) }),
  );
}

async function openWith(
  app: App,
  type: "D" | "G",
  name: string,
  displayName: string,
  users: readonly User[],
  announceNew: (channel: Channel) => Promise<void>,
): Promise<Channel> {
  const found = await findChannelByName(app.db, "", name, true);
  if (found) return found;
  const { channel, isNew } = await app.db.transaction(async (sql) => {
    await sql.rows("SELECT pg_advisory_xact_lock(hashtext($1))", [name]);
    const other = await findChannelByName(sql, "", name, true);
    if (other) return { channel: other, isNew: false };
    const made = await createChannel(sql, {
      team_id: "",
      type,
      name,
      display_name: displayName,
      header: "",
      purpose: "",
      creator_id: users[0]?.id ?? "",
    });
    for (const user of users) await addChannelMember(sql, made.id, user.id);
    return { channel: made, isNew: true };
  });
  if (isNew) await announceNew(channel);
  return channel;
}
