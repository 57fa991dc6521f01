import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { inspect } from "../support/engine.ts";
import {
  agentSource,
  canary,
  secretsDirectory,
  sharedAgents,
  sharedFleet,
  writeFleet,
} from "../support/fleet.ts";
import { leaks } from "../support/leaks.ts";
import { Stack } from "../support/stack.ts";

// What a person sees of the socket proxy's policy before anything happens: a real `pulumi preview --diff` on the Engine.

const stack = Stack.attach(inject("stack"));
const secrets = secretsDirectory(stack, { canary });
const base = sharedFleet(secrets);
/** An agent with a secret, a worker and a sandbox. */
const planner = (memory: string, more = "") =>
  agentSource(
    "planner",
    `secrets: { CANARY: "file:${secrets}/canary" },
  workers: { review: { command: ["review"], resources: { memory: "${memory}" },
    parameters: { TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 } } } },
  sandboxes: { shell: { command: ["sh"] } }, ${more}`,
  );
const declare = (memory: string, more = "") =>
  writeFleet(stack, { ...base, planner: planner(memory, more) });

/** What a preview says of the stack's outputs. @throws Error where it says nothing of them */
async function outputsDiff(): Promise<string> {
  const { output } = await stack.previewDiff();
  const at = output.indexOf("--outputs:--");
  if (at < 0) throw new Error(`no outputs in ${output}`);
  return output.slice(at);
}

/** Its lines that are marked as changed. */
function marked(shown: string): string {
  return shown
    .split("\n")
    .filter((line) => /^\s*[+~-]/.test(line))
    .join("\n");
}

beforeAll(async () => {
  declare("1g");
  await stack.up();
});

afterAll(async () => {
  stack.configure({ secretsDirectory: JSON.stringify(secrets) });
  writeFleet(stack, base);
  await stack.up();
});

describe("a preview shows what the socket proxy would do differently", () => {
  it("B2: nothing where nothing changed", async () => {
    expect((await stack.previewDiff()).output).not.toContain("--outputs:--");
    expect((await stack.up({ expectNoChanges: true })).changes).toEqual([]);
  });

  it("A30: a worker's memory names that template, its hash and that field, and nothing of another agent", async () => {
    declare("768m");
    const shown = marked(await outputsDiff());
    declare("1g");
    expect(shown).toMatch(/~ "?planner\.review"?/);
    expect(shown).toMatch(/~ hash\s*: "[0-9a-f]{16}" => "[0-9a-f]{16}"/);
    expect(shown).toMatch(/~ Memory\s*: 1073741824 => 805306368/);
    expect(shown).toMatch(/~ MemorySwap\s*: 1073741824 => 805306368/);
    for (const other of [...sharedAgents, "planner.shell", "planner.agent", "admin-bridge"])
      expect(shown).not.toContain(other);
    expect(shown).not.toMatch(/NanoCpus|CapDrop|Binds|verbs|quotas/);
  });

  it("A30: a new permission of an agent is shown with its limits", async () => {
    declare("1g", "instances: { max: 2 },");
    const diff = marked(await outputsDiff());
    declare("1g");
    expect(diff).toMatch(/\+ instances/);
    expect(diff).toMatch(/\+ max\s*: 2/);
    expect(diff).not.toContain("planner.review");
  });

  it("C11: another quota names the client's and the stack's, the policy's hash, and replaces the proxy alone", async () => {
    stack.configure({
      secretsDirectory: JSON.stringify(secrets),
      instanceQuotas: '{ "memory": "8g", "instances": 3 }',
    });
    const before = await inspect(stack.container("planner"));
    const { output, changes } = await stack.previewDiff();
    stack.configure({ secretsDirectory: JSON.stringify(secrets) });
    expect(changes.filter((change) => /^(create|delete|update|replace) /.test(change))).toEqual([
      "replace docker:index/container:Container docker-socket-proxy",
    ]);
    const shown = marked(output.slice(output.indexOf("--outputs:--")));
    expect(shown).toMatch(/~ policy\s*: "[0-9a-f]{64}" => "[0-9a-f]{64}"/);
    expect(shown.match(/~ memoryBytes\s*: 34359738368 => 8589934592/g)).toHaveLength(2);
    expect(shown.match(/~ instances\s*: 32 => 3/g)).toHaveLength(2);
    expect((await inspect(stack.container("planner"))).Id).toBe(before.Id);
  });

  it("C10: a verb more for one client is shown at that client, and no other client's rights", async () => {
    const source = stack.read("program.ts");
    const more = source.replace(
      /const grants = (renderGrants\(.*\));/,
      `const { clients, ...others } = $1;
  const store = { ...clients["secret-store"], verbs: ["ping", "inspect"] };
  const grants = { ...others, clients: { ...clients, "secret-store": store } };`,
    );
    expect(more).not.toBe(source);
    stack.write("program.ts", more);
    const shown = await outputsDiff();
    stack.write("program.ts", source);
    expect(marked(shown)).toMatch(/~ secret-store\s*: \{\s*~ verbs/);
    expect(marked(shown)).toMatch(/"inspect"/);
    expect(marked(shown)).toMatch(/~ policy\s*: "[0-9a-f]{64}" => "[0-9a-f]{64}"/);
    expect(marked(shown)).not.toMatch(/admin-bridge|egress-gateway|templates|quotas/);
  });

  it("A4, A25: no secret stands in a preview, and no reference in the policy", async () => {
    declare("768m");
    const [{ output }, shown] = [await stack.previewDiff(), await outputsDiff()];
    declare("1g");
    expect(output).toContain(`file:${secrets}/canary`);
    expect(leaks({ output, state: await stack.state() }, [canary])).toEqual([]);
    expect(shown).not.toContain(secrets);
  });

  it("C11: a worker that no quota has room for fails the preview with its template and the cure", async () => {
    stack.configure({
      secretsDirectory: JSON.stringify(secrets),
      instanceQuotas: '{ "memory": "256m" }',
    });
    const { code, output } = await stack.preview(true);
    stack.configure({ secretsDirectory: JSON.stringify(secrets) });
    expect(code).not.toBe(0);
    expect(output).toMatch(/planner\.review: one instance needs 1073741824 bytes/);
    expect(output).not.toMatch(/\n\s+at .*:\d+:\d+/);
  });
});
