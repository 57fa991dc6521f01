import { describe, expect, it } from "vitest";
import { Bench, declare, until } from "./support/agent.ts";

describe("an answer", () => {
  it("is one post in the message's thread, begun at the first text and edited to its end", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 2");
    await bench.answered(question.id, "Done.");
    const [answer, ...more] = bench.server.answers(question.id);
    expect(more).toEqual([]);
    const texts = answer?.history.map(({ text }) => text) ?? [];
    expect(texts.length).toBeGreaterThanOrEqual(2);
    expect(texts.at(-1)).toBe("Working for 2 s: 1 2. Done.");
    for (const [i, text] of texts.entries())
      expect(texts.at(-1)?.startsWith(text), `${i}`).toBe(true);
  });

  it("is edited at most once a second, the first time not before 250 ms", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 3");
    await bench.answered(question.id, "Done.");
    const times = bench.server.answers(question.id)[0]?.history.map(({ at }) => at) ?? [];
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
    expect(gaps[0]).toBeGreaterThanOrEqual(240);
    // The last edit comes at the end of the turn, whenever that is.
    for (const gap of gaps.slice(1, -1)) expect(gap).toBeGreaterThanOrEqual(950);
  });

  it("shows typing while it is worked on", async () => {
    await using bench = new Bench();
    await bench.start({ timing: { typingEvery: 100 } });
    await bench.greeted();
    const question = bench.server.say("alice", "@data silent 1");
    await bench.answered(question.id, "without an answer");
    expect(bench.server.typing.length).toBeGreaterThan(3);
  });

  it("that is too long for one post goes on in the next ones of the thread", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data lines 2500");
    await bench.answered(question.id, "line 2500");
    const posts = bench.server.answers(question.id);
    expect(posts.length).toBeGreaterThan(2);
    const all = posts
      .map((post) => post.message)
      .join("\n")
      .split("\n")
      .filter(Boolean);
    expect(all).toEqual(Array.from({ length: 2500 }, (_, i) => `This is line ${i + 1}.`));
  });

  it("shows a tool's own command while it runs, and not when it has ended", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data run sleep 0.5; echo here-i-am");
    await bench.answered(question.id, "Exit code 0");
    const texts = bench.server.answers(question.id)[0]?.history.map(({ text }) => text) ?? [];
    expect(texts[0]).toBe("_Running `sleep 0.5; echo here-i-am` …_");
    expect(texts.at(-1)).toBe("```\nhere-i-am\n```\nExit code 0");
  });

  it("says in one sentence what the program reported as an error", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data fail");
    await bench.answered(question.id, "My program reported an error: ");
    expect(bench.server.answers(question.id)).toHaveLength(1);
  });

  it("ends with a sentence when the program gives no sign of life", async () => {
    await using bench = new Bench();
    await bench.start({ timing: { idle: 300 } });
    await bench.greeted();
    const question = bench.server.say("alice", "@data silent 60");
    await bench.answered(question.id, "no sign of life");
    const next = bench.server.say("alice", "@data hello");
    await bench.answered(next.id, "You wrote: “hello”");
  });

  it("arrives whole although Mattermost was away in the middle of it", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 2");
    await bench.answered(question.id, "Working");
    bench.server.failing = 503;
    bench.server.dropSockets();
    await new Promise((wake) => setTimeout(wake, 2_500));
    bench.server.failing = undefined;
    await bench.answered(question.id, "Done.");
    expect(bench.server.answers(question.id)).toHaveLength(1);
  });
});

describe("sessions", () => {
  it("are one a thread: two threads count apart, each remembers", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const one = bench.server.say("alice", "@data count");
    const two = bench.server.say("bob", "@data count");
    await bench.answered(one.id, "number 1 ");
    await bench.answered(two.id, "number 1 ");
    bench.server.say("alice", "@data count", { root: one.id });
    await bench.answered(one.id, "number 2 ");
    expect(bench.server.answers(two.id)).toHaveLength(1);
  });

  it("are one a direct channel, and are taken up again after a restart", async () => {
    await using bench = new Bench();
    const channel = bench.server.directWith("alice");
    const texts = () =>
      bench.server
        .answers("")
        .filter((p) => p.channel_id === channel)
        .map((p) => p.message);
    await bench.start();
    bench.server.say("alice", "count", { channel });
    await until("first", () => texts().some((text) => text.includes("number 1 ")));
    bench.server.say("alice", "count", { channel });
    await until("second", () => texts().some((text) => text.includes("number 2 ")));
    await bench.stop();
    await bench.start();
    bench.server.say("alice", "count", { channel });
    await until("third", () => texts().some((text) => text.includes("number 3 ")));
    // Nothing of the earlier conversation is shown again.
    expect(texts()).toHaveLength(3);
  });

  it("take one prompt at a time, in order", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const root = bench.server.say("alice", "@data sleep 1");
    bench.server.say("alice", "@data count", { root: root.id });
    bench.server.say("alice", "@data count", { root: root.id });
    await bench.answered(root.id, "number 2 ");
    const texts = bench.server.answers(root.id).map((post) => post.message);
    expect(texts.map((text) => text.slice(0, 16))).toEqual([
      "Working for 1 s:",
      "This is number 1",
      "This is number 2",
    ]);
  });

  it("refuse what is too much for one thread with a sentence", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const root = bench.server.say("alice", "@data sleep 3");
    await bench.answered(root.id, "Working");
    for (let i = 0; i < 11; i++) bench.server.say("alice", `@data ${i}`, { root: root.id });
    await bench.answered(root.id, "still busy");
    expect(bench.server.answers(root.id)).toHaveLength(2);
  });
});

describe("the greeting", () => {
  it("is said once in the life of a workspace, when the program runs", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    await until("saved", () => bench.log.includes('"greeted"'));
    await bench.stop();
    await bench.start();
    const question = bench.server.say("alice", "@data hello");
    await bench.answered(question.id, "You wrote");
    expect(bench.server.answers("").map((post) => post.message)).toEqual([
      "Hello, I am data. Mention me with @data, or write me a direct message.",
    ]);
  });

  it("is not said while the program does not run", async () => {
    await using bench = new Bench(declare({ program: { acp: ["/nowhere/agent"] } }));
    await bench.start();
    const question = bench.server.say("alice", "@data hello");
    await bench.answered(question.id, 'the command "/nowhere/agent" is not in the image');
    expect(bench.server.answers("")).toEqual([]);
  });
});
