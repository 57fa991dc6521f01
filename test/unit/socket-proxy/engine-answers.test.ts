import net from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Engine } from "../../../services/socket-proxy/engine.ts";
import { denialOf } from "../../../services/socket-proxy/engine-error.ts";
import { listContainers } from "../../../services/socket-proxy/upstream.ts";
import { unhurriedGrants } from "./clients.ts";
import { eventually, type Harness, startHarness } from "./harness.ts";
import { checkInvariants, settled } from "./invariants.ts";
import { ruleOf } from "./raw.ts";
import { review } from "./templates.ts";

/** Text of the Engine's that no client may ever see. */
const canary = "canary: /var/lib/docker of another stack";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ grants: unhurriedGrants() });
  harness.agent({
    network: "mattermost",
    templates: { review: { ...review, instances: { max: 64, timeoutSeconds: 300 } } },
  });
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(async () => {
  harness.engine.intercept = undefined;
  await checkInvariants(harness);
});

/** Answers every request whose line fits with these bytes, and then ends the connection. */
function answerRaw(line: RegExp, bytes: string | Buffer): { count: number } {
  const seen = { count: 0 };
  harness.engine.intercept = ({ method, path }, response) => {
    if (!line.test(`${method} ${path}`)) return false;
    seen.count += 1;
    response.socket?.end(bytes);
    return true;
  };
  return seen;
}

