import { lstat, unlink } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Redacted } from "../../../services/common/redacted.ts";
import { agent, gone, Rig, raised, stands } from "./rig.ts";

// The table of rotation and outage, with a 1Password of the test's own and a clock that the test moves.

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
  rig.onepassword.put("agents", "lal", { token: "first", key: "k" });
});
afterEach(() => rig.close());

const token = new Redacted("good", "token");
const lal = agent("lal", { TOKEN: "op://agents/lal/token" });
const inode = async () => (await lstat(rig.place("lal", "TOKEN"))).ino;
const generation = () => rig.text("lal", "generation");

describe("rotation", () => {
  it("B13: a value changed in 1Password is delivered within the poll interval, to its agent only", async () => {
    rig.onepassword.put("agents", "data", { token: "of data" });
    const data = agent("data", { TOKEN: "op://agents/data/token" });
    await rig.unlocked([lal, data]);
    const before = { lal: await inode(), data: await rig.text("data", "generation") };
    rig.onepassword.put("agents", "lal", { token: "second" });
    await rig.clock.pass(60_000);
    expect(await rig.text("lal", "TOKEN")).toBe("second");
    expect(await inode()).not.toBe(before.lal);
    expect(await rig.text("data", "generation")).toBe(before.data);
  });

  it("an item that changed elsewhere is no new value: nothing is written", async () => {
    await rig.unlocked([lal]);
    const before = [await inode(), await generation()];
    rig.onepassword.put("agents", "lal", { token: "first", key: "another" });
    await rig.clock.pass(60_000);
    expect([await inode(), await generation()]).toEqual(before);
  });

  it("refresh has the new value without waiting", async () => {
    const { operations } = await rig.unlocked([lal]);
    rig.onepassword.put("agents", "lal", { token: "second" });
    expect(await operations.refresh()).toMatchObject({
      provider: "onepassword",
      state: "ready",
      secrets: [{ agent: "lal", name: "TOKEN", state: "delivered" }],
    });
    expect(await rig.text("lal", "TOKEN")).toBe("second");
  });

  it("an item that is renamed or removed takes the file with it, and an alert says so once", async () => {
    const running = await rig.unlocked([lal]);
    Object.assign(rig.onepassword.vault("agents").items[0] ?? {}, { title: "renamed", version: 9 });
    await rig.clock.pass(180_000);
    expect(await gone(rig.place("lal", "TOKEN"))).toBe(true);
    expect(stands(running)).toEqual(["lal TOKEN missing"]);
    expect(raised(running)).toEqual([
      'reference: lal: TOKEN (op://agents/lal/token): the vault "agents" has no item "lal"',
    ]);
    rig.onepassword.put("agents", "lal", { token: "again" });
    await rig.clock.pass(60_000);
    expect(await rig.text("lal", "TOKEN")).toBe("again");
  });

  it("a new one-time password is written at every look and is new to nobody", async () => {
    rig.onepassword
      .vault("agents")
      .items[0]?.fields.push({ label: "code", kind: "otp", otp: "111111" });
    const coded = agent("lal", {
      CODE: { from: "op://agents/lal/code?attribute=otp", as: "file" },
    });
    const running = await rig.unlocked([coded]);
    expect(await rig.text("lal", "CODE")).toBe("111111");
    const before = await generation();
    Object.assign(rig.onepassword.vault("agents").items[0]?.fields.at(-1) ?? {}, { otp: "222222" });
    await rig.clock.pass(60_000);
    expect([await rig.text("lal", "CODE"), await generation()]).toEqual(["222222", before]);
    await running.store.refresh();
    expect([await rig.text("lal", "CODE"), ...stands(running)]).toEqual([
      "222222",
      "lal CODE delivered",
    ]);
    await unlink(rig.place("lal", "CODE"));
    await running.store.refresh();
    expect(running.store.states[0]).toMatchObject({
      state: "missing",
      reason: expect.stringMatching(/next look/),
    });
  });
});

