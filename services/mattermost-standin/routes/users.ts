import {
  checkCurrentPassword,
  checkEmail,
  checkUsername,
  createPerson,
  setActive,
  setPassword,
} from "../accounts.ts";
import { ApiError, badBody, forbidden } from "../errors.ts";
import { needAdmin, needRead, needSelf, needTeam } from "../permissions.ts";
import { getChannel } from "../store/channels.ts";
import { deleteSessions } from "../store/credentials.ts";
import {
  changeUser,
  getUser,
  getUserByEmail,
  getUserByName,
  listUsers,
  type User,
  type UserChange,
  usersByIds,
  usersByNames,
} from "../store/users.ts";
import { botView, seesAll, userView } from "../views.ts";
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

const view = (call: Call, user: User) =>
  userView(user, seesAll(call.actor.user, call.actor.local, user.id));

/** Sign-up, or an account made by an administrator. */
async function create(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "user");
  if (!actor.isAdmin) {
    if (!app.config.enableUserCreation || !app.config.enableSignUpWithEmail) {
      throw new ApiError(
        501,
        "api.user.create_user.signup_email_disabled.app_error",
        "User sign-up with email is disabled.",
      );
    }
    const isFirst = !(await app.db.row("SELECT 1 FROM users WHERE NOT is_bot LIMIT 1"));
    if (!isFirst && !app.config.enableOpenServer) {
      throw new ApiError(
        403,
        "api.user.create_user.no_open_server",
        "This server does not allow open signups. Please speak with your Administrator to receive an invitation.",
      );
    }
  }
  const user = await createPerson(app, {
    username: text(body, "username"),
    email: text(body, "email"),
    password: text(body, "password"),
    nickname: text(body, "nickname"),
    first_name: text(body, "first_name"),
    last_name: text(body, "last_name"),
  });
  return created(userView(user, true));
}

async function list(call: Call): Promise<Reply> {
  const { limit, offset } = page(call);
  const inTeam = call.query.get("in_team") || undefined;
  const inChannel = call.query.get("in_channel") || undefined;
  if (inTeam) await needTeam(call.app.db, call.actor, inTeam);
  if (inChannel) await needRead(call.app.db, call.actor, await getChannel(call.app.db, inChannel));
  const filter = { inTeam, inChannel, active: flag(call, "active") };
  const users = await listUsers(call.app.db, filter, limit, offset);
  return ok(users.map((user) => view(call, user)));
}

async function search(call: Call): Promise<Reply> {
  const body = fields(call, "term");
  const term = text(body, "term");
  if (term === "") throw badBody("term");
  const inTeam = text(body, "team_id") || undefined;
  if (inTeam) await needTeam(call.app.db, call.actor, inTeam);
  const active = body.allow_inactive !== true;
  const users = await listUsers(
    call.app.db,
    { term: term.replace(/^@/, ""), inTeam, active },
    100,
    0,
  );
  return ok(users.map((user) => view(call, user)));
}

async function autocomplete(call: Call): Promise<Reply> {
  const inTeam = call.query.get("in_team") || undefined;
  if (inTeam) await needTeam(call.app.db, call.actor, inTeam);
  const term = (call.query.get("name") ?? "").replace(/^@/, "");
  const users = await listUsers(call.app.db, { term, inTeam, active: true }, 25, 0);
  return ok({ users: users.map((user) => view(call, user)), out_of_channel: [] });
}

async function byIds(call: Call): Promise<Reply> {
  const users = await usersByIds(call.app.db, texts(call.body, "user_ids"));
  return ok(users.map((user) => view(call, user)));
}

async function byNames(call: Call): Promise<Reply> {
  const users = await usersByNames(call.app.db, texts(call.body, "usernames"));
  return ok(users.map((user) => view(call, user)));
}

async function get(call: Call): Promise<Reply> {
  return ok(view(call, await getUser(call.app.db, param(call, "user_id"))));
}

async function getByName(call: Call): Promise<Reply> {
  return ok(view(call, await getUserByName(call.app.db, param(call, "username"))));
}

async function getByEmail(call: Call): Promise<Reply> {
  return ok(view(call, await getUserByEmail(call.app.db, param(call, "email"))));
}

