import { ApiError } from "../errors.ts";
import { newId, now } from "../ids.ts";
import type { Row, Sql } from "./database.ts";
import { must } from "./users.ts";

export interface StoredPost extends Row {
  readonly id: string;
  readonly create_at: number;
  readonly update_at: number;
  readonly edit_at: number;
  readonly delete_at: number;
  readonly is_pinned: boolean;
  readonly user_id: string;
  readonly channel_id: string;
  readonly root_id: string;
  readonly message: string;
  readonly type: string;
  readonly props: Readonly<Record<string, unknown>>;
  readonly hashtags: string;
  readonly file_ids: readonly string[];
  readonly pending_post_id: string;
  /** Answers in the post's thread. */
  readonly reply_count: number;
}

export interface NewPost {
  readonly user_id: string;
  readonly channel_id: string;
  readonly root_id: string;
  readonly message: string;
  readonly type: string;
  readonly props: Readonly<Record<string, unknown>>;
  readonly file_ids: readonly string[];
  readonly pending_post_id: string;
}

/** Most posts that one `since` answers with. */
const maxSince = 1000;

const columns = `p.*, (SELECT count(*) FROM posts r WHERE r.delete_at = 0
  AND r.root_id = CASE WHEN p.root_id = '' THEN p.id ELSE p.root_id END) AS reply_count`;

