import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Console } from "../../../cli/console.ts";
import { connectEngine } from "../../../cli/engine-api.ts";
import { type Found, NoTokenError } from "../../../cli/secrets/finder.ts";
import { storeOf } from "../../../cli/secrets/store.ts";
import { tokenIn } from "../../../cli/secrets/token.ts";
import {
  unlockAfterUp,
  unlockIfWaiting,
  unlockWith,
  withoutToken,
} from "../../../cli/secrets/unlock.ts";
import { waitAfter, watchStore } from "../../../cli/secrets/watch.ts";
import { openSession } from "../../../cli/session.ts";
import { FakeEngine } from "./fake-engine.ts";

const canary = `ops_${"canary9c1".repeat(40)}`;

let engine: FakeEngine;
/** How the store stands. */
let state: string;
/** What the next unlocks are refused with. */
let refusals: string[];
/** Tokens that came. */
let tokens: string[];
let said: string[];

/** A session whose lines are kept. */
function session() {
  const console: Console = { say: (line) => said.push(line), print: (line) => said.push(line) };
  return openSession({ console });
}
const store = () => storeOf(session(), connectEngine(engine.url));
const found: () => Promise<Found> = async () => ({ token: tokenIn(canary), from: "the test" });

/** Waits for a condition that others bring about. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}; said: ${said.join(" | ")}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

beforeEach(async () => {
  engine = new FakeEngine();
  await engine.start();
  state = "locked";
  refusals = [];
  tokens = [];
  said = [];
  engine.does = ({ command, stdin }) => {
    const verb = command[2];
    if (verb === "status") {
      const status = { provider: "onepassword", via: "sdk", state, since: "now", requests: 0 };
      return { stdout: JSON.stringify({ ...status, secrets: [] }) };
    }
    if (verb !== "unlock") return { exitCode: 2, stderr: `unknown verb ${verb}` };
    tokens.push(stdin);
    const reason = refusals.shift();
    if (reason !== undefined) return { exitCode: 1, stderr: reason };
    state = "ready";
    return { stdout: JSON.stringify({ state }) };
  };
});
afterEach(() => engine.remove());

describe("unlocking", () => {
  it("B8: the token goes over standard input; the command line of the container only says unlock", async () => {
    expect(await unlockWith(store(), tokenIn(canary))).toBe("ready");
    expect(engine.ran).toEqual([
      {
        container: "berth-dev-secret-store",
        command: ["/usr/local/bin/node", "/opt/berth/secret-store.mjs", "unlock"],
        stdin: canary,
      },
    ]);
  });

  it("a refusal is told with 1Password's reason", async () => {
    refusals = ["1Password refused the token: it has expired"];
    await expect(unlockWith(store(), tokenIn(canary))).rejects.toThrow(/it has expired/);
  });

  it.each([
    ["whole", `bad token ${canary}`],
    ["in pieces", `bad token ${canary.slice(20, 60)}…`],
    ["with colours", `bad \u001b[31m${canary.slice(0, 30)}`],
  ])("a refusal that repeats the token %s is not shown", async (_, reason) => {
    refusals = [reason];
    const error = await unlockWith(store(), tokenIn(canary)).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/not shown/);
    expect(String(error)).not.toMatch(/canary/);
  });

  it("no text shows eight characters of a token in a row", () => {
    const token = tokenIn(canary);
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(canary.length - 8), (before, after, at) => {
        const shown = withoutToken(before + canary.slice(at, at + 8) + after, token);
        expect(shown).toMatch(/not shown/);
      }),
    );
    expect(withoutToken("1Password refused the token", token)).toBe("1Password refused the token");
  });

  it("an answer that is no JSON is not shown", async () => {
    engine.does = () => ({ stdout: canary });
    const error = await unlockWith(store(), tokenIn(canary)).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(/no JSON/);
    expect(String(error)).not.toMatch(/canary/);
  });

  it.each([
    ["locked", 1],
    ["refused", 1],
    ["ready", 0],
    ["limited", 0],
    ["unreachable", 0],
    ["development", 0],
  ])("a store that is %s gets %i tokens", async (is, count) => {
    state = is;
    const done = await unlockIfWaiting(store(), found);
    expect(tokens).toHaveLength(count);
    expect(done).toBe(count ? "ready, with the token of the test" : undefined);
  });
});

describe("unlocking after `pulumi up`", () => {
  const afterUp = (find = found) => unlockAfterUp(session(), connectEngine(engine.url), find);

  it("says in one line that it unlocked", async () => {
    await afterUp();
    expect(tokens).toEqual([canary]);
    expect(said).toEqual(["secrets: the secret store is ready, with the token of the test"]);
  });

  it("says nothing where no token is wanted", async () => {
    state = "development";
    await afterUp();
    expect(said).toEqual([]);
  });

  it.each([
    [
      "there is no token",
      () => {},
      async () => Promise.reject(new NoTokenError("run berth secrets seal")),
      /seal/,
    ],
    [
      "1Password refuses",
      () => {
        refusals = ["expired"];
      },
      found,
      /expired.*berth secrets unlock/,
    ],
    [
      "the store does not answer",
      () => {
        engine.does = () => ({ exitCode: 1, stderr: "is it running?" });
      },
      found,
      /is it running\?.*berth secrets unlock/,
    ],
  ] as const)(
    "where %s it says in one line what to run, and goes on",
    async (_, prepare, find, wanted) => {
      prepare();
      await afterUp(find as () => Promise<Found>);
      expect(said).toHaveLength(1);
      expect(said[0]).toMatch(wanted);
    },
  );
});

describe("the waits between attempts", () => {
  it("grow from a second to a minute, and after ten failures in a row to half an hour", () => {
    const seconds = Array.from({ length: 17 }, (_, i) => waitAfter(i + 1) / 1000);
    expect(seconds.slice(0, 10)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    expect(seconds.slice(10)).toEqual([120, 240, 480, 960, 1800, 1800, 1800]);
    expect(waitAfter(1e9)).toBe(1_800_000);
  });
});

describe("watching", () => {
  let stop: AbortController;
  let waited: number[];
  let watching: Promise<void>;
  /** Watches without real waits; `sleep` may hold one for ever. */
  function watch(
    find: () => Promise<Found> = found,
    sleep: (ms: number, signal: AbortSignal) => Promise<void> = async () => {},
  ) {
    stop = new AbortController();
    waited = [];
    watching = watchStore({
      container: "berth-dev-secret-store",
      engine: async () => connectEngine(engine.url),
      unlock: (client) => unlockIfWaiting(storeOf(session(), client), find),
      console: { say: (line) => said.push(line) },
      signal: stop.signal,
      sleep: async (ms, signal) => {
        waited.push(ms);
        await new Promise((resolve) => setTimeout(resolve, 5));
        await sleep(ms, signal);
      },
    });
    return watching;
  }
  afterEach(async () => {
    stop.abort();
    await watching.catch(() => {});
  });
  const restart = () => {
    state = "locked";
    engine.tellStart();
  };

  it("B8: unlocks at once, and again at every start of this stack's store", async () => {
    void watch();
    await until("unlocked", () => tokens.length === 1);
    for (const count of [2, 3]) {
      restart();
      await until(`${count} times`, () => tokens.length === count);
    }
    expect(tokens).toEqual([canary, canary, canary]);
    expect(engine.watched.map((text) => JSON.parse(text))).toEqual([
      { type: ["container"], event: ["start"], container: ["berth-dev-secret-store"] },
    ]);
  });

  it("asks for the events before it looks, so that no start falls between", async () => {
    engine.does = ((does) => (ran) => {
      expect(engine.watched).toHaveLength(1);
      return does(ran);
    })(engine.does);
    void watch();
    await until("unlocked", () => tokens.length === 1);
  });

  it("leaves a store alone that another unlocked, or an operator locked, until it starts", async () => {
    state = "ready";
    void watch();
    await until("looked", () => engine.ran.length === 1);
    state = "locked";
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(tokens).toEqual([]);
    engine.tellStart();
    await until("unlocked", () => tokens.length === 1);
  });

  it("a refusal is tried again, after longer and longer waits, with a token that was looked for anew", async () => {
    refusals = ["limited", "limited", "limited"];
    let looked = 0;
    void watch(async () => ({ token: tokenIn(`ops_${++looked}`), from: "the test" }));
    await until("unlocked", () => state === "ready");
    expect(tokens).toEqual(["ops_1", "ops_2", "ops_3", "ops_4"]);
    expect(waited.slice(0, 3)).toEqual([1_000, 2_000, 4_000]);
  });

  it("a start ends the wait after a refusal", async () => {
    refusals = ["limited"];
    void watch(found, () => new Promise(() => {}));
    await until("refused", () => waited.length === 1);
    restart();
    await until("unlocked", () => tokens.length === 2);
  });

  it("a store that starts again and again is unlocked after longer and longer waits: each time costs requests", async () => {
    void watch();
    for (let count = 1; count <= 8; count++) {
      await until(`${count} times`, () => tokens.length === count);
      restart();
    }
    await until("unlocked", () => tokens.length === 9);
    expect(waited).toEqual([1_000, 2_000, 4_000, 8_000, 16_000]);
    expect(said.join()).toMatch(/started 8 times.*berth logs secret-store/);
  });

  it("an Engine that goes away is waited for, and the store that starts with it is unlocked", async () => {
    void watch();
    await until("unlocked", () => tokens.length === 1);
    await engine.stop();
    await until("missed", () => waited.length >= 3);
    state = "locked";
    await engine.start();
    await until("unlocked again", () => tokens.length === 2);
    expect(Math.max(...waited)).toBeLessThanOrEqual(60_000);
  });

  it("where there is no token at all it ends with that error", async () => {
    const none = async () => Promise.reject(new NoTokenError("no token here"));
    await expect(watch(none)).rejects.toThrow("no token here");
  });

  it("ends at the signal, in every state", async () => {
    const idle = watch();
    await until("unlocked", () => tokens.length === 1);
    stop.abort();
    await idle;
    state = "locked";
    refusals = ["limited"];
    const refused = watch(
      found,
      (_, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
    );
    await until("refused", () => waited.length === 1);
    stop.abort();
    await refused;
    await engine.stop();
    const alone = watch(
      found,
      (_, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
    );
    await until("no Engine", () => waited.length === 1);
    stop.abort();
    await alone;
  });
});

