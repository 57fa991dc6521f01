import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { forward } from "../../../services/common/forwarder.ts";
import { createLog } from "../../../services/common/log.ts";
import type { Access, Chat } from "../../../spec/declaration.ts";
import { Bench, declare, until } from "./support/agent.ts";

const chat = (changes: Partial<Chat>): Chat => ({
  channels: ["town-square"],
  trigger: "mention",
  access: { mode: "open" },
  ...changes,
});
const withAccess = (access: Access) => declare({ chat: chat({ access }) });

describe("who is heard", () => {
  it("people who mention the agent or write to it directly; nobody else", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const { server } = bench;
    const overheard = server.say("alice", "hello everybody");
    const other = server.say("alice", "@data-2 hello, and @database too");
    const everybody = server.say("alice", "@channel hello");
    const bot = server.say("lal", "@data hello", { fromBot: true });
    const first = server.say("alice", "@data one");
    // A thread in which the agent takes part already is no reason to answer.
    await bench.answered(first.id, "“one”");
    server.say("alice", "thanks", { root: first.id });
    const direct = server.directWith("alice");
    server.say("alice", "two", { channel: direct });
    await until("direct answer", () => server.answers("").some((p) => p.message.includes("“two”")));
    const last = server.say("alice", "well, @data: three");
    await bench.answered(last.id, "three");
    for (const post of [overheard, other, everybody, bot]) {
      expect(server.answers(post.id), post.message).toEqual([]);
    }
    expect(server.answers(first.id)).toHaveLength(1);
  });

  it("every person in the channel, where the trigger says so; bots never", async () => {
    await using bench = new Bench(declare({ chat: chat({ trigger: "all" }) }));
    await bench.start();
    await bench.greeted();
    const bot = bench.server.say("lal", "hello", { fromBot: true });
    const person = bench.server.say("alice", "hello");
    await bench.answered(person.id, "“hello”");
    expect(bench.server.answers(bot.id)).toEqual([]);
    expect(bench.server.answers()[0]?.message).toContain("I answer every message here");
  });
});

