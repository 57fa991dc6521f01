import { ApiError } from "../errors.ts";
import { newId, now } from "../ids.ts";
import { brokenConstraint, type Row, type Sql } from "./database.ts";
import { must } from "./users.ts";

/** O open, P private, D direct, G group of three to eight. */
type ChannelType = "O" | "P" | "D" | "G";

export interface Channel extends Row {
  readonly id: string;
  readonly create_at: number;
  readonly update_at: number;
  readonly delete_at: number;
  readonly team_id: string;
  readonly type: ChannelType;
  readonly name: string;
  readonly display_name: string;
  readonly header: string;
  readonly purpose: string;
  readonly last_post_at: number;
  readonly last_root_post_at: number;
  readonly total_msg_count: number;
  readonly total_msg_count_root: number;
  readonly creator_id: string;
}

export interface ChannelMember extends Row {
  readonly channel_id: string;
  readonly user_id: string;
  readonly scheme_admin: boolean;
  readonly last_viewed_at: number;
  readonly last_update_at: number;
}

/** Channel that every team has and every member of it is in. */
export const defaultChannel = "town-square";

/** @throws ApiError 400 where the name is taken in the team, by an archived channel too */
export async function createChannel(
  sql: Sql,
  channel: Pick<
    Channel,
    "team_id" | "type" | "name" | "display_name" | "header" | "purpose" | "creator_id"
  >,
): Promise<Channel> {
  const time = now();
  try {
    const made = await sql.row<Channel>(
      `INSERT INTO channels (id, create_at, update_at, team_id, type, name, display_name, header, purpose, creator_id)
       VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *`,
      [
        newId(),
        time,
        channel.team_id,
        channel.type,
        channel.name,
        channel.display_name,
        channel.header,
        channel.purpose,
        channel.creator_id,
      ],
    );
    return must(made);
  } catch (error) {
    if (brokenConstraint(error) === "channels_team_id_name_key") {
      throw new ApiError(
        400,
        "store.sql_channel.save_channel.exists.app_error",
        "A channel with that name already exists on the same team.",
      );
    }
    throw error;
  }
}

export function findChannel(db: Sql, id: string): Promise<Channel | undefined> {
  return db.row<Channel>("SELECT * FROM channels WHERE id = $1", [id]);
}

/** @throws ApiError 404 */
export async function getChannel(db: Sql, id: string): Promise<Channel> {
  const channel = await findChannel(db, id);
  if (!channel) {
    throw new ApiError(
      404,
      "app.channel.get.existing.app_error",
      "Unable to find the existing channel.",
    );
  }
  return channel;
}

export function findChannelByName(
  db: Sql,
  teamId: string,
  name: string,
  includeDeleted: boolean,
): Promise<Channel | undefined> {
  return db.row<Channel>(
    "SELECT * FROM channels WHERE team_id = $1 AND name = $2 AND ($3::boolean OR delete_at = 0)",
    [teamId, name.toLowerCase(), includeDeleted],
  );
}

export function noChannelOfThatName(): ApiError {
  return new ApiError(404, "app.channel.get_by_name.missing.app_error", "Channel does not exist.");
}

/** Open channels of a team; archived ones where asked. */
export function listTeamChannels(
  db: Sql,
  teamId: string,
  options: { readonly deleted?: boolean; readonly term?: string },
  limit: number,
  offset: number,
): Promise<Channel[]> {
  return db.rows<Channel>(
    `SELECT * FROM channels WHERE team_id = $1 AND type = 'O' AND (delete_at > 0) = $2
       AND ($3 = '' OR starts_with(name, $3) OR starts_with(lower(display_name), $3))
     ORDER BY display_name, name LIMIT $4 OFFSET $5`,
    [teamId, options.deleted ?? false, (options.term ?? "").toLowerCase(), limit, offset],
  );
}

/** Channels a user is in: of one team and the direct ones, or all. */
export function channelsOf(
  db: Sql,
  userId: string,
  teamId: string | undefined,
  includeDeleted: boolean,
): Promise<Channel[]> {
  return db.rows<Channel>(
    `SELECT c.* FROM channels c JOIN channel_members m ON m.channel_id = c.id AND m.user_id = $1
     WHERE ($2::text IS NULL OR c.team_id = $2 OR c.team_id = '') AND ($3::boolean OR c.delete_at = 0)
     ORDER BY c.display_name, c.name`,
    [userId, teamId ?? null, includeDeleted],
  );
}

export async function changeChannel(
  db: Sql,
  id: string,
  change: Partial<
    Pick<Channel, "display_name" | "name" | "header" | "purpose" | "type" | "delete_at">
  >,
): Promise<Channel> {
  const entries = Object.entries(change).filter(([, value]) => value !== undefined);
  const sets = entries.map(([column], i) => `${column} = $${i + 3}`);
  try {
    const channel = await db.row<Channel>(
      `UPDATE channels SET ${["update_at = $2", ...sets].join(", ")} WHERE id = $1 RETURNING *`,
      [id, now(), ...entries.map(([, value]) => value)],
    );
    return channel ?? (await getChannel(db, id));
  } catch (error) {
    if (brokenConstraint(error)) {
      throw new ApiError(
        400,
        "store.sql_channel.save_channel.exists.app_error",
        "A channel with that name already exists on the same team.",
      );
    }
    throw error;
  }
}

export function findChannelMember(
  db: Sql,
  channelId: string,
  userId: string,
): Promise<ChannelMember | undefined> {
  return db.row<ChannelMember>(
    "SELECT * FROM channel_members WHERE channel_id = $1 AND user_id = $2",
    [channelId, userId],
  );
}

/** @throws ApiError 404 */
export async function getChannelMember(
  db: Sql,
  channelId: string,
  userId: string,
): Promise<ChannelMember> {
  const member = await findChannelMember(db, channelId, userId);
  if (!member) {
    throw new ApiError(
      404,
      "app.channel.get_member.missing.app_error",
      "No channel member found for that user ID and channel ID.",
    );
  }
  return member;
}

export function listChannelMembers(
  db: Sql,
  channelId: string,
  limit: number,
  offset: number,
): Promise<ChannelMember[]> {
  return db.rows<ChannelMember>(
    "SELECT * FROM channel_members WHERE channel_id = $1 ORDER BY user_id LIMIT $2 OFFSET $3",
    [channelId, limit, offset],
  );
}

/** A member of a channel, as mentions and events need it. */
export interface Receiver extends Row {
  readonly id: string;
  readonly username: string;
}

/** Every member of a channel. */
export function receiversOf(db: Sql, channelId: string): Promise<Receiver[]> {
  return db.rows<Receiver>(
    "SELECT u.id, u.username FROM channel_members m JOIN users u ON u.id = m.user_id WHERE m.channel_id = $1",
    [channelId],
  );
}

/** Adds a member. Undefined where the user is one already. */
export function addChannelMember(
  sql: Sql,
  channelId: string,
  userId: string,
  admin = false,
): Promise<ChannelMember | undefined> {
  return sql.row<ChannelMember>(
    `INSERT INTO channel_members (channel_id, user_id, scheme_admin, last_update_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING *`,
    [channelId, userId, admin, now()],
  );
}

/** Removes a member; false where there was none. */
export async function removeChannelMember(
  sql: Sql,
  channelId: string,
  userId: string,
): Promise<boolean> {
  const rows = await sql.rows(
    "DELETE FROM channel_members WHERE channel_id = $1 AND user_id = $2 RETURNING 1",
    [channelId, userId],
  );
  return rows.length > 0;
}
