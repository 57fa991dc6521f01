import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defineAgent, toDeclaration } from "../../agents/define.ts";
import { workspaceVolume } from "../../spec/container.ts";
import type { Declaration } from "../../spec/declaration.ts";
import { presets } from "../../spec/presets.ts";
import { CPU, GiB, MiB } from "../../spec/units.ts";
import { agentInput } from "../support/arbitraries.ts";
import { engine, engineAnswer, inspect, until } from "../support/engine.ts";
import { comparable } from "../support/inspect-equality.ts";
import { createInstance } from "../support/instances.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

let proxy: RealProxy;
let cpus = 1;
let count = 0;

beforeAll(async () => {
  proxy = await startRealProxy("equality");
  cpus = (await engine<{ NCPU: number }>("/info")).NCPU;
});
afterAll(() => proxy.close());

/** Inspect answers, comparable. */
interface Pair {
  readonly ofPulumi: readonly string[];
  readonly ofProxy: readonly string[];
}

/**
 * Makes the agent's container as the docker provider does and an instance of it as the proxy does.
 * @returns both inspect answers, before and, where that is asked for, after the start
 */
async function both(changes: Partial<Declaration>, isStarted = false): Promise<Pair[]> {
  count += 1;
  const declaration: Declaration = {
    ...proxy.declarationOf(`agent-${count}`),
    ...changes,
    name: `agent-${count}`,
    instances: { max: 1, timeoutSeconds: 600 },
  };
  await proxy.declare(declaration);
  const ids = [await proxy.make(declaration)];
  const pair = async (): Promise<Pair> => {
    const [ofPulumi = [], ofProxy = []] = await Promise.all(
      ids.map(async (id) => comparable(await engine(`/containers/${id}/json`))),
    );
    return { ofPulumi, ofProxy };
  };
  try {
    ids.push(await createInstance(proxy, `${declaration.name}.agent`, "second"));
    const [first = ""] = ids;
    await until("the limit of processes of the first", async () => {
      return (await inspect(first)).HostConfig.PidsLimit === declaration.limits.pids;
    });
    const created = await pair();
    if (!isStarted) return [created];
    for (const id of ids) {
      const answer = await proxy.ask(`/containers/${id}/start`, "POST");
      expect([answer.status, answer.text]).toEqual([204, ""]);
    }
    return [created, await pair()];
  } finally {
    for (const id of ids) await engineAnswer(`/containers/${id}?force=1&v=1`, "DELETE");
    await engineAnswer(`/volumes/${proxy.name(`${declaration.name}-declaration`)}`, "DELETE");
    await engineAnswer(`/volumes/${workspaceVolume(proxy.stack, declaration.name)}`, "DELETE");
  }
}

describe("what Pulumi makes and what the proxy makes are equal to inspect, but for id, name, times and the lease's labels", () => {
  const table: readonly (readonly [string, Partial<Declaration>])[] = [
    ["a sealed agent with a command of its own", {}],
    ["one behind the runner", { runner: true, program: { acp: ["copilot", "--acp"] } }],
    ["one on the chat network", { network: "mattermost" }],
    ["one without any network", { network: "none" }],
    ["the limits of an agent", { limits: { ...presets.agent, nanoCpus: CPU } }],
    ["the limits of a worker", { limits: { ...presets.worker, nanoCpus: CPU } }],
    ["the limits of a sandbox", { limits: presets.sandbox }],
    [
      "limits of its own",
      {
        limits: {
          memoryBytes: 3 * GiB,
          nanoCpus: CPU / 4,
          pids: 8,
          tmpBytes: MiB,
          stopGraceSeconds: 120,
        },
      },
    ],
  ];
  it.each(table)("law 5: %s", async (_title, changes) => {
    // The runner is not in the test's image.
    const pairs = await both(changes, !changes.runner);
    for (const { ofPulumi, ofProxy } of pairs) {
      expect(ofPulumi.length).toBeGreaterThan(100);
      expect(ofProxy).toEqual(ofPulumi);
    }
  });

  it("law 5: any agent that can be declared", async () => {
    const images = () => proxy.image;
    await fc.assert(
      fc.asyncProperty(agentInput(), async (input) => {
        const declared = toDeclaration(defineAgent(input), { stack: proxy.stack, images });
        fc.pre(declared.driver === "docker");
        const { templates: _, ...declaration } = declared;
        const nanoCpus = Math.min(declaration.limits.nanoCpus, cpus * CPU);
        const [pair] = await both({
          ...declaration,
          image: proxy.image,
          limits: { ...declaration.limits, nanoCpus },
        });
        expect(pair?.ofProxy).toEqual(pair?.ofPulumi);
      }),
      { numRuns: 10, endOnFailure: true },
    );
  });
});
