import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
import { Rounds } from "../../../services/secret-store/rounds.ts";
import { openSeed } from "../../../services/secret-store/seed.ts";
import { SecretStore } from "../../../services/secret-store/store.ts";
import { Bench, declare, until } from "./support/agent.ts";

const secrets = { API_TOKEN: "env:API_TOKEN", FIXED: "generated:16" };

/** The real store, delivering to the bench's agent. */
async function storeFor(bench: Bench, ...others: Bench[]): Promise<SecretStore> {
  const own = join(bench.agents, "secret-store");
  await mkdir(own);
  const store = new SecretStore({
    directory: bench.agents,
    sources: {
      directory: undefined,
      development: true,
      pushed: new PushedValues(),
      seed: await openSeed(own),
      rounds: new Rounds(join(own, "rounds"), new Map()),
      op: undefined,
    },
    log: createLog("secret-store", () => {}),
    owner: process.getuid?.() ?? 0,
  });
  await store.declare([bench, ...others].map(({ server }) => server.declaration));
  return store;
}

const replaced = (bench: Bench) => bench.log.split("program-replaced").length - 1;

describe("a secret with a new value", () => {
  it("B13: starts the program of that agent anew with it, its sessions go on, and nothing else happens", async () => {
    await using bench = new Bench(declare({ secrets }));
    await using other = new Bench(
      declare({ name: "lal", secrets: { OWN: "env:OWN" } }),
      bench.agents,
    );
    const store = await storeFor(bench, other);
    await store.push({ OWN: "of-another" });
    await other.start();
    await other.greeted();
    await store.push({ API_TOKEN: "first-value" });
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data count");
    await bench.answered(post.id, "number 1 ");
    const say = (text: string) => bench.server.say("alice", `@data ${text}`, { root: post.id });
    say("run echo $API_TOKEN from $PPID");
    await bench.answered(post.id, "first-value from");
    const pid = (value: string) =>
      bench.server
        .answers(post.id)
        .map(({ message }) => new RegExp(`${value} from (\\d+)`).exec(message)?.[1])
        .find(Boolean);
    const connections = bench.server.connections;
    await store.push({ API_TOKEN: "second-value" });
    await until("replaced", () => replaced(bench) === 1);
    say("run echo $API_TOKEN from $PPID");
    await bench.answered(post.id, "second-value from");
    expect(pid("second-value")).not.toBe(pid("first-value"));
    say("count");
    await bench.answered(post.id, "number 2 ");
    expect(bench.log).toContain("new value of API_TOKEN");
    expect(bench.log).not.toContain("program-ended");
    expect(bench.log).not.toMatch(/(first|second)-value/);
    expect(bench.server.connections).toBe(connections);
    expect(bench.server.answers("")).toHaveLength(1);
    expect(replaced(bench)).toBe(1);
    expect(other.log).not.toMatch(/program-(replaced|ended)/);
    expect(other.server.connections).toBe(1);
  });

  it("waits for the answer that is being written, and does not cut it", async () => {
    await using bench = new Bench(declare({ secrets }));
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "first-value" });
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data sleep 2");
    await bench.answered(post.id, "Working");
    await store.push({ API_TOKEN: "second-value" });
    await bench.answered(post.id, "Working for 2 s: 1 2. Done.");
    await until("replaced", () => replaced(bench) === 1);
    const next = bench.server.say("alice", "@data run echo $API_TOKEN");
    await bench.answered(next.id, "second-value");
    expect(bench.server.answers(post.id).map(({ message }) => message)).toEqual([
      "Working for 2 s: 1 2. Done.",
    ]);
  });

  it("is none where the values are the same, and none where one was withdrawn", async () => {
    await using bench = new Bench(declare({ secrets }));
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "first-value" });
    await bench.start();
    await bench.greeted();
    const generation = join(bench.directory, "secrets", "generation");
    const value = JSON.parse(await readFile(generation, "utf8")) as object;
    await writeFile(generation, JSON.stringify({ ...value, generation: 99 }));
    await new Promise((wake) => setTimeout(wake, 300));
    await store.push({ API_TOKEN: null });
    await new Promise((wake) => setTimeout(wake, 300));
    const post = bench.server.say("alice", "@data run echo $API_TOKEN");
    await bench.answered(post.id, "first-value");
    expect(replaced(bench)).toBe(0);
  });

  it("starts a program with a bridge of its own anew as well, which is no crash", async () => {
    const script = 'echo "has $' + '{#API_TOKEN} characters"; sleep 60 & wait';
    await using bench = new Bench(
      declare({ secrets, program: { command: ["/bin/sh", "-c", script] } }),
    );
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "four" });
    await bench.start();
    await until("first", () => bench.log.includes("has 4 characters"));
    await store.push({ API_TOKEN: "longer" });
    await until("second", () => bench.log.includes("has 6 characters"));
    expect(bench.log).not.toContain("program-ended");
  });
});

