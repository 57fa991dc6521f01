import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Rule, rules } from "../../../services/socket-proxy/denial.ts";
import { unhurriedGrants } from "./clients.ts";
import { headCases, lengthCases, type RawCase } from "./framing-cases.ts";
import { type Harness, startHarness } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { RawClient, ruleOf } from "./raw.ts";
import { review } from "./templates.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ grants: unhurriedGrants() });
  harness.agent({ templates: { review } });
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

describe.each<[string, readonly RawCase[]]>([
  ["how long a body is", lengthCases],
  ["the head", headCases],
])("T1 framing: %s", (_title, cases) => {
  it.each(cases)("T1: %s", async (_case, bytes, status, rule) => {
    const before = [upstream(harness).length, harness.audit.length, harness.engine.containers.size];
    const client = new RawClient(harness.port).send(bytes);
    await client.answered();
    // What is wrong in its form ends the connection: nobody guesses where the next request begins.
    const closes = ["transport", "http"].includes(rules[rule as Rule]);
    if (closes) expect(await client.until(() => client.closed)).toBe(true);
    client.end();
    const { statuses, text } = client;
    expect([statuses, ruleOf(client.answers[0]?.body ?? "")], text).toEqual([[status], rule]);
    const records = harness.audit.slice(before[1]);
    expect(records).toMatchObject([{ phase: "decision", decision: "deny", rule, status }]);
    expect([upstream(harness).length, harness.engine.containers.size]).toEqual([
      before[0],
      before[2],
    ]);
  });
});

describe("T1 framing: what Node's parser lets pass beyond the letter", () => {
  it.each([
    ["another protocol's name", "GET /containers/json RTSP/1.1\r\nHost: x\r\n\r\n"],
    ["two spaces between the words", "GET  /containers/json HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an empty line before it", "\r\nGET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["spaces around a value", "GET /containers/json HTTP/1.1\r\nHost: \t x \t\r\n\r\n"],
  ])("T1: %s changes nothing of what is asked", async (_title, bytes) => {
    const plain = "GET /containers/json HTTP/1.1\r\nHost: x\r\n\r\n";
    const from = harness.engine.recorded.length;
    const bodies: unknown[] = [];
    for (const sent of [plain, bytes]) {
      const client = new RawClient(harness.port).send(sent);
      const [answer] = await client.answered();
      client.end();
      bodies.push([answer?.status, answer?.body]);
    }
    expect(bodies[1]).toEqual(bodies[0]);
    const [first, second] = harness.engine.recorded.slice(from);
    expect(second).toEqual(first);
  });
});