/** What a user may change of itself; its name and address only where they are given. */
function change(body: Fields): UserChange {
  const plain = ["nickname", "first_name", "last_name", "position", "locale"];
  const given = plain.map((name) => [name, optionalText(body, name)] as const);
  const username = optionalText(body, "username");
  const email = optionalText(body, "email");
  return {
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    ...(username === undefined ? {} : { username: checkUsername(username) }),
    ...(email === undefined ? {} : { email: checkEmail(email) }),
    ...maps(body, "props"),
    ...maps(body, "notify_props"),
  };
}

function maps(body: Fields, name: string): UserChange {
  const value = body[name];
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw badBody(name);
  return { [name]: JSON.stringify(value) };
}

async function patch(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  const body = fields(call, "user");
  const before = await getUser(call.app.db, userId);
  // A bot's name and address belong to those who manage bots.
  if (before.is_bot && !call.actor.isAdmin) throw forbidden();
  return ok(view(call, await changeUser(call.app.db, userId, change(body))));
}

async function setRoles(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const roles = text(fields(call, "roles"), "roles").split(" ").filter(Boolean);
  const known = ["system_user", "system_admin", "system_post_all", "system_user_access_token"];
  if (roles.length === 0 || !roles.every((role) => known.includes(role))) throw badBody("roles");
  const user = await getUser(call.app.db, param(call, "user_id"));
  await changeUser(call.app.db, user.id, { roles: [...new Set(roles)].sort().join(" ") });
  return done();
}

async function changePassword(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "password");
  const user = await getUser(app.db, param(call, "user_id"));
  needSelf(actor, user.id);
  if (user.is_bot) throw forbidden();
  if (actor.userId === user.id) await checkCurrentPassword(user, text(body, "current_password"));
  await setPassword(app, user, text(body, "new_password"));
  return done();
}

async function changeActive(call: Call): Promise<Reply> {
  const active = fields(call, "active").active;
  if (typeof active !== "boolean") throw badBody("active");
  needAdmin(call.actor);
  await setActive(call.app, await getUser(call.app.db, param(call, "user_id")), active);
  return done();
}

async function deactivate(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  await setActive(call.app, await getUser(call.app.db, param(call, "user_id")), false);
  return done();
}

/** Makes an account a bot that owns itself. */
async function convertToBot(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const user = await getUser(call.app.db, param(call, "user_id"));
  const bot = await changeUser(call.app.db, user.id, {
    is_bot: true,
    bot_owner_id: user.bot_owner_id || user.id,
    password: "",
  });
  await deleteSessions(call.app.db, user.id);
  call.app.hub.revokeUser(user.id);
  return ok(botView(bot));
}

function statusOf(call: Call, userId: string) {
  const status = call.app.hub.online(userId) ? "online" : "offline";
  return { user_id: userId, status, manual: false, last_activity_at: 0 };
}

async function getStatus(call: Call): Promise<Reply> {
  const user = await getUser(call.app.db, param(call, "user_id"));
  return ok(statusOf(call, user.id));
}

async function statusByIds(call: Call): Promise<Reply> {
  return ok(texts(call.body, "user_ids").map((id) => statusOf(call, id)));
}

export const userRoutes: readonly Route[] = [
  { method: "POST", path: "/users", handle: create, access: "optional", local: true },
  { method: "GET", path: "/users", handle: list, local: true },
  { method: "POST", path: "/users/ids", handle: byIds, local: true },
  { method: "POST", path: "/users/usernames", handle: byNames },
  { method: "POST", path: "/users/search", handle: search },
  { method: "GET", path: "/users/autocomplete", handle: autocomplete },
  { method: "POST", path: "/users/status/ids", handle: statusByIds },
  { method: "GET", path: "/users/username/:username", handle: getByName, local: true },
  { method: "GET", path: "/users/email/:email", handle: getByEmail, local: true },
  { method: "GET", path: "/users/:user_id", handle: get, local: true },
  { method: "PUT", path: "/users/:user_id", handle: patch, local: true },
  { method: "DELETE", path: "/users/:user_id", handle: deactivate, local: true },
  { method: "PUT", path: "/users/:user_id/patch", handle: patch },
  { method: "PUT", path: "/users/:user_id/roles", handle: setRoles, local: true },
  { method: "PUT", path: "/users/:user_id/password", handle: changePassword, local: true },
  { method: "PUT", path: "/users/:user_id/active", handle: changeActive, local: true },
  { method: "POST", path: "/users/:user_id/convert_to_bot", handle: convertToBot, local: true },
  { method: "GET", path: "/users/:user_id/status", handle: getStatus },
];
