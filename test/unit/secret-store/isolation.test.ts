import { lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { agent, canary, gone, Rig, raised, stands } from "./rig.ts";

// Agent A cannot get what is B's, whatever its declaration says and whatever lies in the directories.

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
  rig.onepassword.put("agents", "data", { token: canary });
  rig.onepassword.put("agents", "lal", { token: "of lal" });
});
afterEach(() => rig.close());

const id = (digit: string) => digit.repeat(26);
const data = agent("data", { TOKEN: "op://agents/data/token" });
/** Every file below a directory, by its content. */
async function contents(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), "latin1")));
}

describe("an agent that names another's item", () => {
  it.each([
    ["as it is called", "op://agents/data/token"],
    ["in capitals", "op://AGENTS/Data/TOKEN"],
    ["in braces", "{{ op://agents/data/token }}"],
    ["in another vault", "op://private/data/token"],
  ])(
    "%s is refused by the store, whoever wrote the label, and asks nothing of 1Password for it",
    async (_how, reference) => {
      rig.onepassword.put("private", "data", { token: canary });
      const running = await rig.unlocked([
        agent(
          "lal",
          { TOKEN: reference },
          {
            configFiles: { "c.json": { template: { x: `${reference}` } } },
            endpoints: { m: { url: "https://lal.example.com", headers: { "x-key": reference } } },
          },
        ),
      ]);
      expect(stands(running)).toEqual([
        "lal TOKEN missing",
        "lal configFiles.c.json missing",
        "lal endpoints.m missing",
      ]);
      for (const { reason } of running.store.states)
        expect(reason).toMatch(/refused: .* is not among the vaults of lal \(agents\/lal\)/);
      expect((await running.store.endpoint("lal", "m")).kind).toBe("unknown");
      expect(rig.onepassword.calls).toEqual(["vaults"]);
      expect((await contents(rig.agents)).join()).not.toContain("canary");
      expect(raised(running)).toEqual([expect.stringMatching(/^reference: lal: TOKEN .*refused/)]);
    },
  );

  it("without an allow-list no reference is admitted", async () => {
    const { vaults: _, ...open } = agent("lal", { TOKEN: "op://agents/lal/token" });
    const { store } = await rig.unlocked([open]);
    expect(store.states[0]).toMatchObject({
      state: "missing",
      reason: expect.stringMatching(/not among the vaults of lal \(none\)/),
    });
  });

  it("by its id, in an allow-list of its own, gets nothing; the other keeps what it has, and an alert says so", async () => {
    const [item] = rig.onepassword.vault("agents").items;
    Object.assign(item ?? {}, { id: id("d") });
    const running = await rig.unlocked([data]);
    const reference = `op://agents/${id("d")}/token`;
    const thief = agent("lal", { TOKEN: reference }, { vaults: [`agents/${id("d")}`] });
    await running.store.declare([thief, data]);
    await rig.clock.pass(60_000);
    expect(running.store.states.map(({ agent: whose, state }) => [whose, state])).toEqual([
      ["lal", "missing"],
      ["data", "kept"],
    ]);
    expect(running.store.states[0]?.reason).toMatch(/also an item of data/);
    expect(await rig.text("data", "TOKEN")).toBe(canary);
    expect(await gone(rig.place("lal", "TOKEN"))).toBe(true);
    expect(raised(running).join()).toMatch(/lal: TOKEN .*also an item of data/);
    await running.store.declare([data]);
    expect(stands(running)).toEqual(["data TOKEN delivered"]);
  });

  it("by its id is refused by check as by the delivery, and rotate and create write nothing into it", async () => {
    const [item] = rig.onepassword.vault("agents").items;
    Object.assign(item ?? {}, { id: id("d") });
    const theirs = (field: string) => ({ from: `op://agents/${id("d")}/${field}`, generate: 24 });
    const thief = agent(
      "lal",
      { TOKEN: theirs("token"), MORE: theirs("more") },
      { vaults: [`agents/${id("d")}`] },
    );
    const { operations } = await rig.unlocked([thief, data]);
    const { results } = await operations.check();
    expect(results.map(({ place, ok }) => [place, ok])).toEqual([
      ["lal.secrets.MORE", false],
      ["lal.secrets.TOKEN", false],
      ["data.secrets.TOKEN", false],
    ]);
    for (const { reason } of results) expect(reason).toMatch(/also an item of (lal|data)/);
    await expect(operations.rotate("lal", [])).rejects.toThrow(/TOKEN: .*also an item of data/);
    expect((await operations.create()).created).toEqual([]);
    expect(rig.onepassword.calls.filter((call) => call.startsWith("write"))).toEqual([]);
    expect(item?.fields.map(({ value }) => value)).toEqual([canary]);
  });

  it("outside of its allow-list does not keep the other from its own", async () => {
    const running = await rig.unlocked([agent("lal", { TOKEN: "op://agents/data/token" }), data]);
    expect(stands(running)).toEqual(["lal TOKEN missing", "data TOKEN delivered"]);
  });

  it("one agent may name one item by two names", async () => {
    Object.assign(rig.onepassword.vault("agents").items[0] ?? {}, { id: id("d") });
    const twice = agent(
      "data",
      { A: "op://agents/data/token", B: `op://agents/${id("d")}/token` },
      { vaults: ["agents"] },
    );
    const running = await rig.unlocked([twice]);
    expect(stands(running)).toEqual(["data A delivered", "data B delivered"]);
  });

  it("whatever a fleet's references and allow-lists, each agent's files hold values of its own item only", async () => {
    const names = ["ann", "bob", "cai"] as const;
    for (const name of names) rig.onepassword.put("agents", name, { token: `<of-${name}>` });
    const { store } = await rig.unlocked();
    const vault = fc.constantFrom("agents", "Agents", "agents/ann", "agents/bob", "agents/cai");
    const reference = fc.constantFrom(...names).map((name) => `op://agents/${name}/token`);
    const one = fc.record({ refs: fc.array(reference, { maxLength: 3 }), vaults: fc.array(vault) });
    await fc.assert(
      fc.asyncProperty(fc.tuple(one, one, one), async (fleet) => {
        const declared = fleet.map(({ refs, vaults }, i) =>
          agent(names[i] ?? "", Object.fromEntries(refs.map((ref, n) => [`S${n}`, ref])), {
            vaults,
            configFiles: { "c.json": { template: refs } },
          }),
        );
        await store.declare([]);
        await store.declare(declared);
        await rig.settle();
        const holders = new Map<string, Set<string>>();
        for (const name of names) {
          const found = (await contents(join(rig.agents, name)).catch(() => [])).join();
          for (const [, of = ""] of found.matchAll(/<of-(\w+)>/g))
            holders.set(of, (holders.get(of) ?? new Set()).add(name));
        }
        for (const [of, who] of holders) {
          expect([...who], of).toHaveLength(1);
          const [holder = ""] = who;
          const allowed = declared.find(({ name }) => name === holder)?.vaults ?? [];
          expect(allowed.map((v) => v.toLowerCase())).toEqual(
            expect.arrayContaining([expect.stringMatching(new RegExp(`^agents(/${of})?$`))]),
          );
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("what is planted in the directories", () => {
  const lal = agent("lal", { TOKEN: "op://agents/lal/token" });
  const elsewhere = () => join(rig.root, "elsewhere");
  beforeEach(() => mkdir(elsewhere()));

  it.each(["lal", "lal/secrets"])(
    "a link in the place of %s is not followed, in writing, reading or removing",
    async (where) => {
      await writeFile(join(elsewhere(), "TOKEN"), "somebody's file");
      await mkdir(join(elsewhere(), "secrets"));
      await writeFile(join(elsewhere(), "secrets", "TOKEN"), "somebody's file");
      await mkdir(join(rig.agents, where, ".."), { recursive: true });
      await symlink(elsewhere(), join(rig.agents, where));
      const running = await rig.unlocked([lal, data]);
      await expect(running.store.health()).rejects.toThrow(/lal: .* is no directory: remove it/);
      expect(stands(running)).toEqual(["data TOKEN delivered"]);
      await running.store.declare([data]);
      expect((await contents(elsewhere())).sort()).toEqual(["somebody's file", "somebody's file"]);
      await rm(join(rig.agents, where));
      await running.store.declare([lal, data]);
      await rig.settle();
      expect(stands(running)).toEqual(["lal TOKEN delivered", "data TOKEN delivered"]);
    },
  );

  it("a link in the place of a secret, its generation or status is replaced, and what it leads to stays", async () => {
    const victim = join(elsewhere(), "victim");
    await writeFile(victim, "untouched", { mode: 0o640 });
    await mkdir(join(rig.agents, "lal", "secrets"), { recursive: true });
    for (const name of ["TOKEN", "generation", "status.json", "OTHER"])
      await symlink(victim, rig.place("lal", name));
    await rig.unlocked([lal]);
    expect(await rig.list("lal")).toEqual(["TOKEN", "generation", "status.json"]);
    for (const name of ["TOKEN", "generation", "status.json"])
      expect((await lstat(rig.place("lal", name))).isFile()).toBe(true);
    expect(await readFile(victim, "utf8")).toBe("untouched");
    expect((await lstat(victim)).mode & 0o777).toBe(0o640);
  });

  it("a forged generation makes no forged file count as delivered", async () => {
    await mkdir(join(rig.agents, "lal", "secrets"), { recursive: true });
    await writeFile(rig.place("lal", "TOKEN"), "forged", { mode: 0o444 });
    const files = {
      TOKEN: { reference: "op://agents/lal/token", fingerprint: "x" },
      "../../data/secrets/TOKEN": { reference: "op://agents/lal/token", fingerprint: "x" },
    };
    await writeFile(rig.place("lal", "generation"), JSON.stringify({ generation: 1, files }));
    const running = await rig.start({ onepassword: true });
    await running.store.declare([lal]);
    expect(stands(running)).toEqual(["lal TOKEN missing"]);
    expect(await gone(rig.place("lal", "TOKEN"))).toBe(true);
  });

  it("a declaration with the name of a path reaches no file, should one ever come", async () => {
    const running = await rig.unlocked([
      { ...lal, secrets: { "../../data/secrets/TOKEN": "op://agents/lal/token" } },
      data,
    ]);
    await expect(running.store.health()).rejects.toThrow(/is no name of a file here/);
    expect(await rig.text("data", "TOKEN")).toBe(canary);
  });
});
