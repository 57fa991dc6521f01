import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reasonOf } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { BackendError } from "../../../services/secret-store/onepassword/backend.ts";
import { agent, canary, Rig, type Running, raised } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

/** Spellings in which a value would still be one. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  return [
    value,
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    bytes.toString("base64"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    [...bytes].join(", "),
  ];
}

/** Everything that a store shows of itself to anybody but a consumer. */
async function shown(running: Running): Promise<string> {
  const about = await Promise.all([
    rig.text("lal", "generation").catch(() => ""),
    rig.text("lal", "status.json").catch(() => ""),
    rig.config("lal", "generation").catch(() => ""),
    rig.config("lal", "status.json").catch(() => ""),
  ]);
  return [
    ...rig.log,
    ...about,
    ...raised(running),
    JSON.stringify(running.operations.status()),
    JSON.stringify(await running.operations.check()),
    inspect(running, { depth: 12, showHidden: true }),
  ].join("\n");
}

describe("no value is shown", () => {
  it("by a Redacted in text, JSON, a template, an error or an inspection", () => {
    const value = new Redacted(canary, "secret X");
    const texts = [
      String(value),
      `${value}`,
      `${value as unknown as string}`,
      JSON.stringify({ value }),
      inspect(value),
      inspect({ deep: [{ value }] }, { depth: 9, showHidden: true }),
      new Error(`failed with ${value}`).message,
      Object.entries(value).join(),
    ];
    for (const text of texts) expect(text).not.toContain("canary");
    expect(String(value)).toBe("[secret X]");
    expect(value.reveal()).toBe(canary);
  });

  it("B16: by the log, the states, the alerts, the generation or the status files, of the host's own sources", async () => {
    await writeFile(join(rig.files, "key"), canary);
    const running = await rig.start();
    const { store } = running;
    const key = `file:${rig.files}/key`;
    await store.declare([agent("lal", { A: key, B: "env:B", C: "op://a/b/c" })]);
    await store.push({ B: canary });
    await store.declare([agent("lal", { A: `file:${rig.files}/none` })]);
    await store.declare([]);
    await store.declare([agent("lal", { A: key })]);
    const all = await shown(running);
    expect(rig.log.length).toBeGreaterThan(3);
    for (const form of formsOf(canary)) expect(all).not.toContain(form);
  });

  it("B16: whatever it is, through delivery, refusal, outage and rotation with 1Password", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 12, maxLength: 40, unit: "grapheme-ascii" }),
        fc.constantFrom("", "\0", "\n", "\u00e9"),
        async (random, odd) => {
          // Long and odd enough not to be there by chance.
          const value = `<${random.trim()}>${odd}|${random.length}`;
          const running = await rig.unlocked();
          rig.onepassword.put("agents", "lal", { token: value });
          await running.store.declare([
            agent(
              "lal",
              {
                TOKEN: "op://agents/lal/token",
                FILE: { from: "op://agents/lal/token", as: "file" },
              },
              {
                configFiles: { "c.json": { template: ["x {{ op://agents/lal/token }}"] } },
                endpoints: {
                  m: { url: "https://x.example.com", headers: { a: "op://agents/lal/token" } },
                },
              },
            ),
          ]);
          await rig.settle();
          let all = await shown(running);
          rig.onepassword.fail("unreachable");
          await rig.clock.pass(120_000);
          all += await shown(running);
          rig.onepassword.fail();
          rig.onepassword.put("agents", "lal", { other: value });
          await running.operations.refresh();
          all += await shown(running);
          await running.operations.lock();
          all += await shown(running);
          for (const form of formsOf(value)) expect(all.includes(form), form).toBe(false);
          running.resolver?.close();
        },
      ),
      { numRuns: 15 },
    );
  });

  it("by an error of a back end that holds an answer's text, nor by the token", async () => {
    const running = await rig.unlocked([agent("lal", { TOKEN: "op://agents/lal/token" })]);
    rig.onepassword.before = () => {
      throw Object.assign(new Error(`unexpected ${canary}`), { body: canary });
    };
    await rig.clock.pass(60_000);
    const failed = await running.operations
      .unlock(new Redacted(canary.replaceAll(/[^\w-]/g, "."), "token"))
      .catch(reasonOf);
    expect(running.resolver?.status.state).toBe("unreachable");
    expect(JSON.stringify(failed) + (await shown(running))).not.toContain("canary");
    expect(inspect(new BackendError("refused", "no"), { depth: 9 })).not.toContain("canary");
  });
});
