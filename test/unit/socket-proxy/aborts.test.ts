import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { create, json, say, start } from "./framing-cases.ts";
import { eventually, type Harness, startHarness } from "./harness.ts";
import { checkInvariants, settled } from "./invariants.ts";
import { RawClient } from "./raw.ts";
import { review } from "./templates.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
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

describe("T1: a client that breaks off while its instance is made leaves none", () => {
  it.each([
    ["is asked for it", /\/create\?/],
    ["is asked where it is", /%22id%22/],
    ["is asked what it is", /[0-9a-f]{64}\/json$/],
  ])("T1: at the moment when the Engine %s", async (_title, line) => {
    const before = harness.engine.containers.size;
    const records = harness.audit.length;
    const body = JSON.stringify({
      Labels: { "berth.template": "lal.review" },
      Image: review.image,
      Env: ["TASK_ID=7"],
    });
    const client = new RawClient(harness.port);
    let reached = false;
    harness.engine.intercept = ({ method, path }, response) => {
      const fits = line.test(`${method} ${path}`);
      if (fits && !reached) client.reset();
      reached ||= fits;
      const id = /([0-9a-f]{64})\/json$/.exec(path)?.[1];
      const made = id === undefined ? undefined : harness.engine.containers.get(id);
      if (!reached || !made) return false;
      // Time for the reset to arrive before the last answer does.
      setTimeout(() => response.end(JSON.stringify(made.inspect)), 50);
      return true;
    };
    client.send(say(create.replace("x1", `r${records}`), body, json));
    await eventually(() =>
      harness.audit
        .slice(records)
        .some(({ phase, rule }) => phase === "result" && rule === "client-gone"),
    );
    await eventually(() => harness.engine.containers.size === before);
    expect([reached, client.text]).toEqual([true, ""]);
    expect(harness.engine.asked().some((asked) => asked.startsWith("DELETE"))).toBe(true);
  });

  it("T1: one that breaks off while its agent starts has it started, once", async () => {
    const starts = () => harness.engine.asked().filter((asked) => asked.endsWith("/start")).length;
    const before = starts();
    const client = new RawClient(harness.port);
    harness.engine.intercept = ({ path }) => {
      if (path.endsWith("/start")) client.reset();
      return false;
    };
    client.send(`${start} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await eventually(() => starts() > before);
    await settled(harness);
    expect(starts() - before).toBe(1);
  });
});
