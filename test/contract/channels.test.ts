import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectError, type Json, unique, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

let server: Server;
let world: World;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
});
afterAll(() => server?.stop());

const denied = "api.context.permissions.app_error";
const noName = "app.channel.get_by_name.missing.app_error";

describe("channels", () => {
  it("is made with 201 and found by id and by name", async () => {
    const name = unique("channel");
    const body = { team_id: world.team.id, name, display_name: "A Channel", type: "O" };
    const reply = await world.admin.call("POST", "/channels", body);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ ...body, delete_at: 0 });
    const path = `/teams/${world.team.id}/channels/name/${name}`;
    expect(await world.admin.get(path)).toMatchObject({ id: reply.body.id });
    expect(await world.admin.get(`/channels/${reply.body.id}`)).toMatchObject({ name });
  });

  it("a name that no channel has is 404", async () => {
    const path = `/teams/${world.team.id}/channels/name/${unique("none")}`;
    expectError(await world.admin.call("GET", path), 404, noName);
  });

  it("an archived channel keeps its name, is found only where asked, and comes back", async () => {
    const channel = await world.channel("O");
    expect(await world.admin.delete(`/channels/${channel.id}`)).toEqual({ status: "OK" });
    const path = `/teams/${world.team.id}/channels/name/${channel.name}`;
    expectError(await world.admin.call("GET", path), 404, noName);
    const found = await world.admin.get(`${path}?include_deleted=true`);
    expect(Number(found.delete_at)).toBeGreaterThan(0);
    const again = { team_id: world.team.id, name: channel.name, display_name: "x", type: "O" };
    expect((await world.admin.call("POST", "/channels", again)).status).toBe(400);
    await world.admin.post(`/channels/${channel.id}/restore`);
    expect(await world.admin.get(path)).toMatchObject({ id: channel.id, delete_at: 0 });
  });

  it("town-square cannot be archived, nor left", async () => {
    const reply = await world.admin.call("DELETE", `/channels/${world.townSquare.id}`);
    expect(reply.status).toBe(400);
    const bot = await world.bot();
    const path = `/channels/${world.townSquare.id}/members/${bot.id}`;
    expect((await bot.call("DELETE", path)).status).toBe(400);
  });

  it("its texts and its privacy change", async () => {
    const channel = await world.channel("O");
    const change = { display_name: "Other", header: "h", purpose: "p" };
    expect(await world.admin.put(`/channels/${channel.id}/patch`, change)).toMatchObject(change);
    const closed = await world.admin.put(`/channels/${channel.id}/privacy`, { privacy: "P" });
    expect(closed.type).toBe("P");
  });

  it("a private channel is not there for others", async () => {
    const channel = await world.channel("P");
    const bot = await world.bot();
    expectError(await bot.call("GET", `/channels/${channel.id}`), 403, denied);
    expectError(await bot.call("GET", `/channels/${channel.id}/posts`), 403, denied);
    expectError(await bot.call("GET", `/channels/${channel.id}/members`), 403, denied);
    const path = `/teams/${world.team.id}/channels/name/${channel.name}`;
    expectError(await bot.call("GET", path), 404, noName);
    const names = (await bot.get<Json[]>("/users/me/channels")).map((other) => other.name);
    expect(names).not.toContain(channel.name);
  });

  it("an open channel is not for those outside the team", async () => {
    const channel = await world.channel("O");
    const bot = await world.bot("outside", true);
    expectError(await bot.call("GET", `/channels/${channel.id}`), 403, denied);
    expectError(await bot.call("GET", `/channels/${channel.id}/posts`), 403, denied);
  });
});

