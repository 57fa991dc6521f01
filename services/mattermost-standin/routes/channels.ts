import { ApiError, badBody, forbidden } from "../errors.ts";
import { openDirect, openGroup, tellTeam } from "../membership.ts";
import {
  membershipOf,
  needChannel,
  needChannelAdmin,
  needRead,
  needSelf,
  needTeam,
} from "../permissions.ts";
import { tellChannel, tellUser } from "../posting.ts";
import {
  addChannelMember,
  type Channel,
  changeChannel,
  channelsOf,
  createChannel,
  defaultChannel,
  findChannelByName,
  findChannelMember,
  getChannel,
  listTeamChannels,
  noChannelOfThatName,
} from "../store/channels.ts";
import { getTeam, getTeamByName, type Team } from "../store/teams.ts";
import { getUser } from "../store/users.ts";
import { channelView } from "../views.ts";
import {
  type Call,
  created,
  done,
  fields,
  flag,
  ok,
  optionalText,
  page,
  param,
  type Reply,
  type Route,
  text,
  texts,
} from "./route.ts";

/** @throws ApiError 400 */
function checkName(name: string): string {
  if (!/^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$/.test(name) || name.includes("__")) {
    throw new ApiError(
      400,
      "model.channel.is_valid.1_or_more.app_error",
      "Channel name must be lowercase letters, digits, - and _, and begin and end with a letter or digit.",
    );
  }
  return name;
}

async function create(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "channel");
  const type = text(body, "type");
  if (type !== "O" && type !== "P") {
    throw new ApiError(
      400,
      "api.channel.create_channel.direct_channel.app_error",
      "Must use createDirectChannel API service for direct message channel creation.",
    );
  }
  const teamId = text(body, "team_id");
  if (teamId === "") throw badBody("team_id");
  await needTeam(app.db, actor, teamId);
  await getTeam(app.db, teamId);
  const name = checkName(text(body, "name"));
  const channel = await app.db.transaction(async (sql) => {
    const made = await createChannel(sql, {
      team_id: teamId,
      type,
      name,
      display_name: text(body, "display_name") || name,
      header: text(body, "header"),
      purpose: text(body, "purpose"),
      creator_id: actor.userId,
    });
    if (actor.userId) await addChannelMember(sql, made.id, actor.userId, true);
    return made;
  });
  if (actor.userId)
    tellUser(app, actor.userId, "channel_created", { channel_id: channel.id, team_id: teamId });
  return created(channelView(channel));
}

/** A direct channel between the caller and another; administrators may join any two. */
async function createDirect(call: Call): Promise<Reply> {
  const ids = Array.isArray(call.body) ? call.body : [];
  const [first, second] = ids as unknown[];
  if (ids.length !== 2 || typeof first !== "string" || typeof second !== "string")
    throw badBody("user_ids");
  if (!call.actor.isAdmin && !ids.includes(call.actor.userId)) throw forbidden();
  const own = first === call.actor.userId ? first : second;
  const other = own === first ? second : first;
  const users = [await getUser(call.app.db, own), await getUser(call.app.db, other)] as const;
  return created(channelView(await openDirect(call.app, users[0], users[1])));
}

async function createGroup(call: Call): Promise<Reply> {
  const given = texts(call.body, "user_ids", 8);
  const ids = [...new Set([...given, ...(call.actor.userId ? [call.actor.userId] : [])])];
  if (ids.length < 3 || ids.length > 8) throw badBody("user_ids");
  return created(channelView(await openGroup(call.app, ids)));
}

async function get(call: Call): Promise<Reply> {
  const channel = await getChannel(call.app.db, param(call, "channel_id"));
  await needRead(call.app.db, call.actor, channel);
  return ok(channelView(channel));
}

/** By name: a private channel of others is not there. */
async function byName(call: Call, team: Team): Promise<Reply> {
  const { db } = call.app;
  const includeDeleted = flag(call, "include_deleted");
  const channel = await findChannelByName(db, team.id, param(call, "channel_name"), includeDeleted);
  if (!channel) throw noChannelOfThatName();
  if (channel.type === "O" || call.actor.isAdmin) await needRead(db, call.actor, channel);
  else if (!(await findChannelMember(db, channel.id, call.actor.userId)))
    throw noChannelOfThatName();
  return ok(channelView(channel));
}

async function getByName(call: Call): Promise<Reply> {
  return byName(call, await getTeam(call.app.db, param(call, "team_id")));
}

async function getByTeamName(call: Call): Promise<Reply> {
  return byName(call, await getTeamByName(call.app.db, param(call, "team_name")));
}

async function listOfTeam(call: Call): Promise<Reply> {
  return listTeam(call, {});
}

async function listArchived(call: Call): Promise<Reply> {
  return listTeam(call, { deleted: true });
}

async function searchTeam(call: Call): Promise<Reply> {
  return listTeam(call, { term: text(fields(call, "term"), "term") });
}

async function listTeam(call: Call, options: { deleted?: boolean; term?: string }): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const { limit, offset } = page(call);
  const channels = await listTeamChannels(call.app.db, teamId, options, limit, offset);
  return ok(channels.map(channelView));
}

async function listOfUser(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  const teamId = call.params.team_id;
  const channels = await channelsOf(call.app.db, userId, teamId, flag(call, "include_deleted"));
  return ok(channels.map(channelView));
}