export async function insertPost(sql: Sql, post: NewPost): Promise<StoredPost> {
  const time = now();
  const hashtags = [...post.message.matchAll(/(?<!\S)#[a-zA-Z][\w-]{2,}/g)].map((m) => m[0]);
  const made = await sql.row<StoredPost>(
    `INSERT INTO posts (id, create_at, update_at, user_id, channel_id, root_id, message, type, props, hashtags, file_ids, pending_post_id)
     VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *`,
    [
      newId(),
      time,
      post.user_id,
      post.channel_id,
      post.root_id,
      post.message,
      post.type,
      JSON.stringify(post.props),
      hashtags.join(" "),
      post.file_ids,
      post.pending_post_id,
    ],
  );
  const isRoot = post.root_id === "";
  await sql.rows(
    `UPDATE channels SET last_post_at = $2, total_msg_count = total_msg_count + 1,
       last_root_post_at = CASE WHEN $3 THEN $2 ELSE last_root_post_at END,
       total_msg_count_root = total_msg_count_root + CASE WHEN $3 THEN 1 ELSE 0 END WHERE id = $1`,
    [post.channel_id, time, isRoot],
  );
  if (isRoot) return { ...must(made), reply_count: 0 };
  await sql.rows("UPDATE posts SET update_at = $2 WHERE id = $1", [post.root_id, time]);
  const count = await sql.row<{ count: number }>(
    "SELECT count(*) AS count FROM posts WHERE root_id = $1 AND delete_at = 0",
    [post.root_id],
  );
  return { ...must(made), reply_count: count?.count ?? 0 };
}

/** A post, a deleted one only where asked. */
export function findPost(
  db: Sql,
  id: string,
  includeDeleted = false,
): Promise<StoredPost | undefined> {
  return db.row<StoredPost>(
    `SELECT ${columns} FROM posts p WHERE p.id = $1 AND ($2::boolean OR p.delete_at = 0)`,
    [id, includeDeleted],
  );
}

/** @throws ApiError 404 */
export async function getPost(db: Sql, id: string, includeDeleted = false): Promise<StoredPost> {
  const post = await findPost(db, id, includeDeleted);
  if (!post) throw new ApiError(404, "app.post.get.app_error", "Unable to get the post.");
  return post;
}

/** The post that this sender has made for this request already, in the last half minute. */
export function findPending(
  sql: Sql,
  userId: string,
  pendingId: string,
): Promise<StoredPost | undefined> {
  return sql.row<StoredPost>(
    `SELECT ${columns} FROM posts p WHERE p.user_id = $1 AND p.pending_post_id = $2 AND p.create_at > $3 AND p.delete_at = 0`,
    [userId, pendingId, Date.now() - 30_000],
  );
}

/** Which posts of a channel. */
export type PostQuery =
  | { readonly since: number }
  | { readonly before: string; readonly limit: number; readonly offset: number }
  | { readonly after: string; readonly limit: number; readonly offset: number }
  | { readonly limit: number; readonly offset: number };

/** Posts of a channel, newest first. `since` also gives changed and deleted ones. */
export async function listPosts(
  db: Sql,
  channelId: string,
  query: PostQuery,
): Promise<StoredPost[]> {
  if ("since" in query) {
    return db.rows<StoredPost>(
      `SELECT * FROM (SELECT ${columns} FROM posts p WHERE p.channel_id = $1 AND p.update_at > $2
         ORDER BY p.update_at LIMIT ${maxSince}) found ORDER BY create_at DESC`,
      [channelId, query.since],
    );
  }
  if ("after" in query) {
    const rows = await db.rows<StoredPost>(
      `SELECT ${columns} FROM posts p WHERE p.channel_id = $1 AND p.delete_at = 0
         AND p.create_at > (SELECT create_at FROM posts WHERE id = $2) ORDER BY p.create_at LIMIT $3 OFFSET $4`,
      [channelId, query.after, query.limit, query.offset],
    );
    return rows.reverse();
  }
  return db.rows<StoredPost>(
    `SELECT ${columns} FROM posts p WHERE p.channel_id = $1 AND p.delete_at = 0
       AND ($2::text IS NULL OR p.create_at < (SELECT create_at FROM posts WHERE id = $2))
     ORDER BY p.create_at DESC LIMIT $3 OFFSET $4`,
    [channelId, "before" in query ? query.before : null, query.limit, query.offset],
  );
}

/** The posts next to a page: the next newer than `newest`, the next older than `oldest`. */
export async function neighbours(
  db: Sql,
  channelId: string,
  newest: number,
  oldest: number,
): Promise<{ next: string; previous: string }> {
  const row = await db.row<{ next: string | null; previous: string | null }>(
    `SELECT (SELECT id FROM posts WHERE channel_id = $1 AND delete_at = 0 AND create_at > $2
               ORDER BY create_at LIMIT 1) AS next,
            (SELECT id FROM posts WHERE channel_id = $1 AND delete_at = 0 AND create_at < $3
               ORDER BY create_at DESC LIMIT 1) AS previous`,
    [channelId, newest, oldest],
  );
  return { next: row?.next ?? "", previous: row?.previous ?? "" };
}

/** Posts of whole threads, by their roots. */
export function threadsOf(
  db: Sql,
  rootIds: readonly string[],
  withReplies: boolean,
): Promise<StoredPost[]> {
  return db.rows<StoredPost>(
    `SELECT ${columns} FROM posts p WHERE p.delete_at = 0 AND (p.id = ANY($1) OR ($2::boolean AND p.root_id = ANY($1)))
     ORDER BY p.create_at`,
    [rootIds, withReplies],
  );
}

/** Posts that a user may see and whose text holds every word, or any; newest first. */
export function searchPosts(
  db: Sql,
  search: {
    readonly userId: string;
    readonly teamId: string | undefined;
    readonly words: readonly string[];
    readonly any: boolean;
  },
  limit: number,
  offset: number,
): Promise<StoredPost[]> {
  const patterns = search.words.map((word) => `%${word.replace(/[\\%_]/g, "\\$&")}%`);
  return db.rows<StoredPost>(
    `SELECT ${columns} FROM posts p JOIN channels c ON c.id = p.channel_id
       JOIN channel_members m ON m.channel_id = c.id AND m.user_id = $1
     WHERE p.delete_at = 0 AND p.type = '' AND c.delete_at = 0
       AND ($2::text IS NULL OR c.team_id = $2 OR c.team_id = '')
       AND CASE WHEN $4 THEN p.message ILIKE ANY($3) ELSE p.message ILIKE ALL($3) END
     ORDER BY p.create_at DESC LIMIT $5 OFFSET $6`,
    [search.userId, search.teamId ?? null, patterns, search.any, limit, offset],
  );
}

/** Changes a post; `edit_at` moves where its text does. */
export async function changePost(
  sql: Sql,
  post: StoredPost,
  change: {
    readonly message?: string | undefined;
    readonly props?: Readonly<Record<string, unknown>> | undefined;
    readonly is_pinned?: boolean | undefined;
  },
): Promise<StoredPost> {
  const time = now();
  const edited = change.message !== undefined && change.message !== post.message;
  const row = await sql.row<StoredPost>(
    "UPDATE posts SET update_at = $2, edit_at = $3, message = $4, props = $5, is_pinned = $6 WHERE id = $1 RETURNING *",
    [
      post.id,
      time,
      edited ? time : post.edit_at,
      change.message ?? post.message,
      JSON.stringify(change.props ?? post.props),
      change.is_pinned ?? post.is_pinned,
    ],
  );
  return { ...must(row), reply_count: post.reply_count };
}

/** Marks a post and, where it is a root, its answers as deleted. */
export async function deletePost(sql: Sql, post: StoredPost): Promise<StoredPost> {
  const time = now();
  await sql.rows(
    "UPDATE posts SET delete_at = $2, update_at = $2 WHERE (id = $1 OR root_id = $1) AND delete_at = 0",
    [post.id, time],
  );
  return { ...post, delete_at: time, update_at: time };
}

/** Shows that something about the post changed. */
export async function touchPost(sql: Sql, id: string): Promise<void> {
  await sql.rows("UPDATE posts SET update_at = $2 WHERE id = $1", [id, now()]);
}

export interface Reaction extends Row {
  readonly user_id: string;
  readonly post_id: string;
  readonly emoji_name: string;
  readonly create_at: number;
}

/** Adds a reaction; adding it twice changes nothing. */
export async function addReaction(
  sql: Sql,
  postId: string,
  userId: string,
  emoji: string,
): Promise<Reaction> {
  const row = await sql.row<Reaction>(
    `INSERT INTO reactions (post_id, user_id, emoji_name, create_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (post_id, user_id, emoji_name) DO UPDATE SET emoji_name = excluded.emoji_name RETURNING *`,
    [postId, userId, emoji, now()],
  );
  return must(row);
}

export function removeReaction(
  sql: Sql,
  postId: string,
  userId: string,
  emoji: string,
): Promise<Reaction | undefined> {
  return sql.row<Reaction>(
    "DELETE FROM reactions WHERE post_id = $1 AND user_id = $2 AND emoji_name = $3 RETURNING *",
    [postId, userId, emoji],
  );
}

export function reactionsOf(db: Sql, postIds: readonly string[]): Promise<Reaction[]> {
  return db.rows<Reaction>("SELECT * FROM reactions WHERE post_id = ANY($1) ORDER BY create_at", [
    postIds,
  ]);
}
