import { lstat, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BackendError } from "../../../services/secret-store/onepassword/backend.ts";
import { openRounds } from "../../../services/secret-store/rounds.ts";
import { agent, canary, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

const generated = { from: "op://agents/lal/hook", generate: 24 };
/** What a secret of 24 random bytes looks like. */
const made = /^[\w-]{32}$/;

describe("rotate", () => {
  it("B13: gives generated secrets new values that last over a restart of the store, and others none", async () => {
    const declared = agent("lal", { A: "generated:32", B: "generated:32", C: "env:C" });
    const data = agent("data", { A: "generated:32" });
    const { store, operations } = await rig.start();
    await store.declare([declared, data]);
    const read = async () => [
      await rig.text("lal", "A"),
      await rig.text("lal", "B"),
      await rig.text("data", "A"),
    ];
    const first = await read();
    expect(await operations.rotate("lal", ["A"])).toEqual({ rotated: ["A"], skipped: [] });
    const second = await read();
    expect(second[0]).not.toBe(first[0]);
    expect(second.slice(1)).toEqual(first.slice(1));
    expect(await operations.rotate("lal", [])).toEqual({
      rotated: ["A", "B"],
      skipped: ["C: berth does not make up env:C; change it where it comes from"],
    });
    const third = await read();
    expect(new Set([first[0], second[0], third[0]]).size).toBe(3);
    const again = await rig.start();
    await again.store.declare([]);
    await again.store.declare([declared, data]);
    expect(await read()).toEqual(third);
    expect((await lstat(join(rig.own, "rounds.json"))).mode & 0o777).toBe(0o600);
  });

  it("gives what is generated in a config file or endpoint a new value", async () => {
    const { store, operations } = await rig.start();
    const key = "{{ generated:16 }}";
    await store.declare([
      agent(
        "lal",
        {},
        {
          configFiles: { "c.json": { template: { key } }, "d.json": { template: { key } } },
          endpoints: { model: { url: "https://api.example.com", headers: { "x-key": key } } },
        },
      ),
    ]);
    const before = [await rig.config("lal", "c.json"), await rig.config("lal", "d.json")];
    const endpoint = JSON.stringify(await store.endpoint("lal", "model"));
    const { rotated } = await operations.rotate("lal", ["configFiles.c.json", "endpoints.model"]);
    expect(rotated).toEqual(["configFiles.c.json", "endpoints.model"]);
    expect(await rig.config("lal", "c.json")).not.toBe(before[0]);
    expect(await rig.config("lal", "d.json")).toBe(before[1]);
    expect(JSON.stringify(await store.endpoint("lal", "model"))).not.toBe(endpoint);
  });

  it("writes a new value of a generate secret to 1Password, and delivers it at once", async () => {
    rig.onepassword.put("agents", "lal", { hook: "first", other: "stays" });
    const { operations } = await rig.unlocked([
      agent("lal", { HOOK: generated, OTHER: "op://agents/lal/other" }),
    ]);
    expect(await rig.text("lal", "HOOK")).toBe("first");
    expect(await operations.rotate("lal", ["HOOK"])).toEqual({ rotated: ["HOOK"], skipped: [] });
    const value = await rig.text("lal", "HOOK");
    expect(value).toMatch(made);
    const { fields = [] } = rig.onepassword.vault("agents").items[0] ?? {};
    expect(fields.find(({ label }) => label === "hook")?.value).toBe(value);
    expect(fields.find(({ label }) => label === "other")?.value).toBe("stays");
    expect(rig.log.join()).not.toContain(value);
  });

  it.each<[string, string, string[], RegExp]>([
    ["an agent that is not declared", "nobody", [], /no agent "nobody"; there are: lal/],
    ["names that it does not have", "lal", ["NONE", "HOOK"], /lal has no NONE; it has: /],
    ["what berth does not make up", "lal", ["OTHER"], /nothing was rotated: OTHER: .*1Password/],
    ["an item that is another's", "lal", ["THEIRS"], /nothing was rotated: THEIRS: refused/],
  ])("%s is refused, and nothing is written", async (_what, name, names, reason) => {
    rig.onepassword.put("agents", "lal", { hook: "first", other: "o" });
    rig.onepassword.put("agents", "data", { hook: "theirs" });
    const { operations } = await rig.unlocked([
      agent("lal", {
        HOOK: generated,
        OTHER: "op://agents/lal/other",
        THEIRS: { from: "op://agents/data/hook", generate: 24 },
      }),
    ]);
    await expect(operations.rotate(name, names)).rejects.toThrow(reason);
    expect(rig.onepassword.calls.filter((call) => call.startsWith("write"))).toEqual([]);
  });

  it("a write that 1Password does not take is told, and the old value stays", async () => {
    rig.onepassword.put("agents", "lal", { hook: "first" });
    const { operations } = await rig.unlocked([agent("lal", { HOOK: generated })]);
    rig.onepassword.fail("forbidden");
    await expect(operations.rotate("lal", [])).rejects.toThrow("HOOK: it is forbidden");
    await operations.lock();
    await expect(operations.rotate("lal", [])).rejects.toThrow(/HOOK: the secret store is locked/);
    expect(await rig.text("lal", "HOOK")).toBe("first");
  });

  it("generated: is refused where the stack has no development sources", async () => {
    const { store, operations } = await rig.start({ onepassword: true, development: false });
    await store.declare([agent("lal", { A: "generated:32" })]);
    expect(store.states[0]).toMatchObject({
      state: "missing",
      reason: expect.stringMatching(/^refused in this stack: generated:/),
    });
    await expect(operations.rotate("lal", [])).rejects.toThrow(/refused in this stack/);
    await expect(operations.push({ A: "x" })).rejects.toThrow(/refused in this stack/);
  });

  it("counts that are damaged, or lie where a link leads to, are none", async () => {
    const path = join(rig.own, "rounds.json");
    const first = { agent: "lal", name: "A" };
    await (await openRounds(rig.own)).next([first, first]);
    expect((await openRounds(rig.own)).of(first)).toBe(1);
    await rename(path, join(rig.root, "elsewhere.json"));
    await symlink(join(rig.root, "elsewhere.json"), path);
    expect((await openRounds(rig.own)).of(first)).toBe(0);
    await rm(path);
    await writeFile(path, '{"lal/A": "7", "lal/B": 2');
    expect((await openRounds(rig.own)).of(first)).toBe(0);
  });
});

describe("check while 1Password is in trouble", () => {
  it("says of each reference what 1Password says of it, also where one item gets no answer", async () => {
    rig.onepassword.put("agents", "lal", { a: "1" });
    rig.onepassword.put("agents", "data", { a: "2" });
    const { operations } = await rig.unlocked();
    rig.onepassword.before = (call) =>
      call === "item v-agents/i1" ? new BackendError("unreachable", "item i1 failed") : undefined;
    const references = ["op://agents/lal/a", "op://agents/data/a", "op://agents/none/a"];
    const { results } = await operations.check(references);
    expect(results.map(({ ok, reason }) => [ok, reason])).toEqual([
      [false, "item i1 failed"],
      [true, undefined],
      [false, expect.stringMatching(/has no item "none"/)],
    ]);
    // Where nothing is answered, nothing is said of 1Password's content.
    rig.onepassword.fail("limited");
    const away = await operations.check(references);
    expect(away.results.map(({ reason }) => reason)).toEqual(Array(3).fill("it is limited"));
  });
});

describe("create", () => {
  it("writes what berth may make up and 1Password does not have, once, and nothing that is there", async () => {
    rig.onepassword.put("agents", "data", { hook: "there", empty: "" });
    rig.onepassword.vault("agents");
    const { operations } = await rig.unlocked([
      agent("lal", { HOOK: generated, TWO: { ...generated, from: "op://agents/lal/two" } }),
      agent("data", {
        HOOK: { from: "op://agents/data/hook", generate: 24 },
        EMPTY: { from: "op://agents/data/empty", generate: 24 },
        PLAIN: "op://agents/data/none",
        THEIRS: { from: "op://agents/lal/hook", generate: 24 },
        AWAY: { from: "op://nowhere/x/y", generate: 24 },
      }),
    ]);
    const answer = await operations.create();
    expect(answer.created).toEqual(["data.EMPTY", "lal.HOOK", "lal.TWO"]);
    expect([...answer.skipped].sort()).toEqual([
      expect.stringMatching(/^data.AWAY: refused/),
      "data.HOOK: it has a value already",
      expect.stringMatching(/^data.THEIRS: refused/),
    ]);
    expect(await rig.text("lal", "HOOK")).toMatch(made);
    expect(await rig.text("data", "HOOK")).toBe("there");
    // One item for both, made once.
    expect(rig.onepassword.vault("agents").items.map(({ title }) => title)).toEqual([
      "data",
      "lal",
    ]);
    expect((await operations.create()).created).toEqual([]);
  });

  it("writes nothing where the reference means several fields, a file or a whole other attribute", async () => {
    const item = rig.onepassword.put("agents", "lal", { a: "1" });
    item.fields.push({ label: "A", id: "a2", value: "2" });
    item.files.push({ id: "f", name: "empty.pem", content: Buffer.alloc(0) });
    const { operations } = await rig.unlocked([
      agent("lal", {
        TWO: { from: "op://agents/lal/a", generate: 24 },
        FILE: { from: "op://agents/lal/empty.pem", generate: 24 },
        OTP: { from: "op://agents/lal/none?attribute=otp", generate: 24 },
      }),
    ]);
    const { created, skipped } = await operations.create();
    expect([created, [...skipped].sort()]).toEqual([
      [],
      [
        expect.stringMatching(/^lal.FILE: .*empty file/),
        expect.stringMatching(/^lal.OTP: .*no field/),
        expect.stringMatching(/^lal.TWO: too many matches/),
      ],
    ]);
    expect(rig.onepassword.calls.filter((call) => call.startsWith("write"))).toEqual([]);
  });

  it("makes no item where the reference names one by an id that there is not, and none in a vault that there is not", async () => {
    rig.onepassword.vault("agents");
    const id = "a".repeat(26);
    const { operations } = await rig.unlocked([
      agent(
        "lal",
        {
          ID: { from: `op://agents/${id}/x`, generate: 24 },
          VAULT: { from: "op://none/lal/x", generate: 24 },
        },
        { vaults: ["agents", "none"] },
      ),
    ]);
    expect(await operations.create()).toEqual({
      created: [],
      skipped: [expect.stringMatching(/^lal.ID: .*no item/), expect.stringMatching(/no vault/)],
    });
  });
});

describe("check", () => {
  it("tries every declared reference, names its place, and keeps nothing", async () => {
    rig.onepassword.put("agents", "lal", { token: canary, zero: "a\0b" });
    const { operations, resolver, store } = await rig.unlocked();
    await store.declare([
      agent(
        "lal",
        { TOKEN: "op://agents/lal/token", ZERO: "op://agents/lal/zero", ENV: "env:NONE" },
        {
          configFiles: { "c.json": { template: [{ x: "op://agents/data/token" }] } },
          endpoints: {
            m: { url: "https://api.example.com", headers: { a: "{{ op://agents/lal/none }}" } },
          },
        },
      ),
    ]);
    const { results } = await operations.check();
    expect(results.map(({ place, ok }) => `${place} ${ok}`)).toEqual([
      "lal.secrets.ENV false",
      "lal.secrets.TOKEN true",
      "lal.secrets.ZERO false",
      "lal.configFiles.c.json[0].x false",
      "lal.endpoints.m.headers.a false",
    ]);
    expect(results.map(({ reason = "" }) => reason)).toEqual([
      expect.stringMatching(/not pushed/),
      "",
      expect.stringMatching(/zero byte/),
      expect.stringMatching(/not among the vaults of lal/),
      expect.stringMatching(/no field or file "none"/),
    ]);
    expect(JSON.stringify(results)).not.toContain("canary");
    expect(resolver?.status.state).toBe("ready");
  });

  it("tries references that nobody declares; locked, it says so of each", async () => {
    rig.onepassword.put("agents", "lal", { token: canary });
    const { operations } = await rig.unlocked();
    const asked = ["op://agents/lal/token", "op://agents/lal/none", "no reference"];
    expect((await operations.check(asked)).results).toEqual([
      { place: "", reference: asked[0], ok: true },
      { place: "", reference: asked[1], ok: false, reason: expect.stringMatching(/none/) },
      { place: "", reference: asked[2], ok: false, reason: expect.stringMatching(/reference/) },
    ]);
    await operations.lock();
    const { results } = await operations.check(asked.slice(0, 1));
    expect(results[0]).toMatchObject({ ok: false, reason: expect.stringMatching(/locked/) });
  });
});
