import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Agent, defineAgent, toDeclaration } from "../../../agents/define.ts";
import { containerArgs } from "../../../components/internal/container-args.ts";
import { agentContainer, type ServiceArgs, serviceContainer } from "../../../spec/container.ts";
import { presets, serviceLimits } from "../../../spec/presets.ts";
import { agentInput } from "../../support/arbitraries.ts";

const declare = (agent: Agent) =>
  toDeclaration(agent, { stack: "dev", images: (name) => `localhost/berth/${name}:0123456789ab` });
const base = { name: "lal", program: { acp: ["demo-agent"] } } as const;
const render = (more: object = {}) => agentContainer(declare(defineAgent({ ...base, ...more })));

const service: ServiceArgs = {
  stack: "dev",
  service: "postgres",
  image: "localhost/berth/postgres:0123456789ab",
  limits: serviceLimits,
  user: "10002:10002",
  env: { B: "2", A: "1" },
  binds: ["b:/b", "/a:/a:ro"],
  networks: [],
  healthcheck: {
    test: ["CMD", "true"],
    intervalMs: 60_000,
    timeoutMs: 1_500,
    startPeriodMs: 90_000,
    retries: 3,
  },
};

describe("an agent's container", () => {
  it("is sealed whatever the agent says: no capability, no write, no socket, no swap, no core dump", () =>
    fc.assert(
      fc.property(agentInput(), (input) => {
        const { HostConfig, Networks, User } = agentContainer(declare(defineAgent(input)));
        expect(User).toBe("10100:10100");
        expect([HostConfig.CapDrop, HostConfig.CapAdd]).toEqual([["ALL"], []]);
        expect(HostConfig.ReadonlyRootfs).toBe(true);
        expect(HostConfig.MemorySwap).toBe(HostConfig.Memory);
        expect(HostConfig.Ulimits).toEqual([{ Name: "core", Soft: 0, Hard: 0 }]);
        expect(HostConfig.SecurityOpt).toEqual(["no-new-privileges:true"]);
        expect(HostConfig.Binds.join()).not.toContain("docker.sock");
        expect(Object.keys(Networks)).toEqual(
          input.network === "mattermost" ? ["berth-dev-mattermost-net"] : [],
        );
        if (input.network !== "mattermost") expect(HostConfig.NetworkMode).toBe("none");
      }),
    ));

  it.each([
    ["egress", { egress: ["a.example.com"] }],
    ["secrets", { secrets: { A: "env:A" } }],
    ["chat", { chat: { channels: ["builds"] } }],
    ["activation", { activation: "always" as const }],
    ["an ACP program", { program: { acp: ["other"] } }],
  ])("does not change with %s, so the running agent is left alone", (_, change) =>
    expect(render(change)).toEqual(render()),
  );

  it.each([
    ["memory", { resources: { memory: "1g" } }],
    ["cpus", { resources: { cpus: 0.5 } }],
    ["pids, which no input of the provider has", { resources: { pids: 64 } }],
    ["image", { image: "base" }],
    ["network", { network: "mattermost" as const }],
  ])("carries another hash with other %s", (_, change) =>
    expect(render(change).Labels["berth.config"]).not.toBe(render().Labels["berth.config"]),
  );

  it("without a gateway has no run directory, and its command is its entry point", () => {
    const alone = render({ network: "none", program: { command: ["sleep", "1"] } });
    expect(alone.Entrypoint).toEqual(["sleep", "1"]);
    expect(alone.HostConfig.Binds).toEqual(["berth-dev-lal-workspace:/workspace"]);
    expect(alone.Env).toEqual(["BERTH_AGENT=lal", "HOME=/workspace"]);
  });

  it.each([
    ["agent", 4_294_967_296, 2e9, 512],
    ["worker", 2_147_483_648, 2e9, 256],
    ["sandbox", 536_870_912, 1e9, 128],
  ] as const)(
    "C6, D7, D8, E3–E5 values: preset %s has %d bytes, %d billionths of a CPU, %d pids",
    (preset, ...wanted) => {
      const { Memory, NanoCpus, PidsLimit } = render({ preset }).HostConfig;
      expect([Memory, NanoCpus, PidsLimit]).toEqual(wanted);
      expect(presets[preset].stopGraceSeconds).toBeGreaterThanOrEqual(30);
    },
  );
});

describe("the mapping to the docker provider", () => {
  it("writes sizes, CPUs and durations as the provider reads them back", () => {
    const args = containerArgs(serviceContainer(service), "running");
    expect(args).toMatchObject({
      memory: 256,
      memorySwap: 256,
      shmSize: 64,
      ulimits: [{ name: "core", soft: 0, hard: 0 }],
      cpus: "1.0",
      healthcheck: { interval: "1m0s", timeout: "1.5s", startPeriod: "1m30s", retries: 3 },
      capabilities: { adds: [], drops: ["ALL"] },
      networkMode: "none",
    });
    expect(args.networksAdvanced).toBeUndefined();
    expect(args.pidMode).toBeUndefined();
  });

  it.each([
    [0.25, "0.25"],
    [0.5, "0.5"],
    [1, "1.0"],
    [2, "2.0"],
    [1.125, "1.125"],
  ])("%d CPUs = %j", (cpus, text) =>
    expect(containerArgs(render({ resources: { cpus } }), "created").cpus).toBe(text),
  );

  it("sorts what has no order", () => {
    const args = (binds: string[], env: Record<string, string>, networks: string[]) =>
      containerArgs(serviceContainer({ ...service, binds, env, networks }), "running");
    expect(args(["b:/b", "/a:/a:ro"], { B: "2", A: "1" }, ["y", "x"])).toEqual(
      args(["/a:/a:ro", "b:/b"], { A: "1", B: "2" }, ["x", "y"]),
    );
  });

  it("tells host directories from volumes, and leaves the mode to the provider beside networks", () => {
    const args = containerArgs(serviceContainer({ ...service, networks: ["x"] }), "running");
    expect(args.volumes).toEqual([
      { containerPath: "/a", hostPath: "/a", readOnly: true },
      { containerPath: "/b", volumeName: "b", readOnly: false },
    ]);
    expect(args.networkMode).toBeUndefined();
    expect(args.networksAdvanced).toEqual([{ name: "x", aliases: ["postgres"] }]);
  });

  it("refuses a size that the provider would round", () =>
    expect(() =>
      containerArgs(
        serviceContainer({ ...service, limits: { ...serviceLimits, memoryBytes: 1_000_000 } }),
        "running",
      ),
    ).toThrow(/no whole number of MiB/));

  it("starts and waits as asked", () => {
    const of = (run: "running" | "healthy" | "created") => {
      const { start, mustRun, wait, removeVolumes } = containerArgs(serviceContainer(service), run);
      return [start, mustRun, wait ?? false, removeVolumes];
    };
    expect(of("running")).toEqual([true, true, false, false]);
    expect(of("healthy")).toEqual([true, true, true, false]);
    expect(of("created")).toEqual([false, false, false, true]);
  });
});
