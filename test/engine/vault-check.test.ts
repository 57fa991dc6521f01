import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentSource, writeFleet } from "../support/fleet.ts";
import { leaks } from "../support/leaks.ts";
import { type ConnectDouble, startConnect } from "../support/onepassword/connect-double.mjs";
import { writePlugin } from "../support/onepassword/plugin.ts";
import { root, Stack } from "../support/stack.ts";

// A real `pulumi preview` of the real program, with what stands in for 1Password's plugin and a double of Connect.

const token = "canary-token-0f3c61d9a2";
const value = "canary-value-9b27ce40d1";
const home = process.env.PULUMI_HOME || join(homedir(), ".pulumi");
let folder: string;
let connect: ConnectDouble;
let stack: Stack;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-vaults-"));
  writePlugin(folder);
  connect = await startConnect({ token, vaults: ["agents"] });
  connect.control.item({
    vault: "agents",
    title: "lal",
    fields: [{ label: "password", purpose: "PASSWORD", type: "CONCEALED", value }],
  });
  stack = await Stack.create("vaults", {
    secrets: JSON.stringify({ provider: "onepassword" }),
  });
});

afterAll(async () => {
  await stack?.remove();
  await connect?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs Pulumi as a person with Connect's credentials does, and gives every place where it leaves something. */
async function pulumi(
  args: readonly string[],
  where: { readonly directory: string; readonly stack: string; readonly home: string },
  path: string,
) {
  const events = join(where.directory, "events.json");
  rmSync(events, { force: true });
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${path}${process.env.PATH}`,
    PULUMI_HOME: where.home,
    PULUMI_BACKEND_URL: `file://${join(where.directory, ".state")}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DEBUG_COMMANDS: "true", // `--event-log`
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    NODE_PATH: join(root, "node_modules"),
    OP_CONNECT_HOST: connect.url,
    OP_CONNECT_TOKEN: token,
  };
  delete env.PULUMI_CONFIG_PASSPHRASE_FILE;
  const run = (all: readonly string[]) =>
    new Promise<{ code: number | null; output: string }>((resolve, reject) => {
      const child = spawn("pulumi", all, { cwd: where.directory, env });
      let output = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (part: Buffer) => (output += part.toString()));
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, output }));
    });
  const before = new Set(logsIn(where.home));
  if (args[0] === "up") await run(["stack", "init", where.stack]);
  const { code, output } = await run([
    ...args,
    ...["--stack", where.stack, "--non-interactive", "--color", "never", "--event-log", events],
  ]);
  // Pulumi keeps a log of its own, encrypted with the stack's passphrase.
  let logs = "";
  for (const file of logsIn(where.home))
    if (!before.has(file) && file.includes(`+${where.stack}-`))
      logs += (await run(["logs", "decrypt", join(where.home, "logs", file)])).output;
  const state = (await run(["stack", "export", "--show-secrets", "--stack", where.stack])).output;
  const shown = { output, events: readFileSync(events, "utf8"), logs, state };
  return { code, output, shown };
}

function logsIn(pulumiHome: string): string[] {
  const logs = join(pulumiHome, "logs");
  return existsSync(logs) ? readdirSync(logs) : [];
}

function preview(secrets: string, withPlugin = true) {
  writeFleet(stack, {
    lal: agentSource("lal", `secrets: ${secrets}, vaults: ["agents", "gone"],`),
  });
  const where = { directory: stack.directory, stack: stack.name, home };
  return pulumi(["preview"], where, withPlugin ? `${folder}${delimiter}` : "");
}

describe("a preview asks 1Password for vaults and items", () => {
  it("A4, B16: and leaves neither token nor value in its output, its events, its logs or the state", async () => {
    connect.control.forget();
    const { code, output, shown } = await preview('{ TOKEN: "op://agents/lal/password" }');
    expect(code, output).toBe(0);
    // The item was read with all its values, and still:
    const asked = connect.control.requests().requests;
    expect(asked.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(asked.at(-1)?.path).toMatch(/^\/v1\/vaults\/[^/]+\/items\/[^/?]+$/);
    expect(shown.events).toContain("berth:index:Agent");
    expect(shown.logs !== "").toBe(existsSync(join(home, "logs")));
    expect(leaks(shown, [token, value])).toEqual([]);
    expect(output).not.toMatch(/onepassword|1Password/);
  });

  it("fails with every vault and item that is not there, by agent and place", async () => {
    const { code, output, shown } = await preview(
      '{ A: "op://agents/nobody/x", B: "op://gone/lal/x", C: "op://agents/lal/x" }',
    );
    expect(code).not.toBe(0);
    expect(output).toContain('  - item "nobody" of vault "agents" is not there: lal (secrets.A)');
    expect(output).toContain('  - vault "gone" is not there: lal (secrets.B)');
    expect(output).not.toContain("secrets.C");
    expect(output).not.toMatch(/\n\s+at .*:\d+:\d+/);
    expect(leaks(shown, [token, value])).toEqual([]);
  });

  it("says in one line that the plugin is missing, and goes on", async () => {
    const { code, output } = await preview('{ TOKEN: "op://agents/lal/password" }', false);
    expect(code, output).toBe(0);
    const lines = output.split("\n").filter((line) => /^ {4}\S*.*plugin is missing/.test(line));
    expect(new Set(lines.map((line) => line.replace(/^.*warning: /, ""))).size).toBe(1);
    expect(output).toContain("pulumi plugin install resource onepassword");
  });
});

describe("the searches above find what is there", () => {
  it("the engine's own way – a provider, its function, an Item – leaves token and value in events, logs and state", async () => {
    const directory = join(folder, "engine-way");
    mkdirSync(join(directory, ".state"), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"));
    const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
    write(
      "Pulumi.yaml",
      "name: engine-way\nruntime: { name: nodejs, options: { typescript: false } }\nmain: index.ts\n",
    );
    write("package.json", '{ "type": "module", "main": "index.ts" }');
    write("Pulumi.engine-way.yaml", "config: {}\n");
    write(
      "index.ts",
      `import * as onepassword from "@1password/pulumi-onepassword";
const provider = new onepassword.Provider("onepassword");
const vault = onepassword.getVaultOutput({ name: "agents" }, { provider }).uuid;
const item = onepassword.getItemOutput({ vault, title: "lal" }, { provider });
new onepassword.Item("copy", { vault, title: "copy", password: item.password }, { provider });
`,
    );
    const where = { directory, stack: "engine-way", home: join(folder, "home") };
    const up = await pulumi(["up", "--yes", "--skip-preview"], where, `${folder}${delimiter}`);
    expect(up.code, up.output).toBe(0);
    const found = ["events", "state", ...(up.shown.logs === "" ? [] : ["logs"])].sort();
    for (const canary of [token, value]) expect(leaks(up.shown, [canary]).sort()).toEqual(found);
  });
});
