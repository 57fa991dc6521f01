import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderGrants, verbs } from "../../spec/grants.ts";
import { Service } from "../../spec/names.ts";
import { presets } from "../../spec/presets.ts";
import { CPU, GiB } from "../../spec/units.ts";
import { docker, dockerCommand } from "../support/docker-cli.ts";
import { engine, engineAnswer, type Inspected, inspect, until } from "../support/engine.ts";
import {
  createInstance,
  declareAgent,
  startInstance,
  waitingTemplate,
  workerTemplate,
} from "../support/instances.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

// Rows of the requirements that the socket proxy carries, on a real Engine, with the rights that a stack gives by default.

const node = "/usr/local/bin/node";
const quota = { instances: 6, createsPerMinute: 1_000, memoryBytes: 9 * GiB };
let proxy: RealProxy;

/** Names of the instances that the Engine has. */
async function instances(): Promise<string[]> {
  const filter = encodeURIComponent(
    JSON.stringify({ label: [`berth.stack=${proxy.stack}`, "berth.instance"] }),
  );
  const list = await engine<{ Names: string[] }[]>(`/containers/json?all=1&filters=${filter}`);
  return list.map(({ Names }) => Names[0] ?? "").sort();
}

/** An inspect answer of the proxy, of a container that is there or has ended. */
async function shown(name: string) {
  const { status, text } = await proxy.ask(`/containers/${name}/json`);
  return { status, ...(JSON.parse(text) as Inspected & { readonly Berth?: object }) };
}

beforeAll(async () => {
  proxy = await startRealProxy("rows", {
    grants: renderGrants({
      stack: quota,
      suspension: { denials: 1_000_000, windowSeconds: 60, seconds: 1 },
    }),
  });
  const { image } = proxy;
  const brief = { instances: { max: 8, timeoutSeconds: 10 } };
  await declareAgent(proxy, "lal", {
    templates: {
      review: workerTemplate(image),
      server: waitingTemplate(image),
      late: waitingTemplate(image, brief),
      deaf: waitingTemplate(image, {
        ...brief,
        command: [node, "-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"],
        limits: { ...presets.worker, stopGraceSeconds: 2 },
      }),
      greedy: waitingTemplate(image, {
        command: [node, "-e", "const all = []; for (;;) all.push(Buffer.alloc(2 ** 24, 1));"],
        limits: { ...presets.worker, memoryBytes: GiB / 8 },
        ...brief,
      }),
    },
  });
});
afterAll(() => proxy.close());

describe("an agent is made and run by way of the proxy", () => {
  it("A5: the container has the image that its declaration names", async () => {
    const id = await startInstance(proxy, "lal.review", "image", { TASK_ID: "7" });
    const { Id } = await engine<{ Id: string }>(`/images/${proxy.image}/json`);
    expect((await inspect(id)).Image).toBe(Id);
    expect((await shown(id)).Image).toBe(Id);
    await end(id);
  });

  it("A11: start, stop, wait and inspect work on an instance, and fail on what is not declared", async () => {
    const id = await startInstance(proxy, "lal.server", "a11");
    await untilReady(id);
    expect((await shown(id)).State.Running).toBe(true);
    const waiting = proxy.ask(`/containers/${id}/wait`, "POST");
    expect((await proxy.ask(`/containers/${id}/stop`, "POST")).status).toBe(204);
    expect(JSON.parse((await waiting).text)).toEqual({ StatusCode: 7, Error: null });
    expect((await shown(id)).State.ExitCode).toBe(7);
    await end(id);
    const absent = await proxy.ask("/berth/instances", "POST", { template: "nobody.review" });
    expect([absent.status, absent.text]).toEqual([403, expect.stringContaining("[template]")]);
  });

  it("C2: a worker has another program of the same image, runs once, and keeps its exit code", async () => {
    const id = await startInstance(proxy, "lal.review", "c2", { TASK_ID: "seven" });
    await until("its end", async () => (await inspect(id)).State.Status === "exited");
    const { State, RestartCount, HostConfig, Image } = await inspect(id);
    expect([State.ExitCode, RestartCount, HostConfig.RestartPolicy.Name]).toEqual([3, 0, "no"]);
    expect(Image).toBe((await inspect(proxy.name("lal"))).Image);
    const again = await proxy.ask(`/containers/${id}/start`, "POST");
    expect([again.status, again.text]).toEqual([409, expect.stringContaining("[ended]")]);
    await end(id);
  });

  it("C4: create, start, wait and stop are granted; the proxy itself removes, when the lease is over", async () => {
    const id = await startInstance(proxy, "lal.late", "c4");
    await untilReady(id);
    const name = (await inspect(id)).Name.slice(1);
    expect((await proxy.ask(`/containers/${id}?force=1`, "DELETE")).status).toBe(403);
    await until("the end of its lease", async () => !(await isThere(id)), 30_000);
    // Ended as a stop ends it, with what it said and how it went.
    const { status, State, Berth } = await shown(name);
    expect([status, State.Status, State.ExitCode]).toEqual([200, "exited", 7]);
    expect(Berth).toMatchObject({ lease: "timeout", exitCode: 7, oomKilled: false });
    expect(Berth).toMatchObject({ lastLog: expect.stringContaining("bye") });
  });
});

