import { ApiError } from "../errors.ts";
import { hashToken, newId, now } from "../ids.ts";
import type { Row, Sql } from "./database.ts";
import { must, type User } from "./users.ts";

/** Life of a person's session. */
const sessionMs = 30 * 24 * 60 * 60 * 1000;
/** Sessions a user may have; a new one ends the oldest. */
const maxSessions = 500;

/** Whose credential it is, and which. `key` names it for revocation and is no secret. */
export interface Credential {
  readonly user: User;
  readonly key: string;
  readonly sessionId: string;
  readonly expiresAt: number;
}

/** A bot's or user's access token, without its secret. */
export interface AccessToken extends Row {
  readonly id: string;
  readonly user_id: string;
  readonly description: string;
  readonly is_active: boolean;
}

export const sessionKey = (id: string) => `session:${id}`;
export const tokenKey = (id: string) => `token:${id}`;

/** Makes a session. The token is returned once and stored as a hash only. */
export async function createSession(
  db: Sql,
  userId: string,
): Promise<{ token: string; id: string; ended: string[] }> {
  const [token, id, time] = [newId(), newId(), now()];
  await db.rows("INSERT INTO sessions VALUES ($1, $2, $3, $4, $5)", [
    id,
    hashToken(token),
    userId,
    time,
    time + sessionMs,
  ]);
  const ended = await db.rows<{ id: string }>(
    `DELETE FROM sessions WHERE user_id = $1 AND (expires_at < $2 OR id IN (
       SELECT id FROM sessions WHERE user_id = $1 ORDER BY create_at DESC OFFSET ${maxSessions})) RETURNING id`,
    [userId, time],
  );
  return { token, id, ended: ended.map((row) => row.id) };
}

/** Whose token it is: a person's session or an access token; nobody's where it is revoked or the account is off. */
export async function findCredential(db: Sql, token: string): Promise<Credential | undefined> {
  const hash = hashToken(token);
  const found = await db.row<User & { cred_id: string; cred_expires: number; cred_kind: string }>(
    `SELECT u.*, c.id AS cred_id, c.expires_at AS cred_expires, c.kind AS cred_kind FROM (
       SELECT id, user_id, expires_at, 'session' AS kind FROM sessions WHERE token_hash = $1 AND expires_at > $2
       UNION ALL
       SELECT id, user_id, 0, 'token' FROM tokens WHERE token_hash = $1 AND is_active) c
     JOIN users u ON u.id = c.user_id WHERE u.delete_at = 0`,
    [hash, Date.now()],
  );
  if (!found) return undefined;
  const isSession = found.cred_kind === "session";
  return {
    user: found,
    key: isSession ? sessionKey(found.cred_id) : tokenKey(found.cred_id),
    sessionId: isSession ? found.cred_id : "",
    expiresAt: found.cred_expires,
  };
}

export async function deleteSession(db: Sql, id: string): Promise<void> {
  await db.rows("DELETE FROM sessions WHERE id = $1", [id]);
}

/** Ends every session of a user. */
export async function deleteSessions(db: Sql, userId: string): Promise<void> {
  await db.rows("DELETE FROM sessions WHERE user_id = $1", [userId]);
}

/** Mints an access token; its secret is in the result and nowhere else. */
export async function createToken(
  db: Sql,
  userId: string,
  description: string,
): Promise<AccessToken & { token: string }> {
  const token = newId();
  const made = await db.row<AccessToken>(
    `INSERT INTO tokens (id, token_hash, user_id, description, create_at) VALUES ($1, $2, $3, $4, $5)
     RETURNING id, user_id, description, is_active`,
    [newId(), hashToken(token), userId, description, now()],
  );
  return { ...must(made), token };
}

/** @throws ApiError 404 */
export async function getToken(db: Sql, id: string): Promise<AccessToken> {
  const token = await db.row<AccessToken>(
    "SELECT id, user_id, description, is_active FROM tokens WHERE id = $1",
    [id],
  );
  if (!token) {
    throw new ApiError(
      404,
      "app.user_access_token.get_by_user.app_error",
      "Unable to get the personal access token.",
    );
  }
  return token;
}

/** A page of tokens, of one user or of all. */
export function listTokens(
  db: Sql,
  userId: string | undefined,
  limit: number,
  offset: number,
): Promise<AccessToken[]> {
  return db.rows<AccessToken>(
    `SELECT id, user_id, description, is_active FROM tokens WHERE $1::text IS NULL OR user_id = $1
     ORDER BY create_at LIMIT $2 OFFSET $3`,
    [userId ?? null, limit, offset],
  );
}

export async function deleteToken(db: Sql, id: string): Promise<void> {
  await db.rows("DELETE FROM tokens WHERE id = $1", [id]);
}

export async function setTokenActive(db: Sql, id: string, active: boolean): Promise<void> {
  await db.rows("UPDATE tokens SET is_active = $2 WHERE id = $1", [id, active]);
}
