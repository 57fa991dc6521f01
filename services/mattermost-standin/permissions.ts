import type { Actor } from "./auth.ts";
import { forbidden } from "./errors.ts";
import { type Channel, findChannelMember } from "./store/channels.ts";
import type { Sql } from "./store/database.ts";
import { findTeamMember, type Team, type TeamMember } from "./store/teams.ts";

/** Mattermost's default roles, as far as the stand-in goes. Each function throws ApiError 403. */

export function needAdmin(actor: Actor): void {
  if (!actor.isAdmin) throw forbidden();
}

/** The user itself, or an administrator. */
export function needSelf(actor: Actor, userId: string): void {
  if (!actor.isAdmin && actor.userId !== userId) throw forbidden();
}

/** The caller's live membership, if there is one. */
export async function membershipOf(
  db: Sql,
  actor: Actor,
  teamId: string,
): Promise<TeamMember | undefined> {
  if (actor.userId === "" || teamId === "") return undefined;
  const member = await findTeamMember(db, teamId, actor.userId);
  return member?.delete_at === 0 ? member : undefined;
}

/** A member of the team, or an administrator. */
export async function needTeam(db: Sql, actor: Actor, teamId: string): Promise<void> {
  if (!actor.isAdmin && !(await membershipOf(db, actor, teamId))) throw forbidden();
}

/** A team's own administrator, or one of the system. */
export async function needTeamAdmin(db: Sql, actor: Actor, teamId: string): Promise<void> {
  if (actor.isAdmin) return;
  if (!(await membershipOf(db, actor, teamId))?.scheme_admin) throw forbidden();
}

/** Someone who may see that the team is there. */
export async function needViewTeam(db: Sql, actor: Actor, team: Team): Promise<void> {
  if (team.allow_open_invite && team.type === "O") return;
  await needTeam(db, actor, team.id);
}

/** A member of the channel, or an administrator: may write, react, add and remove people. */
export async function needChannel(db: Sql, actor: Actor, channel: Channel): Promise<void> {
  if (actor.isAdmin) return;
  if (!(await findChannelMember(db, channel.id, actor.userId))) throw forbidden();
}

/** As `needChannel`; an open channel is readable for all of its team. */
export async function needRead(db: Sql, actor: Actor, channel: Channel): Promise<void> {
  if (actor.isAdmin) return;
  if (channel.type === "O" && (await membershipOf(db, actor, channel.team_id))) return;
  await needChannel(db, actor, channel);
}

/** A channel's or team's own administrator, or one of the system. */
export async function needChannelAdmin(db: Sql, actor: Actor, channel: Channel): Promise<void> {
  if (actor.isAdmin) return;
  if ((await findChannelMember(db, channel.id, actor.userId))?.scheme_admin) return;
  await needTeamAdmin(db, actor, channel.team_id);
}
