import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { eventually, type Harness, lalId, sendRaw, startHarness, statuses } from "./harness.ts";
import { outsideLanguage } from "./language.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
  harness.agent();
});
afterAll(() => harness.close());
afterEach(() => {
  // I1: every request that the Engine got is in the closed language.
  expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
});

/** Requests to the Engine and refusals on record, since the last call. */
function since(): { asked: string[]; denied: number; allowed: number } {
  const asked = harness.engine.asked();
  const decisions = harness.audit.filter(({ phase }) => phase === "decision");
  const result = {
    asked,
    denied: decisions.filter(({ decision }) => decision === "deny").length,
    allowed: decisions.filter(({ decision }) => decision === "allow").length,
  };
  harness.engine.recorded.length = 0;
  harness.audit.length = 0;
  return result;
}

const start = `POST /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n`;
const list = "GET /containers/json HTTP/1.1\r\nHost: x\r\n";

describe("framing: refused, recorded, and nothing asked of the Engine", () => {
  const cases: [string, string][] = [
    [
      "length and chunks together",
      `${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      "chunks and length together",
      `${start}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`,
    ],
    ["two lengths", `${start}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`],
    ["two equal lengths", `${start}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
    ["a length list", `${start}Content-Length: 5, 5\r\n\r\nhello`],
    ["a signed length", `${start}Content-Length: +0\r\n\r\n`],
    ["a negative length", `${start}Content-Length: -1\r\n\r\n`],
    ["a hexadecimal length", `${start}Content-Length: 0x0\r\n\r\n`],
    ["a body", `${start}Content-Length: 2\r\n\r\n{}`],
    ["a body of a GET", `${list}Content-Length: 2\r\n\r\n{}`],
    [
      "an urlencoded body",
      `${start}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 12\r\n\r\ncheckpoint=x`,
    ],
    ["a chunked body", `${start}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
    ["an empty chunked body", `${start}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["chunks spelt Chunked", `${start}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n`],
    ["xchunked", `${start}Transfer-Encoding: xchunked\r\n\r\n`],
    ["chunked, identity", `${start}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ["identity, chunked", `${start}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`],
    ["a folded header", `${start}X: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
    ["a space before a colon", `${start}Content-Length : 5\r\n\r\nhello`],
    ["a bare CR in a header", `${start}X: a\rContent-Length: 5\r\n\r\n`],
    ["NUL in a header", `${start}X: a\0b\r\n\r\n`],
    ["two hosts", `${start}Host: y\r\n\r\n`],
    ["no host", "POST /containers/berth-dev-lal/start HTTP/1.1\r\n\r\n"],
    ["HTTP/1.0", "POST /containers/berth-dev-lal/start HTTP/1.0\r\nHost: x\r\n\r\n"],
    ["HTTP/0.9", "GET /containers/json\r\n\r\n"],
    ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["HTTP/1.2", "GET /containers/json HTTP/1.2\r\nHost: x\r\n\r\n"],
    ["a lower-case method", "post /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an unknown method", "BREW /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["CONNECT", "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n"],
    [
      "the absolute form",
      "POST http://x/containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ["the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"],
    [
      "a tab between the words",
      "POST\t/containers/berth-dev-lal/start\tHTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ["a raw byte in the target", "GET /containers/\xe9/json HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an expectation", `${start}Expect: 100-continue\r\n\r\n`],
    ["an expectation and a body", `${start}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`],
    ["another expectation", `${start}Expect: something\r\n\r\n`],
    ["an upgrade to tcp", `${start}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw bytes`],
    ["an upgrade to websocket", `${list}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`],
    [
      "an upgrade to h2c",
      "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    ],
    ["an upgrade that closes", `${start}Connection: close, Upgrade\r\nUpgrade: tcp\r\n\r\n`],
    [
      "an upgrade on a refused route",
      "POST /containers/berth-dev-lal/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    ],
    ["65 headers", `${list}${Array.from({ length: 65 }, (_, i) => `X-${i}: 1\r\n`).join("")}\r\n`],
    ["9 KiB of headers", `${list}X: ${"a".repeat(9 * 1024)}\r\n\r\n`],
    [
      "a method override",
      "GET /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: POST\r\n\r\n",
    ],
    ["random bytes", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"],
  ];
  it.each(cases)("%s", async (_title, bytes) => {
    since();
    const answer = await sendRaw(harness.port, bytes);
    const { asked, denied, allowed } = since();
    expect(asked).toEqual([]);
    expect(allowed).toBe(0);
    expect(denied).toBeGreaterThan(0);
    expect(statuses(answer).every((status) => status >= 400)).toBe(true);
    expect(answer).toContain('{"message":"berth: ');
  });

  it("a header that never ends: nothing is asked, nothing answered", async () => {
    since();
    await sendRaw(harness.port, `${list}X: a`);
    expect(since()).toMatchObject({ asked: [], allowed: 0 });
  });

  it("a length longer than what is sent: refused without waiting for it", async () => {
    since();
    const answer = await sendRaw(harness.port, `${start}Content-Length: 100\r\n\r\nhello`);
    expect([statuses(answer), since().asked]).toEqual([[400], []]);
  });
});

describe("more than one request on a connection", () => {
  it("each is decided on its own: what follows an allowed one is refused by its own right", async () => {
    since();
    const exec = "POST /containers/berth-dev-lal/exec HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await sendRaw(harness.port, `${list}\r\n${exec}`);
    expect(statuses(answer)).toEqual([200, 403]);
    // A list that is permitted asks the Engine, and is not worth a line of the audit.
    expect(since()).toMatchObject({ asked: ["GET /v1.41/containers/json"], allowed: 0, denied: 1 });
  });

  it("what follows a refused one is not answered", async () => {
    since();
    const answer = await sendRaw(harness.port, `${start}Content-Length: 3\r\n\r\nabc${list}\r\n`);
    expect(statuses(answer)[0]).toBe(400);
    expect(statuses(answer)).toHaveLength(1);
  });

  it("a request inside a body is never one", async () => {
    since();
    const inner = `${start}\r\n`;
    const outer = `POST /containers/berth-dev-lal/exec HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\n\r\n`;
    expect(statuses(await sendRaw(harness.port, outer + inner))).toEqual([403]);
    expect(since()).toMatchObject({ asked: [], allowed: 0 });
  });

  it("bytes after an answer that streams do not reach anybody", async () => {
    since();
    const wait = "POST /containers/berth-dev-lal/wait HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await sendRaw(harness.port, `${wait}GARBAGE\r\n\r\n`);
    expect(statuses(answer).filter((status) => status !== 200)).toEqual([]);
    expect(answer).not.toContain("denied");
    await eventually(() => harness.audit.some(({ decision }) => decision === "allow"));
  });
});

describe("A12: no delete, no exec, whatever the spelling", () => {
  const methods = ["DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"];
  const prefixes = [
    "",
    "/v1.24",
    "/v1.41",
    "/v1.45",
    "/v1.41.1",
    "/v1",
    "/V1.41",
    "//v1.41",
    "/%76" + "1.41",
  ];
  const names = [
    "berth-dev-lal",
    lalId,
    lalId.slice(0, 12),
    "berth-dev-l%61l",
    "./berth-dev-lal",
    "x/../berth-dev-lal",
  ];
  const tails = [
    "",
    "/",
    "?force=1",
    "/exec",
    "/exec/",
    "/%65xec",
    "/EXEC",
    "//exec",
    "/exec?x=1",
    "/./exec",
    "/start/../exec",
    "/archive?path=/",
    "/attach",
    "/update",
    "/rename?name=x",
    "/restart",
    "/pause",
    "/resize",
    "/export",
  ];

  it("A12: answers 403 and a record for every one of them, and asks nothing of the Engine", async () => {
    since();
    const wrong: string[] = [];
    let count = 0;
    for (const prefix of prefixes) {
      for (const name of names) {
        const requests = methods.flatMap((method) =>
          tails.map(
            (tail) =>
              `${method} ${prefix}/containers/${name}${tail} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`,
          ),
        );
        count += requests.length;
        const bytes = requests.map((request) => `${request}\r\n`);
        const answers = await Promise.all(bytes.map((one) => sendRaw(harness.port, one, 2_000)));
        for (const [i, answer] of answers.entries()) {
          if (statuses(answer).join() !== "403")
            wrong.push(`${requests[i]?.split("\r\n")[0]} → ${answer.slice(0, 40)}`);
        }
      }
    }
    const { asked, denied, allowed } = since();
    expect(wrong).toEqual([]);
    expect([asked, denied, allowed]).toEqual([[], count, 0]);
  }, 60_000);
});

describe("for any bytes from a client", () => {
  const word = fc.constantFrom(
    "containers",
    "json",
    "exec",
    "start",
    "stop",
    "wait",
    "logs",
    "events",
    "images",
    "networks",
    "_ping",
    "version",
    "info",
    "volumes",
    "create",
    "berth",
    "declarations",
    "berth-dev-lal",
    lalId,
    "..",
    ".",
    "%2e%2e",
    "",
    "update",
    "v1.41",
    "v1.99",
  );
  const query = fc.constantFrom(
    "",
    "?",
    "?all=1",
    "?t=5",
    "?t=5&t=6",
    "?condition=removed",
    "?stdout=1&stderr=1&tail=10",
    "?checkpoint=x",
    "?watch=0",
    "?filters=%7B%22label%22%3A%5B%22berth.stack%3Dprod%22%5D%7D",
    "?filters={}",
    "?all=1&filters=",
    "?signal=KILL",
    "?x=\x00",
  );
  const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "HEAD", "get", "GET ", "");
  const header = fc.constantFrom(
    "Host: x\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 9\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: Upgrade\r\nUpgrade: tcp\r\n",
    "Connection: close\r\n",
    "X-Registry-Auth: x\r\n",
    "\r\n",
    " folded\r\n",
    "Host: y\r\n",
  );
  const body = fc.constantFrom(
    "",
    '{"Privileged":true}',
    "0\r\n\r\n",
    "POST /containers/create HTTP/1.1\r\nHost: x\r\n\r\n",
  );
  const request = fc
    .tuple(
      method,
      fc.array(word, { maxLength: 5 }),
      query,
      fc.array(header, { maxLength: 4 }),
      body,
    )
    .map(([m, words, q, headers, b]) =>
      Buffer.from(
        `${m} /${words.join("/")}${q} HTTP/1.1\r\nHost: x\r\n${headers.join("")}\r\n${b}`,
        "latin1",
      ),
    );
  const bytes = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .array(request, { minLength: 1, maxLength: 3 })
        .map((list_) => Buffer.concat(list_)),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)) },
    {
      weight: 3,
      arbitrary: fc.tuple(request, fc.nat(), fc.nat(255)).map(([buffer, at, value]) => {
        const copy = Buffer.from(buffer);
        copy[at % copy.length] = value;
        return copy;
      }),
    },
  );

  it("the Engine gets members of the closed language, and none without an allowed request (I1, I2)", async () => {
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        since();
        await sendRaw(harness.port, sent, 30);
        const outside = outsideLanguage(harness.engine.recorded);
        const { asked, allowed } = since();
        expect(outside).toEqual([]);
        // Looking up a name comes before its decision; all else needs one.
        const beyond = asked.filter((one) => one !== "GET /v1.41/containers/json");
        if (allowed === 0) expect(beyond).toEqual([]);
      }),
      { numRuns: 250 },
    );
  }, 60_000);
});
