import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineAgent } from "../../agents/define.ts";
import { Service } from "../../spec/names.ts";
import { agentInput, agentList, agentName } from "../support/arbitraries.ts";
import { type Graph, leftBy, ofType, type Registered, steps } from "../support/graph.ts";
import { leaks } from "../support/leaks.ts";
import { graphWith } from "./run.ts";

// Laws of the resource graph on an engine double. Not proven here: what Docker accepts and how the provider diffs.

const runs = { numRuns: 25 };
const services: readonly string[] = Object.values(Service);

interface Bind {
  readonly containerPath: string;
  readonly hostPath?: string;
  readonly volumeName?: string;
  readonly readOnly: boolean;
}
const bindsOf = (container: Registered) => container.inputs.volumes as readonly Bind[];
const labelsOf = (resource: Registered) =>
  new Map(
    (resource.inputs.labels as readonly { label: string; value: string }[]).map((l) => [
      l.label,
      l.value,
    ]),
  );
const networksOf = (container: Registered) =>
  ((container.inputs.networksAdvanced ?? []) as readonly { name: string }[]).map((n) => n.name);
const isAgent = (container: Registered) => !services.includes(container.name);
const belongsTo = (agent: string) => (urn: string) => {
  const chain = urn.split("::");
  const name = chain.at(-1) ?? "";
  return (
    (chain.at(-2) ?? "").startsWith("berth:index:Agent") &&
    [agent, `${agent}-workspace`, `${agent}-declaration`].includes(name)
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
          expect(added.creates).toHaveLength(own);
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
          { secrets: { NEW_TOKEN: "op://agents/new/token" } },
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
        const platform = ["admin-bridge-data", "mattermost-data", "postgres-data"];
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

  it("law 10: every service has a healthcheck; every container has memory, swap, CPU and pids limits", () =>
    fc.assert(
      fc.asyncProperty(agentList(), async (agents) => {
        for (const container of ofType(await graphWith(agents), "Container")) {
          const { inputs, name } = container;
          expect(inputs.memory, name).toBeGreaterThan(0);
          expect(inputs.memorySwap, name).toBe(inputs.memory);
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

describe("law 8, least reach, over any fleet", () => {
  const each = (check: (graph: Graph, containers: Registered[]) => void) =>
    fc.assert(
      fc.asyncProperty(agentList({ minLength: 1 }), async (agents) => {
        const graph = await graphWith(agents, { secretsDirectory: "/srv/secrets" });
        check(graph, ofType(graph, "Container"));
      }),
      runs,
    );

  it("B21: exactly one container mounts the Engine's socket", () =>
    each((_, containers) => {
      const holders = containers.filter((container) =>
        bindsOf(container).some((bind) => bind.hostPath?.endsWith("docker.sock")),
      );
      expect(holders.map((container) => container.name)).toEqual(["docker-socket-proxy"]);
    }));

  it("B3: only socket proxy and admin bridge share the proxy's network, and both closed networks are internal", () =>
    each((graph, containers) => {
      const on = containers.filter((c) => networksOf(c).includes("berth-dev-socket-proxy-net"));
      expect(on.map((container) => container.name).sort()).toEqual([
        "admin-bridge",
        "docker-socket-proxy",
      ]);
      const internal = ofType(graph, "Network").filter((network) => network.inputs.internal);
      expect(internal.map((network) => network.name).sort()).toEqual([
        "mattermost-net",
        "socket-proxy-net",
      ]);
    }));

  it("A16: no volume of an agent is mounted by another container", () =>
    each((_, containers) => {
      const users = new Map<string, string[]>();
      for (const container of containers)
        for (const bind of bindsOf(container)) {
          const source = bind.volumeName ?? bind.hostPath ?? "";
          users.set(source, [...(users.get(source) ?? []), container.name]);
        }
      const agents = containers.filter(isAgent).map((container) => container.name);
      for (const [source, names] of users)
        if (names.some((name) => agents.includes(name))) expect(names, source).toHaveLength(1);
    }));

  it("an agent has no host path but its own socket directory, read-only, and no network but a declared one", () =>
    each((graph, containers) => {
      for (const container of containers.filter(isAgent)) {
        for (const bind of bindsOf(container).filter((b) => b.hostPath)) {
          expect(bind).toEqual({
            containerPath: "/run/berth",
            hostPath: `/run/berth/dev/agents/${container.name}`,
            readOnly: true,
          });
        }
        const networks = networksOf(container);
        if (networks.length > 0) expect(networks).toEqual(["berth-dev-mattermost-net"]);
        else expect(container.inputs.networkMode).toBe("none");
        expect(container.inputs.ports).toBeUndefined();
      }
      expect(graph.resources.length).toBeGreaterThan(0);
    }));

  it("C5: all capabilities are dropped everywhere; agents get none back, services only those of the rule", () =>
    each((_, containers) => {
      for (const container of containers) {
        const { adds, drops } = container.inputs.capabilities as {
          adds: string[];
          drops: string[];
        };
        expect(drops).toEqual(["ALL"]);
        if (isAgent(container)) expect(adds).toEqual([]);
        for (const capability of adds)
          expect(["CAP_CHOWN", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID"]).toContain(capability);
        expect(container.inputs.securityOpts).toEqual(["no-new-privileges:true"]);
        expect(container.inputs.readOnly).toBe(true);
        expect(container.inputs.privileged).toBeUndefined();
      }
    }));

  it("C7: only Mattermost and the admin bridge publish a port, and on 127.0.0.1", () =>
    each((_, containers) => {
      const ports = containers.flatMap((container) =>
        ((container.inputs.ports ?? []) as { ip: string; external: number }[]).map(
          (port) => `${container.name} ${port.ip}:${port.external}`,
        ),
      );
      expect(ports.sort()).toEqual(["admin-bridge 127.0.0.1:8066", "mattermost 127.0.0.1:8065"]);
    }));
});
