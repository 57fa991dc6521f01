import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Bench, declare } from "./support/agent.ts";

const agent = resolve(import.meta.dirname, "support/scripted-agent.ts");

const program = (...flags: string[]) =>
  new Bench(declare({ program: { acp: [process.execPath, agent, ...flags] } }));

async function scripted(...flags: string[]): Promise<Bench> {
  const bench = program(...flags);
  await bench.start();
  return bench;
}

/** Asks once and gives the finished answer. */
async function ask(bench: Bench, text: string, root?: string): Promise<string> {
  const question = bench.server.say("alice", `@data ${text}`, root ? { root } : {});
  const turns = () => bench.log.match(new RegExp(`"event":"turn","postId":"${question.id}"`));
  await bench.answered(root ?? question.id, /[\s\S]/);
  while (!turns()) await new Promise((wake) => setTimeout(wake, 10));
  return bench.server.answers(root ?? question.id).at(-1)?.message ?? "";
}

describe("any program of the protocol", () => {
  it("gets the permission of kind allow_once, wherever it stands, and none where there is none", async () => {
    await using bench = await scripted();
    expect(await ask(bench, "ask gemini")).toBe(
      '{"outcome":{"outcome":"selected","optionId":"proceed_once"}}',
    );
    expect(await ask(bench, "ask strict")).toBe('{"outcome":{"outcome":"cancelled"}}');
  });

  it("that can only load a session is not made to show its history again", async () => {
    const directory = mkdtempSync(join(tmpdir(), "berth-acp-"));
    const record = join(directory, "record");
    await using bench = await scripted("--record", record);
    const question = bench.server.say("alice", "@data say one");
    await bench.answered(question.id, "one");
    await bench.stop();
    await bench.start();
    expect(await ask(bench, "say two", question.id)).toBe("two");
    const told = readFileSync(record, "utf8").trim().split("\n");
    expect(told).toEqual([
      "initialize",
      "session/new",
      "session/prompt",
      "initialize",
      "session/load",
      "session/prompt",
    ]);
    rmSync(directory, { recursive: true });
  });

  it("has what it says after a tool, or in another message, begin a paragraph", async () => {
    await using bench = await scripted();
    expect(await ask(bench, "say I look. then tool then say It is there.")).toBe(
      "I look.\n\nIt is there.",
    );
    expect(await ask(bench, "message a One. then message a  Two. then message b Three.")).toBe(
      "One. Two.\n\nThree.",
    );
  });

  it("that uses tools and says nothing is reported as done", async () => {
    await using bench = await scripted();
    expect(await ask(bench, "tool then tool")).toBe("Done, in 2 steps.");
  });

  it.each([
    ["max_tokens", "limit of tokens"],
    ["max_turn_requests", "limit of steps"],
    ["refusal", "refused"],
  ])("that stops for %s has its reason told", async (reason, sentence) => {
    await using bench = await scripted();
    expect(await ask(bench, `say Well then stop ${reason}`)).toMatch(`Well\n\n_`);
    expect(bench.server.answers().at(-1)?.message).toContain(sentence);
  });

  it("that asks for a login has that told, not its code", async () => {
    await using bench = await scripted();
    expect(await ask(bench, "error -32000")).toContain("asks for a login");
  });

  it("that does not even answer a cancel is killed and started again", async () => {
    await using bench = program();
    await bench.start({ timing: { idle: 200, cancelPatience: 200 } });
    const question = bench.server.say("alice", "@data say Well then hang");
    await bench.answered(question.id, /^Well[\s\S]*no sign of life/);
    expect(bench.log).toContain("program-hangs");
    const next = bench.server.say("alice", "@data say back");
    await bench.answered(next.id, "back");
  });

  it("of another version is refused with a sentence", async () => {
    await using bench = await scripted("--version-2");
    const question = bench.server.say("alice", "@data say hello");
    await bench.answered(question.id, "it speaks version 2 of the Agent Client Protocol, not 1");
  });
});
