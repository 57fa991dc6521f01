import { describe, expect, inject, it } from "vitest";
import { imageReference } from "../../images/catalog.ts";
import { Service } from "../../spec/names.ts";
import { engine, inspect, logsOf, until } from "../support/engine.ts";
import { sharedAgents } from "../support/fleet.ts";
import { Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const services = Object.values(Service);
const agents: readonly string[] = sharedAgents;
const all = [...services, ...agents];
const net = (name: string) => `berth-${stack.name}-${name}`;

describe("what `pulumi up` made, asked of the Engine", () => {
  it("B1: every service and the agents lal and data are there, and every service runs", async () => {
    for (const part of all)
      expect((await inspect(stack.container(part))).Name).toBe(`/${stack.container(part)}`);
    for (const part of services)
      expect((await inspect(stack.container(part))).State.Running, part).toBe(true);
  });

  it("B3: each container is on exactly the networks of its role, and both closed networks are internal", async () => {
    const of = async (part: string) =>
      Object.keys((await inspect(stack.container(part))).NetworkSettings.Networks)
        .filter((name) => !name.startsWith("berth-outside-")) // the tests' own outside world
        .map((n) => n.replace(net(""), ""))
        .sort();
    expect(await of(Service.socketProxy)).toEqual(["socket-proxy-net"]);
    expect(await of(Service.adminBridge)).toEqual([
      "ingress-net",
      "mattermost-net",
      "socket-proxy-net",
    ]);
    expect(await of(Service.mattermost)).toEqual(["ingress-net", "mattermost-net"]);
    expect(await of(Service.egressGateway)).toEqual(["egress-net", "mattermost-net"]);
    for (const part of [Service.postgres, Service.secretStore, "data", "lal", "probe", "sleeper"])
      expect(await of(part), part).toEqual(["none"]);
    for (const name of ["socket-proxy-net", "mattermost-net"]) {
      expect((await engine<{ Internal: boolean }>(`/networks/${net(name)}`)).Internal, name).toBe(
        true,
      );
    }
  });

  it("A3: an agent that declares mattermost is on exactly that network", async () => {
    expect(Object.keys((await inspect(stack.container("scout"))).NetworkSettings.Networks)).toEqual(
      [net("mattermost-net")],
    );
  });

  it("A5: an agent's container is made from exactly the image that its declaration names", async () => {
    const { Config, Image } = await inspect(stack.container("lal"));
    const declared = imageReference("agent-node");
    expect(Config.Image).toBe(declared);
    expect(Image).toBe((await engine<{ Id: string }>(`/images/${declared}/json`)).Id);
  });

  it("B21: exactly one container mounts the Docker socket", async () => {
    const holders = [];
    for (const part of all) {
      const { Mounts } = await inspect(stack.container(part));
      if (
        Mounts.some(
          (m) => m.Source.endsWith("docker.sock") && m.Destination === "/var/run/docker.sock",
        )
      )
        holders.push(part);
      expect(
        Mounts.some((m) => ["/", "/var/run", "/run"].includes(m.Source)),
        part,
      ).toBe(false);
    }
    expect(holders).toEqual([Service.socketProxy]);
  });

  it("C5: every service drops all capabilities and gets back only what the rule allows; agents get none", async () => {
    const allowed = ["CAP_CHOWN", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID"];
    for (const part of all) {
      const { HostConfig } = await inspect(stack.container(part));
      expect(HostConfig.CapDrop, part).toEqual(["ALL"]);
      expect(HostConfig.SecurityOpt, part).toContain("no-new-privileges:true");
      expect(HostConfig.Privileged, part).toBe(false);
      for (const capability of HostConfig.CapAdd ?? []) expect(allowed, part).toContain(capability);
      if (agents.includes(part)) expect(HostConfig.CapAdd ?? [], part).toEqual([]);
    }
  });

  it("every container: read-only root, swap equal to memory, log size, init, stop grace of 30 s or more", async () => {
    for (const part of all) {
      const { Config, HostConfig } = await inspect(stack.container(part));
      expect(HostConfig.ReadonlyRootfs, part).toBe(true);
      expect(HostConfig.Memory, part).toBeGreaterThan(0);
      expect(HostConfig.MemorySwap, part).toBe(HostConfig.Memory);
      expect(HostConfig.Ulimits, part).toEqual([{ Name: "core", Soft: 0, Hard: 0 }]);
      expect(HostConfig.NanoCpus, part).toBeGreaterThan(0);
      expect(HostConfig.LogConfig.Config["max-size"], part).toBe("10m");
      // The socket proxy changes its user, and an init of the first user could not pass it a signal.
      expect(HostConfig.Init, part).toBe(part !== Service.socketProxy);
      expect(Config.StopTimeout, part).toBeGreaterThanOrEqual(30);
      expect(HostConfig.Tmpfs?.["/tmp"], part).toMatch(/noexec/);
    }
  });

  it("the pids limit is really in force on every running container although the provider cannot set it", async () => {
    for (const part of [...services, "data"]) {
      await until(
        `${part}'s pids limit`,
        async () => {
          const { Config, HostConfig } = await inspect(stack.container(part));
          return (
            Number(Config.Labels["berth.pids"]) > 0 &&
            HostConfig.PidsLimit === Number(Config.Labels["berth.pids"])
          );
        },
        30_000,
      );
    }
  });

  it("A16: no volume is shared by two agents, or by an agent and a service", async () => {
    const users = new Map<string, string[]>();
    for (const part of all) {
      for (const mount of (await inspect(stack.container(part))).Mounts) {
        const what = mount.Name ?? mount.Source;
        users.set(what, [...(users.get(what) ?? []), part]);
      }
    }
    const shared = [...users].filter(
      ([, parts]) => parts.length > 1 && parts.some((part) => agents.includes(part)),
    );
    expect(shared).toEqual([]);
    expect(users.size).toBeGreaterThan(agents.length);
  });

  it("B23: published ports and host mounts are exactly the declared ones", async () => {
    const ports: string[] = [];
    const hostPaths: string[] = [];
    for (const part of all) {
      const { HostConfig, Mounts } = await inspect(stack.container(part));
      for (const [port, bindings] of Object.entries(HostConfig.PortBindings ?? {})) {
        for (const b of bindings ?? []) ports.push(`${part} ${b.HostIp}:${b.HostPort} ${port}`);
      }
      for (const m of Mounts)
        if (m.Type === "bind") hostPaths.push(`${part} ${m.Source}${m.RW ? "" : " ro"}`);
    }
    expect(ports.sort()).toEqual([
      `admin-bridge 127.0.0.1:${stack.adminPort} 8066/tcp`,
      `mattermost 127.0.0.1:${stack.mattermostPort} 8065/tcp`,
    ]);
    const run = `/run/berth/${stack.name}`;
    const socket = (process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock").slice(
      "unix://".length,
    );
    expect(hostPaths.sort()).toEqual(
      [
        ...agents.map((agent) => `${agent} ${run}/agents/${agent} ro`),
        `admin-bridge ${run}/store/admin-bridge ro`,
        `docker-socket-proxy ${run}/proxy`,
        `docker-socket-proxy ${socket}`,
        `egress-gateway ${run}/agents`,
        `egress-gateway ${run}/proxy/egress-gateway ro`,
        `egress-gateway ${run}/store/egress-gateway ro`,
        `secret-store ${run}/agents`,
        `secret-store ${run}/secret-store`,
        `secret-store ${run}/store`,
        `secret-store ${run}/proxy/secret-store ro`,
        `secret-store /run/berth/${stack.name}-secret-files ro`,
      ].sort(),
    );
  });

  it("C7: nothing is published beyond 127.0.0.1 unless the config says so", async () => {
    for (const part of all) {
      for (const bindings of Object.values(
        (await inspect(stack.container(part))).HostConfig.PortBindings ?? {},
      )) {
        for (const binding of bindings ?? []) expect(binding.HostIp).toBe("127.0.0.1");
      }
    }
  });

  it("C8: the socket proxy's process is not root, has no capability and holds the socket's group", async () => {
    const { State } = await inspect(stack.container(Service.socketProxy));
    const { readFileSync, readdirSync, statSync } = await import("node:fs");
    const status = readFileSync(`/proc/${State.Pid}/status`, "utf8");
    expect(/^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status)?.slice(1)).toEqual([
      "10001",
      "10001",
      "10001",
      "10001",
    ]);
    expect(/^CapEff:\t(\w+)$/m.exec(status)?.[1]).toBe("0000000000000000");
    expect(/^CapPrm:\t(\w+)$/m.exec(status)?.[1]).toBe("0000000000000000");
    const socket = (process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock").slice(
      "unix://".length,
    );
    expect(/^Groups:\t(.*)$/m.exec(status)?.[1]?.trim().split(" ")).toContain(
      String(statSync(socket).gid),
    );
    expect(readdirSync(`/proc/${State.Pid}/fd`).length).toBeGreaterThan(0);
  });

  it("E15: /api/health has exactly the asked shape, and is good", async () => {
    const answer = await fetch(`${stack.adminUrl}/api/health`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      ok: true,
      mode: "docker",
      docker: {
        socketConnected: true,
        imageAvailable: true,
        imageName: expect.stringContaining("localhost/berth/agent-"),
        networkExists: true,
      },
    });
  });

  it("/metrics is Prometheus text", async () => {
    const text = await (await fetch(`${stack.adminUrl}/metrics`)).text();
    expect(text).toMatch(/^# TYPE berth_\w+ (gauge|counter|histogram)$/m);
  });

  it("every service's log is JSON lines", async () => {
    for (const part of services.filter((s) => s !== Service.postgres)) {
      const text = await logsOf(stack.container(part));
      expect(text, part).toMatch(/\{"time":"[^"]+","level":"info"/);
    }
  });
});