describe("a secret as a file", () => {
  const fileSecrets = {
    API_TOKEN: "env:API_TOKEN",
    SIGNING_KEY: { from: "env:SIGNING_KEY", as: "file" },
  } as const;

  it("B13: is replaced without a restart, and the program reads the new one from the path in NAME_FILE", async () => {
    await using bench = new Bench(declare({ secrets: fileSecrets }));
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "in-the-environment", SIGNING_KEY: "first-key" });
    await bench.start();
    await bench.greeted();
    const say = async (text: string, answer: string | RegExp) => {
      const post = bench.server.say("alice", `@data run ${text}`);
      await bench.answered(post.id, answer);
    };
    await say("cat $SIGNING_KEY_FILE", "first-key");
    await store.push({ SIGNING_KEY: "second-key" });
    await say("cat $SIGNING_KEY_FILE", "second-key");
    // Long enough for several looks.
    await new Promise((wake) => setTimeout(wake, 300));
    expect(replaced(bench)).toBe(0);
    await store.push({ API_TOKEN: "another" });
    await until("replaced", () => replaced(bench) === 1);
    await say("echo $API_TOKEN", "another");
    expect(bench.log).toContain('"new value of API_TOKEN"');
  });

  it("stands in no variable of the program", async () => {
    await using bench = new Bench(declare({ secrets: fileSecrets }));
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "in-the-environment", SIGNING_KEY: "first-key" });
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data run env");
    await bench.answered(post.id, "Exit code 0");
    const text = bench.server.answers(post.id)[0]?.message ?? "";
    expect(text).toContain(`SIGNING_KEY_FILE=${join(bench.directory, "secrets", "SIGNING_KEY")}`);
    expect(text).toContain("API_TOKEN=in-the-environment");
    expect(text).not.toContain("first-key");
  });

  it("is kept out of the log, the value that it had before and each of its lines included", async () => {
    const key = "-----BEGIN KEY-----\nMIIabcdefghijk0123\n-----END KEY-----\n";
    const script =
      'for i in 1 2 3 4 5 6 7 8 9; do cat "$SIGNING_KEY_FILE"; echo; echo "round $i"; sleep 0.3; done; sleep 60';
    await using bench = new Bench(
      declare({ secrets: fileSecrets, program: { command: ["/bin/sh", "-c", script] } }),
    );
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "in-the-environment", SIGNING_KEY: key });
    await bench.start();
    await until("a line", () => bench.log.includes('"line":"[SIGNING_KEY]"'));
    await store.push({ SIGNING_KEY: "quite another key" });
    await until("a line of the new one", () => bench.log.includes("round 4"));
    expect(bench.log).not.toContain("MIIabcdefghijk0123");
    expect(replaced(bench)).toBe(0);
  });
});

describe("a program that names its secret when it fails", () => {
  it("B16: is quoted in the log and the chat without it", async () => {
    // It answers the first request of the protocol with an error.
    const script = `process.stdin.once("data", (line) => console.log(JSON.stringify({ jsonrpc: "2.0", id: JSON.parse(line).id,
      error: { code: -32000, message: "who is " + process.env.API_TOKEN + "?" } })))`;
    await using bench = new Bench(
      declare({
        secrets: { API_TOKEN: "env:API_TOKEN" },
        program: { acp: [process.execPath, "-e", script] },
      }),
    );
    const store = await storeFor(bench);
    await store.push({ API_TOKEN: "first-value" });
    await bench.start();
    const post = bench.server.say("alice", "@data hello");
    await bench.answered(post.id, "who is [API_TOKEN]?");
    expect(bench.log).toContain("who is [API_TOKEN]?");
    expect(bench.log).not.toContain("first-value");
  });
});

