import { ApiError } from "../errors.ts";
import { newId, now } from "../ids.ts";
import { brokenConstraint, type Database, type Row, type Sql } from "./database.ts";

/** A user or bot, as stored. */
export interface User extends Row {
  readonly id: string;
  readonly create_at: number;
  readonly update_at: number;
  readonly delete_at: number;
  readonly username: string;
  readonly email: string;
  readonly password: string;
  readonly failed_attempts: number;
  readonly last_password_update: number;
  readonly roles: string;
  readonly nickname: string;
  readonly first_name: string;
  readonly last_name: string;
  readonly position: string;
  readonly locale: string;
  readonly props: Readonly<Record<string, string>>;
  readonly notify_props: Readonly<Record<string, string>>;
  readonly is_bot: boolean;
  readonly bot_description: string;
  readonly bot_owner_id: string;
}

/** What a new account is made of; the rest has defaults. */
export interface NewUser {
  readonly username: string;
  readonly email: string;
  readonly password: string;
  readonly nickname?: string;
  readonly first_name?: string;
  readonly last_name?: string;
  readonly is_bot?: boolean;
  readonly bot_description?: string;
  readonly bot_owner_id?: string;
}

/** Fields that a change may set. */
export type UserChange = Partial<
  Omit<User, "id" | "create_at" | "update_at"> & Record<string, unknown>
>;

const changeable = new Set([
  "delete_at",
  "username",
  "email",
  "password",
  "failed_attempts",
  "last_password_update",
  "roles",
  "nickname",
  "first_name",
  "last_name",
  "position",
  "locale",
  "props",
  "notify_props",
  "is_bot",
  "bot_description",
  "bot_owner_id",
]);

/** Key of the advisory lock under which accounts are made: two cannot both be the first. */
const firstUserLock = 0x62657274;

/** Makes an account. The first that is no bot becomes `system_admin`, as on the real server. @throws ApiError 400 */
export async function createUser(db: Database, user: NewUser): Promise<User> {
  const time = now();
  try {
    return await db.transaction(async (sql) => {
      await sql.rows("SELECT pg_advisory_xact_lock($1)", [firstUserLock]);
      const isFirst =
        !user.is_bot && !(await sql.row("SELECT 1 FROM users WHERE NOT is_bot LIMIT 1"));
      const made = await sql.row<User>(
        `INSERT INTO users (id, create_at, update_at, username, email, password, last_password_update, roles,
           nickname, first_name, last_name, is_bot, bot_description, bot_owner_id)
         VALUES ($1, $2, $2, $3, $4, $5, $2, $6, $7, $8, $9, $10, $11, $12) RETURNING *`,
        [
          newId(),
          time,
          user.username,
          user.email,
          user.password,
          isFirst ? "system_admin system_user" : "system_user",
          user.nickname ?? "",
          user.first_name ?? "",
          user.last_name ?? "",
          user.is_bot ?? false,
          user.bot_description ?? "",
          user.bot_owner_id ?? "",
        ],
      );
      return must(made);
    });
  } catch (error) {
    throw nameTaken(error);
  }
}

/** A row that SQL has just returned. */
export function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the database returned no row");
  return value;
}

function nameTaken(error: unknown): unknown {
  switch (brokenConstraint(error)) {
    case "users_username_key":
      return new ApiError(
        400,
        "app.user.save.username_exists.app_error",
        "An account with that username already exists.",
      );
    case "users_email_key":
      return new ApiError(
        400,
        "app.user.save.email_exists.app_error",
        "An account with that email already exists.",
      );
    default:
      return error;
  }
}

