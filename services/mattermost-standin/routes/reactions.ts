import { ApiError, forbidden } from "../errors.ts";
import { needChannel, needRead } from "../permissions.ts";
import { tellChannel } from "../posting.ts";
import { getChannel } from "../store/channels.ts";
import { addReaction, getPost, reactionsOf, removeReaction, touchPost } from "../store/posts.ts";
import { reactionView } from "../views.ts";
import { type Call, done, fields, ok, param, type Reply, type Route, text } from "./route.ts";

async function add(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "reaction");
  const emoji = text(body, "emoji_name");
  if (!/^[a-z0-9_+-]{1,64}$/i.test(emoji) || text(body, "post_id").length !== 26) {
    throw new ApiError(
      400,
      "api.reaction.save_reaction.invalid.app_error",
      "Reaction is not valid.",
    );
  }
  if (text(body, "user_id") !== actor.userId) {
    throw new ApiError(
      403,
      "api.reaction.save_reaction.user_id.app_error",
      "You cannot save reaction for the other user.",
    );
  }
  const post = await getPost(app.db, text(body, "post_id"));
  const channel = await getChannel(app.db, post.channel_id);
  await needChannel(app.db, actor, channel);
  const reaction = await app.db.transaction(async (sql) => {
    await touchPost(sql, post.id);
    return addReaction(sql, post.id, actor.userId, emoji);
  });
  const view = reactionView(reaction, channel.id);
  await tellChannel(app, channel.id, "reaction_added", { reaction: JSON.stringify(view) });
  return ok(view);
}

async function remove(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const userId = param(call, "user_id");
  const post = await getPost(app.db, param(call, "post_id"));
  const channel = await getChannel(app.db, post.channel_id);
  await needChannel(app.db, actor, channel);
  if (userId !== actor.userId && !actor.isAdmin) throw forbidden();
  const gone = await app.db.transaction(async (sql) => {
    await touchPost(sql, post.id);
    return removeReaction(sql, post.id, userId, param(call, "emoji_name"));
  });
  if (gone) {
    const reaction = JSON.stringify(reactionView(gone, channel.id));
    await tellChannel(app, channel.id, "reaction_removed", { reaction });
  }
  return done();
}

async function list(call: Call): Promise<Reply> {
  const post = await getPost(call.app.db, param(call, "post_id"));
  await needRead(call.app.db, call.actor, await getChannel(call.app.db, post.channel_id));
  const reactions = await reactionsOf(call.app.db, [post.id]);
  return ok(reactions.map((reaction) => reactionView(reaction, post.channel_id)));
}

export const reactionRoutes: readonly Route[] = [
  { method: "POST", path: "/reactions", handle: add },
  { method: "GET", path: "/posts/:post_id/reactions", handle: list },
  {
    method: "DELETE",
    path: "/users/:user_id/posts/:post_id/reactions/:emoji_name",
    handle: remove,
  },
];
