import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Caller, expectError, type Json, login, unique, World } from "./support/api.ts";
import { contractServer, local, type Server } from "./support/server.ts";

let server: Server;
let world: World;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
});
afterAll(() => server?.stop());

const expired = "api.context.session_expired.app_error";
const denied = "api.context.permissions.app_error";
const person = (username: string) => ({
  username,
  email: `${username}@example.org`,
  password: `Pw1!${username}`,
});

describe("accounts", () => {
  it("sign-up by a stranger is refused while it is off", async () => {
    const stranger = new Caller(server.url);
    const reply = await stranger.call("POST", "/users", person(unique("stranger")));
    expectError(reply, 501, "api.user.create_user.signup_email_disabled.app_error");
  });

  it("sign-up by a bot or a member is refused while it is off", async () => {
    const bot = await world.bot();
    const reply = await bot.call("POST", "/users", person(unique("stranger")));
    expectError(reply, 501, "api.user.create_user.signup_email_disabled.app_error");
  });

  it("an administrator makes an account, without its password in the answer", async () => {
    const name = unique("made");
    const reply = await world.admin.call("POST", "/users", person(name));
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ username: name, roles: "system_user", delete_at: 0 });
    expect(reply.body.id).toMatch(/^[a-z0-9]{26}$/);
    expect(reply.body.password ?? "").toBe("");
    expect(Math.abs(Number(reply.body.create_at) - Date.now())).toBeLessThan(60_000);
  });

  it("a user name is taken once, whatever its case", async () => {
    const name = unique("twice");
    await world.admin.post("/users", person(name));
    const again = { ...person(name.toUpperCase()), email: `other-${name}@example.org` };
    const reply = await world.admin.call("POST", "/users", again);
    expectError(reply, 400, "app.user.save.username_exists.app_error");
  });

  it("a deactivated account keeps its name", async () => {
    const user = await world.admin.post("/users", person(unique("gone")));
    await world.admin.delete(`/users/${user.id}`);
    const again = { ...person(String(user.username)), email: `x${user.email}` };
    const reply = await world.admin.call("POST", "/users", again);
    expectError(reply, 400, "app.user.save.username_exists.app_error");
  });

  it("a name with a blank, and an address without an @, are refused", async () => {
    const spaced = await world.admin.call("POST", "/users", person("two words"));
    expect(spaced.status).toBe(400);
    const bad = { ...person(unique("mail")), email: "nowhere" };
    expect((await world.admin.call("POST", "/users", bad)).status).toBe(400);
  });

  it("users are found by id and by name; me is the caller", async () => {
    const bot = await world.bot();
    const me = await bot.get("/users/me");
    expect(me).toMatchObject({ id: bot.id, username: bot.username, is_bot: true });
    expect(await world.admin.get(`/users/${bot.id}`)).toMatchObject({ username: bot.username });
    expect(await world.admin.get(`/users/username/${bot.username}`)).toMatchObject({ id: bot.id });
  });

  it("a name that nobody has is 404", async () => {
    const reply = await world.admin.call("GET", `/users/username/${unique("nobody")}`);
    expectError(reply, 404, "app.user.get_by_username.app_error");
  });

  it("an id that is none is 400", async () => {
    const reply = await world.admin.call("GET", "/users/short");
    expectError(reply, 400, "api.context.invalid_url_param.app_error");
  });

  it("a list of ids gives the users", async () => {
    const bot = await world.bot();
    const users = await bot.post<Json[]>("/users/ids", [bot.id, world.admin.id]);
    expect(users.map((user) => user.id).sort()).toEqual([bot.id, world.admin.id].sort());
    expectError(
      await bot.call("POST", "/users/ids", []),
      400,
      "api.context.invalid_body_param.app_error",
    );
  });

  it("people change themselves and nobody else", async () => {
    const [ann, bob] = [await world.person("ann"), await world.person("bob")];
    expect(await ann.put("/users/me/patch", { nickname: "Annie" })).toMatchObject({
      nickname: "Annie",
    });
    expectError(await ann.call("PUT", `/users/${bob.id}/patch`, { nickname: "B" }), 403, denied);
  });

  it("only an administrator gives roles", async () => {
    const ann = await world.person();
    const roles = { roles: "system_user system_admin" };
    expectError(await ann.call("PUT", `/users/${ann.id}/roles`, roles), 403, denied);
    expect(await world.admin.put(`/users/${ann.id}/roles`, roles)).toEqual({ status: "OK" });
    expect(
      String((await ann.get("/users/me")).roles)
        .split(" ")
        .sort(),
    ).toEqual(["system_admin", "system_user"]);
  });
});

