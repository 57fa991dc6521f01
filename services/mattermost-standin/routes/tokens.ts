import { ApiError, badBody } from "../errors.ts";
import { needAdmin } from "../permissions.ts";
import {
  createToken,
  deleteToken,
  getToken,
  listTokens,
  setTokenActive,
  tokenKey,
} from "../store/credentials.ts";
import { getUser } from "../store/users.ts";
import { type Call, done, fields, ok, page, param, type Reply, type Route, text } from "./route.ts";

/** Mints a token, for administrators only: a bot cannot make itself another one. 200, although the specification says 201. */
async function create(call: Call): Promise<Reply> {
  const description = text(fields(call, "user_access_token"), "description");
  if (description === "" || description.length > 255) throw badBody("description");
  needAdmin(call.actor);
  const user = await getUser(call.app.db, param(call, "user_id"));
  if (!user.is_bot && !call.app.config.enableUserAccessTokens) {
    throw new ApiError(
      501,
      "app.user_access_token.disabled",
      "Personal access tokens are disabled on this server. Please contact your system administrator for details.",
    );
  }
  return ok(await createToken(call.app.db, user.id, description));
}

async function listOfUser(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const { limit, offset } = page(call);
  return ok(await listTokens(call.app.db, param(call, "user_id"), limit, offset));
}

async function listAll(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const { limit, offset } = page(call);
  return ok(await listTokens(call.app.db, undefined, limit, offset));
}

async function get(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  return ok(await getToken(call.app.db, param(call, "token_id")));
}

/** A change of the token that the body names. Connections made with it go deaf where it stops being valid. */
function change(apply: (call: Call, id: string) => Promise<void>, ends: boolean) {
  return async (call: Call): Promise<Reply> => {
    const id = text(fields(call, "token_id"), "token_id");
    if (id === "") throw badBody("token_id");
    needAdmin(call.actor);
    const token = await getToken(call.app.db, id);
    await apply(call, id);
    if (ends) call.app.hub.revoke(token.user_id, tokenKey(id));
    return done();
  };
}

const revoke = change((call, id) => deleteToken(call.app.db, id), true);
const disable = change((call, id) => setTokenActive(call.app.db, id, false), true);
const enable = change((call, id) => setTokenActive(call.app.db, id, true), false);

export const tokenRoutes: readonly Route[] = [
  { method: "POST", path: "/users/tokens/revoke", handle: revoke, local: true },
  { method: "POST", path: "/users/tokens/disable", handle: disable },
  { method: "POST", path: "/users/tokens/enable", handle: enable },
  { method: "GET", path: "/users/tokens", handle: listAll },
  { method: "GET", path: "/users/tokens/:token_id", handle: get },
  { method: "POST", path: "/users/:user_id/tokens", handle: create, local: true },
  { method: "GET", path: "/users/:user_id/tokens", handle: listOfUser, local: true },
];
