import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { askOnePassword, pluginHead } from "../../../components/internal/onepassword.ts";
import { verdictOf } from "../../../components/internal/onepassword-verdict.ts";
import { type ConnectDouble, startConnect } from "../../support/onepassword/connect-double.mjs";
import { writePlugin } from "../../support/onepassword/plugin.ts";

// Real processes and sockets: the lookup, a stand-in for the plugin, a double of Connect.

const token = "canary-token-51d0c7";
let folder: string;
let connect: ConnectDouble;
let vault: string;
let item: string;

const environment = (more: Record<string, string> = {}) => ({
  PATH: `${folder}:${process.env.PATH}`,
  OP_CONNECT_HOST: connect.url,
  OP_CONNECT_TOKEN: token,
  ...more,
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-plugin-"));
  writePlugin(folder);
  connect = await startConnect({ token, vaults: ["agents", "twins"] });
  vault = connect.control.vault({ name: "by-id" }).id;
  item = connect.control.item({ vault: "by-id", title: "item" }).id;
  connect.control.item({ vault: "agents", title: "lal" });
  for (const id of ["a".repeat(26), "b".repeat(26)])
    connect.control.item({ vault: "twins", title: "same", id });
});

afterEach(() => {
  connect.control.behaviour({});
  connect.control.forget();
});

afterAll(async () => {
  await connect.close();
  rmSync(folder, { recursive: true });
});

const sorted = (list: readonly object[]) => list.map((one) => JSON.stringify(one)).sort();

