import { ApiError, badBody, forbidden } from "../errors.ts";
import { foundTeam, joinTeam, leaveTeam } from "../membership.ts";
import { membershipOf, needSelf, needTeam, needTeamAdmin, needViewTeam } from "../permissions.ts";
import {
  changeTeam,
  getTeam,
  getTeamByName,
  getTeamMember,
  listTeamMembers,
  listTeams,
  type Team,
  type TeamMember,
  teamMembersOf,
} from "../store/teams.ts";
import { getUser } from "../store/users.ts";
import { teamMemberView, teamView } from "../views.ts";
import {
  type Call,
  created,
  done,
  fields,
  ok,
  optionalText,
  page,
  param,
  type Reply,
  type Route,
  text,
  texts,
} from "./route.ts";

/** What the caller sees of a team: members may invite, so they see the invitation. */
async function view(call: Call, team: Team) {
  const member = await membershipOf(call.app.db, call.actor, team.id);
  return teamView(team, call.actor.isAdmin || member !== undefined);
}

async function create(call: Call): Promise<Reply> {
  const body = fields(call, "team");
  const name = text(body, "name").toLowerCase();
  const type = text(body, "type");
  const displayName = text(body, "display_name").trim();
  if (!/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])$/.test(name)) {
    throw new ApiError(400, "model.team.is_valid.characters.app_error", "Invalid team name.");
  }
  if (type !== "O" && type !== "I") {
    throw new ApiError(400, "model.team.is_valid.type.app_error", "Invalid type.");
  }
  if (displayName === "" || displayName.length > 64) {
    throw new ApiError(400, "model.team.is_valid.name.app_error", "Invalid display name.");
  }
  const team = await foundTeam(call.app, call.actor, {
    name,
    type,
    display_name: displayName,
    description: text(body, "description"),
    email: text(body, "email"),
    allow_open_invite: body.allow_open_invite === true,
  });
  return created(teamView(team, true));
}

async function list(call: Call): Promise<Reply> {
  const { limit, offset } = page(call);
  const teams = await listTeams(call.app.db, undefined, limit, offset);
  const own = new Set(
    call.actor.userId
      ? (await teamMembersOf(call.app.db, call.actor.userId)).map((member) => member.team_id)
      : [],
  );
  const visible = teams.filter(
    (team) =>
      call.actor.isAdmin || own.has(team.id) || (team.allow_open_invite && team.type === "O"),
  );
  return ok(visible.map((team) => teamView(team, call.actor.isAdmin || own.has(team.id))));
}

async function listOfUser(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  const teams = await listTeams(call.app.db, userId);
  return ok(teams.map((team) => teamView(team, true)));
}

async function membershipsOfUser(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  return ok((await teamMembersOf(call.app.db, userId)).map(teamMemberView));
}

async function get(call: Call): Promise<Reply> {
  const team = await getTeam(call.app.db, param(call, "team_id"));
  await needViewTeam(call.app.db, call.actor, team);
  return ok(await view(call, team));
}

async function getByName(call: Call): Promise<Reply> {
  const team = await getTeamByName(call.app.db, param(call, "name"));
  await needViewTeam(call.app.db, call.actor, team);
  return ok(await view(call, team));
}

async function patch(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  const body = fields(call, "team");
  await needTeamAdmin(call.app.db, call.actor, teamId);
  const displayName = optionalText(body, "display_name");
  const description = optionalText(body, "description");
  const open = body.allow_open_invite;
  const team = await changeTeam(call.app.db, teamId, {
    ...(displayName === undefined ? {} : { display_name: displayName }),
    ...(description === undefined ? {} : { description }),
    ...(typeof open === "boolean" ? { allow_open_invite: open } : {}),
  });
  return ok(teamView(team, true));
}

/** Archives; the name stays taken. */
async function archive(call: Call): Promise<Reply> {
  const team = await getTeam(call.app.db, param(call, "team_id"));
  await needTeamAdmin(call.app.db, call.actor, team.id);
  await changeTeam(call.app.db, team.id, { delete_at: Date.now() });
  return done();
}

