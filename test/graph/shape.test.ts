import { describe, expect, it } from "vitest";
import { defineAgent, toDeclaration } from "../../agents/define.ts";
import { containerArgs } from "../../components/internal/container-args.ts";
import { agentContainer } from "../../spec/container.ts";
import { ofType, steps } from "../support/graph.ts";
import { graphWith, imageOf } from "./run.ts";

const lalInput = { name: "lal", image: "node", program: { acp: ["demo-agent"] } };
const lal = defineAgent(lalInput);
const container = async (name: string, config = {}) => {
  const found = ofType(await graphWith([lal], config), "Container").find((c) => c.name === name);
  if (!found) throw new Error(`no container ${name}`);
  return found;
};

describe("the shape of the graph", () => {
  it("B1: all services and the agents are declared", async () => {
    const data = defineAgent({ name: "data", program: { acp: ["demo-agent"] } });
    const names = ofType(await graphWith([lal, data]), "Container").map((c) => c.name);
    expect(names.sort()).toEqual([
      "admin-bridge",
      "data",
      "docker-socket-proxy",
      "egress-gateway",
      "lal",
      "mattermost",
      "postgres",
      "secret-store",
    ]);
  });

  it("Pulumi makes an agent's container exactly as the spec renders its declaration, and never starts it", async () => {
    const wanted = containerArgs(
      agentContainer(toDeclaration(lal, { stack: "dev", images: imageOf })),
      "created",
    );
    const made = await container("lal");
    expect(made.inputs).toEqual(wanted);
    expect([made.inputs.start, made.inputs.mustRun]).toEqual([false, false]);
  });

  it('A1, A21: an agent with driver "local" is its declaration and nothing else', async () => {
    const graph = await graphWith([
      defineAgent({ name: "hand", driver: "local", program: { acp: ["demo-agent"] } }),
    ]);
    const own = graph.resources.filter((r) => r.name.startsWith("hand"));
    expect(own.map((r) => r.name).sort()).toEqual(["hand", "hand-declaration"]);
  });

  it("A2: an image by digest is the container's image", async () => {
    const image = `registry.example.com/bridge@sha256:${"a".repeat(64)}`;
    const graph = await graphWith([
      defineAgent({ name: "lal", image, program: { command: ["serve"] } }),
    ]);
    const made = ofType(graph, "Container").find((c) => c.name === "lal");
    expect([made?.inputs.image, made?.inputs.entrypoints]).toEqual([image, ["serve"]]);
  });

  it("B4, B22: Mattermost waits for a healthy Postgres and the admin bridge for a healthy Mattermost", async () => {
    const postgres = await container("postgres");
    const mattermost = await container("mattermost");
    const bridge = await container("admin-bridge");
    for (const healthy of [postgres, mattermost])
      expect([healthy.inputs.wait, healthy.inputs.waitTimeout]).toEqual([true, 240]);
    expect(mattermost.dependencies).toContain(postgres.urn);
    expect(bridge.dependencies).toContain(mattermost.urn);
    expect(JSON.stringify(mattermost.inputs.healthcheck)).toContain("/api/v4/system/ping");
  });

  it("every container depends on each volume and network that it uses, so it makes way where one is replaced", async () => {
    const scout = defineAgent({ ...lalInput, name: "scout", network: "mattermost" });
    const graph = await graphWith([lal, scout]);
    const byUrn = new Map(graph.resources.map((r) => [r.urn, r]));
    let uses = 0;
    for (const made of ofType(graph, "Container")) {
      const { volumes, networksAdvanced = [] } = made.inputs as {
        volumes: { volumeName?: string }[];
        networksAdvanced?: { name: string }[];
      };
      const used = [
        ...volumes.flatMap((v) => v.volumeName ?? []),
        ...networksAdvanced.map((n) => n.name),
      ];
      const known = made.dependencies.map((urn) => byUrn.get(urn)?.inputs.name);
      for (const name of used) expect(known, made.name).toContain(name);
      uses += used.length;
    }
    expect(uses).toBeGreaterThan(15);
  });

  it("every container is deleted before it is replaced, and silent updates replace", async () => {
    for (const made of ofType(await graphWith([lal]), "Container")) {
      expect(made.deleteBeforeReplace).toBe(true);
      expect(made.replaceOnChanges).toEqual([
        "#initerror",
        "cpuPeriod",
        "cpuQuota",
        "healthcheck",
        "init",
        "mounts",
        "rm",
        "tmpfs",
      ]);
    }
  });

  it("B10: going to the official server changes Mattermost's container and nothing else", async () => {
    const official = {
      mattermostImage: `mattermost/mattermost-team-edition@sha256:${"b".repeat(64)}`,
    };
    const change = steps(await graphWith([lal]), await graphWith([lal], official));
    expect(change.replaces.map((urn) => urn.split("::").at(-1))).toEqual(["mattermost"]);
    expect([...change.creates, ...change.deletes, ...change.updates]).toEqual([]);
    const { inputs } = await container("mattermost", official);
    expect(inputs.user).toBe("2000:2000");
    expect((inputs.volumes as { containerPath: string }[]).map((v) => v.containerPath)).toEqual(
      expect.arrayContaining(
        ["data", "logs", "config", "plugins", "client/plugins"].map((d) => `/mattermost/${d}`),
      ),
    );
    expect(JSON.stringify(inputs.healthcheck)).toContain("mmctl");
  });

  it("no password, token or key is in any container's environment", async () => {
    for (const made of ofType(await graphWith([lal]), "Container"))
      for (const line of made.inputs.envs as string[]) {
        // How secrets are had, and none of them.
        const settings = /^BERTH_SECRETS=(.*)$/.exec(line)?.[1];
        if (settings !== undefined)
          expect([
            "connectCa",
            "connectUrl",
            "development",
            "opPath",
            "pollSeconds",
            "provider",
            "via",
          ]).toEqual(expect.arrayContaining(Object.keys(JSON.parse(settings) as object)));
        else
          expect(line).not.toMatch(
            /^[^=]*(PASSWORD|TOKEN|SECRET|KEY)[^=]*=(?!true$|false$)|:\/\/[^/]*:[^/]*@/i,
          );
      }
  });

  it("isolatedGateway chooses how internal networks lose the host's address, and only that", async () => {
    const options = async (config: object) =>
      Object.fromEntries(
        ofType(await graphWith([lal], { ...config }), "Network").map((n) => [
          n.name,
          n.inputs.options,
        ]),
      );
    const bridge = "com.docker.network.bridge";
    const old = await options({});
    const isolated = await options({ isolatedGateway: true });
    for (const name of ["mattermost-net", "socket-proxy-net"]) {
      expect(old[name]).toEqual({ [`${bridge}.inhibit_ipv4`]: "true" });
      expect(isolated[name]).toEqual({ [`${bridge}.gateway_mode_ipv4`]: "isolated" });
    }
    expect(isolated["egress-net"]).toEqual(old["egress-net"]);
    expect(old["ingress-net"]).toEqual({
      [`${bridge}.enable_icc`]: "false",
      [`${bridge}.enable_ip_masquerade`]: "false",
    });
  });

  it("A2: a moving tag fails the preview unless agent and config both allow it", async () => {
    const moving = defineAgent({
      name: "lal",
      image: "ghcr.io/example/bridge:latest",
      allowMovingTag: true,
      program: { command: ["serve"] },
    });
    await expect(graphWith([moving], {}, { preview: true })).rejects.toThrow(
      /agents\/lal\.ts: image: "ghcr\.io\/example\/bridge:latest".*allowMovingTags: true in Pulumi\.dev\.yaml/s,
    );
    const allowed = await graphWith([moving], { allowMovingTags: true }, { preview: true });
    expect(ofType(allowed, "Container").find((c) => c.name === "lal")?.inputs.image).toBe(
      "ghcr.io/example/bridge:latest",
    );
  });

  it("outputs are the stack's name, both URLs, the kind of server and the agents' names", async () => {
    const { outputs } = await graphWith([lal], { siteUrl: "https://chat.example.com" });
    expect(outputs).toEqual({
      stackName: "dev",
      mattermostUrl: "https://chat.example.com",
      adminUrl: "http://127.0.0.1:8066",
      mattermost: "standin",
      agents: ["lal"],
      socketProxy: expect.objectContaining({ policy: expect.stringMatching(/^[0-9a-f]{64}$/) }),
    });
  });
});
