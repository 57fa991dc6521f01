import { ApiError, badBody, badUrl, forbidden } from "../errors.ts";
import { isId } from "../ids.ts";
import { needAdmin, needChannel, needRead } from "../permissions.ts";
import { checkMessage, tellChannel, tellPost, writePost } from "../posting.ts";
import { type Channel, findChannel, findChannelMember, getChannel } from "../store/channels.ts";
import {
  changePost,
  deletePost,
  findPost,
  getPost,
  listPosts,
  neighbours,
  type PostQuery,
  type StoredPost,
  searchPosts,
  threadsOf,
} from "../store/posts.ts";
import { postView, postViews } from "../views.ts";
import {
  type Call,
  created,
  done,
  type Fields,
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

/** A post's extra properties. @throws ApiError 400 */
function propsOf(body: Fields): Fields | undefined {
  const props = body.props;
  if (props === undefined || props === null) return undefined;
  if (typeof props !== "object" || Array.isArray(props)) throw badBody("props");
  if (JSON.stringify(props).length > 800_000) {
    throw new ApiError(400, "model.post.is_valid.props.app_error", "Invalid props.");
  }
  return props as Fields;
}

async function create(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "post");
  const channelId = text(body, "channel_id");
  if (!isId(channelId)) throw badBody("channel_id");
  const channel = await findChannel(app.db, channelId);
  // A channel that is not there is answered like one of others, so that ids cannot be probed.
  if (!channel || !actor.user) throw forbidden();
  await needChannel(app.db, actor, channel);
  const type = text(body, "type");
  if (type !== "" && !type.startsWith("custom_")) throw badBody("post.type");
  const fileIds = body.file_ids;
  const post = await writePost(app, actor.user, channel, {
    message: text(body, "message"),
    root_id: text(body, "root_id"),
    type,
    props: propsOf(body) ?? {},
    file_ids: Array.isArray(fileIds) && fileIds.length > 0 ? texts(fileIds, "file_ids") : [],
    pending_post_id: text(body, "pending_post_id"),
  });
  return created(post);
}

/** A post and its channel, readable by the caller. @throws ApiError 403, 404 */
async function readable(call: Call, includeDeleted = false) {
  const post = await getPost(call.app.db, param(call, "post_id"), includeDeleted);
  const channel = await getChannel(call.app.db, post.channel_id);
  await needRead(call.app.db, call.actor, channel);
  return { post, channel };
}

async function get(call: Call): Promise<Reply> {
  const includeDeleted = flag(call, "include_deleted");
  if (includeDeleted) needAdmin(call.actor);
  const { post } = await readable(call, includeDeleted);
  return ok(await postView(call.app.db, post));
}

/** A post that the caller may change: his own, or any for an administrator. @throws ApiError 403 */
async function ownPost(call: Call): Promise<StoredPost> {
  const post = await findPost(call.app.db, param(call, "post_id"));
  const channel = post && (await findChannel(call.app.db, post.channel_id));
  if (!post || !channel) throw forbidden();
  await needChannel(call.app.db, call.actor, channel);
  if (post.user_id !== call.actor.userId && !call.actor.isAdmin) throw forbidden();
  return post;
}

async function patch(call: Call): Promise<Reply> {
  const body = fields(call, "post");
  const post = await ownPost(call);
  const message = optionalText(body, "message");
  if (message !== undefined) checkMessage(message);
  const given = propsOf(body);
  const { from_bot: _, from_webhook: __, ...props } = given ?? {};
  const fromBot = post.props.from_bot;
  const pinned = body.is_pinned;
  const changed = await changePost(call.app.db, post, {
    message,
    props: given && (fromBot === undefined ? props : { ...props, from_bot: fromBot }),
    is_pinned: typeof pinned === "boolean" ? pinned : undefined,
  });
  return ok(await tellPost(call.app, "post_edited", changed));
}

/** The whole post in the body; its id must be the path's. */
async function update(call: Call): Promise<Reply> {
  if (text(fields(call, "post"), "id") !== param(call, "post_id")) throw badBody("id");
  return patch(call);
}

async function remove(call: Call): Promise<Reply> {
  const post = await ownPost(call);
  const gone = await call.app.db.transaction((sql) => deletePost(sql, post));
  await tellPost(call.app, "post_deleted", gone);
  return done();
}