describe("a lease ends what does not end by itself", () => {
  it("D9: who does not listen is killed after its grace, and the end is reported as a timeout", async () => {
    const id = await startInstance(proxy, "lal.deaf", "d9");
    await until("the end of its lease", async () => !(await isThere(id)), 40_000);
    const { Berth } = await shown(proxy.name("lal.deaf.d9"));
    expect(Berth).toMatchObject({ lease: "timeout", exitCode: 137 });
    expect((await proxy.ask("/berth/metrics")).text).toMatch(
      /berth_socket_proxy_leases_ended_total\{[^}]*timeout[^}]*\} [1-9]/,
    );
    const records = proxy.audit.filter(({ phase, id: of }) => phase === "lease" && of === id);
    expect(records).toEqual([expect.objectContaining({ verb: "remove", rule: "timeout" })]);
  });

  it("D9: that memory ran out is kept beyond the removal", async () => {
    const id = await startInstance(proxy, "lal.greedy", "d9");
    await until("its end", async () => (await inspect(id)).State.Status === "exited");
    await until("its removal", async () => !(await isThere(id)), 40_000);
    const { Berth, State } = await shown(proxy.name("lal.greedy.d9"));
    expect(Berth).toMatchObject({ exitCode: 137, oomKilled: true });
    expect(State.ExitCode).toBe(137);
  });

  it("C4: after a restart of the proxy, leases end as they would have", async () => {
    const id = await startInstance(proxy, "lal.late", "restart");
    await proxy.stop();
    await proxy.start();
    expect(await isThere(id)).toBe(true);
    await until("the end of its lease", async () => !(await isThere(id)), 30_000);
  });
});

describe("B11: the requests that a filter by sections of the API would let through are refused", () => {
  const calls: [method: string, path: string, body?: object][] = [
    ["DELETE", "/containers/AGENT?force=1"],
    ["DELETE", "/networks/NETWORK"],
    ["DELETE", "/images/IMAGE?force=1"],
    ["POST", "/containers/AGENT/kill?signal=KILL"],
    ["POST", "/containers/AGENT/exec", { Cmd: ["id"], Privileged: true }],
    ["GET", "/containers/AGENT/archive?path=/etc"],
    ["PUT", "/containers/AGENT/archive?path=/workspace", {}],
    ["HEAD", "/containers/AGENT/archive?path=/etc"],
    ["POST", "/containers/create", { Image: "IMAGE", HostConfig: { Privileged: true } }],
    ["POST", "/containers/create", { Image: "IMAGE", HostConfig: { Binds: ["/:/host"] } }],
    ["POST", "/containers/prune"],
    ["POST", "/networks/create", { Name: "x" }],
    ["POST", "/networks/NETWORK/connect", { Container: "AGENT" }],
    ["POST", "/images/create?fromImage=x"],
    ["POST", "/images/IMAGE/tag?repo=x"],
  ];
  it.each(calls)("B11: %s %s", async (method, path, body) => {
    const own = (text: string) =>
      text
        .replace("AGENT", proxy.name("lal"))
        .replace("NETWORK", proxy.name("mattermost-net"))
        .replace("IMAGE", proxy.image);
    const before = [await inspect(proxy.name("lal")), await instances()].map(idOf);
    const sent = body === undefined ? undefined : JSON.parse(own(JSON.stringify(body)));
    expect((await proxy.ask(own(path), method, sent)).status).toBe(403);
    expect([await inspect(proxy.name("lal")), await instances()].map(idOf)).toEqual(before);
    expect(proxy.audit.at(-1)).toMatchObject({ phase: "decision", decision: "deny", status: 403 });
  });

  it("B11: by default no client is granted kill, and none of the others more than to look", () => {
    const { clients } = renderGrants();
    expect(clients[Service.adminBridge]?.verbs).toEqual(verbs.filter((verb) => verb !== "kill"));
    for (const service of [Service.egressGateway, Service.secretStore]) {
      expect(clients[service]?.verbs).toEqual(["ping", "version", "declarations", "events"]);
    }
  });

  it("E23: a build is refused in words that the docker command prints", async () => {
    const files = mkdtempSync(join(proxy.scratch, "build-"));
    writeFileSync(join(files, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
    const { code, stderr } = await docker(dockerCommand(), `tcp://127.0.0.1:${proxy.port}`, [
      ...["build", "-t", `localhost/${proxy.stack}:built`, files],
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("berth: build denied: it is not in this proxy's language [verb]");
    expect((await engineAnswer(`/images/localhost/${proxy.stack}:built/json`)).status).toBe(404);
  });
});

describe("what an instance is and has", () => {
  it("C5, C6: a worker has 2 GB, 2 CPUs, no capability, no way to more, no network and no Docker socket", async () => {
    const id = await startInstance(proxy, "lal.server", "c6");
    const { HostConfig, Mounts, Config } = await inspect(id);
    expect(HostConfig).toMatchObject({
      Memory: 2 * GiB,
      MemorySwap: 2 * GiB,
      NanoCpus: 2 * CPU,
      PidsLimit: presets.worker.pids,
      Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }],
      CapAdd: null,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true"],
      ReadonlyRootfs: true,
      Privileged: false,
      NetworkMode: "none",
    });
    expect(Config.User).toBe("10100:10100");
    expect(Mounts.map(({ Destination }) => Destination).sort()).toEqual([
      "/run/berth",
      "/workspace",
    ]);
    await end(id);
  });

  it.each([
    ["more memory", { Memory: 4 * GiB }, "/HostConfig/Memory"],
    ["more CPUs", { NanoCpus: 4 * CPU }, "/HostConfig/NanoCpus"],
    ["more processes", { PidsLimit: 4096 }, "/HostConfig/PidsLimit"],
    ["a capability", { CapAdd: ["NET_RAW"] }, "/HostConfig/CapAdd"],
    ["the Docker socket", { Binds: ["/var/run/docker.sock:/s"] }, "/HostConfig/Binds"],
  ])("C6: a worker with %s is refused, and is not made", async (_title, HostConfig, pointer) => {
    const before = await instances();
    const answer = await proxy.ask("/containers/create?name=lal.server.more", "POST", {
      Image: proxy.image,
      HostConfig,
    });
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining(pointer)]);
    expect(await instances()).toEqual(before);
  });

  it("E6, C9: no agent and no instance has a Docker socket among its mounts or in its environment", async () => {
    const id = await startInstance(proxy, "lal.server", "e6");
    for (const name of [id, proxy.name("lal")]) {
      const { Mounts, Config, HostConfig } = await inspect(name);
      expect(JSON.stringify([Mounts, HostConfig.Binds])).not.toContain("docker.sock");
      expect(Config.Env.join()).not.toContain("DOCKER");
    }
    await end(id);
  });
});

