import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Caller, expectError, type Json, World } from "./support/api.ts";
import { contractServer, type Server } from "./support/server.ts";

let server: Server;
let world: World;
beforeAll(async () => {
  server = await contractServer();
  world = await World.open(server);
});
afterAll(() => server?.stop());

describe("the server itself", () => {
  it("answers a ping without a credential", async () => {
    const reply = await new Caller(server.url).call("GET", "/system/ping");
    expect(reply.status).toBe(200);
    expect(reply.body.status).toBe("OK");
  });

  it("reports database and file store where asked", async () => {
    const ping = await new Caller(server.url).get("/system/ping?get_server_status=true");
    expect(ping).toMatchObject({ status: "OK", database_status: "OK", filestore_status: "OK" });
  });

  it("answers JSON with exactly that content type, a request id and a version", async () => {
    const { headers } = await world.admin.call("GET", "/users/me");
    expect(headers.get("content-type")).toBe("application/json");
    expect(headers.get("x-request-id")).toMatch(/^[a-z0-9]{26}$/);
    expect(headers.get("x-version-id")).toMatch(/^\d+\.\d+\.\d+\./);
  });

  it("answers 404 in its own error shape for a path it does not know", async () => {
    expectError(await world.admin.call("GET", "/no/such/path"), 404, "api.context.404.app_error");
  });

  it("shows its configuration to administrators only", async () => {
    const config = await world.admin.get<Record<string, Json>>("/config");
    expect(config.ServiceSettings?.EnableBotAccountCreation).toBe(true);
    expect(config.TeamSettings?.EnableUserCreation).toBe(false);
    const bot = await world.bot();
    expectError(await bot.call("GET", "/config"), 403, "api.context.permissions.app_error");
  });

  it("names the settings that came from its environment", async () => {
    const sections = await world.admin.get<Record<string, Json>>("/config/environment");
    expect(sections.ServiceSettings?.EnableBotAccountCreation).toBe(true);
    expect(sections.SqlSettings?.DataSource).toBe(true);
  });

  it("refuses a body that is no JSON", async () => {
    const answer = await fetch(`${server.url}/api/v4/posts`, {
      method: "POST",
      headers: { authorization: `Bearer ${world.admin.token}` },
      body: "{",
    });
    const body = (await answer.json()) as Json;
    expect({ status: answer.status, id: body.id }).toEqual({
      status: 400,
      id: "api.context.invalid_body_param.app_error",
    });
  });
});