describe("sessions", () => {
  it("a wrong password and an unknown name are refused alike", async () => {
    const ann = await world.person();
    const anyone = new Caller(server.url);
    const id = "api.user.login.invalid_credentials_email_username";
    const wrong = { login_id: ann.username, password: "not it" };
    expectError(await anyone.call("POST", "/users/login", wrong), 401, id);
    const unknown = { login_id: unique("nobody"), password: "not it" };
    expectError(await anyone.call("POST", "/users/login", unknown), 401, id);
  });

  it("a login gives a token that is good until the logout", async () => {
    const ann = await world.person();
    const second = await login(server, ann.username, ann.password);
    expect(second.token).not.toBe(ann.token);
    expect(await second.post("/users/logout")).toEqual({ status: "OK" });
    expectError(await second.call("GET", "/users/me"), 401, expired);
    expect(await ann.get("/users/me")).toMatchObject({ id: ann.id });
  });

  it("no token, and a token that is none, are 401", async () => {
    expectError(await new Caller(server.url).call("GET", "/users/me"), 401, expired);
    const wrong = new Caller(server.url, "a".repeat(26));
    expectError(await wrong.call("GET", "/users/me"), 401, expired);
  });

  it("a browser's session is in a cookie that scripts cannot read", async () => {
    const ann = await world.person();
    const answer = await fetch(`${server.url}/api/v4/users/login`, {
      method: "POST",
      body: JSON.stringify({ login_id: ann.username, password: ann.password }),
      headers: { "content-type": "application/json", "x-requested-with": "XMLHttpRequest" },
    });
    const cookies = answer.headers.getSetCookie();
    const session = cookies.find((cookie) => cookie.startsWith("MMAUTHTOKEN="));
    expect(session).toMatch(/HttpOnly/i);
    const cookie = session?.split(";")[0] ?? "";
    const me = await fetch(`${server.url}/api/v4/users/me`, { headers: { cookie } });
    expect(me.status).toBe(200);
  });

  it("a cookie alone changes nothing: another origin's page could send it", async () => {
    const ann = await world.person();
    const body = JSON.stringify({ nickname: "changed" });
    const cookie = `MMAUTHTOKEN=${ann.token}`;
    const change = (headers: Record<string, string>) =>
      fetch(`${server.url}/api/v4/users/me/patch`, { method: "PUT", body, headers });
    expect((await change({ cookie })).status).toBe(401);
    const own = await change({ cookie, "x-requested-with": "XMLHttpRequest" });
    expect(own.status).toBe(200);
  });

  it("a new password replaces the old one, which must be named", async () => {
    const ann = await world.person();
    const next = `New1!${ann.username}`;
    const path = `/users/${ann.id}/password`;
    const wrong = await ann.call("PUT", path, { current_password: "no", new_password: next });
    expect(wrong.status).toBe(400);
    const change = { current_password: ann.password, new_password: next };
    expect(await ann.put(path, change)).toEqual({ status: "OK" });
    const anyone = new Caller(server.url);
    const old = { login_id: ann.username, password: ann.password };
    expect((await anyone.call("POST", "/users/login", old)).status).toBe(401);
    expect((await login(server, ann.username, next)).id).toBe(ann.id);
  });

  it("deactivating someone ends the sessions and stops new ones; activating lets in again", async () => {
    const ann = await world.person();
    expect(await world.admin.put(`/users/${ann.id}/active`, { active: false })).toEqual({
      status: "OK",
    });
    expectError(await ann.call("GET", "/users/me"), 401, expired);
    const again = { login_id: ann.username, password: ann.password };
    expect((await new Caller(server.url).call("POST", "/users/login", again)).status).toBe(401);
    await world.admin.put(`/users/${ann.id}/active`, { active: true });
    expect((await login(server, ann.username, ann.password)).id).toBe(ann.id);
  });
});

describe("the local-mode socket", () => {
  /** Where only the network reaches the server, its socket cannot be asked. */
  const socket = () => server.localSocket;

  it("makes accounts while sign-up is off, and turns them into bots that own themselves", async () => {
    const path = socket();
    if (!path) return expect(process.env.MATTERMOST_URL).toBeDefined();
    const made = await local(path, "POST", "/users", person(unique("local")));
    expect(made.status).toBe(201);
    const user = JSON.parse(made.text) as Json;
    const bot = await local(path, "POST", `/users/${user.id}/convert_to_bot`);
    expect(bot.status).toBe(200);
    expect(JSON.parse(bot.text)).toMatchObject({ user_id: user.id, owner_id: user.id });
    const token = await local(path, "POST", `/users/${user.id}/tokens`, { description: "t" });
    expect(token.status).toBe(200);
    const caller = new Caller(server.url, String((JSON.parse(token.text) as Json).token));
    expect(await caller.get("/users/me")).toMatchObject({ is_bot: true });
  });

  it("does not make bots itself", async () => {
    const path = socket();
    if (!path) return expect(process.env.MATTERMOST_URL).toBeDefined();
    const reply = await local(path, "POST", "/bots", { username: unique("bot") });
    expect([404, 405]).toContain(reply.status);
  });

  it("makes teams and channels and adds members to them", async () => {
    const path = socket();
    if (!path) return expect(process.env.MATTERMOST_URL).toBeDefined();
    const bot = await world.bot("local", true);
    const name = unique("team");
    const body = { name, display_name: name, type: "O" };
    const team = JSON.parse((await local(path, "POST", "/teams", body)).text) as Json;
    const member = { team_id: team.id, user_id: bot.id };
    expect((await local(path, "POST", `/teams/${team.id}/members`, member)).status).toBe(201);
    const channel = { team_id: team.id, name: "work", display_name: "Work", type: "P" };
    const made = JSON.parse((await local(path, "POST", "/channels", channel)).text) as Json;
    const added = await local(path, "POST", `/channels/${made.id}/members`, { user_id: bot.id });
    expect(added.status).toBe(201);
    expect(await bot.get(`/channels/${made.id}`)).toMatchObject({ name: "work" });
  });
});