describe("outage", () => {
  it("B8: at boot the agents wait with a status that says so; unlocked, they get their values", async () => {
    const running = await rig.start({ onepassword: true });
    await running.store.declare([lal]);
    expect(running.operations.status()).toMatchObject({
      state: "locked",
      secrets: [{ name: "TOKEN", state: "missing", reason: expect.stringMatching(/unlock/) }],
    });
    expect(await rig.text("lal", "status.json")).toMatch(/run berth secrets unlock/);
    await expect(running.store.health()).resolves.toBeUndefined();
    await running.operations.unlock(token);
    expect([await rig.text("lal", "TOKEN"), ...stands(running)]).toEqual([
      "first",
      "lal TOKEN delivered",
    ]);
  });

  it("1Password away at boot: the status names it, and the values come by themselves when it is back", async () => {
    const running = await rig.start({ onepassword: true });
    await running.store.declare([lal]);
    rig.onepassword.fail("unreachable");
    expect(await running.operations.unlock(token)).toEqual({
      state: "unreachable",
      reason: "it is unreachable",
    });
    expect(await rig.text("lal", "status.json")).toMatch(/1Password cannot be reached/);
    rig.onepassword.fail();
    await rig.clock.pass(5_000);
    expect(await rig.text("lal", "TOKEN")).toBe("first");
  });

  it.each([
    ["the token is revoked", "refused"],
    ["1Password limits requests", "limited"],
    ["1Password is away", "unreachable"],
  ] as const)(
    "%s: files stay as they are, new references wait, one alert names it",
    async (_what, kind) => {
      const running = await rig.unlocked([lal]);
      const before = [await inode(), await generation()];
      rig.onepassword.fail(kind);
      await rig.clock.pass(600_000);
      expect([await inode(), await generation(), ...stands(running)]).toEqual([
        ...before,
        "lal TOKEN delivered",
      ]);
      const two = { TOKEN: "op://agents/lal/token", KEY: "op://agents/lal/key" };
      await running.store.declare([agent("lal", two)]);
      expect(stands(running)).toEqual(["lal KEY missing", "lal TOKEN delivered"]);
      expect(raised(running).map((text) => text.split(":")[0])).toEqual([kind]);
      rig.onepassword.fail();
      await rig.clock.pass(1_800_000);
      expect(await rig.text("lal", "KEY")).toBe("k");
      rig.onepassword.fail(kind);
      await rig.clock.pass(600_000);
      expect(raised(running)).toHaveLength(2);
    },
  );

  it("a look that fails once is no alert", async () => {
    const running = await rig.unlocked([lal]);
    rig.onepassword.fail("unreachable");
    await rig.clock.pass(60_000);
    rig.onepassword.fail();
    await rig.clock.pass(60_000);
    expect([running.resolver?.status.state, raised(running)]).toEqual(["ready", []]);
  });

  it("a restarted store keeps the files while it is locked; unlocked, it writes what changed and nothing else", async () => {
    const declared = agent("lal", {
      TOKEN: "op://agents/lal/token",
      KEY: "op://agents/lal/key",
    });
    await rig.unlocked([declared]);
    const before = [await inode(), await generation()];
    rig.onepassword.put("agents", "lal", { token: "first", key: "changed meanwhile" });
    const again = await rig.start({ onepassword: true });
    await again.store.declare([declared]);
    expect(stands(again)).toEqual(["lal KEY kept", "lal TOKEN kept"]);
    expect([await inode(), await generation()]).toEqual(before);
    await again.operations.unlock(token);
    expect(stands(again)).toEqual(["lal KEY delivered", "lal TOKEN delivered"]);
    expect(await rig.text("lal", "KEY")).toBe("changed meanwhile");
    expect(await inode()).toBe(before[0]);
  });

  it("a locked store keeps what it delivered, for these references only", async () => {
    const running = await rig.unlocked([lal]);
    expect(await running.operations.lock()).toEqual({ state: "locked" });
    expect(stands(running)).toEqual(["lal TOKEN kept"]);
    expect(await rig.text("lal", "TOKEN")).toBe("first");
    await running.store.declare([agent("lal", { TOKEN: "op://agents/lal/key" })]);
    expect(stands(running)).toEqual(["lal TOKEN missing"]);
    expect(await gone(rig.place("lal", "TOKEN"))).toBe(true);
  });

  it("locked for over a minute while agents need 1Password is an alert, once; without such agents it is none", async () => {
    const running = await rig.start({ onepassword: true });
    await running.store.declare([agent("lal", { A: "generated:16" })]);
    await rig.clock.pass(600_000);
    expect(raised(running)).toEqual([]);
    await running.store.declare([lal]);
    await rig.clock.pass(59_999);
    expect(raised(running)).toEqual([]);
    await rig.clock.pass(1);
    await running.store.refresh();
    await rig.clock.pass(600_000);
    expect(raised(running)).toEqual([
      "locked: agents need 1Password and the store has no token: run berth secrets unlock. What agents have they keep",
    ]);
    await running.operations.unlock(token);
    await running.operations.lock();
    await rig.clock.pass(60_000);
    expect(raised(running)).toHaveLength(2);
  });

  it("unlocked within the minute, there is no alert", async () => {
    const running = await rig.start({ onepassword: true });
    await running.store.declare([lal]);
    await rig.clock.pass(59_000);
    await running.operations.unlock(token);
    await rig.clock.pass(600_000);
    expect(raised(running)).toEqual([]);
  });
});

describe("a removed agent", () => {
  it("loses files, config files and endpoint at once, while 1Password is slow or away", async () => {
    const whole = agent(
      "lal",
      { TOKEN: "op://agents/lal/token" },
      {
        configFiles: { "config.json": { template: { token: "op://agents/lal/token" } } },
        endpoints: {
          model: { url: "https://api.example.com", headers: { "x-key": "op://agents/lal/key" } },
        },
      },
    );
    const { store } = await rig.unlocked([whole]);
    expect((await store.endpoint("lal", "model")).kind).toBe("value");
    rig.onepassword.before = () => new Promise(() => undefined);
    await rig.clock.pass(60_000);
    const declaring = store.declare([]);
    expect((await store.endpoint("lal", "model")).kind).toBe("unknown");
    await declaring;
    expect([await rig.list("lal"), await rig.list("lal", "config")]).toEqual([[], []]);
    expect(store.states).toEqual([]);
  });

  it("that comes back while 1Password is away gets nothing: its values were not kept for it", async () => {
    const { store } = await rig.unlocked([lal]);
    await store.declare([]);
    rig.onepassword.fail("unreachable");
    await rig.clock.pass(60_000);
    await store.declare([lal]);
    expect(store.states[0]).toMatchObject({ state: "missing" });
    expect(await gone(rig.place("lal", "TOKEN"))).toBe(true);
  });
});
