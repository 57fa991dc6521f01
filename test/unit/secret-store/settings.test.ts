import { describe, expect, it } from "vitest";
import { Alerts } from "../../../services/secret-store/alerts.ts";
import { readSettings } from "../../../services/secret-store/settings.ts";
import { Watch } from "../../../services/secret-store/watch.ts";
import { FakeClock } from "./fake-onepassword.ts";

const good = { provider: "onepassword", via: "sdk", pollSeconds: 60, development: false };

describe("BERTH_SECRETS", () => {
  it("is read as it is where nothing is wrong", () => {
    for (const settings of [
      good,
      { ...good, provider: "development", development: true },
      { ...good, via: "connect", connectUrl: "https://connect.example.com", connectCa: "PEM" },
      { ...good, via: "op", opPath: "/opt/op/op" },
    ])
      expect(readSettings(JSON.stringify(settings))).toEqual(settings);
  });

  it("without it, or with half of it, the store does not start and says everything that is wrong", () => {
    expect(() => readSettings(undefined)).toThrow("BERTH_SECRETS is not JSON");
    expect(() => readSettings("null")).toThrow(/provider must be .*; via must be .*; pollSeconds/);
    expect(() => readSettings(JSON.stringify({ ...good, via: "connect" }))).toThrow(/connectUrl/);
    expect(() => readSettings(JSON.stringify({ ...good, via: "op" }))).toThrow(/opPath/);
    for (const pollSeconds of [9, 3601, 10.5, "60", null])
      expect(() => readSettings(JSON.stringify({ ...good, pollSeconds }))).toThrow(/pollSeconds/);
    expect(() => readSettings(JSON.stringify({ ...good, development: "yes" }))).toThrow(/develop/);
    expect(() => readSettings(JSON.stringify({ ...good, connectUrl: 7 }))).toThrow(/connectUrl/);
  });
});

describe("alerts", () => {
  it("keep the last hundred for who comes later, each with an id of its own", () => {
    const alerts = new Alerts(() => 0);
    for (let i = 1; i <= 130; i++) alerts.raise("reference", `number ${i}`);
    const heard: { id: string; text: string }[] = [];
    const stop = alerts.subscribe((alert) => heard.push(alert));
    expect([heard.length, heard[0]?.text]).toEqual([100, "number 31"]);
    alerts.raise("limited", "one more");
    stop();
    alerts.raise("limited", "not heard");
    expect(heard.at(-1)?.text).toBe("one more");
    expect(new Set(heard.map(({ id }) => id)).size).toBe(101);
  });

  it("of many wrong references are one, of ten names and a number", () => {
    const clock = new FakeClock();
    const alerts = new Alerts(() => clock.now());
    const watch = new Watch(alerts, clock);
    const wrong = Array.from({ length: 12 }, (_, i) => ({
      agent: "lal",
      name: `S${i}`,
      reference: "op://a/b/c",
      state: "missing" as const,
      reason: "gone",
      wrong: true,
    }));
    const heard: string[] = [];
    alerts.subscribe(({ text }) => heard.push(text));
    watch.outcomes(wrong);
    watch.outcomes(wrong);
    expect(heard).toEqual([expect.stringMatching(/^lal: S0 .*lal: S9 [^;]*; and 2 more$/)]);
    watch.outcomes(wrong.slice(1));
    watch.outcomes(wrong);
    expect(heard[1]).toBe("lal: S0 (op://a/b/c): gone");
  });

  it("of templates with hundreds of references are lines that the admin bridge takes: a longer one would end its stream for good", () => {
    const clock = new FakeClock();
    const alerts = new Alerts(() => clock.now());
    const watch = new Watch(alerts, clock);
    const many = Array.from({ length: 400 }, (_, i) => `op://agents/lal/field-${i}`);
    watch.outcomes(
      Array.from({ length: 10 }, (_, i) => ({
        agent: "lal",
        name: `configFiles.c${i}.json`,
        reference: many.join(", "),
        state: "missing" as const,
        reason: many.map((one) => `${one}: the vault "agents" has no item "lal"`).join("; "),
        wrong: true,
      })),
    );
    const heard: string[] = [];
    alerts.subscribe((alert) => heard.push(JSON.stringify(alert)));
    expect(heard.map((line) => line.length <= 16 * 1024)).toEqual([true]);
    for (let i = 0; i < 10; i++)
      expect(heard[0]).toMatch(new RegExp(`configFiles.c${i}.json .*has no item`));
  });
});