function pin(pinned: boolean) {
  return async (call: Call): Promise<Reply> => {
    const { post, channel } = await readable(call);
    await needChannel(call.app.db, call.actor, channel);
    await tellPost(
      call.app,
      "post_edited",
      await changePost(call.app.db, post, { is_pinned: pinned }),
    );
    return done();
  };
}

async function postList(call: Call, shown: readonly StoredPost[], more: readonly StoredPost[]) {
  const views = await postViews(call.app.db, [...shown, ...more]);
  return {
    order: shown.map((post) => post.id),
    posts: Object.fromEntries(views.map((view) => [view.id, view])),
    next_post_id: "",
    prev_post_id: "",
    has_next: false,
    first_inaccessible_post_time: 0,
  };
}

async function thread(call: Call): Promise<Reply> {
  const { post } = await readable(call);
  const posts = await threadsOf(call.app.db, [post.root_id || post.id], true);
  return ok(await postList(call, posts, []));
}

function queryOf(call: Call): PostQuery {
  const since = call.query.get("since") ?? "";
  if (since !== "") {
    if (!/^[0-9]{1,15}$/.test(since)) throw badUrl("since");
    return { since: Number(since) };
  }
  const [before, after] = [call.query.get("before") ?? "", call.query.get("after") ?? ""];
  for (const [name, id] of Object.entries({ before, after }))
    if (id !== "" && !isId(id)) throw badUrl(name);
  const { limit, offset } = page(call);
  if (after !== "") return { after, limit, offset };
  return before === "" ? { limit, offset } : { before, limit, offset };
}

/** A channel's posts, newest first, with the threads that they belong to. */
async function listOfChannel(call: Call): Promise<Reply> {
  const { db } = call.app;
  const channel: Channel = await getChannel(db, param(call, "channel_id"));
  await needRead(db, call.actor, channel);
  const query = queryOf(call);
  const posts = await listPosts(db, channel.id, query);
  const shown = new Set(posts.map((post) => post.id));
  const roots = [...new Set(posts.map((post) => post.root_id || post.id))];
  const related = await threadsOf(db, roots, !flag(call, "skipFetchThreads"));
  const list = await postList(
    call,
    posts,
    related.filter((post) => !shown.has(post.id)),
  );
  const [newest, oldest] = [posts[0], posts.at(-1)];
  if ("since" in query || !newest || !oldest) return ok(list);
  const next = await neighbours(db, channel.id, newest.create_at, oldest.create_at);
  return ok({ ...list, next_post_id: next.next, prev_post_id: next.previous });
}

async function search(call: Call): Promise<Reply> {
  const body = fields(call, "terms");
  const words = text(body, "terms").split(/\s+/).filter(Boolean);
  if (words.length === 0) throw badBody("terms");
  const { limit, offset } = page(call);
  const found = await searchPosts(
    call.app.db,
    {
      userId: call.actor.userId,
      teamId: call.params.team_id,
      words,
      any: body.is_or_search === true,
    },
    limit,
    offset,
  );
  return ok({ ...(await postList(call, found, [])), matches: null });
}

async function typing(call: Call): Promise<Reply> {
  const body = fields(call, "typing");
  const channelId = text(body, "channel_id");
  if (!isId(channelId)) throw badBody("channel_id");
  const userId = param(call, "user_id");
  if (userId !== call.actor.userId) throw forbidden();
  if (!(await findChannelMember(call.app.db, channelId, userId))) throw forbidden();
  await tellChannel(
    call.app,
    channelId,
    "typing",
    { parent_id: text(body, "parent_id"), user_id: userId },
    userId,
  );
  return done();
}

export const postRoutes: readonly Route[] = [
  { method: "POST", path: "/posts", handle: create },
  { method: "POST", path: "/posts/search", handle: search },
  { method: "POST", path: "/teams/:team_id/posts/search", handle: search },
  { method: "GET", path: "/posts/:post_id", handle: get, local: true },
  { method: "PUT", path: "/posts/:post_id", handle: update },
  { method: "DELETE", path: "/posts/:post_id", handle: remove, local: true },
  { method: "PUT", path: "/posts/:post_id/patch", handle: patch },
  { method: "POST", path: "/posts/:post_id/pin", handle: pin(true) },
  { method: "POST", path: "/posts/:post_id/unpin", handle: pin(false) },
  { method: "GET", path: "/posts/:post_id/thread", handle: thread },
  { method: "GET", path: "/channels/:channel_id/posts", handle: listOfChannel, local: true },
  { method: "POST", path: "/users/:user_id/typing", handle: typing },
];