describe("asking 1Password's plugin", () => {
  it("tells what is there, what is not, and what is there more than once, by name and by id", async () => {
    const { findings, obstacle } = await askOnePassword(
      [
        { vault: "agents", items: ["lal", "nobody"] },
        { vault: "twins", items: ["same"] },
        { vault: "nowhere", items: ["x"] },
        { vault, items: [item, "c".repeat(26)] },
        { vault: "d".repeat(26), items: [] },
      ],
      "sdk",
      environment(),
    );
    expect(obstacle).toBeUndefined();
    expect(sorted(findings)).toEqual(
      sorted([
        { vault: "agents", state: "found" },
        { vault: "agents", item: "lal", state: "found" },
        { vault: "agents", item: "nobody", state: "missing" },
        { vault: "twins", state: "found" },
        { vault: "twins", item: "same", state: "several" },
        { vault: "nowhere", state: "missing" },
        { vault, state: "found" },
        { vault, item, state: "found" },
        { vault, item: "c".repeat(26), state: "missing" },
        { vault: "d".repeat(26), state: "missing" },
      ]),
    );
  });

  it("needs credentials, all of one kind", async () => {
    const questions = [{ vault: "agents", items: [] }];
    const none = { OP_CONNECT_TOKEN: "", OP_SERVICE_ACCOUNT_TOKEN: "" };
    expect(await askOnePassword(questions, "sdk", environment(none))).toEqual({
      findings: [],
      obstacle: "credentials",
    });
    expect(connect.control.requests().count).toBe(0);
  });

  it("signs in by one way where the environment has several: Connect's where the stack uses Connect", async () => {
    const several = environment({ OP_SERVICE_ACCOUNT_TOKEN: "ops_other", OP_ACCOUNT: "other" });
    const { obstacle } = await askOnePassword([{ vault: "agents", items: [] }], "connect", several);
    expect(obstacle).toBeUndefined();
    expect(connect.control.requests().count).toBe(2);
    // The stand-in takes a service account for what it is, and cannot ask anybody with it.
    expect((await askOnePassword([{ vault: "agents", items: [] }], "sdk", several)).obstacle).toBe(
      "away",
    );
    expect(connect.control.requests().count).toBe(2);
  });

  it("finds the plugin among Pulumi's own, of the npm package's version only, and none elsewhere", async () => {
    const home = mkdtempSync(join(tmpdir(), "berth-pulumi-home-"));
    const { version } = await pluginHead();
    const without = environment({ PATH: process.env.PATH ?? "", PULUMI_HOME: home });
    const ask = () => askOnePassword([{ vault: "agents", items: [] }], "sdk", without);
    writePlugin(join(home, "plugins", "resource-onepassword-v0.0.1"));
    expect(await ask()).toEqual({ findings: [], obstacle: "plugin" });
    writePlugin(join(home, "plugins", `resource-onepassword-v${version}`));
    expect(await ask()).toEqual({ findings: [{ vault: "agents", state: "found" }] });
    rmSync(home, { recursive: true });
  });

  it("tells a plugin that does not start, credentials that are refused, a limit and an outage apart, and stops asking", async () => {
    const many = [{ vault: "agents", items: Array.from({ length: 50 }, (_, i) => `item-${i}`) }];
    const obstacleOf = async (env: Record<string, string>) =>
      (await askOnePassword(many, "sdk", env)).obstacle;
    expect(await obstacleOf(environment({ OP_CONNECT_TOKEN: "wrong" }))).toBe("refused");
    expect(connect.control.requests().count).toBe(1);
    connect.control.behaviour({ limit: { after: 3 } });
    expect(await obstacleOf(environment())).toBe("limited");
    expect(connect.control.requests().count).toBeLessThan(12);
    connect.control.behaviour({ away: true });
    expect(await obstacleOf(environment())).toBe("away");
    const broken = mkdtempSync(join(tmpdir(), "berth-plugin-"));
    const plugin = join(broken, "pulumi-resource-onepassword");
    for (const script of ["exit 3", "echo hello; sleep 60"]) {
      writeFileSync(plugin, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      expect(await obstacleOf(environment({ PATH: `${broken}:/usr/bin:/bin` }))).toBe("start");
    }
    rmSync(broken, { recursive: true });
  });

  it("gives up where 1Password says nothing, and leaves no process behind", async () => {
    const holders = () =>
      readdirSync("/proc").filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`MARK=${folder}`);
        } catch {
          return false; // ended, or not ours to read
        }
      });
    connect.control.behaviour({ hang: true });
    const asked = askOnePassword(
      [{ vault: "agents", items: ["lal"] }],
      "sdk",
      environment({ MARK: folder }),
      { silence: 7000, whole: 7000 },
    );
    await expect.poll(() => holders().length, { timeout: 20_000 }).toBe(2);
    expect(await asked).toEqual({ findings: [], obstacle: "slow" });
    await expect.poll(holders, { timeout: 10_000 }).toEqual([]);
  });
});

describe("what the plugin's words mean", () => {
  it.each([
    [`No vault found with name '"agents"'`, "missing"],
    [`Unable to read item, got error: Found 0 item(s) in vault "v" with title "x"`, "missing"],
    [`Unable to read item, got error: status 404: item i not found`, "missing"],
    [`op error: "x" isn't an item in the "agents" vault. Specify the item`, "missing"],
    [`op error: "x" isn't a vault in this account.`, "missing"],
    [`Multiple vaults found with name '"agents"'`, "several"],
    [`Unable to read item, got error: Found 12 item(s) in vault "v" with title "x"`, "several"],
    [`op error: More than one item matches "x". Try again`, "several"],
    [`Unable to read vault, got error: status 401: Invalid token signature`, "refused"],
    [`op error: You are not currently signed in.`, "refused"],
    [`Unable to read vault, got error: status 429: Too Many Requests`, "limited"],
    [`failed to get version of op CLI: exec: "op": executable file not found in $PATH`, "program"],
    [`dial tcp 127.0.0.1:1: connect: connection refused`, "away"],
    // A name that looks like an error is still only a name.
    [`Found 0 item(s) in vault "v" with title "rate-limit"`, "missing"],
    [`No vault found with name '"unauthorized"'`, "missing"],
  ])("%s", (words, verdict) => {
    expect(verdictOf(words)).toBe(verdict);
  });
});
