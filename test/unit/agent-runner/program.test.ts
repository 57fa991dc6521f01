import { readFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkHealth } from "../../../services/common/health.ts";
import { Bench, declare, demoAgent, until } from "./support/agent.ts";

const canary = "canary-7f3a9d-not-for-logs";
const references = { API_TOKEN: "generated:32" };

/** Ended, or only waiting for its parent to notice. */
function isGone(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

async function giveSecret(bench: Bench, value = canary): Promise<void> {
  await mkdir(join(bench.directory, "secrets"), { recursive: true });
  await writeFile(join(bench.directory, "secrets", "API_TOKEN"), value);
}

describe("a program that crashes", () => {
  it("is started again: the running answer is reported as cut, the conversation goes on", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const first = bench.server.say("alice", "@data count");
    await bench.answered(first.id, "number 1 ");
    bench.server.say("alice", "@data crash", { root: first.id });
    await bench.answered(first.id, /^Goodbye\.[\s\S]*Cut short/);
    bench.server.say("alice", "@data count", { root: first.id });
    await bench.answered(first.id, "number 2 ");
    expect(bench.server.answers(first.id)).toHaveLength(3);
    expect(bench.log).toContain('"reason":"exit code 1"');
  });

  it("again and again is reported to who asks, at once", async () => {
    await using bench = new Bench(
      declare({ program: { acp: ["/bin/sh", "-c", "echo broken-inside >&2; exit 3"] } }),
    );
    await bench.start();
    await until("three crashes", () => bench.log.includes('"crashes":3'));
    const question = bench.server.say("alice", "@data hello");
    await bench.answered(
      question.id,
      /My program does not run \(exit code 3, \d+ times in a row\)/,
    );
    expect(bench.log).toContain("broken-inside");
  });

  it("takes what it started with it", async () => {
    const [node, agent] = demoAgent;
    const script = `sleep 300 & echo $! > helper; exec ${node} ${agent}`;
    await using bench = new Bench(declare({ program: { acp: ["/bin/sh", "-c", script] } }));
    await bench.start();
    await bench.greeted();
    const helper = Number(await readFile(join(bench.workspace, "helper"), "utf8"));
    expect(process.kill(helper, 0)).toBe(true);
    await bench.stop();
    await until("helper gone", () => isGone(helper));
  });
});

describe("secrets", () => {
  it("reach the program's environment, and neither the log nor the chat unasked", async () => {
    await using bench = new Bench(declare({ secrets: references }));
    await giveSecret(bench);
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", "@data run printf %s $API_TOKEN | wc -c");
    await bench.answered(post.id, String(canary.length));
    const crash = bench.server.say("alice", "@data run echo $API_TOKEN >&2; kill -9 $PPID");
    await bench.answered(crash.id, "Cut short");
    await until("restart", () => bench.log.includes("program-ended"));
    expect(bench.log).not.toContain(canary);
    expect(bench.server.posts.map((p) => p.message).join()).not.toContain(canary);
  });

  it("of a program that writes them to its standard error are blotted out in the log", async () => {
    const script = 'echo "token is $API_TOKEN" >&2; exit 1';
    await using bench = new Bench(
      declare({ secrets: references, program: { acp: ["/bin/sh", "-c", script] } }),
    );
    await giveSecret(bench, `${canary}\n`);
    await bench.start();
    await until("crash logged", () => bench.log.includes("program-stderr"));
    expect(bench.log).toContain("token is [API_TOKEN]");
    expect(bench.log).not.toContain(canary);
  });

  it("that are missing keep the program from starting, by name, until they come", async () => {
    await using bench = new Bench(declare({ secrets: references }));
    await bench.start();
    await until("reported", () => bench.log.includes("secrets-missing"));
    const question = bench.server.say("alice", "@data hello");
    await bench.answered(question.id, "I cannot start: the secret API_TOKEN is not available.");
    expect(bench.log).not.toContain("program-ready");
    await giveSecret(bench);
    await until("started", () => bench.log.includes("program-ready"), 8_000);
    const next = bench.server.say("alice", "@data hello");
    await bench.answered(next.id, "“hello”");
  });
});

