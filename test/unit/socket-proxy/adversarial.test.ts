import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Harness, lalId, sendRaw, startHarness } from "./harness.ts";
import { settled } from "./invariants.ts";
import { outsideLanguage } from "./language.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
  harness.agent();
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => {
  // I1: every request that the Engine got is in the closed language.
  expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
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

  // That no request goes out without one that was allowed (I2) is checked where every decision is seen: test/fuzz.
  it("the Engine gets members of the closed language only (I1)", async () => {
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        await sendRaw(harness.port, sent, 30);
        expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
        harness.engine.recorded.length = 0;
      }),
      { numRuns: 250 },
    );
  }, 60_000);
});
