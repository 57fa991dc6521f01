import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { Resolver } from "../../../services/secret-store/onepassword/resolver.ts";
import { type OpReference, parseReference } from "../../../spec/references.ts";
import { FakeClock, FakeOnePassword, settled } from "./fake-onepassword.ts";
import { agent, Rig } from "./rig.ts";

// Every buffer that was ever wrapped, so that a test can look whether its bytes are still there.
const { wrapped } = vi.hoisted(() => ({ wrapped: [] as Buffer[] }));
vi.mock("../../../services/common/redacted.ts", async (original) => {
  const actual = await original<typeof import("../../../services/common/redacted.ts")>();
  return {
    ...actual,
    Redacted: class<T> extends actual.Redacted<T> {
      constructor(value: T, label?: string) {
        super(value, label);
        if (Buffer.isBuffer(value)) wrapped.push(value);
      }
    },
  };
});

const op = (written: string) => parseReference(`op://${written}`) as OpReference;
const token = new Redacted("good", "token");
/** What is in memory and not overwritten. */
const live = () => wrapped.filter((buffer) => buffer.some((byte) => byte !== 0)).map(String);

let clock: FakeClock;
let onepassword: FakeOnePassword;
let resolver: Resolver;

beforeEach(() => {
  wrapped.length = 0;
  clock = new FakeClock();
  onepassword = new FakeOnePassword();
  resolver = new Resolver({
    makeBackend: (given) => onepassword.make(given),
    pollMs: 60_000,
    clock,
    random: () => 0.5,
    log: createLog("secret-store", () => undefined),
    onRead: async () => undefined,
    onState: () => undefined,
  });
});
async function unlock(...wanted: string[]): Promise<void> {
  resolver.want(wanted.map(op));
  await resolver.unlock(token);
}

describe("values in memory", () => {
  it("of an item are only those that a reference names: the others are overwritten at once", async () => {
    onepassword.put("agents", "lal", { a: "named", b: "not named" });
    await unlock("agents/lal/a");
    expect(wrapped.length).toBeGreaterThanOrEqual(3);
    expect(live()).toEqual(["named"]);
  });

  it("are overwritten when nobody names them any more, when a new one comes, and when the store is locked or ends", async () => {
    onepassword.put("agents", "lal", { a: "first", b: "other" });
    await unlock("agents/lal/a", "agents/lal/b");
    expect(live().sort()).toEqual(["first", "other"]);
    resolver.want([op("agents/lal/a")]);
    expect(live()).toEqual(["first"]);
    onepassword.put("agents", "lal", { a: "second" });
    await clock.pass(60_000);
    expect(live()).toEqual(["second"]);
    await resolver.lock();
    expect(live()).toEqual([]);
    await resolver.unlock(token);
    expect(live()).toEqual(["second"]);
    resolver.close();
    expect(live()).toEqual([]);
  });

  it("are copies for each who asks, which nobody else overwrites", async () => {
    onepassword.put("agents", "lal", { a: "value" });
    await unlock("agents/lal/a");
    const mine = resolver.resolve(op("agents/lal/a"));
    resolver.close();
    expect(mine.kind === "value" && String(mine.value.reveal())).toBe("value");
  });

  it("of a file are overwritten beside the copy, and of a value over 64 KiB nothing is kept", async () => {
    const item = onepassword.put("agents", "lal", { long: "x".repeat(70_000) });
    item.files.push({ id: "f1", name: "key", content: Buffer.from("of a file") });
    // The list says less than the file has.
    item.files.push({ id: "f2", name: "lie", content: Buffer.alloc(70_000, "y"), size: 5 });
    await unlock("agents/lal/long", "agents/lal/key", "agents/lal/lie");
    expect(live()).toEqual(["of a file"]);
  });

  it("that come for a reference which nobody wants any more are not kept", async () => {
    onepassword.put("agents", "lal", { a: "late" });
    let answer: () => void = () => undefined;
    onepassword.before = (call) =>
      call.startsWith("item ")
        ? new Promise((resolve) => {
            answer = resolve;
          })
        : undefined;
    resolver.want([op("agents/lal/a")]);
    const unlocking = resolver.unlock(token);
    await settled();
    resolver.want([]);
    answer();
    await unlocking;
    expect(wrapped.length).toBeGreaterThan(0);
    expect(live()).toEqual([]);
  });

  it("of one-time passwords are gone when the look has ended", async () => {
    onepassword.put("agents", "lal", {});
    onepassword.vault("agents").items[0]?.fields.push({ label: "c", kind: "otp", otp: "111111" });
    await unlock("agents/lal/c?attribute=otp");
    expect(wrapped.length).toBeGreaterThan(0);
    expect(live()).toEqual([]);
  });

  it("that were delivered are no longer in memory beside the cached ones, neither as secrets nor in rendered files", async () => {
    const rig = await new Rig().open();
    try {
      rig.onepassword.put("agents", "lal", { token: "delivered value" });
      await writeFile(join(rig.files, "key"), "of the host");
      const template = { token: "op://agents/lal/token", key: `{{ file:${rig.files}/key }}` };
      const { store } = await rig.unlocked([
        agent(
          "lal",
          { TOKEN: "op://agents/lal/token", KEY: `file:${rig.files}/key`, MADE: "generated:16" },
          { configFiles: { "c.json": { template } } },
        ),
      ]);
      await store.endpoint("lal", "m");
      expect(store.states.map(({ state }) => state)).toEqual(Array(4).fill("delivered"));
      expect(wrapped.length).toBeGreaterThan(6);
      expect(live()).toEqual(["delivered value"]);
    } finally {
      await rig.close();
    }
  });
});
