import { checkUsername, createBot, setActive } from "../accounts.ts";
import { ApiError, badBody, forbidden } from "../errors.ts";
import { needAdmin } from "../permissions.ts";
import { changeUser, getUser, listBots, type User } from "../store/users.ts";
import { botView } from "../views.ts";
import {
  type Call,
  created,
  fields,
  flag,
  ok,
  optionalText,
  page,
  param,
  type Reply,
  type Route,
  text,
} from "./route.ts";

function noBot(): ApiError {
  return new ApiError(404, "store.sql_bot.get.missing.app_error", "Bot does not exist.");
}

/** A bot, for those who manage bots; for others there is none. @throws ApiError 404 */
async function findBot(call: Call, includeDeleted: boolean): Promise<User> {
  if (!call.actor.isAdmin) throw noBot();
  const user = await getUser(call.app.db, param(call, "bot_user_id")).catch(() => undefined);
  if (!user?.is_bot || (user.delete_at > 0 && !includeDeleted)) throw noBot();
  return user;
}

async function create(call: Call): Promise<Reply> {
  const { app, actor } = call;
  const body = fields(call, "bot");
  needAdmin(actor);
  if (!actor.user || actor.user.is_bot) throw forbidden();
  if (!app.config.enableBotAccountCreation) {
    throw new ApiError(403, "api.bot.create_disabled", "Bot creation has been disabled.");
  }
  const username = text(body, "username");
  if (username === "") throw badBody("username");
  const bot = await createBot(app, actor.user, {
    username,
    display_name: text(body, "display_name"),
    description: text(body, "description"),
  });
  return created(botView(bot));
}

async function list(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const { limit, offset } = page(call);
  const filter = {
    includeDeleted: flag(call, "include_deleted"),
    onlyOrphaned: flag(call, "only_orphaned"),
  };
  return ok((await listBots(call.app.db, filter, limit, offset)).map(botView));
}

async function get(call: Call): Promise<Reply> {
  return ok(botView(await findBot(call, flag(call, "include_deleted"))));
}

async function patch(call: Call): Promise<Reply> {
  const body = fields(call, "bot");
  const bot = await findBot(call, true);
  const username = optionalText(body, "username");
  const changed = await changeUser(call.app.db, bot.id, {
    ...(username === undefined ? {} : { username: checkUsername(username) }),
    ...compact({
      first_name: optionalText(body, "display_name"),
      bot_description: optionalText(body, "description"),
    }),
  });
  return ok(botView(changed));
}

/** Without the members that are undefined. */
function compact(values: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

async function disable(call: Call): Promise<Reply> {
  return ok(botView(await setActive(call.app, await findBot(call, true), false)));
}

async function enable(call: Call): Promise<Reply> {
  return ok(botView(await setActive(call.app, await findBot(call, true), true)));
}

async function assign(call: Call): Promise<Reply> {
  const bot = await findBot(call, true);
  const owner = await getUser(call.app.db, param(call, "user_id"));
  return ok(botView(await changeUser(call.app.db, bot.id, { bot_owner_id: owner.id })));
}

export const botRoutes: readonly Route[] = [
  { method: "POST", path: "/bots", handle: create },
  { method: "GET", path: "/bots", handle: list, local: true },
  { method: "GET", path: "/bots/:bot_user_id", handle: get, local: true },
  { method: "PUT", path: "/bots/:bot_user_id", handle: patch, local: true },
  { method: "POST", path: "/bots/:bot_user_id/disable", handle: disable, local: true },
  { method: "POST", path: "/bots/:bot_user_id/enable", handle: enable, local: true },
  { method: "POST", path: "/bots/:bot_user_id/assign/:user_id", handle: assign, local: true },
];
