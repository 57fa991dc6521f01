import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Bench, declare, until } from "./support/agent.ts";

const stateOf = (bench: Bench) => readFile(join(bench.workspace, ".berth", "state.json"), "utf8");

describe("another bot user on a kept workspace is another chat", () => {
  it("after a start: it greets again, answers, and knows nothing of the old one", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const old = bench.server.say("alice", "@data count");
    await bench.answered(old.id, "number 1 ");
    const oldBot = bench.server.botId;
    await bench.stop();
    expect(await stateOf(bench)).toContain(old.id);
    await bench.newServer();
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data count");
    await bench.answered(post.id, "number 1 ");
    await bench.stop();
    const state = await stateOf(bench);
    expect(JSON.parse(state)).toMatchObject({ userId: bench.server.botId, greeted: true });
    for (const id of [old.id, oldBot]) expect(state).not.toContain(id);
  });

  it("on the same server as before it is the same chat: no second greeting, sessions go on", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data count");
    await bench.answered(post.id, "number 1 ");
    await bench.stop();
    await bench.start();
    bench.server.say("alice", "@data count", { root: post.id });
    await bench.answered(post.id, "number 2 ");
    expect(bench.server.answers("")).toHaveLength(1);
  });

  it("while the agent runs: it moves over, with the program it has", async () => {
    await using bench = new Bench(
      declare({ chat: { ...declare().chat, access: { mode: "allowlist", users: ["alice"] } } }),
    );
    await bench.start();
    await bench.greeted();
    const old = bench.server.say("alice", "@data hello");
    await bench.answered(old.id, "“hello”");
    await bench.newServer();
    await until("moved", () => bench.log.includes("another-chat"));
    await bench.greeted();
    // Her id is another one there: what was known of the old server's users is gone.
    const post = bench.server.say("alice", "@data hello");
    await bench.answered(post.id, "“hello”");
    expect(bench.log.split("program-ready")).toHaveLength(2);
    await bench.stop();
    expect(await stateOf(bench)).not.toContain(old.id);
  });
});
