import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { secrets, subcommands } from "../../../cli/commands/secrets.ts";
import { CliError, terminal } from "../../../cli/console.ts";
import { untilDelivered } from "../../../cli/secrets/rotate.ts";
import type { SecretStatus, Store, StoreStatus } from "../../../cli/secrets/store.ts";
import { linesOfCheck, linesOfStatus } from "../../../cli/secrets/words.ts";
import { encodeDeclaration } from "../../../spec/declaration.ts";
import { Label } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";
import type { DeclaredSecret } from "../../../spec/secrets.ts";
import { type Ended, FakeEngine } from "./fake-engine.ts";

let engine: FakeEngine;
let printed: string[];
/** What the verbs of the secret store and the admin bridge answer. */
let answers: Record<string, Ended>;

const json = (value: unknown): Ended => ({ stdout: JSON.stringify(value) });
const secret = (name: string, state: SecretStatus["state"], reason?: string): SecretStatus => ({
  agent: "lal",
  name,
  reference: `op://agents/lal/${name.toLowerCase()}`,
  state,
  ...(reason === undefined ? {} : { reason }),
});
const status = (list: readonly SecretStatus[]): StoreStatus => ({
  provider: "onepassword",
  via: "sdk",
  state: "ready",
  since: "2026-12-01T12:00:00Z",
  lastRead: "2026-12-01T12:01:00Z",
  requests: 7,
  secrets: list,
});

function declare(name: string, declared: Record<string, DeclaredSecret>, vaults?: string[]) {
  return {
    CreatedAt: "2026-12-01T12:00:00Z",
    Labels: {
      [Label.agent]: name,
      [Label.declaration]: encodeDeclaration({
        version: 1,
        stack: "dev",
        name,
        driver: "docker",
        image: `localhost/berth/node:${"0".repeat(12)}`,
        runner: true,
        program: { acp: ["demo-agent"] },
        activation: "on-demand",
        preset: "agent",
        limits: presets.agent,
        chat: { channels: [], trigger: "mention", access: { mode: "open" } },
        network: "sealed",
        egress: [],
        secrets: declared,
        ...(vaults ? { vaults } : {}),
        workspace: { retain: false },
      }),
    },
  };
}

beforeEach(async () => {
  engine = new FakeEngine();
  await engine.start();
  printed = [];
  answers = { status: json(status([secret("KEY", "delivered")])) };
  engine.does = ({ command }) =>
    answers[command[2] ?? ""] ?? { exitCode: 2, stderr: "no such verb" };
  vi.stubEnv("DOCKER_HOST", engine.url);
  vi.stubEnv("BERTH_STACK", "");
  vi.spyOn(terminal, "print").mockImplementation((line) => void printed.push(line));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await engine.remove();
});

const ran = () => engine.ran.map(({ container, command }) => [container, ...command.slice(2)]);
const store = "berth-dev-secret-store";
const bridge = "berth-dev-admin-bridge";

describe("the command line", () => {
  it.each([[], ["what"], ["constructor"]])(
    "%j is answered with every subcommand, and exit code 2",
    async (...args) => {
      const error = await secrets.run(args).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(CliError);
      expect(error).toMatchObject({ exitCode: 2 });
      for (const { usage } of Object.values(subcommands)) expect(String(error)).toContain(usage);
      expect(engine.ran).toEqual([]);
    },
  );

  it.each(Object.keys(subcommands))(
    "%s refuses what it does not know, and a token on the command line",
    async (name) => {
      for (const args of [
        ["--nonsense"],
        name === "rotate" ? ["ops_AAAA"] : ["ops_AAAA", "more"],
      ]) {
        const error = await secrets.run([name, ...args]).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ exitCode: 2 });
      }
      expect(engine.ran).toEqual([]);
    },
  );

  it("a stack that is not up is told of with what to run", async () => {
    await engine.stop();
    await expect(secrets.run(["status"])).rejects.toThrow(/DOCKER_HOST/);
  });
});

