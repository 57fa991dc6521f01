import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AgentInput, defineAgent } from "../../agents/define.ts";
import { decodeGrants } from "../../spec/grants.ts";
import type { Policy } from "../../spec/policy.ts";
import { agentInput, agentList } from "../support/arbitraries.ts";
import { type Graph, ofType, type Registered, steps } from "../support/graph.ts";
import { graphWith, runs } from "./run.ts";

// What of the socket proxy stands in the resource graph: its grants, its policy as an output, and what waits for it.

const lal = { name: "lal", program: { acp: ["demo-agent"] } } as const satisfies AgentInput;
const review = { command: ["review"], resources: { memory: "1g" } };
const names = (urns: readonly string[]) => urns.map((urn) => urn.split("::").at(-1));
const proxyOf = (graph: Graph): Registered => {
  const proxy = ofType(graph, "Container").find((c) => c.name === "docker-socket-proxy");
  if (!proxy) throw new Error("no socket proxy");
  return proxy;
};
const grantsOf = (graph: Graph): string => {
  const line = (proxyOf(graph).inputs.envs as string[]).find((e) => e.startsWith("BERTH_GRANTS="));
  return line?.slice("BERTH_GRANTS=".length) ?? "";
};
const policyOf = (graph: Graph) => graph.outputs.socketProxy as Policy;

describe("the socket proxy in the graph", () => {
  it("A17: its grants, and so its container, are the same for every list of agents", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const empty = await graphWith([]);
        const graph = await graphWith(agents);
        expect(proxyOf(graph).inputs).toEqual(proxyOf(empty).inputs);
        expect(Object.keys(decodeGrants(grantsOf(graph)).clients).sort()).toEqual([
          "admin-bridge",
          "egress-gateway",
          "secret-store",
        ]);
      }),
      runs,
    ));

  it("A17: a new, changed or removed template replaces that agent's declaration and nothing else", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        fc.pre(agents.every(({ name }) => name !== "lal"));
        const versions = [
          lal,
          { ...lal, workers: { review } },
          { ...lal, workers: { review: { ...review, max: 1 } } },
          { ...lal, workers: { review }, sandboxes: { shell: { command: ["sh"] } } },
          { ...lal, instances: { max: 2 } },
        ];
        let before: Graph | undefined;
        for (const version of versions) {
          const after = await graphWith([...agents, defineAgent(version)]);
          if (before) {
            const made = steps(before, after);
            expect(names(made.replaces)).toEqual(["lal-declaration"]);
            expect([...made.creates, ...made.updates, ...made.deletes]).toEqual([]);
          }
          before = after;
        }
      }),
      { numRuns: 5 },
    ));

  it("a template's image from elsewhere is pulled and kept; one that berth builds is not looked for in any registry", async () => {
    const before = await graphWith([defineAgent({ ...lal, workers: { review } })]);
    const image = `registry.example.com/tools/review@sha256:${"a".repeat(64)}`;
    const foreign = { ...lal, workers: { review: { ...review, image } } };
    const after = await graphWith([defineAgent(foreign)]);
    const made = steps(before, after);
    expect(names(made.creates)).toEqual(["lal-review-image"]);
    expect(names(made.replaces)).toEqual(["lal-declaration"]);
    const [pulled] = ofType(after, "RemoteImage");
    expect(pulled?.inputs).toMatchObject({ name: image, keepLocally: true });
  });

  it("C11: other quotas or another suspension replace the proxy's container and nothing else", async () => {
    const agents = [defineAgent({ ...lal, workers: { review } })];
    const before = await graphWith(agents);
    for (const config of [{ instanceQuotas: '{"memory":"8g"}' }, { suspension: '{"denials":3}' }]) {
      const after = await graphWith(agents, config);
      const made = steps(before, after);
      expect(names(made.replaces)).toEqual(["docker-socket-proxy"]);
      expect([...made.creates, ...made.updates, ...made.deletes]).toEqual([]);
      expect(decodeGrants(grantsOf(after))).toMatchObject(
        "suspension" in config
          ? { suspension: { denials: 3, windowSeconds: 60 } }
          : { stack: { memoryBytes: 8 * 2 ** 30, instances: 32 } },
      );
      expect(policyOf(after).policy).not.toBe(policyOf(before).policy);
    }
  });

  it("every declaration goes before its workspace and that before the proxy, so that leases end while there is who ends them", () =>
    fc.assert(
      fc.asyncProperty(agentList({ minLength: 1 }), async (agents) => {
        const graph = await graphWith(agents);
        const proxy = proxyOf(graph);
        const of = (name: string) => {
          const found = graph.resources.find((r) => r.name === name && r.custom);
          if (!found) throw new Error(`no ${name}`);
          return found;
        };
        for (const { name, driver } of agents) {
          const declaration = of(`${name}-declaration`);
          expect(declaration.dependencies).toContain(proxy.urn);
          if (driver === "local") continue;
          const workspace = of(`${name}-workspace`);
          expect(declaration.dependencies).toContain(workspace.urn);
          expect(workspace.dependencies).toContain(proxy.urn);
          expect(of(name).dependencies).toContain(declaration.urn);
        }
        // An input of the proxy's would replace every agent with it; a mere dependency does not.
        for (const resource of graph.resources.filter((r) => r.urn !== proxy.urn))
          expect(JSON.stringify(resource.inputs)).not.toContain(`${proxy.type}:${proxy.name}:id`);
      }),
      runs,
    ));

  it("the policy is a stack output with one template for every container that is made or could be", () =>
    fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(agentInput(), { maxLength: 4, selector: (i) => i.name }),
        async (inputs) => {
          const { templates } = policyOf(await graphWith(inputs.map(defineAgent)));
          const wanted = inputs.flatMap(({ name, driver, workers, sandboxes }) => [
            ...(driver === "local" ? [] : [`${name}.agent`]),
            ...Object.keys({ ...workers, ...sandboxes }).map((template) => `${name}.${template}`),
          ]);
          expect(Object.keys(templates)).toEqual([...wanted].sort());
        },
      ),
      runs,
    ));

  it("a template that no quota has room for fails the preview with its id, the quota and the cure", async () => {
    const agents = [defineAgent({ ...lal, workers: { review } })];
    await expect(
      graphWith(agents, { instanceQuotas: '{"memory":"512m"}' }, { preview: true }),
    ).rejects.toThrow(
      /quotas of Pulumi\.dev\.yaml:\n {2}- lal\.review: one instance needs 1073741824 bytes.*instanceQuotas\.memory allows 536870912/,
    );
    // Switched off on purpose.
    const off = await graphWith(agents, { instanceQuotas: '{"memory":"512m","instances":0}' });
    expect(policyOf(off).stack.instances).toBe(0);
  });
});