describe("`berth secrets unlock --watch` as a process", () => {
  it("B8 B16: unlocks over a restart of store and Engine with the token of its standard input, shows it nowhere, and ends at SIGTERM", async () => {
    const berth = join(import.meta.dirname, "../../../cli/berth.ts");
    const child = spawn(process.execPath, [berth, "secrets", "unlock", "--watch", "--from-stdin"], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, DOCKER_HOST: engine.url },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part: Buffer) => {
        output += part.toString();
      });
    }
    const ended = new Promise((resolve) => child.on("close", resolve));
    try {
      child.stdin.end(`${canary}\n`);
      await until("unlocked", () => tokens.length === 1);
      const proc = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, "utf8");
      if (process.platform === "linux") {
        expect(proc("cmdline")).toContain("--watch");
        expect(proc("cmdline") + proc("environ")).not.toContain("canary");
      }
      state = "locked";
      engine.tellStart();
      await until("unlocked after a start", () => tokens.length === 2);
      await engine.stop();
      state = "locked";
      await engine.start();
      await until("unlocked after the Engine", () => tokens.length === 3);
    } finally {
      child.kill("SIGTERM");
    }
    expect(await ended).toBe(143);
    expect(tokens).toEqual([canary, canary, canary]);
    expect(output).toMatch(/the secret store is ready, with the token of standard input/);
    expect(output).not.toContain("canary");
  });
});