describe("a config file", () => {
  const configFiles = {
    "config.json": { template: { url: "https://x.example", bot: { token: "{{ env:BOT }}" } } },
  };
  const path = "$BERTH_CONFIG_DIRECTORY/config.json";

  it("is awaited like a secret, with the secret store's reason in the chat", async () => {
    await using bench = new Bench(declare({ configFiles }));
    const store = await storeFor(bench);
    await bench.start();
    await until("reported", () => bench.log.includes("secrets-missing"));
    const first = bench.server.say("alice", "@data hello");
    await bench.answered(
      first.id,
      /^I cannot start: the config file config\.json is not available: env:BOT: .*berth secrets push\.$/,
    );
    await store.push({ BOT: "bot-token" });
    await until("started", () => bench.log.includes("program-ready"), 12_000);
    const second = bench.server.say("alice", `@data run cat ${path}`);
    await bench.answered(second.id, '"token": "bot-token"');
  });

  it("B13: with a new value starts the program anew, one that the program rereads does not", async () => {
    const reread = { template: { other: "{{ env:OTHER }}" }, reread: true } as const;
    await using bench = new Bench(
      declare({ configFiles: { ...configFiles, "other.json": reread } }),
    );
    const store = await storeFor(bench);
    await store.push({ BOT: "bot-token", OTHER: "first" });
    await bench.start();
    await bench.greeted();
    await store.push({ OTHER: "second" });
    const other = bench.server.say("alice", `@data run cat $BERTH_CONFIG_DIRECTORY/other.json`);
    await bench.answered(other.id, '"second"');
    await new Promise((wake) => setTimeout(wake, 300));
    expect(replaced(bench)).toBe(0);
    await store.push({ BOT: "another-token" });
    await until("replaced", () => replaced(bench) === 1);
    const own = bench.server.say("alice", `@data run cat ${path}`);
    await bench.answered(own.id, '"another-token"');
    expect(bench.log).toContain('"new value of config.json"');
  });

  it("of another form in a changed declaration starts the program anew when it is there", async () => {
    await using bench = new Bench(declare({ configFiles }));
    const store = await storeFor(bench);
    await store.push({ BOT: "bot-token" });
    await bench.start();
    await bench.greeted();
    const changed = { "config.json": { template: { token: "{{ env:BOT }}" } } };
    bench.server.declaration = declare({ configFiles: changed });
    await store.declare([bench.server.declaration]);
    await until("replaced", () => replaced(bench) === 1);
    expect(bench.log).toContain('"new value of config.json"');
  });
});

describe("a value of the moment", () => {
  it("starts nothing anew where what it is of is the same, whatever else changes", async () => {
    await using bench = new Bench(
      declare({ secrets: { CODE: "env:CODE", KEY: { from: "env:KEY", as: "file" } } }),
    );
    const folder = join(bench.directory, "secrets");
    await mkdir(folder, { recursive: true });
    const write = async (generation: number, code: string, fingerprint: string) => {
      await writeFile(join(folder, "KEY"), `key-${generation}`);
      await writeFile(join(folder, "CODE"), code);
      const files = { CODE: { reference: "op://a/b/c", fingerprint } };
      await writeFile(join(folder, "generation"), JSON.stringify({ generation, files }));
    };
    await write(1, "111111", "of-item-1");
    await bench.start();
    await bench.greeted();
    await write(2, "222222", "of-item-1");
    await new Promise((wake) => setTimeout(wake, 300));
    expect(replaced(bench)).toBe(0);
    await write(3, "333333", "of-item-2");
    await until("replaced", () => replaced(bench) === 1);
  });
});

describe("a secret that cannot be had", () => {
  it("is told to who asks, with the secret store's reason as it is now, and what comes starts the program", async () => {
    await using bench = new Bench(
      declare({ secrets: { API_TOKEN: "op://agents/data/token" }, vaults: ["agents/data"] }),
    );
    const store = await storeFor(bench);
    await bench.start();
    await until("reported", () => bench.log.includes("secrets-missing"));
    const first = bench.server.say("alice", "@data hello");
    await bench.answered(
      first.id,
      /^I cannot start: the secret API_TOKEN is not available: not configured: .*1Password.*[^.]\.$/,
    );
    bench.server.declaration = declare({ secrets });
    await store.declare([bench.server.declaration]);
    await until("the new reason", () => bench.log.includes("berth secrets push"), 12_000);
    const second = bench.server.say("alice", "@data hello");
    await bench.answered(second.id, /API_TOKEN is not available: .* run berth secrets push\.$/);
    await store.push({ API_TOKEN: "value" });
    await until("started", () => bench.log.includes("program-ready"), 12_000);
    const third = bench.server.say("alice", "@data hello");
    await bench.answered(third.id, "“hello”");
  });
});
