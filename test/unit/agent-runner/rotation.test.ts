import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
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
    sources: { directory: undefined, pushed: new PushedValues(), seed: await openSeed(own) },
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

describe("a secret that cannot be had", () => {
  it("is told to who asks, with the secret store's reason as it is now, and what comes starts the program", async () => {
    await using bench = new Bench(declare({ secrets: { API_TOKEN: "op://agents/data/token" } }));
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