describe("the program's environment", () => {
  it("holds home, proxies and secrets, and nothing of the runner's own", async () => {
    await using bench = new Bench();
    await bench.start({
      env: {
        PATH: process.env.PATH,
        HOME: "/workspace",
        BERTH_AGENT: "data",
        IMAGE_SETTING: "kept",
      },
    });
    await bench.greeted();
    const post = bench.server.say("alice", "@data run env");
    await bench.answered(post.id, "Exit code 0");
    const text = bench.server.answers(post.id)[0]?.message ?? "";
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) {
      expect(text).toMatch(new RegExp(`^${name}=http://127\\.0\\.0\\.1:\\d+$`, "m"));
    }
    expect(text).toContain("NO_PROXY=127.0.0.1,localhost,mattermost");
    expect(text).toContain("HOME=/workspace");
    expect(text).toContain("IMAGE_SETTING=kept");
    expect(text).not.toContain("BERTH_");
  });

  it("of the local driver takes nothing from the operator's shell but its language and path", async () => {
    await using bench = new Bench(declare({ driver: "local" }));
    await bench.start({
      env: { PATH: process.env.PATH, AWS_SECRET_ACCESS_KEY: canary, LANG: "C" },
    });
    await bench.greeted();
    const post = bench.server.say("alice", "@data run env");
    await bench.answered(post.id, "Exit code 0");
    expect(bench.server.answers(post.id)[0]?.message).not.toContain("AWS_SECRET");
  });
});

describe("a changed declaration", () => {
  it("with another program replaces the running one when it is idle", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    bench.server.declaration = declare({ program: { acp: [...demoAgent, "--changed"] } });
    await until("replaced", () => bench.log.includes("program-replaced"));
    const post = bench.server.say("alice", "@data run tr '\\0' ' ' < /proc/$PPID/cmdline");
    await bench.answered(post.id, "--changed");
    expect(bench.log).not.toContain("program-ended");
  });
});

describe("a program with a bridge of its own", () => {
  it("runs with its output in the log, is started again when it ends, and gets SIGTERM", async () => {
    const script =
      'trap "echo got-term; exit 0" TERM; echo round; sleep 0.2 & wait; [ -e stay ] || exit 7; sleep 60 & wait';
    await using bench = new Bench(declare({ program: { command: ["/bin/sh", "-c", script] } }));
    await bench.start();
    await until("restarted", () => bench.log.includes('"reason":"exit code 7"'));
    await writeFile(join(bench.workspace, "stay"), "");
    const rounds = () => bench.lines.filter((line) => line.includes('"line":"round"')).length;
    await until("second round", () => rounds() >= 2);
    await new Promise((wake) => setTimeout(wake, 600));
    await bench.stop();
    expect(bench.log).toContain('"line":"got-term"');
    expect(bench.server.requests.filter((call) => call.includes("/api/"))).toEqual([]);
    await rm(join(bench.workspace, "stay"));
  });
});

describe("health", () => {
  it("is good while the chat is connected and the program runs", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const endpoint = `unix://${join(bench.directory, "health.sock")}`;
    await until("connected", () => bench.log.includes("chat-connected"));
    expect(await checkHealth(endpoint)).toBe(0);
    bench.server.deaf = true;
    bench.server.resumable = false;
    bench.server.dropSockets();
    await until("lost", () => bench.log.includes("chat-disconnected"));
    expect(await checkHealth(endpoint)).toBe(1);
  });
});

describe("the log", () => {
  it("never holds what people wrote or were answered", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const post = bench.server.say("alice", `@data ${canary}`);
    await bench.answered(post.id, canary);
    const failed = bench.server.say("alice", `@data fail ${canary}`);
    await bench.answered(failed.id, "reported an error");
    await bench.stop();
    expect(bench.log).toContain(post.id);
    expect(bench.log).not.toContain(canary);
  });
});
