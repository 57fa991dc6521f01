import { mkdtempSync } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { closeDirectory } from "../../../services/secret-store/directory.ts";
import { push, serveOperator, status } from "../../../services/secret-store/operator.ts";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
import { openSeed, Seed } from "../../../services/secret-store/seed.ts";
import { maxValueBytes } from "../../../services/secret-store/source.ts";
import { SecretStore } from "../../../services/secret-store/store.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { Uid } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";

const canary = "canary-3b9d1f70-a&\"'$x-do-not-leak";
/** Root gives the files to the agents' user; elsewhere they stay the tester's own. */
const me = process.getuid?.() ?? 0;
const owner = me === 0 ? Uid.agent : me;

let root: string;
let agents: string;
let own: string;
let files: string;
let log: string[];
let pushed: PushedValues;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "secrets-"));
  agents = join(root, "agents");
  files = join(root, "files");
  own = join(root, "secret-store");
  await mkdir(agents);
  await mkdir(own);
  await mkdir(files);
  log = [];
  pushed = new PushedValues();
});
afterEach(() => rm(root, { recursive: true }));

/** A store as after a start of the process: files and seed are on disk, pushed values only in `pushed`. */
async function start(): Promise<SecretStore> {
  return new SecretStore({
    directory: agents,
    stack: "test",
    sources: { directory: files, pushed, seed: await openSeed(own) },
    log: createLog("secret-store", (line) => log.push(line)),
    owner,
  });
}

