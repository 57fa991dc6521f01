import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { unhurriedGrants } from "./clients.ts";
import { engineRoutes, targetOf } from "./engine-routes.ts";
import { head, start } from "./framing-cases.ts";
import { type Harness, lalId, startHarness } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { exchange, RawClient, ruleOf } from "./raw.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ grants: unhurriedGrants() });
  harness.agent();
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

const own = [
  "POST /berth/instances",
  "GET /berth/declarations?watch=1",
  "GET /berth/alerts",
  "GET /berth/metrics",
  "GET /berth/audit",
];
/** What the verbs cannot do without. */
const queries: Readonly<Record<string, string>> = { logs: "?stdout=1", stats: "?stream=0" };
const routes = [
  ...engineRoutes.map((route) => {
    const target = targetOf(route);
    return `${route.method} ${target}${queries[target.split("/").at(-1) ?? ""] ?? ""}`;
  }),
  ...own,
];
const connections = ["Upgrade", "upgrade, close", "close, Upgrade", "keep-alive, upgrade"];

describe("gate A1: no connection changes its protocol", () => {
  it.each(["websocket", "h2c", "tcp"])(
    "T1: an upgrade to %s is refused on every route, denied ones too, and no byte behind it is read",
    async (protocol) => {
      expect(routes.length).toBeGreaterThan(114);
      const before = [upstream(harness).length, harness.audit.length];
      const wrong: string[] = [];
      let count = 0;
      for (const request of routes) {
        const tried = connections.map(async (connection) => {
          const lines = [`Connection: ${connection}`, `Upgrade: ${protocol}`, "HTTP2-Settings: x"];
          const bytes = `${head(request, ...lines)}\r\nraw bytes\r\n${head(start)}\r\n`;
          const client = new RawClient(harness.port).send(bytes);
          await client.until(() => client.closed);
          client.end();
          const { text } = client;
          const isRight =
            text.startsWith("HTTP/1.1 403 ") &&
            text.split("HTTP/1.1 ").length === 2 &&
            (request.startsWith("HEAD")
              ? text.endsWith("\r\n\r\n")
              : /denied: .* \[(upgrade|verb|target)\]/.test(text));
          if (!isRight) wrong.push(`${request} ${connection}: ${text.slice(0, 300)}`);
        });
        count += tried.length;
        await Promise.all(tried);
      }
      expect(wrong).toEqual([]);
      const inspect = harness.engine.containers.get(lalId)?.inspect;
      expect(inspect).toMatchObject({ State: { Running: false } });
      expect([upstream(harness).length, harness.audit.length]).toEqual([
        before[0],
        (before[1] ?? 0) + count,
      ]);
    },
  );

  it.each([
    ["Upgrade without Connection", ["Upgrade: tcp"]],
    ["Connection without Upgrade", ["Connection: Upgrade"]],
    ["a list of protocols without Connection", ["Upgrade: h2c, websocket, tcp"]],
  ])("T1: %s asks for nothing: an ordinary request", async (_title, lines) => {
    const bytes = `${head("GET /containers/json", ...lines)}\r\n`;
    const { answers, text } = await exchange(harness.port, bytes);
    expect([answers.map(({ status }) => status), ruleOf(text)]).toEqual([[200], ""]);
    // None of it goes on: the Engine's request has its own headers.
    const names = harness.engine.recorded.flatMap(({ headers }) =>
      headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()),
    );
    expect(names).not.toContain("upgrade");
  });

  it("T1: an upgrade behind a request that is under way breaks the connection, and is not carried out", async () => {
    const upgrade = head(
      "POST /containers/berth-dev-lal/attach",
      "Connection: Upgrade",
      "Upgrade: tcp",
    );
    const client = new RawClient(harness.port).send(
      `${head("GET /containers/json")}\r\n${upgrade}\r\nraw bytes`,
    );
    expect(await client.until(() => client.closed)).toBe(true);
    expect(client.statuses.filter((status) => status !== 200)).toEqual([]);
  });

  it("T1: every method and form of CONNECT is refused", async () => {
    for (const target of [
      "docker:2375",
      "/containers/json",
      "*",
      "127.0.0.1:22",
      "/v1.41/session",
    ]) {
      const { answers, closed } = await exchange(
        harness.port,
        `CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n${head(start)}\r\n`,
        { moreMs: 2_000 },
      );
      expect([target, answers.map(({ status }) => status), closed]).toEqual([target, [403], true]);
    }
  });
});