describe("access", () => {
  it("of an allowlist: the listed are answered, others get one refusal and no program", async () => {
    await using bench = new Bench(withAccess({ mode: "allowlist", users: ["alice"] }));
    await bench.start();
    await bench.greeted();
    const stranger = bench.server.say("mallory", "@data count");
    await bench.answered(stranger.id, "I may not work for you");
    const friend = bench.server.say("alice", "@data count");
    await bench.answered(friend.id, "number 1 ");
    expect(bench.server.answers(stranger.id)).toHaveLength(1);
    await bench.stop();
    const turns = bench.lines.filter((line) => line.includes('"event":"turn"'));
    expect(turns).toHaveLength(1);
  });

  it("of a blocklist: only the listed are refused", async () => {
    await using bench = new Bench(withAccess({ mode: "blocklist", users: ["mallory"] }));
    await bench.start();
    await bench.greeted();
    const stranger = bench.server.say("mallory", "@data hello");
    const friend = bench.server.say("bob", "@data hello");
    await bench.answered(stranger.id, "I may not work for you");
    await bench.answered(friend.id, "“hello”");
  });

  it("refuses in silence what was only overheard", async () => {
    const access: Access = { mode: "allowlist", users: ["alice"] };
    await using bench = new Bench(declare({ chat: chat({ trigger: "all", access }) }));
    await bench.start();
    await bench.greeted();
    const stranger = bench.server.say("mallory", "hello");
    await until("refusal logged", () => bench.log.includes('"refused"'));
    const friend = bench.server.say("alice", "hello");
    await bench.answered(friend.id, "“hello”");
    expect(bench.server.answers(stranger.id)).toEqual([]);
  });

  it("asks for each person's name once", async () => {
    await using bench = new Bench(withAccess({ mode: "allowlist", users: ["alice"] }));
    await bench.start();
    await bench.greeted();
    for (const text of ["one", "two", "three"]) {
      const post = bench.server.say("alice", `@data ${text}`);
      await bench.answered(post.id, text);
    }
    const asked = bench.server.requests.filter((call) => /GET .*\/users\/[0-9a-f]+$/.test(call));
    expect(asked).toHaveLength(1);
  });

  it("is the user's, not the name's: who takes a listed name over is refused, until the name was off the list", async () => {
    const listed = withAccess({ mode: "allowlist", users: ["alice", "bob"] });
    await using bench = new Bench(listed);
    const { server } = bench;
    await bench.start();
    await bench.greeted();
    const alice = server.addUser("alice");
    const first = server.say("alice", "@data hello");
    await bench.answered(first.id, "“hello”");
    server.users.set(alice, { id: alice, username: "alice-married", is_bot: false });
    const thief = server.say("alice", "@data hello");
    expect(thief.user_id).not.toBe(alice);
    await bench.answered(thief.id, "I may not work for you");
    await bench.stop();
    await bench.start();
    const again = server.say("alice", "@data hello again");
    await bench.answered(again.id, "I may not work for you");
    const changes = () => bench.log.split("declaration-changed").length - 1;
    server.declaration = withAccess({ mode: "allowlist", users: ["bob"] });
    await until("off the list", () => changes() === 1);
    server.declaration = listed;
    await until("back on the list", () => changes() === 2);
    const heir = server.say("alice", "@data hello at last");
    await bench.answered(heir.id, "“hello at last”");
  });

  it("of a blocklist follows a user who takes another name", async () => {
    await using bench = new Bench(withAccess({ mode: "blocklist", users: ["mallory"] }));
    const { server } = bench;
    await bench.start();
    await bench.greeted();
    const mallory = server.addUser("mallory");
    const first = server.say("mallory", "@data hello");
    await bench.answered(first.id, "I may not work for you");
    await bench.stop();
    server.users.set(mallory, { id: mallory, username: "trent", is_bot: false });
    await bench.start();
    const second = server.say("trent", "@data hello");
    expect(second.user_id).toBe(mallory);
    await bench.answered(second.id, "I may not work for you");
  });

  it("follows a changed declaration without a restart", async () => {
    await using bench = new Bench(withAccess({ mode: "allowlist", users: ["alice"] }));
    await bench.start();
    await bench.greeted();
    bench.server.declaration = withAccess({ mode: "allowlist", users: ["bob"] });
    await until("change noticed", () => bench.log.includes("declaration-changed"));
    const before = bench.server.say("alice", "@data hello");
    const after = bench.server.say("bob", "@data hello");
    await bench.answered(before.id, "I may not work for you");
    await bench.answered(after.id, "“hello”");
  });
});

