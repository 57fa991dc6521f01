import { chmod, lstat, readdir, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { closeDirectory } from "../../../services/secret-store/directory.ts";
import { Seed } from "../../../services/secret-store/seed.ts";
import { agent, canary, gone, me, owner, Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

describe("delivery", () => {
  it("a file's value reaches its own agent's directory only, readable by the agent's user only", async () => {
    await writeFile(join(rig.files, "key"), `${canary}\n`);
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: `file:${rig.files}/key` }), agent("data", {})]);
    const found = await lstat(rig.place("lal", "KEY"));
    expect([found.mode & 0o7777, found.uid, found.gid]).toEqual([0o400, owner, owner]);
    if (me === 0) expect(await rig.text("lal", "KEY")).toBe(canary);
    expect(await gone(join(rig.agents, "data", "secrets"))).toBe(true);
    expect(store.states).toEqual([
      { agent: "lal", name: "KEY", reference: `file:${rig.files}/key`, state: "delivered" },
    ]);
  });

  it("exactly one line break at the end is no part of the value", async () => {
    const { store } = await rig.start();
    for (const [written, read] of [
      ["a\n", "a"],
      ["a\r\n", "a"],
      ["a\n\n", "a\n"],
      ["a", "a"],
      [" a \n", " a "],
    ] as const) {
      await writeFile(join(rig.files, "key"), written);
      await store.declare([agent("lal", { KEY: `file:${rig.files}/key` })]);
      expect(await rig.text("lal", "KEY")).toBe(read);
    }
  });

  it("what is unchanged is not written again, also not after a restart; what changed is, and the generation says so", async () => {
    await writeFile(join(rig.files, "a"), "one");
    await writeFile(join(rig.files, "b"), "two");
    const declared = [
      agent("lal", { A: `file:${rig.files}/a`, B: `file:${rig.files}/b`, C: "generated:32" }),
    ];
    await (await rig.start()).store.declare(declared);
    const seen = async () => ({
      a: (await lstat(rig.place("lal", "A"))).ino,
      b: (await lstat(rig.place("lal", "B"))).ino,
      c: (await lstat(rig.place("lal", "C"))).ino,
      generation: await rig.text("lal", "generation"),
    });
    const first = await seen();
    const { store } = await rig.start();
    await store.declare(declared);
    await store.refresh();
    expect(await seen()).toEqual(first);
    await writeFile(join(rig.files, "a"), "three");
    await store.refresh();
    const second = await seen();
    expect(second).toMatchObject({ b: first.b, c: first.c });
    expect(second.a).not.toBe(first.a);
    expect(second.generation).not.toBe(first.generation);
    expect(await rig.text("lal", "A")).toBe("three");
  });

  it("generated values have the length asked for, differ by agent and name, and survive a restart of the store", async () => {
    const secrets = { ONE: "generated:16", TWO: "generated:1024", THREE: "generated:32" };
    const declared = [agent("lal", secrets), agent("data", secrets)];
    await (await rig.start()).store.declare(declared);
    const read = async () => {
      const values: Record<string, string> = {};
      for (const name of ["lal", "data"])
        for (const key of Object.keys(secrets))
          values[`${name} ${key}`] = await rig.text(name, key);
      return values;
    };
    const first = await read();
    expect(Buffer.from(first["lal ONE"] ?? "", "base64url")).toHaveLength(16);
    expect(Buffer.from(first["lal TWO"] ?? "", "base64url")).toHaveLength(1024);
    expect(new Set(Object.values(first)).size).toBe(6);
    await unlink(rig.place("lal", "ONE"));
    await (await rig.start()).store.declare(declared);
    expect(await read()).toEqual(first);
  });

  it("another seed gives other values", () => {
    const derive = (byte: number) =>
      new Seed(Buffer.alloc(32, byte)).derive({ agent: "lal", name: "A" }, 32).toString("hex");
    expect(derive(1)).toBe(derive(1));
    expect(derive(1)).not.toBe(derive(2));
  });

  it("the seed lies in a closed directory of the store's own, and nowhere in the agents' tree", async () => {
    await (await rig.start()).store.declare([agent("lal", { A: "generated:16" })]);
    const found = await lstat(join(rig.own, "seed"));
    expect([found.mode & 0o777, found.uid, found.size]).toEqual([0o400, me, 32]);
    expect((await lstat(rig.own)).mode & 0o777).toBe(0o700);
    expect(await readdir(rig.own)).toEqual(["seed"]);
    expect(await readdir(rig.agents)).toEqual(["lal"]);
  });

  it("without a directory for the seed the store does not start, and says what to mount", async () => {
    await rm(rig.own, { recursive: true });
    await expect(rig.start()).rejects.toThrow(
      /cannot be kept in .*secret-store .*: mount a directory/,
    );
  });

  it("the directory of agents is closed to other users of the host; one that is not ours is only reported", async () => {
    const lines = createLog("secret-store", (line) => rig.log.push(line));
    await chmod(rig.agents, 0o755);
    await closeDirectory(rig.agents, lines);
    expect((await lstat(rig.agents)).mode & 0o777).toBe(0o700);
    expect(rig.log).toEqual([]);
    await closeDirectory(join(rig.root, "none"), lines);
    expect(rig.log.join()).toContain("directory-open");
  });

  it("how each secret stands is told beside it, without values, and the generation does not move for that", async () => {
    await writeFile(join(rig.files, "key"), canary);
    const { store } = await rig.start();
    const [key, op] = [`file:${rig.files}/key`, "op://agents/lal/token"];
    await store.declare([agent("lal", { A: key, B: op })]);
    const found = await lstat(rig.place("lal", "status.json"));
    expect([found.mode & 0o777, found.uid]).toEqual([0o444, me]);
    expect(JSON.parse(await rig.text("lal", "status.json"))).toEqual({
      secrets: [
        { name: "A", reference: key, state: "delivered" },
        {
          name: "B",
          reference: op,
          state: "missing",
          reason: expect.stringMatching(/^not configured/),
        },
      ],
    });
    expect(await rig.text("lal", "status.json")).not.toContain("canary");
    const before = await rig.text("lal", "generation");
    await store.declare([agent("lal", { A: key, B: "env:NOT_PUSHED" })]);
    expect(await rig.text("lal", "status.json")).toContain("berth secrets push");
    expect(await rig.text("lal", "generation")).toBe(before);
    const { ino } = await lstat(rig.place("lal", "status.json"));
    await (await rig.start()).store.declare([agent("lal", { A: key, B: "env:NOT_PUSHED" })]);
    expect((await lstat(rig.place("lal", "status.json"))).ino).toBe(ino);
  });

  it("a file that somebody took away or changed is put right", async () => {
    await writeFile(join(rig.files, "key"), "value");
    const { store } = await rig.start();
    await store.declare([agent("lal", { KEY: `file:${rig.files}/key` })]);
    await unlink(rig.place("lal", "KEY"));
    await store.refresh();
    expect(await rig.text("lal", "KEY")).toBe("value");
    await rm(rig.place("lal", "KEY"));
    await writeFile(rig.place("lal", "KEY"), "forged", { mode: 0o644 });
    await store.refresh();
    expect(await rig.text("lal", "KEY")).toBe("value");
  });

  it("withdrawn names and agents lose their files, also those that went while the store was away; directories stay", async () => {
    await writeFile(join(rig.files, "key"), "value");
    const reference = `file:${rig.files}/key`;
    const { store } = await rig.start();
    await store.declare([
      agent("lal", { A: reference, B: reference }),
      agent("data", { A: reference }),
    ]);
    const directory = (await lstat(join(rig.agents, "lal", "secrets"))).ino;
    await store.declare([agent("lal", { B: reference }), agent("data", { A: reference })]);
    expect(await rig.list("lal")).toEqual(["B", "generation", "status.json"]);
    await (await rig.start()).store.declare([agent("lal", {})]);
    expect(await rig.list("lal")).toEqual(["generation"]);
    expect(await rig.list("data")).toEqual([]);
    expect((await lstat(join(rig.agents, "lal", "secrets"))).ino).toBe(directory);
  });

  it("before the first declarations nothing is touched", async () => {
    await writeFile(join(rig.files, "key"), "value");
    await (await rig.start()).store.declare([agent("lal", { A: `file:${rig.files}/key` })]);
    const { store } = await rig.start();
    await store.refresh();
    expect(await rig.text("lal", "A")).toBe("value");
    await expect(store.health()).rejects.toThrow(/no declarations yet/);
  });

  it("declarations of another stack are not ours", async () => {
    const { store } = await rig.start();
    await store.declare([agent("lal", { A: "generated:16" }, { stack: "other" })]);
    expect(store.states).toEqual([]);
    expect(await gone(join(rig.agents, "lal"))).toBe(true);
  });

  it("one agent whose directory cannot be written does not stop the others, and makes the store unhealthy", async () => {
    await writeFile(join(rig.agents, "data"), "not a directory");
    const { store } = await rig.start();
    await store.declare([
      agent("data", { A: "generated:16" }),
      agent("lal", { A: "generated:16" }),
    ]);
    expect((await rig.text("lal", "A")).length).toBe(22);
    await expect(store.health()).rejects.toThrow(/data: /);
  });

  it("whatever the sequence of declarations, the files are exactly those of the last one", async () => {
    const names = fc.uniqueArray(fc.constantFrom("A", "B", "C", "D"), { maxLength: 4 });
    const fleet = fc.record({
      lal: fc.option(names),
      data: fc.option(names),
      scout: fc.option(names),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fleet, { minLength: 1, maxLength: 4 }), async (steps) => {
        const { store } = await rig.start();
        for (const step of steps) {
          await store.declare(
            Object.entries(step).flatMap(([name, keys]) =>
              keys ? [agent(name, Object.fromEntries(keys.map((k) => [k, "generated:16"])))] : [],
            ),
          );
        }
        for (const [name, keys] of Object.entries(steps.at(-1) ?? {})) {
          const there = await rig.list(name).catch(() => []);
          const about = ["generation", "status.json"];
          expect(there.filter((file) => !about.includes(file))).toEqual([...(keys ?? [])].sort());
        }
      }),
      { numRuns: 40 },
    );
  });
});
