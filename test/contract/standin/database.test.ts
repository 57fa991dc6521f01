import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Caller, expectError, type Json } from "../support/api.ts";
import { type Postgres, startOwnPostgres } from "../support/postgres.ts";
import { local, startStandin } from "../support/server.ts";
import { Stream } from "../support/stream.ts";

/** The stand-in alone, with a Postgres that comes and goes; a real server cannot be asked this. */
let postgres: Postgres;
let standin: Awaited<ReturnType<typeof startStandin>>;
let bot: Caller;
let channelId = "";
const anyone = () => new Caller(standin.url);

beforeAll(async () => {
  postgres = await startOwnPostgres();
  await postgres.stop();
  standin = await startStandin(postgres);
});
afterAll(async () => {
  await standin?.stop();
  await postgres?.remove();
});

async function over<T = Json>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await local(standin.localSocket, method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
  return JSON.parse(answer.text) as T;
}

describe("without a database", () => {
  it("B22: reports unhealthy with the database gone", async () => {
    expect((await anyone().call("GET", "/system/ping")).status).toBe(200);
    const reply = await anyone().call("GET", "/system/ping?get_server_status=true");
    expect(reply.status).toBe(500);
    expect(reply.body).toMatchObject({ status: "UNHEALTHY", database_status: "UNHEALTHY" });
    await expect(standin.server.check()).rejects.toThrow("Postgres");
  });

  it("stays 200 with use_rest_semantics, as clients ask for it", async () => {
    const path = "/system/ping?get_server_status=true&use_rest_semantics=true";
    const reply = await anyone().call("GET", path);
    expect(reply).toMatchObject({ status: 200, body: { status: "UNHEALTHY" } });
  });

  it("never calls a good token bad", async () => {
    const caller = new Caller(standin.url, "a".repeat(26));
    expectError(await caller.call("GET", "/users/me"), 503, "app.standin.database.app_error");
  });

  it("still serves its page", async () => {
    expect((await fetch(standin.url)).status).toBe(200);
  });
});

describe("a database that comes late", () => {
  it("is taken into use as soon as it answers", async () => {
    await postgres.start();
    await standin.server.ready;
    await standin.server.check();
    const ping = await anyone().get("/system/ping?get_server_status=true");
    expect(ping).toMatchObject({ status: "OK", database_status: "OK" });
  });
});

describe("a database that restarts", () => {
  beforeAll(async () => {
    const person = { username: "lal", email: "lal@example.org", password: "Pw1!lallal" };
    const user = await over("POST", "/users", person);
    await over("POST", `/users/${user.id}/convert_to_bot`);
    const token = await over("POST", `/users/${user.id}/tokens`, { description: "t" });
    const team = await over("POST", "/teams", { name: "berth", display_name: "B", type: "I" });
    const member = { team_id: team.id, user_id: user.id };
    await over("POST", `/teams/${team.id}/members`, member);
    const path = `/teams/${team.id}/channels/name/town-square`;
    channelId = String((await over("GET", path)).id);
    bot = new Caller(standin.url, String(token.token), String(user.id));
  });

  it("makes calls fail with 503 while it is away, and work again after", async () => {
    await bot.get("/users/me");
    await postgres.stop();
    expectError(await bot.call("GET", "/users/me"), 503, "app.standin.database.app_error");
    await expect(standin.server.check()).rejects.toThrow();
    await postgres.start();
    expect(await bot.get("/users/me")).toMatchObject({ id: bot.id });
    await standin.server.check();
  });

  it("leaves open streams open, and they hear what comes after", async () => {
    const stream = await Stream.open(standin.url, bot.token);
    await postgres.stop();
    await postgres.start();
    const sent = await bot.post("/posts", { channel_id: channelId, message: "after" });
    await stream.post("posted", (post) => post.id === sent.id);
    stream.close();
  });

  it("keeps what was written, and a second start migrates nothing twice", async () => {
    const second = await startStandin(postgres);
    await second.server.ready;
    const caller = new Caller(second.url, bot.token);
    const list = await caller.get<{ posts: Record<string, Json> }>(`/channels/${channelId}/posts`);
    const messages = Object.values(list.posts).map((post) => post.message);
    expect(messages).toContain("after");
    await second.stop();
  });
});
