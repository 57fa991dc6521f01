import { lstat, mkdir, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
import { maxValueBytes } from "../../../services/secret-store/value.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { agent, canary, gone, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

describe("what cannot be resolved", () => {
  const one = async (reference: string, more: Partial<Declaration> = {}) => {
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: reference }, more)]);
    const [state] = store.states;
    expect(await gone(rig.place("lal", "KEY"))).toBe(true);
    await store.health();
    return state;
  };

  it("an op:// reference is missing and says that no resolver is configured", async () => {
    expect(await one("op://agents/lal/token")).toMatchObject({
      state: "missing",
      reference: "op://agents/lal/token",
      reason: expect.stringMatching(/not configured: .*1Password/),
    });
  });

  it.each<[string, (at: string) => Promise<string>, RegExp]>([
    ["a file that is not there", async (at) => `file:${at}/none`, /no such file/],
    ["a file outside the directory", async () => "file:/etc/hostname", /does not lie under/],
    ["a way out by ..", async (at) => `file:${at}/../agents`, /does not lie under/],
    [
      "a link that leads out",
      async (at) => {
        await symlink("/etc/hostname", join(at, "link"));
        return `file:${at}/link`;
      },
      /does not lie under/,
    ],
    [
      "a directory beside of which ours is a prefix",
      async (at) => {
        await mkdir(`${at}-more`);
        await writeFile(`${at}-more/key`, "value");
        return `file:${at}-more/key`;
      },
      /does not lie under/,
    ],
    [
      "a directory",
      async (at) => {
        await mkdir(join(at, "dir"));
        return `file:${at}/dir`;
      },
      /no regular file/,
    ],
    [
      "an empty file",
      async (at) => {
        await writeFile(join(at, "empty"), "\n");
        return `file:${at}/empty`;
      },
      /empty/,
    ],
    [
      "a file over 64 KiB",
      async (at) => {
        await writeFile(join(at, "large"), "x");
        await truncate(join(at, "large"), maxValueBytes + 1);
        return `file:${at}/large`;
      },
      /more than 65536 bytes/,
    ],
    [
      "a value with a zero byte",
      async (at) => {
        await writeFile(join(at, "zero"), "a\0b");
        return `file:${at}/zero`;
      },
      /zero byte/,
    ],
    ["a name that was not pushed", async () => "env:NOT_PUSHED", /berth secrets push/],
  ])("%s gives no file, a reason and a healthy store", async (_what, make, reason) => {
    const reference = await make(rig.files);
    expect(await one(reference)).toMatchObject({
      reference,
      state: "missing",
      reason: expect.stringMatching(reason),
    });
  });

  it("a value of exactly 64 KiB is delivered", async () => {
    await writeFile(join(rig.files, "large"), `${"x".repeat(maxValueBytes)}\n`);
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: `file:${rig.files}/large` })]);
    expect((await lstat(rig.place("lal", "KEY"))).size).toBe(maxValueBytes);
  });

  it("an agent without a network has no directory to deliver to", async () => {
    expect(await one("generated:32", { network: "none" })).toMatchObject({ state: "missing" });
  });

  it("one missing secret does not keep back the agent's others", async () => {
    const { store } = await rig.start();
    await store.declare([agent("lal", { A: "op://a/b/c", B: "generated:16" })]);
    expect(await rig.list("lal")).toEqual(["B", "generation", "status.json"]);
  });

  it("a file that is withdrawn at its source is withdrawn from the agent", async () => {
    await writeFile(join(rig.files, "key"), "value");
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: `file:${rig.files}/key` })]);
    await unlink(join(rig.files, "key"));
    await store.refresh();
    expect(await gone(rig.place("lal", "KEY"))).toBe(true);
  });
});

describe("pushed values", () => {
  const reference = "env:API_TOKEN";

  it("a push reaches the waiting agent at once, null withdraws it", async () => {
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: reference })]);
    expect(store.states[0]?.state).toBe("missing");
    expect(await store.push({ API_TOKEN: canary, OTHER: "x" })).toBe(2);
    expect(store.states[0]?.state).toBe("delivered");
    expect(await rig.text("lal", "KEY")).toBe(canary);
    await store.push({ API_TOKEN: null });
    expect(store.states[0]).toMatchObject({ state: "missing", reason: "API_TOKEN was withdrawn" });
    expect(await gone(rig.place("lal", "KEY"))).toBe(true);
  });

  it("after a restart the delivered file is kept until the next push, but not for another reference", async () => {
    const { store: first } = await rig.start();
    await first.declare([agent("lal", { KEY: reference })]);
    await first.push({ API_TOKEN: "before" });
    rig.pushed = new PushedValues();
    const { store: second } = await rig.start();
    await second.declare([agent("lal", { KEY: reference })]);
    expect(second.states[0]).toMatchObject({ state: "kept", reference });
    expect(await rig.text("lal", "KEY")).toBe("before");
    await second.push({ API_TOKEN: "after" });
    expect(await rig.text("lal", "KEY")).toBe("after");
    rig.pushed = new PushedValues();
    const { store: third } = await rig.start();
    await third.declare([agent("lal", { KEY: "env:ANOTHER" })]);
    expect(third.states[0]?.state).toBe("missing");
    expect(await gone(rig.place("lal", "KEY"))).toBe(true);
  });

  it.each<[string, unknown]>([
    ["no object", [canary]],
    ["null", null],
    ["a text", canary],
    ["a name that is a value", { [canary]: "x" }],
    ["a value that is a number", { API_TOKEN: 7, OTHER: canary }],
    ["an empty value", { API_TOKEN: "", OTHER: canary }],
    ["a value with a zero byte", { API_TOKEN: `${canary}\0` }],
    ["a value over 64 KiB", { API_TOKEN: canary.repeat(3_000) }],
    [
      "too many names",
      Object.fromEntries(Array.from({ length: 1_100 }, (_, i) => [`N${i}`, canary])),
    ],
  ])("%s is refused whole, without the value in the message", async (_what, values) => {
    const { store } = await rig.start();
    const message = await store.push(values).then(
      () => "accepted",
      (error: Error) => error.message,
    );
    expect(message).not.toBe("accepted");
    expect(message).not.toContain("canary");
    expect(rig.pushed.resolve("OTHER").kind).toBe("unavailable");
  });
});
