import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectError, type Json, type Thing, unique, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

let server: Server;
let world: World;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
});
afterAll(() => server?.stop());

const denied = "api.context.permissions.app_error";
const noMember = "app.team.get_member.missing.app_error";

async function newTeam(type: "O" | "I" = "O"): Promise<Thing> {
  const name = unique("team");
  return world.admin.post<Thing & Json>("/teams", { name, display_name: name, type });
}

describe("teams", () => {
  it("is made with 201 and found by its name", async () => {
    const name = unique("team");
    const body = { name, display_name: "The Team", type: "I" };
    const reply = await world.admin.call("POST", "/teams", body);
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ ...body, delete_at: 0 });
    expect(await world.admin.get(`/teams/name/${name}`)).toMatchObject({ id: reply.body.id });
    expect(await world.admin.get(`/teams/${reply.body.id}`)).toMatchObject({ name });
  });

  it("a name that no team has is 404", async () => {
    const reply = await world.admin.call("GET", `/teams/name/${unique("none")}`);
    expectError(reply, 404, "app.team.get_by_name.missing.app_error");
  });

  it("has town-square and off-topic from the start, and its maker in them", async () => {
    const team = await newTeam();
    const own = await world.admin.get<Json[]>(`/users/me/teams/${team.id}/channels`);
    const names = own.filter((channel) => channel.team_id === team.id).map((c) => c.name);
    expect(names.sort()).toEqual(["off-topic", "town-square"]);
  });

  it("an archived team keeps its name and comes back", async () => {
    const team = await newTeam();
    expect(await world.admin.delete(`/teams/${team.id}`)).toEqual({ status: "OK" });
    const again = { name: team.name, display_name: "again", type: "O" };
    expect((await world.admin.call("POST", "/teams", again)).status).toBe(400);
    const mine = await world.admin.get<Json[]>("/users/me/teams");
    expect(mine.some((other) => other.id === team.id)).toBe(false);
    expect(await world.admin.post(`/teams/${team.id}/restore`)).toMatchObject({ delete_at: 0 });
  });

  it("its texts change", async () => {
    const team = await newTeam();
    const change = { display_name: "Other", description: "for tests" };
    expect(await world.admin.put(`/teams/${team.id}/patch`, change)).toMatchObject(change);
  });

  it("a closed team is not for those outside it", async () => {
    const team = await newTeam("I");
    const bot = await world.bot();
    expectError(await bot.call("GET", `/teams/${team.id}`), 403, denied);
    expectError(await bot.call("GET", `/teams/${team.id}/members`), 403, denied);
    expectError(await bot.call("PUT", `/teams/${team.id}/patch`, {}), 403, denied);
  });
});

describe("members of a team", () => {
  it("is added with 201, found, and in the team's first channels", async () => {
    const bot = await world.bot("member", true);
    const reply = await world.admin.call("POST", `/teams/${world.team.id}/members`, {
      team_id: world.team.id,
      user_id: bot.id,
    });
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ team_id: world.team.id, user_id: bot.id, delete_at: 0 });
    const found = await world.admin.get(`/teams/${world.team.id}/members/${bot.id}`);
    expect(found).toMatchObject({ user_id: bot.id, delete_at: 0 });
    const teams = await bot.get<Json[]>("/users/me/teams");
    expect(teams.map((team) => team.id)).toEqual([world.team.id]);
    const channels = await bot.get<Json[]>(`/users/${bot.id}/channels`);
    expect(channels.map((channel) => channel.name)).toContain("town-square");
  });

  it("who never was a member is 404", async () => {
    const bot = await world.bot("outside", true);
    const path = `/teams/${world.team.id}/members/${bot.id}`;
    expectError(await world.admin.call("GET", path), 404, noMember);
  });

  it("adding someone twice is no error", async () => {
    const bot = await world.bot();
    const body = { team_id: world.team.id, user_id: bot.id };
    const again = await world.admin.call("POST", `/teams/${world.team.id}/members`, body);
    expect(again.status).toBe(201);
  });

  it("someone outside cannot add himself to a closed team", async () => {
    const bot = await world.bot("outside", true);
    const body = { team_id: world.team.id, user_id: bot.id };
    expectError(await bot.call("POST", `/teams/${world.team.id}/members`, body), 403, denied);
  });

  it("a removed member is out of the team and of its channels", async () => {
    const bot = await world.bot();
    expect(await world.admin.delete(`/teams/${world.team.id}/members/${bot.id}`)).toEqual({
      status: "OK",
    });
    expect(await bot.get("/users/me/teams")).toEqual([]);
    const path = `/channels/${world.townSquare.id}/posts`;
    expectError(await bot.call("GET", path), 403, denied);
  });

  it("a team takes no more members than MaxUsersPerTeam, and bots count", async () => {
    const config = await world.admin.get<Record<string, Json>>("/config");
    const most = Number(config.TeamSettings?.MaxUsersPerTeam);
    const team = await newTeam();
    const add = async () => {
      const bot = await world.admin.post("/bots", { username: unique("full") });
      const body = { team_id: team.id, user_id: bot.user_id };
      return world.admin.call("POST", `/teams/${team.id}/members`, body);
    };
    // The administrator who made the team is one.
    for (let members = 1; members < most; members++) expect((await add()).status).toBe(201);
    expectError(await add(), 400, "app.team.join_user_to_team.max_accounts.app_error");
  });
});
