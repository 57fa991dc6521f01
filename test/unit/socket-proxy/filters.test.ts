import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { route } from "../../../services/socket-proxy/route.ts";
import { type Harness, lalId, startHarness } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { exchange, ruleOf } from "./raw.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
  harness.agent();
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

describe("T3: what reaches the Engine", () => {
  const filter = (value: unknown) => encodeURIComponent(JSON.stringify(value));
  const names = async (query: string) => {
    const { status, text } = await harness.ask(`/containers/json?all=1&filters=${query}`);
    expect(status).toBe(200);
    return (JSON.parse(text) as { Names: string[] }[]).map(({ Names }) => Names[0]);
  };

  it("T3: a client's labels narrow the stack's own, and never take their place", async () => {
    const before = upstream(harness).length;
    expect(await names(filter({ label: ["berth.stack=prod"] }))).toEqual([]);
    expect(await names(filter({ label: ["berth.stack=dev"] }))).toEqual(["/berth-dev-lal"]);
    expect(await names(filter({ label: ["berth.stack=dev", "berth.agent=x"] }))).toEqual([]);
    expect(await names(filter({ label: { "berth.agent=lal": true } }))).toEqual(["/berth-dev-lal"]);
    expect(await names(filter({ name: ["^/evil$", "lal"] }))).toEqual(["/berth-dev-lal"]);
    expect(await names(filter({ name: ["/berth-.*"] }))).toEqual([]);
    // The Engine was asked for the stack's own each time, in the proxy's words.
    expect(upstream(harness).length).toBe(before);
  });

  it.each<unknown>([
    { label: { "a=b": false } },
    { label: { "a=b": 1 } },
    { label: "a=b" },
    { label: [["a=b"]] },
    { label: [null] },
    { label: ["x".repeat(513)] },
    { id: [lalId] },
    { ancestor: ["x"] },
    { network: ["x"] },
    { volume: ["x"] },
    { publish: ["1"] },
    { before: ["x"] },
    { since: ["x"] },
    { Label: ["berth.stack=dev"] },
    { "label!": ["a"] },
    { constructor: ["x"] },
    ["label"],
    "label",
    null,
    7,
  ])("T3: the filters %j are refused", (value) => {
    const routed = route("GET", `/containers/json?filters=${filter(value)}`);
    const denial = "denial" in routed ? routed.denial : undefined;
    expect([denial?.status, denial?.rule.split("-")[0]]).toEqual([400, "filter"]);
  });

  it("T3: filters of 2 KiB and more are refused, and so are those of 64 KiB", async () => {
    const before = upstream(harness).length;
    for (const [size, status, rule] of [
      [2_100, 403, "target"],
      [4_000, 403, "target"],
      [16 * 1024, 431, "header-size"],
      [64 * 1024, 431, "header-size"],
    ] as const) {
      const value = filter({ label: Array.from({ length: size / 10 }, () => "1234567") });
      const bytes = `GET /containers/json?filters=${value} HTTP/1.1\r\nHost: x\r\n\r\n`;
      const { answers } = await exchange(harness.port, bytes);
      expect([size, answers[0]?.status, ruleOf(answers[0]?.body ?? "")]).toEqual([
        size,
        status,
        rule,
      ]);
    }
    expect(upstream(harness).length).toBe(before);
  });

  it("T3: a query of an accepted request goes on in the proxy's own words only", async () => {
    harness.engine.recorded.length = 0;
    const asked =
      "/containers/berth-dev-lal/logs?stdout=True&follow=0&tail=%35&since=1.5&timestamps=";
    expect((await harness.ask(asked)).status).toBe(200);
    expect(upstream(harness).filter((call) => call.includes("/logs"))).toEqual([
      `GET /v1.41/containers/${lalId}/logs?follow=0&stdout=1&stderr=0&timestamps=0&tail=5&since=1.5`,
    ]);
  });
});
