import type { App } from "./app.ts";
import { ApiError } from "./errors.ts";
import { mentioned } from "./mentions.ts";
import { type Channel, receiversOf } from "./store/channels.ts";
import { attachFiles } from "./store/files.ts";
import { findPending, findPost, insertPost, type NewPost, type StoredPost } from "./store/posts.ts";
import type { User } from "./store/users.ts";
import { type PostView, postView } from "./views.ts";

/** Longest message, in characters. */
const maxMessage = 16_383;
const maxFiles = 10;

/** @throws ApiError 400 */
export function checkMessage(message: string): void {
  if ([...message].length > maxMessage) {
    throw new ApiError(
      400,
      "model.post.is_valid.message_length.app_error",
      `Post Message property is longer than the maximum permitted length: ${maxMessage} characters.`,
    );
  }
}

/**
 * Writes a post as `author` and tells the channel's members. A second request with the same `pending_post_id` gets
 * the first one's post. @throws ApiError 400
 */
export async function writePost(
  app: App,
  author: User,
  channel: Channel,
  post: Partial<NewPost> & { readonly message: string },
): Promise<PostView> {
  checkMessage(post.message);
  const fileIds = post.file_ids ?? [];
  if (fileIds.length > maxFiles) {
    throw new ApiError(
      400,
      "model.post.is_valid.file_ids.app_error",
      "Too many files for one post.",
    );
  }
  if (channel.delete_at > 0) {
    throw new ApiError(
      400,
      "api.post.create_post.can_not_post_to_deleted.error",
      "Can not post to deleted channel.",
    );
  }
  const root = post.root_id ?? "";
  if (root !== "") await checkRoot(app, root, channel.id);
  const { saved, isNew } = await app.db.transaction(async (sql) => {
    const pending = post.pending_post_id ?? "";
    const earlier = pending === "" ? undefined : await findPending(sql, author.id, pending);
    if (earlier) return { saved: earlier, isNew: false };
    const { from_bot: _, from_webhook: __, ...props } = post.props ?? {};
    const made = await insertPost(sql, {
      user_id: author.id,
      channel_id: channel.id,
      root_id: root,
      message: post.message,
      type: post.type ?? "",
      props: author.is_bot ? { ...props, from_bot: "true" } : props,
      file_ids: [],
      pending_post_id: pending,
    });
    if (fileIds.length === 0) return { saved: made, isNew: true };
    const tied = await attachFiles(sql, fileIds, author.id, channel.id, made.id);
    await sql.rows("UPDATE posts SET file_ids = $2 WHERE id = $1", [made.id, tied]);
    return { saved: { ...made, file_ids: tied }, isNew: true };
  });
  const view = await postView(app.db, saved);
  if (isNew) await announce(app, author, channel, view);
  return view;
}

async function checkRoot(app: App, rootId: string, channelId: string): Promise<void> {
  const root = await findPost(app.db, rootId);
  if (root?.channel_id === channelId && root.root_id === "") return;
  const [id, message] =
    root && root.channel_id !== channelId
      ? [
          "api.post.create_post.channel_root_id.app_error",
          "Invalid ChannelId for RootId parameter.",
        ]
      : ["api.post.create_post.root_id.app_error", "Invalid RootId parameter."];
  throw new ApiError(400, id, message);
}

async function announce(app: App, author: User, channel: Channel, post: PostView): Promise<void> {
  const receivers = await receiversOf(app.db, channel.id);
  const meant =
    post.type === ""
      ? mentioned(post.message, channel.type, receivers, author.id, (id) => app.hub.online(id))
      : new Set<string>();
  app.hub.publish({
    event: "posted",
    data: {
      channel_display_name: channel.type === "D" ? `@${author.username}` : channel.display_name,
      channel_name: channel.name,
      channel_type: channel.type,
      post: JSON.stringify(post),
      sender_name: `@${author.username}`,
      set_online: true,
      team_id: channel.team_id,
    },
    broadcast: { channel_id: channel.id },
    to: receivers.map((receiver) => receiver.id),
    only: (id) => (meant.has(id) ? { mentions: JSON.stringify([id]) } : undefined),
  });
}

/** Tells a channel's members about something. */
export async function tellChannel(
  app: App,
  channelId: string,
  event: string,
  data: Readonly<Record<string, unknown>>,
  omit?: string,
): Promise<void> {
  const receivers = await receiversOf(app.db, channelId);
  app.hub.publish({
    event,
    data,
    broadcast: { channel_id: channelId, omit_users: omit ? { [omit]: true } : null },
    to: receivers.map((receiver) => receiver.id),
  });
}

/** Tells one user about something. */
export function tellUser(
  app: App,
  userId: string,
  event: string,
  data: Readonly<Record<string, unknown>>,
): void {
  app.hub.publish({ event, data, broadcast: { user_id: userId }, to: [userId] });
}

/** Tells a post's channel that it was edited or deleted. */
export async function tellPost(
  app: App,
  event: "post_edited" | "post_deleted",
  post: StoredPost,
): Promise<PostView> {
  const view = await postView(app.db, post);
  await tellChannel(app, post.channel_id, event, { post: JSON.stringify(view) });
  return view;
}
