import type http from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createListener } from "../../../services/socket-proxy/transport.ts";
import { unhurriedGrants } from "./clients.ts";
import { create, exec, head, json, list, start } from "./framing-cases.ts";
import { eventually, type Harness, lalId, startHarness } from "./harness.ts";
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

const plain = (request: string, ...headers: string[]) => `${head(request, ...headers)}\r\n`;
const withBody = (request: string, body: string, ...headers: string[]) =>
  `${head(request, ...headers, `Content-Length: ${body.length}`)}\r\n${body}`;
const starts = () => upstream(harness).filter((request) => request.endsWith("/start")).length;
const isRunning = () => {
  const state = harness.engine.containers.get(lalId)?.inspect.State as { Running: boolean };
  return state.Running;
};
const stop = async () => {
  if (isRunning()) await harness.ask("/containers/berth-dev-lal/stop?t=0", "POST");
};

describe("T1: a refusal with a clean outer form keeps the connection, and what follows is judged by itself", () => {
  const refusals: [string, string, number, string][] = [
    ["a verb that does not exist", exec, 403, "verb"],
    ["a target of another form", "GET //containers/json", 403, "target"],
    ["a query key", "POST /containers/berth-dev-lal/start?checkpoint=x", 400, "query-key"],
    ["an API version", "GET /v1.99/containers/json", 400, "api-version"],
    ["a verb that is not granted", "POST /containers/berth-dev-lal/kill", 403, "grant"],
    ["an absent name", "GET /containers/berth-dev-none/json", 404, "not-found"],
    ["a foreign name", "POST /containers/evil/start", 404, "not-found"],
  ];
  it.each(refusals)("T1: %s", async (_title, request, status, rule) => {
    await stop();
    const client = new RawClient(harness.port);
    const steps: [string, number][] = [
      [request, status],
      [list, 200],
      [request, status],
      [start, 204],
      [request, status],
      [exec, 403],
    ];
    for (const [i, [asked, expected]] of steps.entries()) {
      const answer = (await client.send(plain(asked)).answered(i + 1))[i];
      expect([asked, answer?.status]).toEqual([asked, expected]);
      if (asked === request) expect(ruleOf(answer?.body ?? "")).toBe(rule);
    }
    expect([client.closed, isRunning()]).toEqual([false, true]);
    client.end();
  });

  it("T1: a client that wants its connection closed has it closed", async () => {
    const { answers, closed } = await exchange(harness.port, plain(exec, "Connection: close"), {
      moreMs: 2_000,
    });
    expect([answers.map(({ status }) => status), closed]).toEqual([[403], true]);
  });
});

describe("T1: more than one request at once", () => {
  const cases: [string, string, number[]][] = [
    ["refused, then allowed", plain(exec) + plain(list), [403, 200]],
    ["allowed, then refused", plain(list) + plain(exec), [200, 403]],
    ["refused twice", plain(exec) + plain("DELETE /containers/berth-dev-lal"), [403, 403]],
    ["absent, then allowed", plain("GET /containers/x/json") + plain(list), [404, 200]],
    ["a length of 0, then a refused one", withBody(start, "") + plain(exec), [204, 403]],
    [
      "a request of HTTP/1.0 behind one of 1.1",
      `${plain(list)}${list} HTTP/1.0\r\n\r\n`,
      [200, 505],
    ],
    [
      "16 in one piece, each by its own right",
      (plain(list) + plain(exec)).repeat(8),
      Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 200 : 403)),
    ],
  ];
  it.each(cases)("T1: %s", async (_title, bytes, expected) => {
    await stop();
    const { answers } = await exchange(harness.port, bytes, { answers: expected.length });
    expect(answers.map(({ status }) => status)).toEqual(expected);
  });

  const hidden = plain(start);
  const unclean: [string, string, number][] = [
    ["a body that a start does not take", withBody(start, "abc"), 415],
    ["chunks", `${head(list, "Transfer-Encoding: chunked")}\r\n0\r\n\r\n`, 411],
    ["a body on a refused route", withBody(exec, "{}", json), 403],
    ["an expectation", plain(start, "Expect: 100-continue"), 417],
    ["HTTP/1.0 that wants to be kept", `${list} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`, 505],
    ["65 headers", plain(list, ...Array.from({ length: 64 }, (_, i) => `X-${i}: 1`)), 431],
    ["two hosts", plain(list, "Host: y"), 400],
    ["what is no HTTP", "BREW /\r\n\r\n", 400],
    ["a tunnel", "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n", 403],
    ["an upgrade", plain(list, "Connection: Upgrade", "Upgrade: tcp"), 403],
  ];
  it.each(unclean)(
    "T1: nothing behind a refusal for %s is a request",
    async (_title, bytes, status) => {
      await stop();
      const records = harness.audit.length;
      const before = starts();
      for (const pieces of [[bytes + hidden], [bytes, hidden], [bytes + hidden.repeat(10)]]) {
        const client = new RawClient(harness.port);
        for (const piece of pieces) client.send(piece);
        expect(await client.until(() => client.closed)).toBe(true);
        expect(client.statuses).toEqual([status]);
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect([starts() - before, isRunning(), harness.audit.length - records]).toEqual([
        0,
        false,
        3,
      ]);
    },
  );

  it("T1: a request inside a body is never one", async () => {
    await stop();
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]) {
      const request = `${method} /containers/berth-dev-lal/exec`;
      const { answers } = await exchange(harness.port, withBody(request, hidden), { moreMs: 40 });
      expect([method, answers.map(({ status }) => status)]).toEqual([
        method,
        // An answer to HEAD has the length of a body, and none.
        method === "HEAD" ? [] : [403],
      ]);
    }
    expect(isRunning()).toBe(false);
  });

  it("T1: what is no request, behind one that is under way, is not answered into its answer", async () => {
    const client = new RawClient(harness.port).send(`${plain(list)}BREW /\r\n\r\n`);
    expect(await client.until(() => client.closed)).toBe(true);
    expect(client.statuses.filter((status) => status !== 200)).toEqual([]);
    expect(client.text).not.toContain("denied");
  });

  it("T1: bytes behind a request whose answer streams reach nobody", async () => {
    harness.engine.recorded.length = 0;
    const wait = plain("POST /containers/berth-dev-lal/wait");
    const client = new RawClient(harness.port).send(wait);
    await client.until(() => client.text.includes("200 OK"));
    client.send(`GARBAGE\r\n\r\n${hidden}`);
    expect(await client.until(() => client.closed)).toBe(true);
    expect(client.text).not.toContain("denied");
    expect([starts(), isRunning()]).toEqual([0, false]);
  });
});