function agent(name: string, secrets: Record<string, string>, more: Partial<Declaration> = {}) {
  return {
    version: 1,
    stack: "test",
    name,
    driver: "docker",
    image: "localhost/berth/node:0123456789ab",
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    preset: "agent",
    limits: presets.agent,
    chat: { channels: [], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets,
    workspace: { retain: false },
    ...more,
  } satisfies Declaration;
}
const place = (name: string, file: string) => join(agents, name, "secrets", file);
const text = (name: string, file: string) => readFile(place(name, file), "utf8");
const list = (name: string) => readdir(join(agents, name, "secrets")).then((l) => l.sort());
const gone = (path: string) =>
  lstat(path).then(
    () => false,
    () => true,
  );

describe("delivery", () => {
  it("a file's value reaches its own agent's directory only, readable by the agent's user only", async () => {
    await writeFile(join(files, "key"), `${canary}\n`);
    const store = await start();
    await store.declare([agent("lal", { KEY: `file:${files}/key` }), agent("data", {})]);
    const found = await lstat(place("lal", "KEY"));
    expect([found.mode & 0o7777, found.uid, found.gid]).toEqual([0o400, owner, owner]);
    if (me === 0) expect(await text("lal", "KEY")).toBe(canary);
    expect(await gone(join(agents, "data", "secrets"))).toBe(true);
    expect(store.states).toEqual([
      { agent: "lal", name: "KEY", reference: `file:${files}/key`, state: "delivered" },
    ]);
  });

  it("exactly one line break at the end is no part of the value", async () => {
    const store = await start();
    for (const [written, read] of [
      ["a\n", "a"],
      ["a\r\n", "a"],
      ["a\n\n", "a\n"],
      ["a", "a"],
      [" a \n", " a "],
    ] as const) {
      await writeFile(join(files, "key"), written);
      await store.declare([agent("lal", { KEY: `file:${files}/key` })]);
      expect(await text("lal", "KEY")).toBe(read);
    }
  });

  it("what is unchanged is not written again, also not after a restart; what changed is, and the generation says so", async () => {
    await writeFile(join(files, "a"), "one");
    await writeFile(join(files, "b"), "two");
    const declared = [
      agent("lal", { A: `file:${files}/a`, B: `file:${files}/b`, C: "generated:32" }),
    ];
    await (await start()).declare(declared);
    const seen = async () => ({
      a: (await lstat(place("lal", "A"))).ino,
      b: (await lstat(place("lal", "B"))).ino,
      c: (await lstat(place("lal", "C"))).ino,
      generation: await text("lal", "generation"),
    });
    const first = await seen();
    const store = await start();
    await store.declare(declared);
    await store.refresh();
    expect(await seen()).toEqual(first);
    await writeFile(join(files, "a"), "three");
    await store.refresh();
    const second = await seen();
    expect(second).toMatchObject({ b: first.b, c: first.c });
    expect(second.a).not.toBe(first.a);
    expect(second.generation).not.toBe(first.generation);
    expect(await text("lal", "A")).toBe("three");
  });

  it("generated values have the length asked for, differ by agent and name, and survive a restart of the store", async () => {
    const secrets = { ONE: "generated:16", TWO: "generated:1024", THREE: "generated:32" };
    const declared = [agent("lal", secrets), agent("data", secrets)];
    await (await start()).declare(declared);
    const read = async () => {
      const values: Record<string, string> = {};
      for (const name of ["lal", "data"])
        for (const key of Object.keys(secrets)) values[`${name} ${key}`] = await text(name, key);
      return values;
    };
    const first = await read();
    expect(Buffer.from(first["lal ONE"] ?? "", "base64url")).toHaveLength(16);
    expect(Buffer.from(first["lal TWO"] ?? "", "base64url")).toHaveLength(1024);
    expect(new Set(Object.values(first)).size).toBe(6);
    await unlink(place("lal", "ONE"));
    await (await start()).declare(declared);
    expect(await read()).toEqual(first);
  });

  it("another seed gives other values", () => {
    const derive = (byte: number) =>
      new Seed(Buffer.alloc(32, byte)).derive({ agent: "lal", name: "A" }, 32).toString("hex");
    expect(derive(1)).toBe(derive(1));
    expect(derive(1)).not.toBe(derive(2));
  });

  it("the seed lies in a closed directory of the store's own, and nowhere in the agents' tree", async () => {
    await (await start()).declare([agent("lal", { A: "generated:16" })]);
    const found = await lstat(join(own, "seed"));
    expect([found.mode & 0o777, found.uid, found.size]).toEqual([0o400, me, 32]);
    expect((await lstat(own)).mode & 0o777).toBe(0o700);
    expect(await readdir(own)).toEqual(["seed"]);
    expect(await readdir(agents)).toEqual(["lal"]);
  });

  it("without a directory for the seed the store does not start, and says what to mount", async () => {
    await rm(own, { recursive: true });
    await expect(start()).rejects.toThrow(/cannot be kept in .*secret-store .*: mount a directory/);
  });

  it("the directory of agents is closed to other users of the host; one that is not ours is only reported", async () => {
    const lines = createLog("secret-store", (line) => log.push(line));
    await chmod(agents, 0o755);
    await closeDirectory(agents, lines);
    expect((await lstat(agents)).mode & 0o777).toBe(0o700);
    expect(log).toEqual([]);
    await closeDirectory(join(root, "none"), lines);
    expect(log.join()).toContain("directory-open");
  });

  it("how each secret stands is told beside it, without values, and the generation does not move for that", async () => {
    await writeFile(join(files, "key"), canary);
    const store = await start();
    const [key, op] = [`file:${files}/key`, "op://agents/lal/token"];
    await store.declare([agent("lal", { A: key, B: op })]);
    const found = await lstat(place("lal", "status.json"));
    expect([found.mode & 0o777, found.uid]).toEqual([0o444, me]);
    expect(JSON.parse(await text("lal", "status.json"))).toEqual({
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
    expect(await text("lal", "status.json")).not.toContain("canary");
    const before = await text("lal", "generation");
    await store.declare([agent("lal", { A: key, B: "env:NOT_PUSHED" })]);
    expect(await text("lal", "status.json")).toContain("berth secrets push");
    expect(await text("lal", "generation")).toBe(before);
    const { ino } = await lstat(place("lal", "status.json"));
    await (await start()).declare([agent("lal", { A: key, B: "env:NOT_PUSHED" })]);
    expect((await lstat(place("lal", "status.json"))).ino).toBe(ino);
  });

  it("a file that somebody took away or changed is put right", async () => {
    await writeFile(join(files, "key"), "value");
    const store = await start();
    await store.declare([agent("lal", { KEY: `file:${files}/key` })]);
    await unlink(place("lal", "KEY"));
    await store.refresh();
    expect(await text("lal", "KEY")).toBe("value");
    await rm(place("lal", "KEY"));
    await writeFile(place("lal", "KEY"), "forged", { mode: 0o644 });
    await store.refresh();
    expect(await text("lal", "KEY")).toBe("value");
  });

  it("withdrawn names and agents lose their files, also those that went while the store was away; directories stay", async () => {
    await writeFile(join(files, "key"), "value");
    const reference = `file:${files}/key`;
    const store = await start();
    await store.declare([
      agent("lal", { A: reference, B: reference }),
      agent("data", { A: reference }),
    ]);
    const directory = (await lstat(join(agents, "lal", "secrets"))).ino;
    await store.declare([agent("lal", { B: reference }), agent("data", { A: reference })]);
    expect(await list("lal")).toEqual(["B", "generation", "status.json"]);
    await (await start()).declare([agent("lal", {})]);
    expect(await list("lal")).toEqual(["generation"]);
    expect(await list("data")).toEqual([]);
    expect((await lstat(join(agents, "lal", "secrets"))).ino).toBe(directory);
  });

  it("before the first declarations nothing is touched", async () => {
    await writeFile(join(files, "key"), "value");
    await (await start()).declare([agent("lal", { A: `file:${files}/key` })]);
    const store = await start();
    await store.refresh();
    expect(await text("lal", "A")).toBe("value");
    await expect(store.health()).rejects.toThrow(/no declarations yet/);
  });

  it("declarations of another stack are not ours", async () => {
    const store = await start();
    await store.declare([agent("lal", { A: "generated:16" }, { stack: "other" })]);
    expect(store.states).toEqual([]);
    expect(await gone(join(agents, "lal"))).toBe(true);
  });

  it("one agent whose directory cannot be written does not stop the others, and makes the store unhealthy", async () => {
    await writeFile(join(agents, "data"), "not a directory");
    const store = await start();
    await store.declare([
      agent("data", { A: "generated:16" }),
      agent("lal", { A: "generated:16" }),
    ]);
    expect((await text("lal", "A")).length).toBe(22);
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
        const store = await start();
        for (const step of steps) {
          await store.declare(
            Object.entries(step).flatMap(([name, keys]) =>
              keys ? [agent(name, Object.fromEntries(keys.map((k) => [k, "generated:16"])))] : [],
            ),
          );
        }
        for (const [name, keys] of Object.entries(steps.at(-1) ?? {})) {
          const there = await list(name).catch(() => []);
          const about = ["generation", "status.json"];
          expect(there.filter((file) => !about.includes(file))).toEqual([...(keys ?? [])].sort());
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("what cannot be resolved", () => {
  const one = async (reference: string, more: Partial<Declaration> = {}) => {
    const store = await start();
    await store.declare([agent("lal", { KEY: reference }, more)]);
    const [state] = store.states;
    expect(await gone(place("lal", "KEY"))).toBe(true);
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
    const reference = await make(files);
    expect(await one(reference)).toMatchObject({
      reference,
      state: "missing",
      reason: expect.stringMatching(reason),
    });
  });

  it("a value of exactly 64 KiB is delivered", async () => {
    await writeFile(join(files, "large"), `${"x".repeat(maxValueBytes)}\n`);
    const store = await start();
    await store.declare([agent("lal", { KEY: `file:${files}/large` })]);
    expect((await lstat(place("lal", "KEY"))).size).toBe(maxValueBytes);
  });

  it("an agent without a network has no directory to deliver to", async () => {
    expect(await one("generated:32", { network: "none" })).toMatchObject({ state: "missing" });
  });

  it("one missing secret does not keep back the agent's others", async () => {
    const store = await start();
    await store.declare([agent("lal", { A: "op://a/b/c", B: "generated:16" })]);
    expect(await list("lal")).toEqual(["B", "generation", "status.json"]);
  });

  it("a file that is withdrawn at its source is withdrawn from the agent", async () => {
    await writeFile(join(files, "key"), "value");
    const store = await start();
    await store.declare([agent("lal", { KEY: `file:${files}/key` })]);
    await unlink(join(files, "key"));
    await store.refresh();
    expect(await gone(place("lal", "KEY"))).toBe(true);
  });
});

describe("pushed values", () => {
  const reference = "env:API_TOKEN";

  it("a push reaches the waiting agent at once, null withdraws it", async () => {
    const store = await start();
    await store.declare([agent("lal", { KEY: reference })]);
    expect(store.states[0]?.state).toBe("missing");
    expect(await store.push({ API_TOKEN: canary, OTHER: "x" })).toBe(2);
    expect(store.states[0]?.state).toBe("delivered");
    expect(await text("lal", "KEY")).toBe(canary);
    await store.push({ API_TOKEN: null });
    expect(store.states[0]).toMatchObject({ state: "missing", reason: "API_TOKEN was withdrawn" });
    expect(await gone(place("lal", "KEY"))).toBe(true);
  });

  it("after a restart the delivered file is kept until the next push, but not for another reference", async () => {
    const first = await start();
    await first.declare([agent("lal", { KEY: reference })]);
    await first.push({ API_TOKEN: "before" });
    pushed = new PushedValues();
    const second = await start();
    await second.declare([agent("lal", { KEY: reference })]);
    expect(second.states[0]).toMatchObject({ state: "kept", reference });
    expect(await text("lal", "KEY")).toBe("before");
    await second.push({ API_TOKEN: "after" });
    expect(await text("lal", "KEY")).toBe("after");
    pushed = new PushedValues();
    const third = await start();
    await third.declare([agent("lal", { KEY: "env:ANOTHER" })]);
    expect(third.states[0]?.state).toBe("missing");
    expect(await gone(place("lal", "KEY"))).toBe(true);
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
    const store = await start();
    const message = await store.push(values).then(
      () => "accepted",
      (error: Error) => error.message,
    );
    expect(message).not.toBe("accepted");
    expect(message).not.toContain("canary");
    expect(pushed.resolve("OTHER").kind).toBe("unavailable");
  });
});

describe("the operator's verbs", () => {
  const terminal = (input: string) => {
    const printed: string[] = [];
    const complained: string[] = [];
    return {
      printed,
      complained,
      input: (async function* () {
        yield Buffer.from(input);
      })(),
      print: (line: string) => void printed.push(line),
      complain: (line: string) => void complained.push(line),
    };
  };

  it("push hands standard input to the running store, status shows how it stands, neither shows a value", async () => {
    const store = await start();
    await store.declare([agent("lal", { KEY: "env:API_TOKEN" })]);
    const path = join(root, "operator.sock");
    const server = await serveOperator(store, path);
    try {
      expect((await lstat(path)).mode & 0o777).toBe(0o600);
      const pushing = terminal(JSON.stringify({ API_TOKEN: canary }));
      expect(await push(pushing, path)).toBe(0);
      expect(await text("lal", "KEY")).toBe(canary);
      const asking = terminal("");
      expect(await status(asking, path)).toBe(0);
      expect(JSON.parse(asking.printed.join(""))).toEqual({
        secrets: [{ agent: "lal", name: "KEY", reference: "env:API_TOKEN", state: "delivered" }],
      });
      const broken = terminal(`{"API_TOKEN": "${canary}`);
      expect(await push(broken, path)).toBe(1);
      const wrong = terminal(JSON.stringify({ "api token": canary }));
      expect(await push(wrong, path)).toBe(1);
      const large = terminal(JSON.stringify({ A: "x".repeat(5 * 1024 * 1024) }));
      expect(await push(large, path)).toBe(1);
      const all = [pushing, asking, broken, wrong, large].flatMap((t) => [
        ...t.printed,
        ...t.complained,
      ]);
      expect(all.join()).not.toContain("canary");
      expect(log.join()).not.toContain("canary");
    } finally {
      server.close();
    }
    expect(await push(terminal("{}"), join(root, "nobody.sock"))).toBe(1);
  });
});

describe("no value is shown", () => {
  it("by a Redacted in text, JSON, a template, an error or an inspection", () => {
    const value = new Redacted(canary, "secret X");
    const shown = [
      String(value),
      `${value}`,
      `${value as unknown as string}`,
      JSON.stringify({ value }),
      inspect(value),
      inspect({ deep: [{ value }] }, { depth: 9, showHidden: true }),
      new Error(`failed with ${value}`).message,
      Object.entries(value).join(),
    ];
    for (const text of shown) expect(text).not.toContain("canary");
    expect(String(value)).toBe("[secret X]");
    expect(value.reveal()).toBe(canary);
  });

  it("by the log, the states, the generation or the status file, in plain, base64 or hex", async () => {
    await writeFile(join(files, "key"), canary);
    const store = await start();
    await store.declare([agent("lal", { A: `file:${files}/key`, B: "env:B", C: "op://a/b/c" })]);
    await store.push({ B: canary });
    await store.declare([agent("lal", { A: `file:${files}/none` })]);
    await store.declare([]);
    await store.declare([agent("lal", { A: `file:${files}/key` })]);
    const about = [await text("lal", "generation"), await text("lal", "status.json")];
    const all = [...log, JSON.stringify(store.states), ...about].join("\n");
    expect(log.length).toBeGreaterThan(3);
    for (const form of [
      canary,
      Buffer.from(canary).toString("base64"),
      Buffer.from(canary).toString("hex"),
    ])
      expect(all).not.toContain(form);
  });
});