describe("members of a channel", () => {
  it("is added with 201 and found; adding twice is no error", async () => {
    const bot = await world.bot();
    const channel = await world.channel("P");
    const path = `/channels/${channel.id}/members`;
    const reply = await world.admin.call("POST", path, { user_id: bot.id });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ channel_id: channel.id, user_id: bot.id });
    expect((await world.admin.call("POST", path, { user_id: bot.id })).status).toBe(201);
    expect(await world.admin.get(`${path}/${bot.id}`)).toMatchObject({ user_id: bot.id });
    const members = await world.admin.get<Json[]>(path);
    expect(members.map((member) => member.user_id).sort()).toEqual([bot.id, world.admin.id].sort());
  });

  it("who is none is 404", async () => {
    const channel = await world.channel("P");
    const bot = await world.bot();
    const reply = await world.admin.call("GET", `/channels/${channel.id}/members/${bot.id}`);
    expectError(reply, 404, "app.channel.get_member.missing.app_error");
  });

  it("the team comes first", async () => {
    const channel = await world.channel("O");
    const bot = await world.bot("outside", true);
    const body = { user_id: bot.id };
    const reply = await world.admin.call("POST", `/channels/${channel.id}/members`, body);
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.status).toBeLessThan(500);
  });

  it("someone of the team joins an open channel himself, a private one not", async () => {
    const bot = await world.bot();
    const [open, closed] = [await world.channel("O"), await world.channel("P")];
    const body = { user_id: bot.id };
    expect((await bot.call("POST", `/channels/${open.id}/members`, body)).status).toBe(201);
    expectError(await bot.call("POST", `/channels/${closed.id}/members`, body), 403, denied);
  });

  it("a member leaves and no longer reads a private channel", async () => {
    const bot = await world.bot();
    const channel = await world.channel("P", bot);
    expect(await bot.delete(`/channels/${channel.id}/members/${bot.id}`)).toEqual({
      status: "OK",
    });
    expectError(await bot.call("GET", `/channels/${channel.id}/posts`), 403, denied);
  });

  it("a body without a user is 400", async () => {
    const channel = await world.channel("O");
    expectError(
      await world.admin.call("POST", `/channels/${channel.id}/members`, {}),
      400,
      "api.context.invalid_body_param.app_error",
    );
  });
});

describe("direct channels", () => {
  it("is the same from both sides, and made with 201", async () => {
    const [ann, bot] = [await world.person(), await world.bot()];
    const reply = await ann.call("POST", "/channels/direct", [ann.id, bot.id]);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ type: "D", team_id: "" });
    expect(reply.body.name).toBe([ann.id, bot.id].sort().join("__"));
    const back = await bot.post("/channels/direct", [bot.id, ann.id]);
    expect(back.id).toBe(reply.body.id);
  });

  it("needs two users, and the caller among them", async () => {
    const [ann, bob, bot] = [await world.person(), await world.person(), await world.bot()];
    expectError(
      await ann.call("POST", "/channels/direct", [ann.id]),
      400,
      "api.context.invalid_body_param.app_error",
    );
    expectError(await ann.call("POST", "/channels/direct", [bob.id, bot.id]), 403, denied);
  });

  it("is closed to everyone else", async () => {
    const [ann, bob, bot] = [await world.person(), await world.person(), await world.bot()];
    const direct = await ann.post("/channels/direct", [ann.id, bot.id]);
    const post = await ann.post("/posts", { channel_id: direct.id, message: "between us" });
    expectError(await bob.call("GET", `/channels/${direct.id}/posts`), 403, denied);
    expectError(await bob.call("GET", `/posts/${post.id}`), 403, denied);
    const intrusion = { channel_id: direct.id, message: "hello" };
    expectError(await bob.call("POST", "/posts", intrusion), 403, denied);
    expect((await bot.get<{ order: string[] }>(`/channels/${direct.id}/posts`)).order).toContain(
      post.id,
    );
  });

  it("three people have a group channel", async () => {
    const [ann, bob, bot] = [await world.person(), await world.person(), await world.bot()];
    const group = await ann.post("/channels/group", [ann.id, bob.id, bot.id]);
    expect(group.type).toBe("G");
    const names = (await bot.get<Json[]>("/users/me/channels")).map((channel) => channel.id);
    expect(names).toContain(group.id);
  });
});