describe("T1: connections that break, lag or go on for ever", () => {
  it("T1: half a head and half a connection is no request", async () => {
    const before = upstream(harness).length;
    const client = new RawClient(harness.port).send(`${list} HTTP/1.1\r\nHost: x\r\nX: a`).half();
    expect(await client.until(() => client.closed)).toBe(true);
    expect(client.statuses.filter((status) => status !== 400)).toEqual([]);
    expect(upstream(harness).length).toBe(before);
  });

  it("T1: a whole request on a half-open connection is carried out once at most", async () => {
    await stop();
    const before = starts();
    const client = new RawClient(harness.port).send(plain(start)).half();
    expect(await client.until(() => client.closed)).toBe(true);
    await eventually(() =>
      harness.audit.some(({ verb, phase }) => verb === "start" && phase === "result"),
    );
    expect(starts() - before).toBeLessThanOrEqual(1);
  });

  it("T1: a body that does not come is not waited for where it could not be taken", async () => {
    const bytes = `${head(start, "Content-Length: 100")}\r\nhello`;
    const { answers } = await exchange(harness.port, bytes);
    expect(answers.map(({ status }) => status)).toEqual([415]);
  });

  it("T1: 100,000 headers are refused while they come", async () => {
    const before = upstream(harness).length;
    const lines = "X-A: 1\r\n".repeat(100_000);
    const client = new RawClient(harness.port).send(`${head(list)}${lines}\r\n`);
    expect(await client.until(() => client.closed)).toBe(true);
    expect(client.statuses).toEqual([431]);
    expect(upstream(harness).length).toBe(before);
  });

  it.each([
    ["a chunk extension", `2;${"a".repeat(1024 * 1024)}\r\n{}\r\n0\r\n\r\n`],
    ["a chunk", `100000\r\n${"a".repeat(1024 * 1024)}\r\n0\r\n\r\n`],
    ["a trailer", `2\r\n{}\r\n0\r\nX: ${"a".repeat(1024 * 1024)}\r\n\r\n`],
  ])("T1: %s of 1 MiB is not read", async (_title, body) => {
    for (const request of [create, start, exec]) {
      const client = new RawClient(harness.port);
      client.send(`${head(request, json, "Transfer-Encoding: chunked")}\r\n${body}`);
      expect(await client.until(() => client.closed)).toBe(true);
      expect(client.statuses.filter((status) => status !== 411 && status !== 403)).toEqual([]);
    }
  });

  it("T1: a head or a body that does not come in time ends with 408, and is no probe", async () => {
    const refused: string[] = [];
    let begun = 0;
    const server = createListener("c", {
      request: async (_client, request) => {
        begun += 1;
        // Its end is a broken-off body, as it is for the handler that stands here otherwise.
        await new Promise((resolve) => request.on("error", resolve).on("end", resolve).resume());
      },
      refused: (_client, _method, _target, denial) => {
        refused.push(denial.rule);
        return { id: "1", verb: "request", denial };
      },
    });
    // Shorter than the listener's own; they are looked at every five seconds.
    server.headersTimeout = 50;
    server.requestTimeout = 100;
    const port = await listening(server);
    const slow = new RawClient(port).send(`${list} HTTP/1.1\r\nHost: x\r\nX: a`);
    const body = new RawClient(port).send(`${head(create, json, "Content-Length: 9")}\r\n{}`);
    expect(await slow.until(() => slow.closed, 15_000)).toBe(true);
    expect(await body.until(() => body.closed, 15_000)).toBe(true);
    // An answer is under way for the one whose head was whole: nothing is put in between.
    expect([slow.statuses, body.text, begun]).toEqual([[408], "", 1]);
    expect(refused).toEqual(["slow", "slow"]);
    server.closeAllConnections();
    server.close();
  });
});

function listening(server: http.Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