describe("missed messages", () => {
  it("from before the start are answered once each, unless an answer stands below them", async () => {
    await using bench = new Bench();
    const { server } = bench;
    const minutes = (n: number) => Date.now() - n * 60_000;
    const old = server.say("alice", "@data too old", { at: minutes(20) });
    const answered = server.say("alice", "@data answered", { at: minutes(5) });
    server.posts.push({
      ...answered,
      id: "0".repeat(26),
      user_id: server.botId,
      root_id: answered.id,
      create_at: minutes(4),
      message: "An earlier answer",
      history: [],
    });
    const waiting = server.say("alice", "@data waiting", { at: minutes(3) });
    await bench.start();
    await bench.answered(waiting.id, "“waiting”");
    await bench.greeted();
    await bench.stop();
    await bench.start();
    const last = server.say("alice", "@data last");
    await bench.answered(last.id, "“last”");
    expect(server.answers(waiting.id)).toHaveLength(1);
    expect(server.answers(answered.id)).toHaveLength(1);
    expect(server.answers(old.id)).toEqual([]);
  });

  it("from the time between two runs are answered, however long it was", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const first = bench.server.say("alice", "@data one");
    await bench.answered(first.id, "“one”");
    await bench.stop();
    const channel = bench.server.say("bob", "@data two");
    const direct = bench.server.directWith("carol");
    bench.server.say("carol", "three", { channel: direct });
    await bench.start({ timing: { firstLookBack: 0 } });
    await bench.answered(channel.id, "“two”");
    await until("direct", () =>
      bench.server.answers("").some((p) => p.message.includes("“three”")),
    );
    expect(bench.server.answers(first.id)).toHaveLength(1);
  });

  it("of a new connection are read and answered once", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    bench.server.resumable = false;
    bench.server.dropSockets();
    const missed = bench.server.say("alice", "@data missed", { silent: true });
    await bench.answered(missed.id, "“missed”");
    await until("connected again", () => bench.server.open === 1);
    const live = bench.server.say("alice", "@data live");
    await bench.answered(live.id, "“live”");
    expect(bench.server.answers(missed.id)).toHaveLength(1);
  });

  it("of a resumed connection come from the server itself, without reading the channels", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    await new Promise((wake) => setTimeout(wake, 100));
    const reads = () => bench.server.requests.filter((call) => call.endsWith("/channels")).length;
    const before = reads();
    bench.server.dropSockets();
    const missed = bench.server.say("alice", "@data missed");
    await bench.answered(missed.id, "“missed”");
    expect(reads()).toBe(before);
    expect(bench.server.connections).toBe(2);
  });

  it("are found by a gap in the events", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    bench.server.muted = true;
    const missed = bench.server.say("alice", "@data missed");
    bench.server.muted = false;
    bench.server.say("alice", "nothing for you");
    await bench.answered(missed.id, "“missed”");
  });

  it("of a deaf socket are found: the ping is refused, and the runner connects anew", async () => {
    await using bench = new Bench();
    await bench.start({ timing: { pingEvery: 100 } });
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    bench.server.deaf = true;
    const missed = bench.server.say("alice", "@data can you hear me");
    await until("noticed", () => bench.log.includes("not_authenticated"));
    bench.server.deaf = false;
    await bench.answered(missed.id, "can you hear me");
    expect(bench.server.answers(missed.id)).toHaveLength(1);
  });

  it("of a deaf socket are found in a channel that was never seen before, too", async () => {
    await using bench = new Bench();
    await bench.start({ timing: { pingEvery: 3_500, onlineEvery: 20 } });
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    bench.server.deaf = true;
    bench.server.say("bob", "are you there", { channel: bench.server.directWith("bob") });
    await until("noticed", () => bench.log.includes("not_authenticated"));
    bench.server.deaf = false;
    await bench.answered("", "“are you there”");
  });
});

describe("the connection", () => {
  it("carries no token of its own from a sealed agent", async () => {
    await using bench = new Bench();
    await bench.start();
    const post = bench.server.say("alice", "@data hello");
    await bench.answered(post.id, "“hello”");
    expect([...bench.server.authorizations]).toEqual([undefined]);
  });

  it("of an agent on Mattermost's own network goes there, with the token of its file as it is now", async () => {
    await using bench = new Bench(declare({ network: "mattermost" }));
    const token = join(bench.directory, "bot-token");
    await writeFile(token, "first-token\n");
    const direct = await forward({
      port: 0,
      socketPath: join(bench.directory, "gateway.sock"),
      far: "Mattermost",
      log: createLog("x", () => {}),
    });
    await bench.start({
      env: { PATH: process.env.PATH, MATTERMOST_URL: `http://127.0.0.1:${direct.port}` },
    });
    await bench.greeted();
    await until("online", () => bench.server.open === 1);
    expect([...bench.server.authorizations]).toEqual(["Bearer first-token"]);
    await writeFile(`${token}.new`, "second-token\n");
    // The server says nothing more on the connection that was made with the old one.
    bench.server.muted = true;
    const post = bench.server.say("alice", "@data hello");
    await rename(`${token}.new`, token); // whole at once, as the gateway replaces it
    await until("connected anew", () => bench.server.connections === 2);
    await bench.answered(post.id, "“hello”");
    expect([...bench.server.authorizations]).toEqual(["Bearer first-token", "Bearer second-token"]);
    expect(bench.log).not.toContain("-token");
    direct.close();
  });

  it("waits for a gateway that comes later than the agent", async () => {
    await using bench = new Bench();
    await bench.start({ listen: false });
    await new Promise((wake) => setTimeout(wake, 300));
    bench.server.selfStatus = 503;
    await bench.server.listen();
    await new Promise((wake) => setTimeout(wake, 300));
    bench.server.selfStatus = 200;
    await bench.greeted();
  });

  it("gives up with a sentence when the gateway never comes", async () => {
    await using bench = new Bench();
    await bench.start({ listen: false, timing: { selfPatience: 300 } });
    await expect(bench.ended).rejects.toThrow(/no gateway at .*is the egress gateway running/);
    await bench.server.listen();
  });
});
