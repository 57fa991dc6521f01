import type { App } from "./app.ts";
import { checkPassword, hashPassword } from "./auth.ts";
import { ApiError, badBody } from "./errors.ts";
import { openDirect } from "./membership.ts";
import { writePost } from "./posting.ts";
import { deleteSessions } from "./store/credentials.ts";
import { changeUser, createUser, type NewUser, type User } from "./store/users.ts";

const reserved = new Set(["all", "channel", "matterbot", "system", "here"]);

/** A user name in lower case. @throws ApiError 400 */
export function checkUsername(name: string): string {
  const lower = name.toLowerCase();
  if (!/^[a-z0-9._-]{1,64}$/.test(lower) || reserved.has(lower)) {
    throw new ApiError(
      400,
      "model.user.is_valid.username.app_error",
      "Username must be 1 to 64 of a-z, 0-9, '.', '-', '_', and no reserved word.",
    );
  }
  return lower;
}

/** @throws ApiError 400 */
export function checkEmail(email: string): string {
  const lower = email.toLowerCase();
  if (lower.length > 128 || !/^[^\s@<>]+@[^\s@<>]+$/.test(lower)) {
    throw new ApiError(400, "model.user.is_valid.email.app_error", "Please enter a valid email.");
  }
  return lower;
}

/** @throws ApiError 400 */
function checkNewPassword(password: string): string {
  if (password.length < 8 || Buffer.byteLength(password) > 72) {
    throw new ApiError(
      400,
      "model.user.is_valid.pwd.app_error",
      "Your password must be 8 to 72 characters long.",
    );
  }
  return password;
}

/** Makes a person's account. @throws ApiError 400 */
export async function createPerson(app: App, person: NewUser): Promise<User> {
  const username = checkUsername(person.username);
  const email = checkEmail(person.email);
  const password = await hashPassword(checkNewPassword(person.password));
  return createUser(app.db, { ...person, username, email, password });
}

/** Sets a password; the other sessions of the user stay, as on the real server. */
export async function setPassword(app: App, user: User, password: string): Promise<void> {
  await changeUser(app.db, user.id, {
    password: await hashPassword(checkNewPassword(password)),
    last_password_update: Date.now(),
    failed_attempts: 0,
  });
}

/** @throws ApiError 400 where it is not the user's password */
export async function checkCurrentPassword(user: User, password: string): Promise<void> {
  if (password === "") throw badBody("current_password");
  if (!(await checkPassword(password, user.password))) {
    throw new ApiError(
      400,
      "api.user.update_password.incorrect.app_error",
      "The current password is incorrect.",
    );
  }
}

/** Makes a bot; it greets its owner in a direct message, as on the real server. @throws ApiError 400 */
export async function createBot(
  app: App,
  owner: User,
  bot: { readonly username: string; readonly display_name: string; readonly description: string },
): Promise<User> {
  const username = checkUsername(bot.username);
  const made = await createUser(app.db, {
    username,
    email: `${username}@localhost`,
    password: "",
    first_name: bot.display_name,
    is_bot: true,
    bot_description: bot.description,
    bot_owner_id: owner.id,
  });
  const direct = await openDirect(app, made, owner);
  await writePost(app, made, direct, {
    message:
      "Please add me to teams and channels you want me to interact in. To do this, use the browser or Mattermost Desktop App.",
    type: "add_bot_teams_channels",
  });
  return made;
}

/**
 * Turns an account off or on. Off: its sessions end and its connections go deaf; its name and tokens stay, so that
 * on again the old tokens work again.
 */
export async function setActive(app: App, user: User, active: boolean): Promise<User> {
  const changed = await changeUser(app.db, user.id, { delete_at: active ? 0 : Date.now() });
  if (!active) {
    await deleteSessions(app.db, user.id);
    app.hub.revokeUser(user.id);
  }
  return changed;
}
