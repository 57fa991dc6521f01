import { lstat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { maxRenderedBytes } from "../../../services/secret-store/texts.ts";
import type { Json } from "../../../spec/canonical.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { agent, canary, gone, me, owner, Rig, stands } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

const file = "config.json";
/** What shells and `op inject` would expand. */
const dollars = ["$v $5", "{v}", "{v:-default}"].join(" $");
const withFile = (template: Json, more: Partial<Declaration> = {}) =>
  agent("lal", {}, { configFiles: { [file]: { template } }, ...more });

describe("config files", () => {
  it("B8: are rendered with the values in their places, for the agent's user only, beside the secrets", async () => {
    rig.onepassword.put("agents", "lal", { token: canary });
    const template = {
      $schema: "https://example.com/schema",
      bots: [{ token: "op://agents/lal/token", header: "Bearer {{ op://agents/lal/token }}!" }],
      price: dollars,
      n: 7,
      none: null,
    };
    const { store } = await rig.unlocked([withFile(template)]);
    const found = await lstat(rig.configPlace("lal", file));
    expect([found.mode & 0o7777, found.uid, found.gid]).toEqual([0o400, owner, owner]);
    const folder = await lstat(join(rig.agents, "lal", "config"));
    expect([folder.mode & 0o777, folder.uid]).toEqual([0o755, me]);
    const text = await rig.config("lal", file);
    expect(JSON.parse(text)).toEqual({
      ...template,
      bots: [{ token: canary, header: `Bearer ${canary}!` }],
    });
    expect(text).not.toContain("op://");
    expect(await rig.list("lal", "config")).toEqual([file, "generation", "status.json"]);
    expect(store.states).toEqual([
      {
        agent: "lal",
        name: "configFiles.config.json",
        reference: "op://agents/lal/token",
        state: "delivered",
      },
    ]);
    const about = [
      await rig.config("lal", "generation"),
      await rig.config("lal", "status.json"),
      await rig.text("lal", "status.json"),
    ].join();
    expect(about).not.toContain("canary");
    expect(about).toContain('"name": "configFiles.config.json"');
    expect(about).toContain('"name": "config.json"');
  });

  it("no value, whatever is in it, changes the structure, and none is looked at again", async () => {
    const { store } = await rig.unlocked();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ minLength: 1, unit: "grapheme" }),
          fc.constantFrom(
            '","admin":true,"x":"',
            "op://agents/lal/other",
            "{{ op://agents/lal/other }}",
            dollars,
            '\\u0022\n\r\t"',
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
          ),
        ),
        async (value) => {
          fc.pre(value.isWellFormed());
          rig.onepassword.put("agents", "lal", { token: value, other: "never" });
          const template = { a: "op://agents/lal/token", b: ["x{{op://agents/lal/token}}y"], c: 1 };
          await store.declare([withFile(template)]);
          await rig.clock.pass(60_000);
          expect(JSON.parse(await rig.config("lal", file))).toEqual({
            a: value,
            b: [`x${value}y`],
            c: 1,
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each<[string, Json, RegExp]>([
    ["one reference that means nothing", ["op://agents/lal/token", "op://agents/lal/none"], /none/],
    ["an empty value", ["op://agents/lal/empty"], /op:\/\/agents\/lal\/empty: .*empty/],
    ["a value that is no text", ["op://agents/lal/binary"], /no UTF-8 text/],
    ["an item of another agent", ["op://agents/data/token"], /not among the vaults of lal/],
    ["a one-time password", ["op://agents/lal/token?attribute=otp"], /half a minute/],
    ["a text that is no template", ["{{ nothing"], /\{\{ without \}\}/],
    [
      "more than 256 KiB",
      Array.from({ length: 5 }, () => "op://agents/lal/large"),
      /more than 262144 bytes/,
    ],
  ])("%s: nothing is written, and the reason is told", async (_what, template, reason) => {
    rig.onepassword.put("agents", "lal", {
      token: canary,
      empty: "",
      binary: Buffer.from([0xff, 0xfe, 0x00]),
      large: "x".repeat(60_000),
    });
    rig.onepassword.put("agents", "data", { token: "of data" });
    const { store } = await rig.unlocked([withFile(template)]);
    expect(store.states).toEqual([
      expect.objectContaining({ state: "missing", reason: expect.stringMatching(reason) }),
    ]);
    expect(await gone(rig.configPlace("lal", file))).toBe(true);
    expect(JSON.stringify(store.states) + rig.log.join()).not.toContain("canary");
  });

  it("up to 256 KiB are written", async () => {
    rig.onepassword.put("agents", "lal", { large: "x".repeat(60_000) });
    await rig.unlocked([withFile(Array.from({ length: 4 }, () => "op://agents/lal/large"))]);
    const { size } = await lstat(rig.configPlace("lal", file));
    expect(size).toBeGreaterThan(240_000);
    expect(size).toBeLessThanOrEqual(maxRenderedBytes);
  });

  it("one new value writes the file anew; an unchanged one does not, also after a restart", async () => {
    rig.onepassword.put("agents", "lal", { token: "first" });
    const declared = withFile({ token: "op://agents/lal/token" });
    await rig.unlocked([declared]);
    const seen = async () => [
      (await lstat(rig.configPlace("lal", file))).ino,
      await rig.config("lal", "generation"),
    ];
    const before = await seen();
    await rig.clock.pass(60_000);
    expect(await seen()).toEqual(before);
    const again = await rig.unlocked([declared]);
    expect(await seen()).toEqual(before);
    rig.onepassword.put("agents", "lal", { token: "second" });
    await again.operations.refresh();
    expect(JSON.parse(await rig.config("lal", file))).toEqual({ token: "second" });
    expect((await seen())[1]).not.toBe(before[1]);
  });

  it("while a value cannot be had the file is kept, for this template only", async () => {
    rig.onepassword.put("agents", "lal", { token: "first" });
    const template = { token: "op://agents/lal/token" };
    const running = await rig.unlocked([withFile(template)]);
    await running.operations.lock();
    expect(stands(running)).toEqual(["lal configFiles.config.json kept"]);
    expect(JSON.parse(await rig.config("lal", file))).toEqual({ token: "first" });
    await running.store.declare([withFile({ ...template, more: true })]);
    expect(stands(running)).toEqual(["lal configFiles.config.json missing"]);
    expect(await gone(rig.configPlace("lal", file))).toBe(true);
  });

  it("go with the declaration, and with a reference that is gone", async () => {
    rig.onepassword.put("agents", "lal", { token: "first" });
    const declared = withFile({ token: "op://agents/lal/token" });
    const { store, operations } = await rig.unlocked([declared]);
    rig.onepassword.put("agents", "lal", {});
    await operations.refresh();
    expect(await gone(rig.configPlace("lal", file))).toBe(true);
    rig.onepassword.put("agents", "lal", { token: "first" });
    await operations.refresh();
    expect(await gone(rig.configPlace("lal", file))).toBe(false);
    await store.declare([agent("lal")]);
    expect(await rig.list("lal", "config")).toEqual(["generation"]);
    await store.declare([]);
    expect(await rig.list("lal", "config")).toEqual([]);
  });

  it("take values of the host, too, and none where the agent has no directory", async () => {
    await writeFile(join(rig.files, "key"), "from the host\n");
    const { store } = await rig.start();
    const template = { key: `{{ file:${rig.files}/key }}` };
    await store.declare([withFile(template)]);
    expect(JSON.parse(await rig.config("lal", file))).toEqual({ key: "from the host" });
    await store.declare([withFile(template, { network: "none" })]);
    expect(await gone(rig.configPlace("lal", file))).toBe(true);
    expect(store.states[0]).toMatchObject({ state: "missing" });
  });
});

describe("the form of a value", () => {
  const binary = Buffer.from([0, 1, 0xff, 0xfe, 0, 10]);

  it('as: "file" takes any bytes, to the last of 64 KiB; an environment variable does not', async () => {
    const item = rig.onepassword.put("agents", "lal", { binary, zero: "a\0b" });
    item.files.push({ id: "f", name: "key.der", content: Buffer.alloc(64 * 1024, 0x80) });
    const { store } = await rig.unlocked([
      agent("lal", {
        DER: { from: "op://agents/lal/key.der", as: "file" },
        FILE: { from: "op://agents/lal/binary", as: "file" },
        ENV: "op://agents/lal/binary",
        ZERO: "op://agents/lal/zero",
      }),
    ]);
    expect(store.states.map(({ name, state, reason = "" }) => [name, state, reason])).toEqual([
      ["DER", "delivered", ""],
      ["ENV", "missing", expect.stringMatching(/zero byte.*as: "file"/)],
      ["FILE", "delivered", ""],
      ["ZERO", "missing", expect.stringMatching(/zero byte.*as: "file"/)],
    ]);
    expect((await lstat(rig.place("lal", "DER"))).size).toBe(64 * 1024);
    expect((await lstat(rig.place("lal", "FILE"))).size).toBe(binary.length);
  });

  it("bytes that are no UTF-8 would reach a program changed, so no environment gets them", async () => {
    await writeFile(join(rig.files, "latin1"), Buffer.from([0x61, 0xe9]));
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: `file:${rig.files}/latin1` })]);
    expect(store.states[0]).toMatchObject({
      state: "missing",
      reason: expect.stringMatching(/no UTF-8/),
    });
  });
});
