import { checkPassword, presentedToken, sessionCookie } from "../auth.ts";
import { ApiError } from "../errors.ts";
import { needSelf } from "../permissions.ts";
import {
  createSession,
  deleteSession,
  deleteSessions,
  findCredential,
  sessionKey,
} from "../store/credentials.ts";
import { changeUser, getUser, getUserByEmail, getUserByName, type User } from "../store/users.ts";
import { userView } from "../views.ts";
import { type Call, done, fields, ok, param, type Reply, type Route, text } from "./route.ts";

/** Wrong passwords after which an account is closed until an administrator sets a new one. */
const maxAttempts = 10;

function refused(): ApiError {
  return new ApiError(
    401,
    "api.user.login.invalid_credentials_email_username",
    "Enter a valid email or username and/or password.",
  );
}

/** Starts a session: its token is in the `Token` header and, for browsers, in a cookie. */
async function login(call: Call): Promise<Reply> {
  const body = fields(call, "login");
  const { app } = call;
  const password = text(body, "password");
  const user = await findLogin(call, text(body, "id"), text(body, "login_id"));
  // The password is checked whatever the account is, so that an answer's time tells nothing.
  const right = await checkPassword(password, user?.password ?? "");
  if (!user || user.is_bot || password === "") throw refused();
  if (user.failed_attempts >= maxAttempts) {
    throw new ApiError(
      401,
      "api.user.check_user_login_attempts.too_many.app_error",
      "Your account is locked because of too many failed password attempts. Please reset your password.",
    );
  }
  if (!right) {
    await app.db.rows("UPDATE users SET failed_attempts = failed_attempts + 1 WHERE id = $1", [
      user.id,
    ]);
    throw refused();
  }
  if (user.delete_at > 0) {
    throw new ApiError(
      401,
      "api.user.login.inactive.app_error",
      "Login failed because your account has been deactivated. Please contact an administrator.",
    );
  }
  if (user.failed_attempts > 0)
    await app.db.rows("UPDATE users SET failed_attempts = 0 WHERE id = $1", [user.id]);
  const session = await createSession(app.db, user.id);
  for (const id of session.ended) app.hub.revoke(user.id, sessionKey(id));
  const secure = app.config.siteUrl.startsWith("https:") ? "; Secure" : "";
  return {
    ...ok(userView(user, true)),
    headers: {
      Token: session.token,
      "Set-Cookie": `${sessionCookie}=${session.token}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict${secure}`,
    },
  };
}

function findLogin(call: Call, id: string, loginId: string): Promise<User | undefined> {
  const { db } = call.app;
  const search = id
    ? getUser(db, id)
    : loginId.includes("@")
      ? getUserByEmail(db, loginId)
      : getUserByName(db, loginId);
  return search.catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  });
}

/** Ends the session, if the caller has one. */
async function logout(call: Call): Promise<Reply> {
  const presented = presentedToken(call.request);
  const credential = presented && (await findCredential(call.app.db, presented.token));
  const fromPage = call.request.headers["x-requested-with"] === "XMLHttpRequest";
  if (credential?.sessionId && (fromPage || !presented?.fromCookie)) {
    await deleteSession(call.app.db, credential.sessionId);
    call.app.hub.revoke(credential.user.id, credential.key);
  }
  return {
    ...done(),
    headers: {
      "Set-Cookie": `${sessionCookie}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict`,
    },
  };
}

async function revokeAll(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  needSelf(call.actor, userId);
  await deleteSessions(call.app.db, userId);
  call.app.hub.revokeUser(userId);
  return done();
}

async function resetAttempts(call: Call): Promise<Reply> {
  const userId = param(call, "user_id");
  if (!call.actor.isAdmin) needSelf(call.actor, "");
  await changeUser(call.app.db, userId, { failed_attempts: 0 });
  return done();
}

export const sessionRoutes: readonly Route[] = [
  { method: "POST", path: "/users/login", handle: login, access: "open" },
  { method: "POST", path: "/users/logout", handle: logout, access: "open" },
  { method: "POST", path: "/users/:user_id/sessions/revoke/all", handle: revokeAll },
  { method: "POST", path: "/users/:user_id/reset_failed_attempts", handle: resetAttempts },
];
