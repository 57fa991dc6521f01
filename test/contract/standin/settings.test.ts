import { once } from "node:events";
import { stat } from "node:fs/promises";
import { connect } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { request } from "../../../services/common/http.ts";
import { parseDataSource } from "../../../services/mattermost-standin/store/data-source.ts";
import { Caller, expectError, type Json } from "../support/api.ts";
import { type Postgres, startOwnPostgres } from "../support/postgres.ts";
import { local, startStandin } from "../support/server.ts";
import { Stream } from "../support/stream.ts";

/** The stand-in alone, with settings that a shared server cannot take, and what it keeps. */
let postgres: Postgres;
let standin: Awaited<ReturnType<typeof startStandin>>;
beforeAll(async () => {
  postgres = await startOwnPostgres();
  standin = await startStandin(postgres, {
    MM_TEAMSETTINGS_ENABLEUSERCREATION: "true",
    MM_EMAILSETTINGS_ENABLESIGNUPWITHEMAIL: "true",
    MM_SERVICESETTINGS_ENABLEBOTACCOUNTCREATION: "false",
    MM_SERVICESETTINGS_SITEURL: "http://chat.example:8065/",
  });
  await standin.server.ready;
});
afterAll(async () => {
  await standin?.stop();
  await postgres?.remove();
});

const password = "Correct1!horse";
const person = (username: string) => ({ username, email: `${username}@example.org`, password });
let admin: Caller;

async function enter(login_id: string, secret = password): Promise<Caller> {
  const anyone = new Caller(standin.url);
  const body = { login_id, password: secret };
  const reply = await anyone.call("POST", "/users/login", body);
  if (reply.status !== 200) throw new Error(String(reply.body.id));
  return new Caller(standin.url, String(reply.headers.get("token")), String(reply.body.id));
}

describe("sign-up switched on", () => {
  it("the first account is the administrator, the next stranger is refused", async () => {
    const anyone = new Caller(standin.url);
    const first = await anyone.call("POST", "/users", person("first"));
    expect(first).toMatchObject({ status: 201, body: { roles: "system_admin system_user" } });
    const second = await anyone.call("POST", "/users", person("second"));
    expectError(second, 403, "api.user.create_user.no_open_server");
    admin = await enter("first");
  });

  it("bots are refused while their creation is off", async () => {
    const reply = await admin.call("POST", "/bots", { username: "lal" });
    expectError(reply, 403, "api.bot.create_disabled");
  });

  it("an address logs in as well as a name", async () => {
    expect((await enter("first@example.org")).id).toBe(admin.id);
  });
});

describe("the local-mode socket", () => {
  it("is for its owner alone", async () => {
    expect((await stat(standin.localSocket)).mode & 0o777).toBe(0o600);
  });

  it("has no way to delete every user", async () => {
    const reply = await local(standin.localSocket, "DELETE", "/users");
    expect(reply.status).toBe(404);
    expect(await admin.get("/users/me")).toMatchObject({ id: admin.id });
  });

  it("has neither the page nor posts nor log-ins", async () => {
    const socket = standin.localSocket;
    expect((await local(socket, "POST", "/posts", {})).status).toBe(404);
    expect((await local(socket, "POST", "/users/login", {})).status).toBe(404);
  });
});

describe("origins", () => {
  const opens = (origin: string) =>
    new Stream(standin.url, { token: admin.token, origin }).opened().then(
      () => true,
      () => false,
    );

  it("a page of SiteURL gets a stream, one of another address not", async () => {
    expect(await opens("http://chat.example:8065")).toBe(true);
    expect(await opens(standin.url)).toBe(false);
  });
});

describe("what is kept of secrets", () => {
  it("passwords are salted hashes, sessions and tokens are hashes", async () => {
    const made = await local(standin.localSocket, "POST", "/users", person("keeper"));
    const user = JSON.parse(made.text) as Json;
    const session = await enter("keeper");
    await local(standin.localSocket, "POST", `/users/${user.id}/convert_to_bot`);
    const path = `/users/${user.id}/tokens`;
    const token = await local(standin.localSocket, "POST", path, { description: "t" });
    const secret = String((JSON.parse(token.text) as Json).token);
    const source = parseDataSource(postgres.dataSource, "test");
    const client = new pg.Client(source);
    await client.connect();
    const tables = await client.query<{ name: string }>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'berth_standin'",
    );
    expect(tables.rows.length).toBeGreaterThan(8);
    for (const { name } of tables.rows) {
      const { rows } = await client.query(`SELECT t::text AS row FROM berth_standin.${name} t`);
      const dump = JSON.stringify(rows);
      for (const hidden of [password, secret, session.token, admin.token])
        expect(dump.includes(hidden), name).toBe(false);
    }
    await client.end();
  });

  it("ten wrong passwords close an account until an administrator opens it", async () => {
    await local(standin.localSocket, "POST", "/users", person("guessed"));
    for (let n = 0; n < 10; n++)
      await expect(enter("guessed", "wrong")).rejects.toThrow("invalid_credentials");
    await expect(enter("guessed")).rejects.toThrow("too_many");
    const user = await admin.get("/users/username/guessed");
    await admin.post(`/users/${user.id}/reset_failed_attempts`);
    expect((await enter("guessed")).id).toBe(user.id);
  });
});

describe("the web page", () => {
  it("allows nothing but its own script and style", async () => {
    const answer = await fetch(standin.url);
    const html = await answer.text();
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(html).not.toMatch(/ on[a-z]+=|style=|<script>|<style>/);
    for (const file of ["/page.js", "/page.css"]) {
      expect(html).toContain(`"${file}"`);
      expect((await fetch(`${standin.url}${file}`)).status).toBe(200);
    }
  });

  it("has what tests and screen readers find it by", async () => {
    const html = await (await fetch(standin.url)).text();
    const ids = ["login-name", "login-password", "login-button", "channels", "messages"];
    for (const id of [...ids, "message-input", "send-button"]) expect(html).toContain(`id="${id}"`);
    for (const id of ["login-name", "login-password", "message-input", "direct-name"])
      expect(html).toContain(`for="${id}"`);
  });
});

describe("odd requests", () => {
  it.each(["//", "/%zz", "/api/v4//", "/api/v4/users/%zz", "/api/v4/users/me/"])(
    "%s is answered and ends nothing",
    async (path) => {
      const url = new URL(standin.url);
      const answer = await request({ host: url.hostname, port: Number(url.port) }, { path });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
    },
  );

  it("an upgrade of such a path is refused and ends nothing", async () => {
    const url = new URL(standin.url);
    const socket = connect(Number(url.port), url.hostname);
    const lines = ["GET // HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket"];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1.1 404 /);
    socket.destroy();
    expect((await fetch(`${standin.url}/api/v4/system/ping`)).status).toBe(200);
  });

  it("a body over the limit is refused", async () => {
    const body = JSON.stringify({ login_id: "x".repeat(3 * 1024 * 1024) });
    const answer = await fetch(`${standin.url}/api/v4/users/login`, { method: "POST", body });
    expect(answer.status).toBe(413);
  });

  it("a NUL in a text is a bad request, not a failure", async () => {
    const name = `/users/username/${encodeURIComponent("a\0b")}`;
    expectError(await admin.call("GET", name), 400, "api.context.invalid_body_param.app_error");
  });
});
