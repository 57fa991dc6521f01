import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { agentList } from "../support/arbitraries.ts";
import { type Graph, ofType, type Registered } from "../support/graph.ts";
import { graphWith, isAgent, runs } from "./run.ts";

// The eighth law, on an engine double; `test/integration` asks the running containers.

interface Bind {
  readonly containerPath: string;
  readonly hostPath?: string;
  readonly volumeName?: string;
  readonly readOnly: boolean;
}
const bindsOf = (container: Registered) => container.inputs.volumes as readonly Bind[];
const networksOf = (container: Registered) =>
  ((container.inputs.networksAdvanced ?? []) as readonly { name: string }[]).map((n) => n.name);

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

  it("of the secret store's sockets a client mounts its own one's directory, read-only, and nobody else any", () =>
    each((_, containers) => {
      const mounts = containers.flatMap((container) =>
        bindsOf(container)
          .filter((bind) => /^\/run\/berth\/dev(\/store(\/.*)?)?$/.test(bind.hostPath ?? ""))
          .map((bind) => `${container.name} ${bind.hostPath} ${bind.readOnly ? "ro" : "rw"}`),
      );
      expect(mounts.sort()).toEqual([
        "admin-bridge /run/berth/dev/store/admin-bridge ro",
        "egress-gateway /run/berth/dev/store/egress-gateway ro",
        "secret-store /run/berth/dev/store rw",
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

  it("the secret store's own way out is there for 1Password only, and goes where the config says", async () => {
    const seen = async (secrets: Readonly<Record<string, unknown>>) => {
      const graph = await graphWith([], { secrets: { check: false, ...secrets } });
      return ofType(graph, "Container").flatMap((container) => [
        ...bindsOf(container)
          .filter((bind) => bind.hostPath === "/run/berth/dev/store-egress")
          .map((bind) => `${container.name} ${bind.containerPath} ${bind.readOnly ? "ro" : "rw"}`),
        ...(container.inputs.envs as readonly string[]).filter((line) =>
          /^BERTH_STORE_/.test(line),
        ),
      ]);
    };
    const mounts = [
      "egress-gateway /run/berth/store-egress rw",
      "secret-store /run/berth/store-egress ro",
    ];
    expect(await seen({ provider: "development" })).toEqual([]);
    expect((await seen({ provider: "onepassword" })).sort()).toEqual([
      "BERTH_STORE_EGRESS=*.1password.ca,*.1password.com,*.1password.eu",
      "BERTH_STORE_PRIVATE=",
      ...mounts,
    ]);
    const connectUrl = "http://connect.corp.example:8080";
    const own = await seen({ provider: "onepassword", via: "connect", connectUrl });
    expect(own.sort()).toEqual([
      "BERTH_STORE_EGRESS=connect.corp.example:8080",
      "BERTH_STORE_PRIVATE=connect.corp.example",
      ...mounts,
    ]);
  });

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
