import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Harness, startHarness } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  await checkInvariants(harness);
  await harness.close();
});

const message = (text: string) => (JSON.parse(text) as { message: string }).message;

describe("the Engine's failures", () => {
  it("down: 503 in plain words", async () => {
    await harness.engine.close();
    for (const path of ["/_ping", "/containers/json", "/containers/berth-dev-lal/json"]) {
      const answer = await harness.ask(path);
      expect([answer.status, message(answer.text)]).toEqual([
        503,
        expect.stringMatching(/the Engine does not answer \[engine-down\]/),
      ]);
    }
    await expect(harness.proxy.healthy()).rejects.toThrow("does not answer");
  });

  it.each([
    [500, '{"message":"canary"}', 500, "engine-refused"],
    [409, '{"message":"canary"}', 409, "engine-conflict"],
    [404, '{"message":"canary"}', 404, "not-found"],
    [301, "canary", 502, "engine-answer"],
    [200, "canary", 502, "engine-answer"],
    [200, `["${"x".repeat(9 * 1024 * 1024)}"]`, 502, "engine-answer"],
  ])("an answer %i %#: mapped, never passed on", async (status, body, mapped, rule) => {
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/containers/json?all")) return false;
      response.writeHead(status, { location: "http://elsewhere/" });
      response.end(body);
      return true;
    };
    const answer = await harness.ask("/containers/json");
    expect(answer.status).toBe(mapped);
    expect(answer.text).toContain(`[${rule}]`);
    expect(answer.text).not.toContain("canary");
  });

  it("a known cause of a failing start is told in our own words", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }, response) => {
      if (!path.endsWith("/start")) return false;
      response.writeHead(500);
      response.end('{"message":"exec: \\"/canary\\": executable file not found in $PATH"}');
      return true;
    };
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect(message(answer.text)).toContain("the image does not hold the program that it is to run");
    expect(answer.text).not.toContain("canary");
  });

  it("an upgrade that the Engine offers is not taken", async () => {
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/containers/json?all")) return false;
      response.socket?.end(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
      );
      return true;
    };
    expect((await harness.ask("/containers/json")).status).toBe(502);
  });

  it("a broken-off answer to wait does not look like an exit", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/wait")) return false;
      response.writeHead(200);
      response.flushHeaders();
      setTimeout(() => response.destroy(), 20);
      return true;
    };
    const answer = await open("/containers/berth-dev-lal/wait", "POST");
    await expect(textOf(answer)).rejects.toThrow();
  });

  it("A28: the watchdog gives up after so many failures in a row, so that the container restarts", async () => {
    const other = await startHarness({ watchdog: { everyMs: 20, failures: 3 } });
    await other.proxy.healthy();
    await other.engine.close();
    await expect(other.proxy.done).rejects.toThrow("3 times in a row");
    await other.close();
  });
});

function open(path: string, method = "GET", client?: string): Promise<http.IncomingMessage> {
  const where = client
    ? { socketPath: harness.socketOf(client) }
    : { host: "127.0.0.1", port: harness.port };
  return new Promise((resolve, reject) => {
    http
      .request({ ...where, path, method, agent: false }, resolve)
      .on("error", reject)
      .end();
  });
}

async function textOf(answer: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of answer as AsyncIterable<Buffer>) text += part.toString();
  return text;
}