describe("status", () => {
  it("tells people how the store stands and every secret", async () => {
    answers.status = json(
      status([
        secret("KEY", "delivered"),
        secret("OTHER", "kept", "1Password is\u001b[31m away\nnow"),
      ]),
    );
    expect(await secrets.run(["status"])).toBe(0);
    expect(printed).toEqual([
      "stack dev: 1Password by sdk: ready since 2026-12-01T12:00:00Z",
      "last read 2026-12-01T12:01:00Z, 7 requests",
      "agent  name   reference              state      reason",
      "lal    KEY    op://agents/lal/key    delivered",
      "lal    OTHER  op://agents/lal/other  kept       1Password is[31m away now",
    ]);
  });

  it("--json prints what the store said", async () => {
    expect(await secrets.run(["status", "--json"])).toBe(0);
    expect(JSON.parse(printed.join("\n"))).toEqual(status([secret("KEY", "delivered")]));
  });

  it("a store in development, without secrets", () =>
    expect(
      linesOfStatus("dev", {
        ...status([]),
        provider: "development",
        state: "development",
        requests: 0,
      }),
    ).toEqual([
      "stack dev: development: development since 2026-12-01T12:00:00Z",
      "last read 2026-12-01T12:01:00Z",
      "no agent has secrets",
    ]));

  it.each([
    ["a reason", { exitCode: 1, stderr: "it is not running\u001b[2J" }, /^it is not running\[2J$/],
    ["nothing", { exitCode: 1 }, /exit code 1 and said nothing/],
    ["no JSON", { stdout: "what?" }, /no JSON/],
    ["another JSON", json({ secrets: [] }), /no status/],
  ])("a store that answers with %s is an error", async (_, answer, wanted) => {
    answers.status = answer;
    const error = await secrets.run(["status"]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CliError);
    expect((error as Error).message).toMatch(wanted);
  });
});

describe("check", () => {
  beforeEach(() => {
    engine.volumes = [
      declare("lal", { KEY: "op://agents/lal/key", PLAIN: "env:PLAIN" }, ["agents/lal"]),
      {
        CreatedAt: "2026-12-01T12:00:00Z",
        Labels: { [Label.agent]: "data", [Label.declaration]: "{}" },
      },
    ];
  });

  it("--offline asks nobody: form and allow-list, and a declaration that cannot be read", async () => {
    expect(await secrets.run(["check", "--offline"])).toBe(1);
    expect(engine.ran).toEqual([]);
    expect(printed[1]).toMatch(/^data\s+-\s+FAILED\s+declaration/);
    expect(printed.slice(2)).toEqual([
      expect.stringMatching(/^lal\.secrets\.KEY\s+op:\/\/agents\/lal\/key\s+ok$/),
      expect.stringMatching(/^lal\.secrets\.PLAIN\s+env:PLAIN\s+ok$/),
      "1 of 3 references failed",
    ]);
  });

  it("of two declarations of an agent the newer counts", async () => {
    const old = declare("lal", { OLD: "env:OLD" });
    engine.volumes = [
      declare("lal", { NEW: "env:NEW" }),
      { ...old, CreatedAt: "2026-11-30T12:00:00+01:00" },
    ];
    expect(await secrets.run(["check", "--offline"])).toBe(0);
    expect(printed.join()).toContain("NEW");
    expect(printed.join()).not.toContain("OLD");
  });

  it("asks the store next, and shows what it could not read first, with the reason", async () => {
    answers.check = json({
      results: [
        { place: "lal.secrets.KEY", reference: "op://agents/lal/key", ok: true },
        { place: "lal.secrets.PLAIN", reference: "env:PLAIN", ok: false, reason: "not pushed" },
      ],
    });
    expect(await secrets.run(["check"])).toBe(1);
    expect(ran()).toEqual([[store, "check"]]);
    expect(printed.slice(1)).toEqual([
      expect.stringMatching(/^data .*FAILED/),
      expect.stringMatching(/^lal\.secrets\.PLAIN.*FAILED\s+not pushed$/),
      expect.stringMatching(/^lal\.secrets\.KEY.*ok$/),
      "2 of 3 references failed",
    ]);
  });

  it("is exit code 0 where everything is good", async () => {
    engine.volumes = engine.volumes.slice(0, 1);
    answers.check = json({ results: [{ place: "x", reference: "env:PLAIN", ok: true }] });
    expect(await secrets.run(["check"])).toBe(0);
    expect(printed.at(-1)).toBe("1 references, all good");
  });

  it("a store that cannot check is an error with its reason", async () => {
    answers.check = { exitCode: 1, stderr: "check: the secret store does not answer" };
    await expect(secrets.run(["check"])).rejects.toThrow("does not answer");
  });

  it("no references: nothing to check", () =>
    expect(linesOfCheck([])).toEqual(["no agent refers to a secret"]));
});

describe("lock, refresh, create", () => {
  it("lock tells what agents keep", async () => {
    answers.lock = json({ state: "locked" });
    expect(await secrets.run(["lock"])).toBe(0);
    expect(printed).toEqual([expect.stringMatching(/keep what they have/)]);
  });

  it("refresh tells how many are delivered, and which are not", async () => {
    answers.refresh = json({});
    answers.status = json(
      status([secret("KEY", "delivered"), secret("LOST", "missing", "no item")]),
    );
    expect(await secrets.run(["refresh"])).toBe(1);
    expect(ran()).toEqual([
      [store, "refresh"],
      [store, "status"],
    ]);
    expect(printed).toEqual(["delivered: 1 of 2", "lal: LOST: missing: no item"]);
  });

  it("create tells what it has written and what it left", async () => {
    answers.create = json({ created: ["lal.HOOK"], skipped: ["lal.KEY: it has a value already"] });
    expect(await secrets.run(["create"])).toBe(0);
    expect(printed).toEqual([
      "written: lal.HOOK",
      "left as it is: lal.KEY: it has a value already",
    ]);
  });
});

describe("rotate", () => {
  beforeEach(() => {
    answers.rotate = json({ rotated: ["HOOK"], skipped: ["KEY: change it in 1Password"] });
    answers["rotate-token"] = { stdout: "lal has a new bot token, and the old one is revoked.\n" };
    answers.status = json(status([secret("HOOK", "delivered"), secret("KEY", "kept", "no item")]));
  });

  it("changes the generated secrets, then the bot token, and tells what was and what was not", async () => {
    expect(await secrets.run(["rotate", "lal"])).toBe(0);
    expect(ran()).toEqual([
      [store, "rotate", "lal"],
      [bridge, "rotate-token", "lal"],
      [store, "status"],
    ]);
    expect(printed).toEqual([
      "HOOK: has a new value",
      "not changed: KEY: change it in 1Password",
      "lal has a new bot token, and the old one is revoked.",
      "lal has them",
      "not delivered: KEY: kept: no item",
    ]);
  });

  it("--no-bot leaves the bot token, and names choose the secrets", async () => {
    answers.rotate = json({ rotated: ["HOOK"], skipped: [] });
    expect(await secrets.run(["rotate", "lal", "HOOK", "--no-bot"])).toBe(0);
    expect(ran()).toEqual([
      [store, "rotate", "lal", "HOOK"],
      [store, "status"],
    ]);
  });

  it("a named secret that was not changed is exit code 1", async () => {
    expect(await secrets.run(["rotate", "lal", "HOOK", "KEY", "--no-bot"])).toBe(1);
  });

  it("an agent without generated secrets still gets a new bot token; one that is named must change", async () => {
    const refused = "rotate: nothing was rotated: KEY: change it in 1Password; B: too";
    answers.rotate = { exitCode: 1, stderr: refused };
    expect(await secrets.run(["rotate", "lal"])).toBe(0);
    expect(printed.slice(0, 3)).toEqual([
      "not changed: KEY: change it in 1Password",
      "not changed: B: too",
      "lal has a new bot token, and the old one is revoked.",
    ]);
    await expect(secrets.run(["rotate", "lal", "KEY"])).rejects.toThrow("nothing was rotated");
  });

  it("where the store refuses for another reason nothing else is changed", async () => {
    answers.rotate = { exitCode: 1, stderr: 'rotate: there is no agent "lal"' };
    await expect(secrets.run(["rotate", "lal"])).rejects.toThrow(/there is no agent/);
    expect(ran()).toEqual([[store, "rotate", "lal"]]);
  });

  it("a word that is no name, and may be a value, goes to no container and is not shown", async () => {
    const refused = secrets.run(["rotate", "lal", "HOOK", "s3cret-value"]);
    await expect(refused).rejects.toThrow(/names like HOOK_KEY/);
    await expect(refused).rejects.not.toThrow(/s3cret/);
    expect(ran()).toEqual([]);
  });

  it("a bot token that was not changed is told of after the secrets, and is exit code 1", async () => {
    answers["rotate-token"] = { exitCode: 1, stderr: "the old token of lal may still work" };
    expect(await secrets.run(["rotate", "lal"])).toBe(1);
    expect(printed).toContain("bot token: the old token of lal may still work");
    expect(printed).toContain("lal has them");
    // The bridge ended in the middle of it, as when its container is killed.
    answers["rotate-token"] = { exitCode: 137 };
    expect(await secrets.run(["rotate", "lal"])).toBe(1);
    expect(printed.join("\n")).toMatch(
      /bot token: .*137.*the old token may still work: run it again/,
    );
  });

  it("waits until the new values are delivered, and names those that are not in time", async () => {
    const states: SecretStatus["state"][] = ["kept", "missing", "delivered"];
    const slow = {
      status: async () => status([secret("HOOK", states.shift() ?? "delivered")]),
    } as Store;
    expect(await untilDelivered(slow, "lal", ["HOOK"], { everyMs: 1 })).toEqual([]);
    expect(states).toEqual([]);
    const never = { status: async () => status([secret("HOOK", "kept", "no item")]) } as Store;
    await expect(
      untilDelivered(never, "lal", ["HOOK"], { limitMs: 20, everyMs: 1 }),
    ).rejects.toThrow(/did not reach lal:\nHOOK: kept: no item/);
  });
});

describe("seal and unlock as processes", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-cli-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const canary = `ops_${"canary5d3".repeat(30)}`;

  /** Runs the operator's command as a person or a unit would, with text on its standard input. */
  function berth(args: readonly string[], stdin: string, env: NodeJS.ProcessEnv = {}) {
    const program = join(import.meta.dirname, "../../../cli/berth.ts");
    const child = spawn(process.execPath, [program, "secrets", ...args], {
      env: { PATH: `${folder}:/usr/bin:/bin`, HOME: folder, DOCKER_HOST: engine.url, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part: Buffer) => {
        output += part.toString();
      });
    }
    child.stdin.end(stdin);
    return new Promise<{ code: number | null; output: string }>((resolve) =>
      child.on("close", (code) => resolve({ code, output })),
    );
  }

  it("a unit's credential unlocks the store, whose command line only says unlock", async () => {
    writeFileSync(join(folder, "op-token"), canary, { mode: 0o400 });
    answers.unlock = json({ state: "ready" });
    const { code, output } = await berth(["unlock"], "", { CREDENTIALS_DIRECTORY: folder });
    expect([code, output]).toEqual([
      0,
      "the secret store is ready, with the token of the unit's credential\n",
    ]);
    expect(engine.ran).toEqual([
      {
        container: store,
        command: ["/usr/local/bin/node", "/opt/berth/secret-store.mjs", "unlock"],
        stdin: canary,
      },
    ]);
  });

  it("a token that is none is refused before anything is sealed, and no piece of it is shown", async () => {
    const creds =
      '#!/bin/sh\n[ "$1" = --version ] && echo systemd 257 && exit\necho ran >"$0.ran"\n';
    writeFileSync(join(folder, "systemd-creds"), creds, { mode: 0o755 });
    const { code, output } = await berth(
      ["seal", "--with", "systemd-creds"],
      `${canary} canary5d3`,
    );
    expect(code).toBe(1);
    expect(output).toMatch(/no 1Password token/);
    expect(output).not.toContain("canary5d3");
    expect(existsSync(join(folder, "systemd-creds.ran"))).toBe(false);
  });

  it("where nothing can seal it says why and what is left, before it reads a token", async () => {
    const { code, output } = await berth(["seal", "--with", "keychain", "--from-stdin"], canary);
    expect(code).toBe(1);
    expect(output).toMatch(/keychain cannot keep the token here: .*berth secrets unlock/);
  });

  it("without a token anywhere unlock says what to run", async () => {
    const { code, output } = await berth(["unlock"], "", { BERTH_CREDENTIALS: folder });
    expect(code).toBe(1);
    expect(output).toMatch(/berth secrets seal.*--from-stdin/);
    expect(engine.ran).toEqual([]);
  });

  it("a way that there is not is exit code 2", async () => {
    const { code, output } = await berth(["seal", "--with", "paper"], "");
    expect([code, output]).toEqual([
      2,
      "berth: --with: must be one of systemd-creds, keychain, prompt\n",
    ]);
  });
});
