import { ApiError } from "../errors.ts";
import { newId, now } from "../ids.ts";
import { brokenConstraint, type Row, type Sql } from "./database.ts";
import { must } from "./users.ts";

export interface Team extends Row {
  readonly id: string;
  readonly create_at: number;
  readonly update_at: number;
  readonly delete_at: number;
  readonly name: string;
  readonly display_name: string;
  readonly description: string;
  readonly email: string;
  readonly type: "O" | "I";
  readonly company_name: string;
  readonly invite_id: string;
  readonly allow_open_invite: boolean;
}

export interface TeamMember extends Row {
  readonly team_id: string;
  readonly user_id: string;
  readonly scheme_admin: boolean;
  readonly delete_at: number;
}

/** @throws ApiError 400 where the name is taken, by an archived team too */
export async function createTeam(
  sql: Sql,
  team: Pick<
    Team,
    "name" | "display_name" | "description" | "email" | "type" | "allow_open_invite"
  >,
): Promise<Team> {
  const time = now();
  try {
    const made = await sql.row<Team>(
      `INSERT INTO teams (id, create_at, update_at, name, display_name, description, email, type, invite_id, allow_open_invite)
       VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *`,
      [
        newId(),
        time,
        team.name,
        team.display_name,
        team.description,
        team.email,
        team.type,
        newId(),
        team.allow_open_invite,
      ],
    );
    return must(made);
  } catch (error) {
    if (brokenConstraint(error) === "teams_name_key") {
      throw new ApiError(
        400,
        "app.team.save.existing.app_error",
        "A team with that name already exists.",
      );
    }
    throw error;
  }
}

/** @throws ApiError 404 */
export async function getTeam(db: Sql, id: string): Promise<Team> {
  const team = await db.row<Team>("SELECT * FROM teams WHERE id = $1", [id]);
  if (!team) {
    throw new ApiError(404, "app.team.get.find.app_error", "Unable to find the existing team.");
  }
  return team;
}

/** @throws ApiError 404 */
export async function getTeamByName(db: Sql, name: string): Promise<Team> {
  const team = await db.row<Team>("SELECT * FROM teams WHERE name = $1", [name.toLowerCase()]);
  if (!team) {
    throw new ApiError(
      404,
      "app.team.get_by_name.missing.app_error",
      "Unable to find the existing team.",
    );
  }
  return team;
}

/** Teams that are not archived; of one member, or all. */
export function listTeams(
  db: Sql,
  userId: string | undefined,
  limit = 200,
  offset = 0,
): Promise<Team[]> {
  return db.rows<Team>(
    `SELECT t.* FROM teams t WHERE t.delete_at = 0 AND ($1::text IS NULL OR EXISTS (
       SELECT 1 FROM team_members m WHERE m.team_id = t.id AND m.user_id = $1 AND m.delete_at = 0))
     ORDER BY t.display_name LIMIT $2 OFFSET $3`,
    [userId ?? null, limit, offset],
  );
}

/** Changes a team. @throws ApiError 404 */
export async function changeTeam(
  db: Sql,
  id: string,
  change: Partial<
    Pick<Team, "display_name" | "description" | "allow_open_invite" | "type" | "delete_at">
  >,
): Promise<Team> {
  const entries = Object.entries(change).filter(([, value]) => value !== undefined);
  const sets = entries.map(([column], i) => `${column} = $${i + 3}`);
  const team = await db.row<Team>(
    `UPDATE teams SET ${["update_at = $2", ...sets].join(", ")} WHERE id = $1 RETURNING *`,
    [id, now(), ...entries.map(([, value]) => value)],
  );
  return team ?? getTeam(db, id);
}

/** The membership, an ended one too: look at `delete_at`. */
export function findTeamMember(
  db: Sql,
  teamId: string,
  userId: string,
): Promise<TeamMember | undefined> {
  return db.row<TeamMember>("SELECT * FROM team_members WHERE team_id = $1 AND user_id = $2", [
    teamId,
    userId,
  ]);
}

/** @throws ApiError 404 */
export async function getTeamMember(db: Sql, teamId: string, userId: string): Promise<TeamMember> {
  const member = await findTeamMember(db, teamId, userId);
  if (!member) {
    throw new ApiError(
      404,
      "app.team.get_member.missing.app_error",
      "No team member found for that user ID and team ID.",
    );
  }
  return member;
}

export function listTeamMembers(
  db: Sql,
  teamId: string,
  limit: number,
  offset: number,
): Promise<TeamMember[]> {
  return db.rows<TeamMember>(
    "SELECT * FROM team_members WHERE team_id = $1 AND delete_at = 0 ORDER BY user_id LIMIT $2 OFFSET $3",
    [teamId, limit, offset],
  );
}

/** A user's memberships. */
export function teamMembersOf(db: Sql, userId: string): Promise<TeamMember[]> {
  return db.rows<TeamMember>(
    "SELECT * FROM team_members WHERE user_id = $1 AND delete_at = 0 ORDER BY team_id",
    [userId],
  );
}

/** Members whose account is on: what `MaxUsersPerTeam` counts, bots too. */
export async function countTeamMembers(sql: Sql, teamId: string): Promise<number> {
  const row = await sql.row<{ count: number }>(
    `SELECT count(*) AS count FROM team_members m JOIN users u ON u.id = m.user_id
     WHERE m.team_id = $1 AND m.delete_at = 0 AND u.delete_at = 0`,
    [teamId],
  );
  return row?.count ?? 0;
}

export async function saveTeamMember(
  sql: Sql,
  teamId: string,
  userId: string,
  admin: boolean,
): Promise<TeamMember> {
  const row = await sql.row<TeamMember>(
    `INSERT INTO team_members (team_id, user_id, scheme_admin, create_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (team_id, user_id) DO UPDATE SET delete_at = 0, scheme_admin = $3 RETURNING *`,
    [teamId, userId, admin, now()],
  );
  return must(row);
}

export async function endTeamMember(sql: Sql, teamId: string, userId: string): Promise<void> {
  await sql.rows(
    "UPDATE team_members SET delete_at = $3, scheme_admin = false WHERE team_id = $1 AND user_id = $2",
    [teamId, userId, now()],
  );
}