/** Changes fields of a user and its `update_at`. @throws ApiError 400 for a taken name, 404 for an unknown user */
export async function changeUser(db: Sql, id: string, change: UserChange): Promise<User> {
  const entries = Object.entries(change).filter(
    ([column, value]) => changeable.has(column) && value !== undefined,
  );
  const sets = entries.map(([column], i) => `${column} = $${i + 3}`);
  try {
    const user = await db.row<User>(
      `UPDATE users SET ${["update_at = $2", ...sets].join(", ")} WHERE id = $1 RETURNING *`,
      [id, now(), ...entries.map(([, value]) => value)],
    );
    if (!user) throw noSuchUser();
    return user;
  } catch (error) {
    throw nameTaken(error);
  }
}

function noSuchUser(): ApiError {
  return new ApiError(404, "app.user.missing_account.const", "Unable to find the user.");
}

/** @throws ApiError 404 */
export async function getUser(db: Sql, id: string): Promise<User> {
  const user = await db.row<User>("SELECT * FROM users WHERE id = $1", [id]);
  if (!user) throw noSuchUser();
  return user;
}

/** @throws ApiError 404 */
export async function getUserByName(db: Sql, username: string): Promise<User> {
  const user = await db.row<User>("SELECT * FROM users WHERE username = $1", [
    username.toLowerCase(),
  ]);
  if (!user) {
    throw new ApiError(
      404,
      "app.user.get_by_username.app_error",
      "Unable to find an existing account matching your username for this team.",
    );
  }
  return user;
}

export async function getUserByEmail(db: Sql, email: string): Promise<User> {
  const user = await db.row<User>("SELECT * FROM users WHERE email = $1", [email.toLowerCase()]);
  if (!user) throw new ApiError(404, "app.user.missing_account.const", "Unable to find the user.");
  return user;
}

/** What is asked of a list of users. */
export interface UserFilter {
  readonly inTeam?: string | undefined;
  readonly inChannel?: string | undefined;
  readonly active?: boolean;
  /** Part of a user name or of a name. */
  readonly term?: string;
}

/** A page of users, by name. */
export function listUsers(
  db: Sql,
  filter: UserFilter,
  limit: number,
  offset: number,
): Promise<User[]> {
  return db.rows<User>(
    `SELECT u.* FROM users u
     WHERE ($1::text IS NULL OR EXISTS (SELECT 1 FROM team_members m
              WHERE m.team_id = $1 AND m.user_id = u.id AND m.delete_at = 0))
       AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM channel_members m
              WHERE m.channel_id = $2 AND m.user_id = u.id))
       AND (NOT $3::boolean OR u.delete_at = 0)
       AND ($4 = '' OR starts_with(u.username, $4) OR starts_with(lower(u.first_name), $4)
            OR starts_with(lower(u.last_name), $4) OR starts_with(lower(u.nickname), $4))
     ORDER BY u.username LIMIT $5 OFFSET $6`,
    [
      filter.inTeam ?? null,
      filter.inChannel ?? null,
      filter.active ?? false,
      (filter.term ?? "").toLowerCase(),
      limit,
      offset,
    ],
  );
}

export function usersByIds(db: Sql, ids: readonly string[]): Promise<User[]> {
  return db.rows<User>("SELECT * FROM users WHERE id = ANY($1) ORDER BY username", [ids]);
}

export function usersByNames(db: Sql, names: readonly string[]): Promise<User[]> {
  return db.rows<User>("SELECT * FROM users WHERE username = ANY($1) ORDER BY username", [
    names.map((name) => name.toLowerCase()),
  ]);
}

/** A page of bots, by name. */
export function listBots(
  db: Sql,
  filter: { readonly includeDeleted: boolean; readonly onlyOrphaned: boolean },
  limit: number,
  offset: number,
): Promise<User[]> {
  return db.rows<User>(
    `SELECT b.* FROM users b LEFT JOIN users o ON o.id = b.bot_owner_id
     WHERE b.is_bot AND ($1::boolean OR b.delete_at = 0) AND (NOT $2::boolean OR o.delete_at > 0)
     ORDER BY b.create_at LIMIT $3 OFFSET $4`,
    [filter.includeDeleted, filter.onlyOrphaned, limit, offset],
  );
}