const list = /containers\/json\?all=1&filters=%7B%22label%22%3A%5B%22berth.stack%3Ddev%22%5D%7D$/;
const http = (head: string, body: string | Buffer = "", ...more: string[]) =>
  Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${head}\r\n${[...more, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n`,
    ),
    Buffer.from(body),
  ]);

describe("T1: what the Engine answers is mapped to fixed words, and none of its text passed on", () => {
  const raw: readonly (readonly [string, string | Buffer, number, string])[] = [
    ["no byte", "", 503, "engine-down"],
    ["no HTTP", `${canary}\r\n\r\n`, 502, "engine-answer"],
    ["a broken status line", `HTTP/1.1 abc ${canary}\r\n\r\n`, 502, "engine-answer"],
    ["a status of two digits", `HTTP/1.1 20 ${canary}\r\n\r\n`, 502, "engine-answer"],
    ["another protocol", `ICY 200 OK\r\n\r\n[]`, 502, "engine-answer"],
    [
      "a header without a colon",
      `HTTP/1.1 200 OK\r\n${canary.slice(0, 6)}\r\n\r\n[]`,
      502,
      "engine-answer",
    ],
    [
      "a folded header",
      `HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n[]`,
      502,
      "engine-answer",
    ],
    [
      "two lengths",
      `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n[]`,
      502,
      "engine-answer",
    ],
    [
      "a length and chunks",
      `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n`,
      502,
      "engine-answer",
    ],
    [
      "headers that never end",
      `HTTP/1.1 200 OK\r\n${"X: canary\r\n".repeat(100_000)}`,
      502,
      "engine-answer",
    ],
    [
      "one header that never ends",
      `HTTP/1.1 200 OK\r\nX: ${"a".repeat(1024 * 1024)}`,
      502,
      "engine-answer",
    ],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-", 503, "engine-down"],
    ["half a body", 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{"Id":', 503, "engine-down"],
    [
      "half a chunk",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[{",
      503,
      "engine-down",
    ],
    [
      "a broken chunk",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[]\r\n",
      502,
      "engine-answer",
    ],
    ["half a JSON", http("200 OK", '[{"Id":'), 502, "engine-answer"],
    ["no JSON", http("200 OK", canary), 502, "engine-answer"],
    ["nothing", http("200 OK"), 502, "engine-answer"],
    ["204", http("204 No Content"), 502, "engine-answer"],
    ["304", http("304 Not Modified"), 502, "engine-answer"],
    [
      "a packed JSON",
      http("200 OK", gzipSync("[]"), "Content-Encoding: gzip"),
      502,
      "engine-answer",
    ],
    ["an object for a list", http("200 OK", `{"message":"${canary}"}`), 502, "engine-answer"],
    ["null for a list", http("200 OK", "null"), 502, "engine-answer"],
    ["a text for a list", http("200 OK", `"${canary}"`), 502, "engine-answer"],
    ["9 MiB", http("200 OK", `["${"x".repeat(9 * 1024 * 1024)}"]`), 502, "engine-answer"],
    [
      "101",
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n${canary}`,
      502,
      "engine-answer",
    ],
    [
      "101 to h2c",
      "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI *",
      502,
      "engine-answer",
    ],
    ...[300, 301, 302, 303, 307, 308].map(
      (status) =>
        [
          String(status),
          http(`${status} Moved`, canary, "Location: http://docker/v1.41/containers/json"),
          502,
          "engine-answer",
        ] as const,
    ),
    ["400", http("400 Bad", canary), 500, "engine-refused"],
    ["401", http("401 Who", canary, "WWW-Authenticate: Basic realm=canary"), 500, "engine-refused"],
    ["403", http("403 No", `{"message":"${canary}"}`), 500, "engine-refused"],
    ["404", http("404 Not Found", `{"message":"${canary}"}`), 404, "not-found"],
    ["409", http("409 Conflict", `{"message":"${canary}"}`), 409, "engine-conflict"],
    ["429", http("429 Slow", canary, "Retry-After: 5"), 500, "engine-refused"],
    ["500", http("500 Oops", `{"message":"${canary}"}`), 500, "engine-refused"],
    ["503", http("503 Later", canary), 500, "engine-refused"],
    ["599", http("599 X", canary), 500, "engine-refused"],
    ["600", http("600 X", canary), 502, "engine-answer"],
    ["999", http("999 X", canary), 502, "engine-answer"],
  ];
  it.each(raw)("T1: %s", async (_title, bytes, status, rule) => {
    const seen = answerRaw(list, bytes);
    const answer = await harness.ask("/containers/json?all=1");
    expect([answer.status, ruleOf(answer.text)]).toEqual([status, rule]);
    expect(JSON.stringify([answer.text, answer.headers])).not.toMatch(
      /canary|docker|www-auth|retry/i,
    );
    // Asked once; what broke on a connection that had served before may be asked once more.
    expect(seen.count).toBeLessThanOrEqual(2);
  });

  const calls: readonly (readonly [string, string, RegExp, object | undefined])[] = [
    ["GET", "/_ping", /_ping$/, undefined],
    ["GET", "/containers/berth-dev-lal/json", /[0-9a-f]{64}\/json$/, undefined],
    ["POST", "/containers/berth-dev-lal/start", /\/start$/, undefined],
    ["POST", "/containers/berth-dev-lal/stop", /\/stop\?/, undefined],
    ["POST", "/containers/berth-dev-lal/wait", /\/wait\?/, undefined],
    ["GET", "/containers/berth-dev-lal/logs?stdout=1", /\/logs\?/, undefined],
    ["GET", "/containers/berth-dev-lal/stats?stream=0", /\/stats\?/, undefined],
    ["GET", "/images/localhost/berth/node:0123456789ab/json", /\/images\//, undefined],
    ["GET", "/networks/berth-dev-mattermost-net", /\/networks\//, undefined],
    ["GET", "/berth/declarations", /\/volumes\?/, undefined],
    [
      "POST",
      "/berth/instances",
      /\/create\?/,
      { template: "lal.review", instance: "e1", parameters: { TASK_ID: "7" } },
    ],
  ];
  it.each(calls)(
    "T10: %s %s tells nothing of an Engine that refuses or lies",
    async (method, path, line, body) => {
      for (const [status, mapped] of [
        [301, 502],
        [400, 500],
        [404, 404],
        [409, 409],
        [500, 500],
        [503, 500],
        [700, 502],
      ] as const) {
        answerRaw(line, http(`${status} X`, `{"message":"${canary}","Id":"${canary}"}`));
        const answer = await harness.ask(path, method, undefined, body);
        expect([status, answer.status]).toEqual([status, mapped]);
        expect(JSON.stringify([answer.text, answer.headers])).not.toContain("canary");
      }
      answerRaw(line, `HTTP/1.1 101 X\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n${canary}`);
      expect((await harness.ask(path, method, undefined, body)).status).toBe(502);
      answerRaw(line, "");
      expect((await harness.ask(path, method, undefined, body)).status).toBe(503);
      expect(harness.engine.containers.size).toBe(1);
    },
  );

  it("T1: a few words of an answer yet to come are skipped, and a flood of them is no answer", async () => {
    const early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: canary\r\n\r\n";
    answerRaw(list, Buffer.concat([Buffer.from(early.repeat(3)), http("200 OK", "[]")]));
    const answer = await harness.ask("/containers/json?all=1");
    expect([answer.status, answer.text]).toEqual([200, "[]\n"]);
    answerRaw(list, Buffer.concat([Buffer.from(early.repeat(500)), http("200 OK", "[]")]));
    expect((await harness.ask("/containers/json?all=1")).status).toBe(502);

    const flood = net.createServer((socket) => {
      const more = () => {
        while (!socket.destroyed) if (!socket.write(early)) return void socket.once("drain", more);
      };
      socket.on("error", () => undefined);
      more();
    });
    const path = `${harness.engineSocket}.flood`;
    await new Promise<void>((resolve) => flood.listen(path, resolve));
    const asked = new Engine(path).json(listContainers("dev"), { deadlineMs: 200 });
    const denial = denialOf(await asked.catch((error: unknown) => error));
    // What comes before the question closes the connection; what comes after it is no answer.
    expect(["engine-answer", "engine-down"]).toContain(denial.rule);
    await new Promise((resolve) => flood.close(resolve));
  });

  it("T1: an answer without end is cut off at 8 MiB, and the Engine's connection with it", async () => {
    let ended = false;
    harness.engine.intercept = ({ path }, response) => {
      if (!list.test(path)) return false;
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed) {
          if (!response.write(Buffer.alloc(65_536, " "))) return void response.once("drain", more);
        }
      };
      response.on("close", () => {
        ended = true;
      });
      more();
      return true;
    };
    const answer = await harness.ask("/containers/json?all=1");
    expect([answer.status, ruleOf(answer.text)]).toEqual([502, "engine-answer"]);
    await eventually(() => ended);
  });

  it("T1: an Engine that says nothing in time: 504", async () => {
    harness.engine.intercept = ({ path }) => list.test(path);
    const asked = new Engine(harness.engineSocket).json(listContainers("dev"), { deadlineMs: 50 });
    const denial = denialOf(await asked.catch((error: unknown) => error));
    expect([denial.status, denial.rule]).toEqual([504, "engine-late"]);
  });

  it("T1: a list of volumes that is none ends nobody's lease", async () => {
    const made = await harness.ask("/berth/instances", "POST", undefined, {
      template: "lal.review",
      instance: "kept",
      parameters: { TASK_ID: "7" },
    });
    expect(made.status).toBe(201);
    for (const body of ["{}", "[]", "null", '{"Volumes":{}}', '"none"']) {
      answerRaw(/\/volumes\?/, http("200 OK", body));
      expect((await harness.ask("/berth/declarations")).status).toBe(502);
    }
    harness.engine.intercept = undefined;
    const listed = JSON.parse((await harness.ask("/berth/declarations")).text) as unknown[];
    expect([listed.length, harness.engine.containers.size]).toEqual([1, 2]);
  });
});