async function patch(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "channel");
  const channel = await getChannel(app.db, param(call, "channel_id"));
  await needChannel(app.db, actor, channel);
  const name = optionalText(body, "name");
  if (name !== undefined && channel.name === defaultChannel && name !== channel.name) {
    throw new ApiError(
      400,
      "api.channel.update_channel.tried.app_error",
      `Tried to perform an invalid update of the default channel ${defaultChannel}.`,
    );
  }
  const given = ["display_name", "header", "purpose"].map(
    (key) => [key, optionalText(body, key)] as const,
  );
  return changed(call, channel, {
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    ...(name === undefined ? {} : { name: checkName(name) }),
  });
}

async function setPrivacy(call: Call): Promise<Reply> {
  const privacy = text(fields(call, "privacy"), "privacy");
  if (privacy !== "O" && privacy !== "P") throw badBody("privacy");
  const channel = await getChannel(call.app.db, param(call, "channel_id"));
  await needChannelAdmin(call.app.db, call.actor, channel);
  if (channel.type === "D" || channel.type === "G") throw badBody("channel_id");
  if (channel.name === defaultChannel && privacy === "P") {
    throw new ApiError(
      400,
      "api.channel.update_channel_privacy.default_channel_error",
      "The default channel cannot be made private.",
    );
  }
  return changed(call, channel, { type: privacy });
}

async function changed(
  call: Call,
  channel: Channel,
  change: Parameters<typeof changeChannel>[2],
): Promise<Reply> {
  const view = channelView(await changeChannel(call.app.db, channel.id, change));
  await tellChannel(call.app, channel.id, "channel_updated", { channel: JSON.stringify(view) });
  return ok(view);
}

/** Archives; the name stays taken. */
async function archive(call: Call): Promise<Reply> {
  const { app } = call;
  const channel = await getChannel(app.db, param(call, "channel_id"));
  await needChannel(app.db, call.actor, channel);
  if (channel.name === defaultChannel || channel.type === "D" || channel.type === "G") {
    throw new ApiError(
      400,
      "api.channel.delete_channel.cannot.app_error",
      "Unable to delete this channel.",
    );
  }
  const time = Date.now();
  await changeChannel(app.db, channel.id, { delete_at: time });
  const data = { channel_id: channel.id, delete_at: time };
  if (channel.type === "O") await tellTeam(app, channel.team_id, "channel_deleted", data);
  else await tellChannel(app, channel.id, "channel_deleted", data);
  return done();
}

async function restore(call: Call): Promise<Reply> {
  const channel = await getChannel(call.app.db, param(call, "channel_id"));
  await needChannelAdmin(call.app.db, call.actor, channel);
  const restored = await changeChannel(call.app.db, channel.id, { delete_at: 0 });
  await tellChannel(call.app, channel.id, "channel_restored", { channel_id: channel.id });
  return ok(channelView(restored));
}

async function stats(call: Call): Promise<Reply> {
  const channel = await getChannel(call.app.db, param(call, "channel_id"));
  await needRead(call.app.db, call.actor, channel);
  const row = await call.app.db.row<{ count: number }>(
    "SELECT count(*) AS count FROM channel_members WHERE channel_id = $1",
    [channel.id],
  );
  return ok({
    channel_id: channel.id,
    member_count: row?.count ?? 0,
    guest_count: 0,
    pinnedpost_count: 0,
    files_count: 0,
  });
}

/** Marks a channel as read. */
async function view(call: Call): Promise<Reply> {
  const channelId = text(fields(call, "channel_view"), "channel_id");
  if (channelId === "") return ok({ status: "OK", last_viewed_at_times: {} });
  const channel = await getChannel(call.app.db, channelId);
  if (!(await findChannelMember(call.app.db, channel.id, call.actor.userId))) {
    const inTeam = await membershipOf(call.app.db, call.actor, channel.team_id);
    if (!inTeam) throw forbidden();
  }
  await call.app.db.rows(
    "UPDATE channel_members SET last_viewed_at = $3 WHERE channel_id = $1 AND user_id = $2",
    [channel.id, call.actor.userId, Date.now()],
  );
  return ok({ status: "OK", last_viewed_at_times: { [channel.id]: channel.last_post_at } });
}

export const channelRoutes: readonly Route[] = [
  { method: "POST", path: "/channels", handle: create, local: true },
  { method: "POST", path: "/channels/direct", handle: createDirect },
  { method: "POST", path: "/channels/group", handle: createGroup },
  { method: "POST", path: "/channels/members/:user_id/view", handle: view },
  { method: "GET", path: "/channels/:channel_id", handle: get, local: true },
  { method: "DELETE", path: "/channels/:channel_id", handle: archive, local: true },
  { method: "PUT", path: "/channels/:channel_id/patch", handle: patch, local: true },
  { method: "PUT", path: "/channels/:channel_id/privacy", handle: setPrivacy, local: true },
  { method: "POST", path: "/channels/:channel_id/restore", handle: restore, local: true },
  { method: "GET", path: "/channels/:channel_id/stats", handle: stats },
  { method: "GET", path: "/teams/:team_id/channels", handle: listOfTeam, local: true },
  { method: "GET", path: "/teams/:team_id/channels/deleted", handle: listArchived, local: true },
  { method: "POST", path: "/teams/:team_id/channels/search", handle: searchTeam },
  {
    method: "GET",
    path: "/teams/:team_id/channels/name/:channel_name",
    handle: getByName,
    local: true,
  },
  {
    method: "GET",
    path: "/teams/name/:team_name/channels/name/:channel_name",
    handle: getByTeamName,
    local: true,
  },
  { method: "GET", path: "/users/:user_id/channels", handle: listOfUser },
  { method: "GET", path: "/users/:user_id/teams/:team_id/channels", handle: listOfUser },
];
