import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { connectEngine, type ExecResult, execIn } from "../../cli/engine-api.ts";
import { imageReference } from "../../images/catalog.ts";
import { serviceContainer } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import { Path, runDirectory, Service } from "../../spec/names.ts";
import { serviceLimits } from "../../spec/presets.ts";
import { MiB } from "../../spec/units.ts";
import {
  dockerHost,
  engine,
  engineAnswer,
  inspect,
  logsOf,
  stackName,
  until,
} from "../support/engine.ts";
import { installOp, type OpCallMade } from "../support/onepassword/op-standin.mjs";

/*
 * The secret store's own image in a container as the component makes it: what only that shows of the ways to 1Password that a
 * test cannot give a whole stack to.
 */
const node = "/usr/local/bin/node";
const token = `ops_canary${"x".repeat(40)}`;
const vaultId = "v".repeat(26);
const itemId = "i".repeat(26);
const value = 'canary "value" \n with $HOME';
let close: (() => Promise<void>) | undefined;
afterEach(async () => {
  await close?.();
  close = undefined;
});

interface Store {
  readonly container: string;
  /** Runs a verb of the store. */
  readonly verb: (name: string, input: string) => Promise<ExecResult>;
}

/** @param op folder with what is to be at `/opt/op` */
async function startStore(via: "sdk" | "op", settings: object, op?: string): Promise<Store> {
  const stack = stackName(`store-${via}`);
  const volume = `berth-${stack}-op`;
  const spec = serviceContainer({
    stack,
    service: Service.secretStore,
    image: imageReference("secret-store"),
    limits: { ...serviceLimits, memoryBytes: 512 * MiB },
    user: "0:0",
    capabilities: ["CAP_CHOWN"],
    env: {
      BERTH_STACK: stack,
      BERTH_SECRETS: JSON.stringify({
        provider: "onepassword",
        via,
        pollSeconds: 3600,
        development: false,
        ...settings,
      }),
      // As the component: all that it sends goes to its own loopback, and from there nowhere in this test.
      HTTPS_PROXY: "http://127.0.0.1:3128",
      NODE_USE_ENV_PROXY: "1",
    },
    binds: [
      `${runDirectory(stack)}/agents:${Path.agentsRun}`,
      `${runDirectory(stack)}/secret-store:${Path.secretStoreRun}`,
      `${runDirectory(stack)}/store:${Path.storeRun}`,
      // A volume: what every Engine sees of this machine lies on RAM that nothing is run from.
      ...(op === undefined ? [] : [`${volume}:/opt/op`]),
    ],
    networks: [],
    healthcheck: { test: ["NONE"] },
  });
  close = async () => {
    await engineAnswer(`/containers/${spec.name}?force=1`, "DELETE");
    await engineAnswer(`/volumes/${volume}`, "DELETE");
    rmSync(runDirectory(stack), { recursive: true, force: true });
  };
  await engine(`/containers/create?name=${spec.name}`, "POST", createBody(spec));
  if (op !== undefined) {
    const answer = await connectEngine(dockerHost).stream({
      method: "PUT",
      path: `/containers/${spec.name}/archive?path=/opt/op`,
      headers: { "content-type": "application/x-tar" },
      body: Readable.from(execFileSync("tar", ["-C", op, "-cf", "-", "."])),
    });
    answer.resume();
    expect(answer.statusCode).toBe(200);
  }
  await engine(`/containers/${spec.name}/start`, "POST");
  const verb = (name: string, input: string) =>
    execIn(
      connectEngine(dockerHost),
      spec.name,
      [node, "/opt/berth/secret-store.mjs", name],
      input,
    );
  await until("the store to be locked", async () =>
    (await verb("status", "")).stdout.includes('"locked"'),
  );
  return { container: spec.name, verb };
}

describe("the secret store in its container", () => {
  it("B8: asks `op` with the token in that process's environment alone, and gets a value of any characters", async () => {
    const folder = mkdtempSync(join(tmpdir(), "op-"));
    try {
      installOp(
        folder,
        {
          token,
          vaults: [{ id: vaultId, name: "agents" }],
          items: [
            {
              id: itemId,
              title: "lal",
              version: 1,
              vault: { id: vaultId },
              fields: [{ id: "token", label: "token", type: "CONCEALED", value }],
            },
          ],
          contents: {},
        },
        node,
      );
      const store = await startStore("op", { opPath: "/opt/op/op" }, folder);
      const refused = await store.verb("unlock", `${token}wrong`);
      expect(refused.exitCode, refused.stdout).toBe(1);
      const unlocked = await store.verb("unlock", token);
      expect(unlocked.exitCode, unlocked.stderr).toBe(0);
      const references = ["op://agents/lal/token", "op://agents/lal/none"];
      const { stdout } = await store.verb("check", JSON.stringify({ references }));
      const { results } = JSON.parse(stdout) as {
        results: { reference: string; ok: boolean; reason?: string }[];
      };
      expect(results.map(({ reference, ok }) => [reference, ok])).toEqual([
        ["op://agents/lal/token", true],
        ["op://agents/lal/none", false],
      ]);
      const noted = await execIn(connectEngine(dockerHost), store.container, [
        node,
        "-e",
        'process.stdout.write(fs.readFileSync("/opt/op/op-calls.ndjson"))',
      ]);
      const calls = noted.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as OpCallMade);
      expect(calls.length).toBeGreaterThan(2);
      for (const call of calls) expect(call.problems).toEqual([]);
      const { Id } = await engine<{ Id: string }>(`/containers/${store.container}/json`);
      const texts = [
        refused.stdout + refused.stderr + unlocked.stdout + unlocked.stderr + stdout,
        await logsOf(store.container),
        JSON.stringify(await inspect(Id)),
        JSON.stringify(calls),
      ];
      for (const text of texts) {
        expect(text).not.toContain("ops_canary");
        expect(text).not.toContain('canary "value"');
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("B8: has the SDK in it, which refuses a token that is none, without showing it", async () => {
    const store = await startStore("sdk", {});
    const { exitCode, stdout, stderr } = await store.verb("unlock", token);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/token/i);
    expect(stderr).not.toMatch(/cannot find|ENOENT|wasm/i);
    expect(stdout + stderr + (await logsOf(store.container))).not.toContain("ops_canary");
    expect((await store.verb("status", "")).stdout).toContain(`"refused"`);
  });
});