describe("C11: the quotas of all clients are kept in one place", () => {
  it("C11: of two creates at the limit minus one, one passes; a restart of the proxy does not forget what there is", async () => {
    const living = await instances();
    // Nine gigabytes are for four workers of two.
    const ids = [];
    for (const name of ["q1", "q2", "q3"])
      ids.push(await createInstance(proxy, "lal.server", name));
    const body = (instance: string) => ({ template: "lal.server", instance });
    const two = await Promise.all(
      ["q4", "q5"].map((name) => proxy.ask("/berth/instances", "POST", body(name))),
    );
    expect(two.map(({ status }) => status).sort()).toEqual([201, 429]);
    expect(two.find(({ status }) => status === 429)?.text).toMatch(/bytes of memory.*\[quota\]/);
    expect((await instances()).length).toBe(living.length + 4);
    await proxy.stop();
    await proxy.start();
    const again = await until("the proxy to know what there is", async () => {
      const answer = await proxy.ask("/berth/instances", "POST", body("q6"));
      return answer.status === 503 ? undefined : answer;
    });
    expect([again.status, again.text]).toEqual([429, expect.stringContaining("[quota]")]);
    expect((await instances()).length).toBe(living.length + 4);
  });
});

/** Id of a container, or the list itself. */
function idOf(value: Inspected | readonly string[]): unknown {
  return "Id" in value ? [value.Id, value.Name, value.State.StartedAt] : value;
}

async function isThere(id: string): Promise<boolean> {
  return (await engineAnswer(`/containers/${id}/json`)).status === 200;
}

async function untilReady(id: string): Promise<void> {
  await until("its first line", async () =>
    (await proxy.ask(`/containers/${id}/logs?stdout=1`)).text.includes("ready"),
  );
}

/** Removes an instance behind the proxy's back, and waits until it has seen that: the quotas are for all tests. */
async function end(id: string): Promise<void> {
  await engine(`/containers/${id}?force=1&v=1`, "DELETE");
  await until("the proxy to see it", async () => {
    const { text } = await proxy.ask("/berth/metrics");
    const known = /^berth_socket_proxy_instances (\d+)$/m.exec(text)?.[1];
    return Number(known) === (await instances()).length;
  });
}
