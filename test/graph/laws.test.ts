import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineAgent, jsonTemplate, secret } from "../../agents/define.ts";
import { agentInput, agentList, agentName } from "../support/arbitraries.ts";
import { leftBy, ofType, type Registered, steps } from "../support/graph.ts";
import { leaks } from "../support/leaks.ts";
import { graphWith, isAgent, runs } from "./run.ts";

// Laws of the resource graph on an engine double. Not proven here: what Docker accepts and how the provider diffs.

const labelsOf = (resource: Registered) =>
  new Map(
    (resource.inputs.labels as readonly { label: string; value: string }[]).map((l) => [
      l.label,
      l.value,
    ]),
  );
const belongsTo = (agent: string) => (urn: string) => {
  const chain = urn.split("::");
  const name = chain.at(-1) ?? "";
  return (
    (chain.at(-2) ?? "").startsWith("berth:index:Agent") &&
    ([agent, `${agent}-workspace`, `${agent}-declaration`].includes(name) ||
      (urn.includes("RemoteImage") && name.startsWith(`${agent}-`)))
  );
};

describe("the ten laws, over any fleet", () => {
  it("law 1, idempotence: a second `up` of the same fleet changes nothing", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const first = await graphWith(agents);
        const again = steps(first, await graphWith(agents));
        expect(again.sames).toHaveLength(first.resources.length);
        expect(first.resources.length).toBeGreaterThan(25);
      }),
      runs,
    ));

  it("law 2, isolation: adding or removing an agent touches only its own resources", () =>
    fc.assert(
      fc.asyncProperty(
        agentList(),
        agentInput(agentName.map((n) => `q${n}`)),
        async (agents, one) => {
          fc.pre(agents.every((agent) => agent.name !== one.name));
          const without = await graphWith(agents);
          const withOne = await graphWith([...agents, defineAgent(one)]);
          const added = steps(without, withOne);
          const removed = steps(withOne, without);
          const own = one.driver === "local" ? 2 : 4;
          // Images of its templates that come from elsewhere are pulled besides.
          const isPulled = (urn: string) => urn.includes("RemoteImage");
          expect(added.creates.filter((urn) => !isPulled(urn))).toHaveLength(own);
          expect(added.creates.every(belongsTo(one.name))).toBe(true);
          expect([...added.updates, ...added.replaces, ...added.deletes]).toEqual([]);
          expect([...removed.deletes].sort()).toEqual([...added.creates].sort());
          expect([...removed.updates, ...removed.replaces, ...removed.creates]).toEqual([]);
        },
      ),
      runs,
    ));

  it("law 2, isolation: a changed allow-list, secret or chat replaces that agent's declaration only", () =>
    fc.assert(
      fc.asyncProperty(
        agentList(),
        fc.constantFrom(
          { egress: ["new.example.com"] },
          { secrets: { NEW_TOKEN: "op://agents/subject/token" } },
          { secrets: { NEW_TOKEN: secret("op://agents/subject/token", { as: "file" }) } },
          { configFiles: { "c.json": jsonTemplate({ key: "op://agents/subject/key" }) } },
          { endpoints: { model: { url: "https://api.example.com" } } },
          { chat: { channels: ["another"] } },
        ),
        async (agents, change) => {
          const one = { name: "subject", program: { acp: ["demo-agent"] } };
          const before = await graphWith([...agents, defineAgent(one)]);
          const after = await graphWith([...agents, defineAgent({ ...one, ...change })]);
          const made = steps(before, after);
          expect(made.replaces.map((urn) => urn.split("::").at(-1))).toEqual([
            "subject-declaration",
          ]);
          expect([...made.creates, ...made.updates, ...made.deletes]).toEqual([]);
          const declaration = after.resources.find((r) => r.name === "subject-declaration");
          // Auto-named and not deleted first: the new one is there before the old one goes.
          expect(declaration?.inputs.name).toBeUndefined();
          expect(declaration?.deleteBeforeReplace).toBe(false);
        },
      ),
      runs,
    ));

  it("law 3, order independence: any order of the agents gives the same graph and outputs", () =>
    fc.assert(
      fc.asyncProperty(
        agentList({ minLength: 2 }).chain((agents) =>
          fc.tuple(fc.constant(agents), fc.shuffledSubarray(agents, { minLength: agents.length })),
        ),
        async ([agents, shuffled]) => {
          expect(await graphWith(shuffled)).toEqual(await graphWith(agents));
        },
      ),
      runs,
    ));

  it("law 4, teardown: `destroy` leaves the workspaces that agents retain, and nothing else", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const kept = leftBy(await graphWith(agents)).map((resource) => resource.name);
        const wanted = agents
          .filter((agent) => agent.driver === "docker" && agent.workspace.retain)
          .map((agent) => `${agent.name}-workspace`);
        expect([...kept].sort()).toEqual(wanted.sort());
      }),
      runs,
    ));

  it("law 4, teardown: with protectData exactly the data volumes are protected or retained", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const graph = await graphWith(agents, { protectData: true });
        const names = (of: (resource: Registered) => boolean) =>
          graph.resources
            .filter(of)
            .map((resource) => resource.name)
            .sort();
        const platform = ["admin-bridge-data", "audit", "mattermost-data", "postgres-data"];
        const workspaces = agents
          .filter((agent) => agent.driver === "docker")
          .map((agent) => `${agent.name}-workspace`);
        expect(names((r) => r.protect)).toEqual(platform);
        expect(names((r) => r.retainOnDelete)).toEqual([...platform, ...workspaces].sort());
        // A change of labels or driver options must not destroy what they hold.
        for (const volume of ofType(graph, "Volume").filter((r) => r.retainOnDelete))
          expect(volume.ignoreChanges).toEqual(["driver", "driverOpts", "labels"]);
      }),
      runs,
    ));

  it("law 5, secrecy, A4: a reference stands in the graph, its value nowhere in graph, outputs or errors", () =>
    fc.assert(
      fc.asyncProperty(agentList(), fc.uuid(), async (agents, value) => {
        const canary = `canary-${value}`;
        process.env.BERTH_LAW_CANARY = canary;
        try {
          const one = defineAgent({
            name: "holder",
            program: { acp: ["demo-agent"] },
            secrets: {
              FROM_ENV: "env:BERTH_LAW_CANARY",
              FROM_VAULT: "{{ op://Vault/copilot-bridge/lal-token }}",
            },
            vaults: ["Vault"],
          });
          const graph = await graphWith([...agents, one]);
          const error = await graphWith([one], { mispelt: canary }).catch(String);
          expect(error).toMatch(/mispelt/);
          const text = JSON.stringify(graph);
          expect(text).toContain("op://Vault/copilot-bridge/lal-token");
          expect(text).toContain("env:BERTH_LAW_CANARY");
          expect(leaks({ text, error: String(error) }, [canary])).toEqual([]);
        } finally {
          delete process.env.BERTH_LAW_CANARY;
        }
      }),
      runs,
    ));

  it("law 6, provider discipline: every docker resource has the stack's own provider", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const { resources } = await graphWith(agents);
        const docker = resources.filter((r) => r.type.startsWith("docker:"));
        expect(docker.length).toBeGreaterThanOrEqual(20);
        for (const resource of docker)
          expect(resource.provider, resource.name).toMatch(/pulumi:providers:docker::engine::/);
      }),
      runs,
    ));

  it("law 7, parentage: every resource but the provider reaches the stack through a component of ours", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const { resources } = await graphWith(agents);
        const byUrn = new Map(resources.map((r) => [r.urn, r]));
        const inner = resources.filter((r) => r.type.startsWith("docker:"));
        expect(inner.length).toBeGreaterThanOrEqual(20);
        for (const resource of inner) {
          const parent = byUrn.get(resource.parent);
          expect(parent?.type, resource.name).toMatch(/^berth:index:/);
          expect(byUrn.get(parent?.parent ?? "")?.type).toBe("pulumi:pulumi:Stack");
        }
      }),
      runs,
    ));

  it("law 9: a preview shows the same resources as the update", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        const preview = await graphWith(agents, {}, { preview: true });
        const update = await graphWith(agents);
        expect(preview.resources).toEqual(update.resources);
      }),
      runs,
    ));

  it("law 10: every service has a healthcheck; every container has memory, CPU and pids limits, no swap, no core dumps", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        for (const container of ofType(await graphWith(agents), "Container")) {
          const { inputs, name } = container;
          expect(inputs.memory, name).toBeGreaterThan(0);
          // Memory and swap together: equal to the memory means none. Left out, it would be as much again.
          expect(inputs.memorySwap, name).toBe(inputs.memory);
          expect(inputs.ulimits, name).toEqual([{ name: "core", soft: 0, hard: 0 }]);
          expect(inputs.cpus, name).toMatch(/^[0-9]+\.[0-9]+$/);
          expect(Number(labelsOf(container).get("berth.pids")), name).toBeGreaterThan(0);
          expect(inputs.stopTimeout, name).toBeGreaterThanOrEqual(30);
          expect(inputs.destroyGraceSeconds, name).toBe(inputs.stopTimeout);
          if (!isAgent(container))
            expect((inputs.healthcheck as { tests: string[] }).tests[0], name).toBe("CMD");
        }
      }),
      runs,
    ));
});
