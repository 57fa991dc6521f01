import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Bench, until } from "./support/agent.ts";

const main = resolve(import.meta.dirname, "../../../services/agent-runner/main.ts");

/** The runner as a process of its own, as in a container. */
function spawnRunner(bench: Bench): ChildProcess {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env.PATH,
      HOME: bench.workspace,
      BERTH_RUN: bench.directory,
      BERTH_WORKSPACE: bench.workspace,
      BERTH_MATTERMOST_PORT: "0",
      BERTH_EGRESS_PORT: "0",
      BERTH_HEALTH_SOCKET: `${bench.directory}/health.sock`,
    },
  });
  child.stdout?.on("data", (text) => bench.lines.push(String(text)));
  child.stderr?.on("data", (text) => bench.lines.push(String(text)));
  return child;
}

describe("SIGTERM", () => {
  it("lets a running answer end, takes nothing new, and exits 0", async () => {
    await using bench = new Bench();
    await bench.server.listen();
    await mkdir(bench.workspace);
    const runner = spawnRunner(bench);
    const exited = once(runner, "exit");
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 3");
    await bench.answered(question.id, "Working");
    const queued = bench.server.say("alice", "@data count", { root: question.id });
    await until("taken", () => bench.log.includes(queued.id));
    runner.kill("SIGTERM");
    await until("stopping", () => bench.log.includes('"stopping"'));
    const late = bench.server.say("alice", "@data too late");
    expect(await exited).toEqual([0, null]);
    expect(bench.server.answers(question.id).map((post) => post.message)).toEqual([
      "Working for 3 s: 1 2 3. Done.",
    ]);
    expect(bench.server.answers(late.id)).toEqual([]);

    // What waited and what came too late is answered after the next start, once.
    const next = spawnRunner(bench);
    const ended = once(next, "exit");
    await bench.answered(question.id, "number 1 ");
    await bench.answered(late.id, "too late");
    next.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    expect(bench.server.answers(question.id)).toHaveLength(2);
  });

  it("cancels an answer that takes too long, and says so in it", async () => {
    await using bench = new Bench();
    await bench.start({ timing: { stopEnding: 29_000 } });
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 600");
    await bench.answered(question.id, "Working");
    const before = Date.now();
    await bench.stop();
    expect(Date.now() - before).toBeLessThan(5_000);
    const [answer] = bench.server.answers(question.id);
    expect(answer?.message).toMatch(/^Working for 600 s: 1[\s\S]*I am being stopped/);
  });

  it("ends an idle agent at once, its program too", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.greeted();
    const before = Date.now();
    await bench.stop();
    expect(Date.now() - before).toBeLessThan(2_000);
    const pid = Number(/"program-ready","pid":(\d+)/.exec(bench.log)?.[1]);
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});

describe("a runner that is killed in the middle of an answer", () => {
  it("reports it as cut after the restart, and does not give it to the program again", async () => {
    await using bench = new Bench();
    await bench.server.listen();
    await mkdir(bench.workspace);
    const runner = spawnRunner(bench);
    const exited = once(runner, "exit");
    await bench.greeted();
    const question = bench.server.say("alice", "@data sleep 60");
    await bench.answered(question.id, "Working");
    const queued = bench.server.say("alice", "@data count", { root: question.id });
    await until("taken", () => bench.log.includes(queued.id));
    await new Promise((wake) => setTimeout(wake, 100));
    runner.kill("SIGKILL");
    await exited;
    await bench.start({ listen: false });
    await bench.answered(question.id, /^Working[\s\S]*I was restarted in the middle/);
    await bench.answered(question.id, "number 1 ");
    expect(bench.server.answers(question.id)).toHaveLength(2);
  });
});