async function restore(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeamAdmin(call.app.db, call.actor, teamId);
  return ok(teamView(await changeTeam(call.app.db, teamId, { delete_at: 0 }), true));
}

async function addMember(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  const body = fields(call, "team_member");
  if (text(body, "team_id") !== teamId) throw badBody("team_id");
  return created(teamMemberView(await add(call, teamId, text(body, "user_id"))));
}

async function addMembers(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  if (!Array.isArray(call.body) || call.body.length === 0 || call.body.length > 20)
    throw badBody("members");
  const ids = call.body.map((item: unknown) => {
    const member = { ...call, body: item };
    return text(fields(member, "members"), "user_id");
  });
  const members: TeamMember[] = [];
  for (const id of ids) members.push(await add(call, teamId, id));
  return created(members.map(teamMemberView));
}

async function add(call: Call, teamId: string, userId: string): Promise<TeamMember> {
  const { app, actor } = call;
  if (userId === "") throw badBody("user_id");
  const team = await getTeam(app.db, teamId);
  const joinsItself = actor.userId === userId && team.allow_open_invite && team.type === "O";
  if (!joinsItself) await needTeam(app.db, actor, teamId);
  return joinTeam(app, team, await getUser(app.db, userId), actor.user);
}

async function listMembers(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const { limit, offset } = page(call);
  return ok((await listTeamMembers(call.app.db, teamId, limit, offset)).map(teamMemberView));
}

async function membersByIds(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const rows = await call.app.db.rows<TeamMember>(
    "SELECT * FROM team_members WHERE team_id = $1 AND user_id = ANY($2) AND delete_at = 0",
    [teamId, texts(call.body, "user_ids")],
  );
  return ok(rows.map(teamMemberView));
}

async function getMember(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const member = await getTeamMember(call.app.db, teamId, param(call, "user_id"));
  return ok(teamMemberView(member));
}

async function removeMember(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const team = await getTeam(app.db, param(call, "team_id"));
  const userId = param(call, "user_id");
  if (actor.userId !== userId) await needTeamAdmin(app.db, actor, team.id);
  await leaveTeam(app, team, userId, actor);
  return done();
}

async function stats(call: Call): Promise<Reply> {
  const teamId = param(call, "team_id");
  await needTeam(call.app.db, call.actor, teamId);
  const row = await call.app.db.row<{ total: number; active: number }>(
    `SELECT count(*) AS total, count(*) FILTER (WHERE u.delete_at = 0) AS active
     FROM team_members m JOIN users u ON u.id = m.user_id WHERE m.team_id = $1 AND m.delete_at = 0`,
    [teamId],
  );
  if (!row) throw forbidden();
  return ok({ team_id: teamId, total_member_count: row.total, active_member_count: row.active });
}

export const teamRoutes: readonly Route[] = [
  { method: "POST", path: "/teams", handle: create, local: true },
  { method: "GET", path: "/teams", handle: list, local: true },
  { method: "GET", path: "/teams/name/:name", handle: getByName, local: true },
  { method: "GET", path: "/teams/:team_id", handle: get, local: true },
  { method: "DELETE", path: "/teams/:team_id", handle: archive, local: true },
  { method: "PUT", path: "/teams/:team_id/patch", handle: patch, local: true },
  { method: "POST", path: "/teams/:team_id/restore", handle: restore, local: true },
  { method: "GET", path: "/teams/:team_id/stats", handle: stats },
  { method: "POST", path: "/teams/:team_id/members", handle: addMember, local: true },
  { method: "GET", path: "/teams/:team_id/members", handle: listMembers },
  { method: "POST", path: "/teams/:team_id/members/batch", handle: addMembers },
  { method: "POST", path: "/teams/:team_id/members/ids", handle: membersByIds },
  { method: "GET", path: "/teams/:team_id/members/:user_id", handle: getMember },
  { method: "DELETE", path: "/teams/:team_id/members/:user_id", handle: removeMember, local: true },
  { method: "GET", path: "/users/:user_id/teams", handle: listOfUser },
  { method: "GET", path: "/users/:user_id/teams/members", handle: membershipsOfUser },
];
