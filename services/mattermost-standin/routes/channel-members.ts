import { ApiError, badBody } from "../errors.ts";
import { joinChannel, leaveChannel } from "../membership.ts";
import { membershipOf, needChannel, needRead, needSelf } from "../permissions.ts";
import {
  type Channel,
  type ChannelMember,
  channelsOf,
  getChannel,
  getChannelMember,
  listChannelMembers,
} from "../store/channels.ts";
import { getUser } from "../store/users.ts";
import { channelMemberView } from "../views.ts";
import {
  type Call,
  created,
  done,
  fields,
  ok,
  page,
  param,
  type Reply,
  type Route,
  text,
  texts,
} from "./route.ts";

async function channelOf(call: Call): Promise<Channel> {
  return getChannel(call.app.db, param(call, "channel_id"));
}

/** Adds one user (`user_id`) or several (`user_ids`). Someone of the team may add himself to an open channel. */
async function add(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "channel_member");
  const single = text(body, "user_id");
  const ids = single === "" ? texts(body.user_ids, "user_id") : [single];
  const channel = await channelOf(call);
  if (channel.type === "D" || channel.type === "G") {
    throw new ApiError(
      400,
      "api.channel.add_user_to_channel.type.app_error",
      "Can not add user to this channel type.",
    );
  }
  const joinsItself = ids.length === 1 && ids[0] === actor.userId && channel.type === "O";
  if (!joinsItself || !(await membershipOf(app.db, actor, channel.team_id)))
    await needChannel(app.db, actor, channel);
  const members: ChannelMember[] = [];
  for (const id of ids) {
    if (id.length !== 26) throw badBody("user_id");
    members.push(await joinChannel(app, channel, await getUser(app.db, id), actor.user));
  }
  const views = members.map((member) => channelMemberView(member, channel));
  return created(single === "" ? views : views[0]);
}

async function list(call: Call): Promise<Reply> {
  const channel = await channelOf(call);
  await needRead(call.app.db, call.actor, channel);
  const { limit, offset } = page(call);
  const members = await listChannelMembers(call.app.db, channel.id, limit, offset);
  return ok(members.map((member) => channelMemberView(member, channel)));
}

async function byIds(call: Call): Promise<Reply> {
  const channel = await channelOf(call);
  await needRead(call.app.db, call.actor, channel);
  const rows = await call.app.db.rows<ChannelMember>(
    "SELECT * FROM channel_members WHERE channel_id = $1 AND user_id = ANY($2)",
    [channel.id, texts(call.body, "user_ids")],
  );
  return ok(rows.map((member) => channelMemberView(member, channel)));
}

async function get(call: Call): Promise<Reply> {
  const channel = await channelOf(call);
  await needRead(call.app.db, call.actor, channel);
  const member = await getChannelMember(call.app.db, channel.id, param(call, "user_id"));
  return ok(channelMemberView(member, channel));
}

async function remove(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const channel = await channelOf(call);
  const userId = param(call, "user_id");
  if (channel.type === "D" || channel.type === "G") {
    throw new ApiError(
      400,
      "api.channel.remove_channel_member.type.app_error",
      "Unable to remove user from this channel type.",
    );
  }
  if (actor.userId !== userId) await needChannel(app.db, actor, channel);
  await leaveChannel(app, channel, userId, actor);
  return done();
}

/** The memberships of a user in a team's channels and in the direct ones. */
async function listOfUser(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  const channels = await channelsOf(call.app.db, userId, param(call, "team_id"), false);
  const rows = await call.app.db.rows<ChannelMember>(
    "SELECT * FROM channel_members WHERE user_id = $1 AND channel_id = ANY($2)",
    [userId, channels.map((channel) => channel.id)],
  );
  const byId = new Map(channels.map((channel) => [channel.id, channel]));
  return ok(rows.map((member) => channelMemberView(member, byId.get(member.channel_id))));
}

export const channelMemberRoutes: readonly Route[] = [
  { method: "POST", path: "/channels/:channel_id/members", handle: add, local: true },
  { method: "GET", path: "/channels/:channel_id/members", handle: list, local: true },
  { method: "POST", path: "/channels/:channel_id/members/ids", handle: byIds },
  { method: "GET", path: "/channels/:channel_id/members/:user_id", handle: get, local: true },
  { method: "DELETE", path: "/channels/:channel_id/members/:user_id", handle: remove, local: true },
  { method: "GET", path: "/users/:user_id/teams/:team_id/channels/members", handle: listOfUser },
];
