import { ApiError } from "../errors.ts";
import { newId, now } from "../ids.ts";
import type { Row, Sql } from "./database.ts";
import { must } from "./users.ts";

/** A file without its content. */
export interface FileRow extends Row {
  readonly id: string;
  readonly user_id: string;
  readonly channel_id: string;
  readonly post_id: string;
  readonly create_at: number;
  readonly name: string;
  readonly mime_type: string;
  readonly size: number;
}

const columns =
  "id, user_id, channel_id, post_id, create_at, name, mime_type, length(content) AS size";

export async function createFile(
  db: Sql,
  file: {
    readonly userId: string;
    readonly channelId: string;
    readonly name: string;
    readonly mimeType: string;
    readonly content: Buffer;
  },
): Promise<FileRow> {
  const row = await db.row<FileRow>(
    `INSERT INTO files (id, user_id, channel_id, create_at, name, mime_type, content)
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${columns}`,
    [newId(), file.userId, file.channelId, now(), file.name, file.mimeType, file.content],
  );
  return must(row);
}

/** @throws ApiError 404 */
export async function getFile(db: Sql, id: string): Promise<FileRow> {
  const file = await db.row<FileRow>(`SELECT ${columns} FROM files WHERE id = $1`, [id]);
  if (!file) throw new ApiError(404, "app.file_info.get.app_error", "Unable to get the file info.");
  return file;
}

export async function fileContent(db: Sql, id: string): Promise<Buffer> {
  const row = await db.row<{ content: Buffer }>("SELECT content FROM files WHERE id = $1", [id]);
  return must(row).content;
}

/** Files of posts, in the order in which they were uploaded. */
export function filesOf(db: Sql, postIds: readonly string[]): Promise<FileRow[]> {
  return db.rows<FileRow>(
    `SELECT ${columns} FROM files WHERE post_id = ANY($1) ORDER BY create_at`,
    [postIds],
  );
}

/** Ties a sender's own, still free files of the channel to a post; the ids of those that were tied. */
export async function attachFiles(
  sql: Sql,
  ids: readonly string[],
  userId: string,
  channelId: string,
  postId: string,
): Promise<string[]> {
  const rows = await sql.rows<{ id: string }>(
    `UPDATE files SET post_id = $4 WHERE id = ANY($1) AND user_id = $2 AND channel_id = $3 AND post_id = '' RETURNING id`,
    [ids, userId, channelId, postId],
  );
  const tied = new Set(rows.map((row) => row.id));
  return ids.filter((id) => tied.has(id));
}
