import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Caller, expectError, type Json, unique, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

let server: Server;
let world: World;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
});
afterAll(() => server?.stop());

const expired = "api.context.session_expired.app_error";
const denied = "api.context.permissions.app_error";
const noToken = "app.user_access_token.get_by_user.app_error";

describe("bots", () => {
  it("an administrator makes one; it belongs to him", async () => {
    const username = unique("bot");
    const bot = { username, display_name: "Lal", description: "an agent" };
    const reply = await world.admin.call("POST", "/bots", bot);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ ...bot, owner_id: world.admin.id, delete_at: 0 });
    const user = await world.admin.get(`/users/${reply.body.user_id}`);
    expect(user).toMatchObject({ username, is_bot: true, roles: "system_user" });
  });

  it("a new bot is in no team and greets its owner in a direct message", async () => {
    const bot = await world.bot("welcome", true);
    expect(await bot.get("/users/me/teams")).toEqual([]);
    const direct = await bot.post("/channels/direct", [bot.id, world.admin.id]);
    const { posts } = await bot.get<{ posts: Record<string, Json> }>(
      `/channels/${direct.id}/posts`,
    );
    expect(Object.values(posts)).toEqual([
      expect.objectContaining({ user_id: bot.id, type: "add_bot_teams_channels" }),
    ]);
  });

  it("neither bots nor members make bots", async () => {
    const [bot, ann] = [await world.bot(), await world.person()];
    expectError(await bot.call("POST", "/bots", { username: unique("x") }), 403, denied);
    expectError(await ann.call("POST", "/bots", { username: unique("x") }), 403, denied);
  });

  it("a name is taken once, and by a disabled bot too", async () => {
    const bot = await world.bot();
    const taken = "app.user.save.username_exists.app_error";
    const same = { username: bot.username };
    expectError(await world.admin.call("POST", "/bots", same), 400, taken);
    await world.admin.post(`/bots/${bot.id}/disable`);
    expectError(await world.admin.call("POST", "/bots", same), 400, taken);
  });

  it("a bot's name and texts change", async () => {
    const bot = await world.bot();
    const change = { display_name: "New", description: "other" };
    expect(await world.admin.put(`/bots/${bot.id}`, change)).toMatchObject(change);
    expect(await world.admin.get(`/bots/${bot.id}`)).toMatchObject({
      ...change,
      username: bot.username,
    });
  });

  it("a disabled bot is found only where asked, keeps its name, and its token is dead until it is enabled", async () => {
    const bot = await world.bot();
    const disabled = await world.admin.call("POST", `/bots/${bot.id}/disable`);
    expect(disabled.status).toBe(200);
    expect(Number(disabled.body.delete_at)).toBeGreaterThan(0);
    expectError(
      await world.admin.call("GET", `/bots/${bot.id}`),
      404,
      "store.sql_bot.get.missing.app_error",
    );
    const kept = await world.admin.get(`/bots/${bot.id}?include_deleted=true`);
    expect(kept.username).toBe(bot.username);
    expectError(await bot.call("GET", "/users/me"), 401, expired);
    expect(await world.admin.post(`/bots/${bot.id}/enable`)).toMatchObject({ delete_at: 0 });
    expect(await bot.get("/users/me")).toMatchObject({ id: bot.id });
  });

  it("bots are listed by page, disabled ones where asked", async () => {
    const bot = await world.bot();
    await world.admin.post(`/bots/${bot.id}/disable`);
    const has = async (query: string) => {
      for (let page = 0; page < 20; page++) {
        const bots = await world.admin.get<Json[]>(`/bots?per_page=200&page=${page}${query}`);
        if (bots.some((other) => other.user_id === bot.id)) return true;
        if (bots.length === 0) return false;
      }
      return false;
    };
    expect(await has("")).toBe(false);
    expect(await has("&include_deleted=true")).toBe(true);
  });

  it("another owner is assigned", async () => {
    const [bot, ann] = [await world.bot(), await world.person()];
    const changed = await world.admin.post(`/bots/${bot.id}/assign/${ann.id}`);
    expect(changed.owner_id).toBe(ann.id);
  });

  it("a bot cannot log in with a password", async () => {
    const bot = await world.bot();
    const body = { login_id: bot.username, password: "anything at all" };
    expect((await new Caller(server.url).call("POST", "/users/login", body)).status).toBe(401);
  });
});

describe("access tokens", () => {
  it("is minted with 200, shown once, and opens the API", async () => {
    const bot = await world.bot();
    const reply = await world.admin.call("POST", `/users/${bot.id}/tokens`, {
      description: "dev/lal/2",
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({
      user_id: bot.id,
      description: "dev/lal/2",
      is_active: true,
    });
    expect(reply.body.token).toMatch(/^[a-z0-9]{26}$/);
    const caller = new Caller(server.url, String(reply.body.token));
    expect(await caller.get("/users/me")).toMatchObject({ id: bot.id });
    const shown = await world.admin.get(`/users/tokens/${reply.body.id}`);
    expect(shown).toMatchObject({ id: reply.body.id, description: "dev/lal/2" });
    expect(shown.token ?? "").toBe("");
  });

  it("needs a description", async () => {
    const bot = await world.bot();
    expectError(
      await world.admin.call("POST", `/users/${bot.id}/tokens`, {}),
      400,
      "api.context.invalid_body_param.app_error",
    );
  });

  it("is not for people while that is off", async () => {
    const ann = await world.person();
    const body = { description: "mine" };
    expectError(
      await world.admin.call("POST", `/users/${ann.id}/tokens`, body),
      501,
      "app.user_access_token.disabled",
    );
  });

  it("a bot mints none, not even for itself", async () => {
    const bot = await world.bot();
    const body = { description: "more" };
    expectError(await bot.call("POST", `/users/${bot.id}/tokens`, body), 403, denied);
  });

  it("a user's tokens are listed without their secrets", async () => {
    const bot = await world.bot();
    await world.admin.post(`/users/${bot.id}/tokens`, { description: "second" });
    const tokens = await world.admin.get<Json[]>(`/users/${bot.id}/tokens?per_page=200`);
    expect(tokens.map((token) => token.description).sort()).toEqual(["contract", "second"]);
    expect(tokens.every((token) => (token.token ?? "") === "")).toBe(true);
  });

  it("a revoked token is dead at once, and gone", async () => {
    const bot = await world.bot();
    const body = { token_id: bot.tokenId };
    expect(await world.admin.post("/users/tokens/revoke", body)).toEqual({ status: "OK" });
    expectError(await bot.call("GET", "/users/me"), 401, expired);
    expectError(await world.admin.call("GET", `/users/tokens/${bot.tokenId}`), 404, noToken);
  });

  it("a disabled token is dead until it is enabled", async () => {
    const bot = await world.bot();
    const body = { token_id: bot.tokenId };
    expect(await world.admin.post("/users/tokens/disable", body)).toEqual({ status: "OK" });
    expectError(await bot.call("GET", "/users/me"), 401, expired);
    expect(await world.admin.post("/users/tokens/enable", body)).toEqual({ status: "OK" });
    expect(await bot.get("/users/me")).toMatchObject({ id: bot.id });
  });
});
