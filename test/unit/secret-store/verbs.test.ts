import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Redacted } from "../../../services/common/redacted.ts";
import { serveOperator } from "../../../services/secret-store/operator.ts";
import { runVerb } from "../../../services/secret-store/verbs.ts";
import { agent, canary, Rig, type Running } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await new Rig().open();
});
afterEach(() => rig.close());

describe("the verbs of the command line", () => {
  let running: Running;
  const terminal = (input = "") => {
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
  /** Runs verbs against a running store. @returns what each printed and complained, and its exit code */
  async function run(...verbs: readonly (readonly [words: string[], input?: string])[]) {
    const path = join(rig.root, "operator.sock");
    const server = await serveOperator(running.operations, path);
    try {
      expect((await lstat(path)).mode & 0o777).toBe(0o600);
      const answers = [];
      for (const [words, input] of verbs) {
        const at = terminal(input);
        const code = await runVerb(at, words, path);
        answers.push({ code, printed: at.printed.join(), complained: at.complained.join() });
      }
      return answers;
    } finally {
      server.close();
    }
  }

  it("unlock takes the token from standard input, trimmed; a refused one is an error with its reason", async () => {
    running = await rig.start({ onepassword: true });
    await running.store.declare([]);
    rig.onepassword.tokens.add(canary);
    const answers = await run(
      [["unlock"], "bad\n"],
      [["unlock"], ""],
      [["unlock"], "two words"],
      [["unlock"], "x".repeat(65_537)],
      [["unlock", "ops_token"]],
      [["unlock"], ` ${canary}\n`],
      [["lock"]],
    );
    expect(answers.map(({ code }) => code)).toEqual([1, 1, 1, 1, 1, 0, 0]);
    expect(answers[0]?.complained).toBe("unlock: the token is not valid");
    expect(answers[1]?.complained).toMatch(/holds no token/);
    expect(answers[4]?.complained).toBe(
      "unlock: takes no arguments; secrets come on standard input",
    );
    expect(JSON.parse(answers[5]?.printed ?? "")).toEqual({ state: "ready" });
    expect(JSON.parse(answers[6]?.printed ?? "")).toEqual({ state: "locked" });
    expect(JSON.stringify(answers) + rig.log.join()).not.toMatch(/canary|two words|xxx/);
  });

  it("unlock answers a state where 1Password cannot be asked", async () => {
    running = await rig.start({ onepassword: true });
    rig.onepassword.fail("limited", 60_000);
    const [answer] = await run([["unlock"], "good"]);
    expect([answer?.code, JSON.parse(answer?.printed ?? "")]).toEqual([
      0,
      { state: "limited", reason: "it is limited" },
    ]);
  });

  it("push hands values over, status shows how they stand, nothing shows a value", async () => {
    running = await rig.start();
    await running.store.declare([agent("lal", { KEY: "env:API_TOKEN" })]);
    const answers = await run(
      [["push"], JSON.stringify({ API_TOKEN: canary })],
      [["status"]],
      [["push"], `{"API_TOKEN": "${canary}`],
      [["push"], JSON.stringify({ "api token": canary })],
      [["push"], JSON.stringify({ A: "x".repeat(5 * 1024 * 1024) })],
      [["unlock"], canary],
    );
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 1, 1, 1, 1]);
    expect(await rig.text("lal", "KEY")).toBe(canary);
    expect(JSON.parse(answers[1]?.printed ?? "")).toEqual({
      provider: "development",
      via: "sdk",
      state: "development",
      since: expect.stringMatching(/^2026-/),
      requests: 0,
      secrets: [{ agent: "lal", name: "KEY", reference: "env:API_TOKEN", state: "delivered" }],
    });
    expect(answers[5]?.complained).toMatch(/this stack has no 1Password/);
    expect(JSON.stringify(answers) + rig.log.join()).not.toContain("canary");
  });

  it("check, rotate, create and refresh answer in JSON; what they are not given right is an error", async () => {
    rig.onepassword.put("agents", "lal", { hook: "first" });
    running = await rig.unlocked([
      agent("lal", { HOOK: { from: "op://agents/lal/hook", generate: 24 } }),
    ]);
    const answers = await run(
      [["check"]],
      [["check"], '{"references":["op://agents/lal/none"]}'],
      [["check"], '{"references":"op://agents/lal/none"}'],
      [["rotate", "lal", "HOOK"]],
      [["rotate"]],
      [["rotate", "lal", "NONE"]],
      [["create"]],
      [["refresh"]],
      [["constructor"]],
    );
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 1, 0, 1, 1, 0, 0, 2]);
    expect(
      answers.slice(0, 8).map(({ printed }) => Object.keys(JSON.parse(printed || "{}"))[0]),
    ).toEqual([
      "results",
      "results",
      undefined,
      "rotated",
      undefined,
      undefined,
      "created",
      "provider",
    ]);
  });

  it("without a running store a verb says so", async () => {
    const at = terminal("{}");
    expect(await runVerb(at, ["push"], join(rig.root, "nobody.sock"))).toBe(1);
    expect(at.complained.join()).toMatch(/does not answer .*is it running/);
  });

  it("a token is never shown by what holds it", () => {
    expect(JSON.stringify({ token: new Redacted(canary, "token") })).toBe('{"token":"[token]"}');
  });
});
