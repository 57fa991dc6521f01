import net from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClientLimits } from "../../../services/socket-proxy/limits.ts";
import { differences } from "../../../services/socket-proxy/verify.ts";
import { agentContainer } from "../../../spec/container.ts";
import type { Template } from "../../../spec/declaration.ts";
import { presets } from "../../../spec/presets.ts";
import { declarationOf, imageOf, inspectOf } from "./engine-double.ts";
import { eventually, type Harness, startHarness, testGrants } from "./harness.ts";
import { outsideLanguage } from "./language.ts";

/* What a client that asks for too much, reads too little, leaves early, or is none, can do to the others. */

const box: Template = {
  preset: "sandbox",
  image: "localhost/berth/node:0123456789ab",
  command: ["/usr/local/bin/node"],
  env: {},
  parameters: {},
  limits: presets.sandbox,
  network: "none",
  workspace: "scratch",
  instances: { max: 1, timeoutSeconds: 600 },
};
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({ source: (address) => address?.endsWith("127.0.0.1") ?? false });
  harness.agent({ templates: { box } });
  await eventually(() => harness.engine.asked().length > 0);
});
afterEach(async () => {
  harness.engine.intercept = undefined;
  const outside = outsideLanguage(harness.engine.recorded);
  await harness.close();
  expect(outside).toEqual([]);
});
const create = (instance: string) =>
  harness.ask("/berth/instances", "POST", undefined, { template: "lal.box", instance });

describe("a client that takes too much", () => {
  it("has no more answers under way than it may ask for at once; streams are counted by themselves", () => {
    const { clients, suspension } = testGrants();
    const quotas = { ...clients["admin-bridge"]?.quotas, requestBurst: 3, streams: 5 };
    const limits = new ClientLimits(quotas as never, suspension);
    const ends = [limits.enter(), limits.enter(), limits.enter()];
    expect(() => limits.enter()).toThrow("3 requests are under way");
    ends[0]?.();
    ends[0]?.();
    limits.enter();
    expect(() => limits.enter()).toThrow("under way");
  });

  it("loses a connection with more than sixteen requests whose answers it has not had", async () => {
    harness.engine.intercept = ({ path }) => path.includes("/stop?");
    const socket = net.connect({ port: harness.port, host: "127.0.0.1" });
    const closed = new Promise((done) => socket.on("close", done));
    socket.on("error", () => undefined);
    socket.write(
      "POST /containers/berth-dev-lal/stop?t=600 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40),
    );
    await closed;
    expect(harness.engine.asked().filter((call) => call.includes("/stop")).length).toBeLessThan(17);
  });

  it("does not keep the health check or another client waiting while the Engine hangs on its reads", async () => {
    await harness.ask("/containers/berth-dev-lal/json");
    harness.engine.intercept = ({ path }) => /\/containers\/a{64}\/json/.test(path);
    const hung = Array.from({ length: 100 }, () =>
      harness.ask("/containers/berth-dev-lal/json").catch(() => undefined),
    );
    await eventually(() => harness.engine.asked().length > 64);
    await harness.proxy.healthy();
    expect((await harness.ask("/_ping", "GET", "egress-gateway")).status).toBe(200);
    await harness.engine.close();
    await Promise.all(hung);
  });

  it("puts allowed reads on record once a minute a verb, each mutation and each refusal always", async () => {
    const before = harness.audit.length;
    for (let i = 0; i < 5; i++) await harness.ask("/containers/berth-dev-lal/json");
    for (let i = 0; i < 3; i++) await harness.ask("/containers/berth-dev-lal/stop", "POST");
    for (let i = 0; i < 4; i++) await harness.ask("/containers/berth-dev-lal", "DELETE");
    const verbs = harness.audit
      .slice(before)
      .filter(({ phase }) => phase === "decision")
      .map(({ verb }) => verb);
    expect(verbs).toEqual([
      "inspect",
      "stop",
      "stop",
      "stop",
      "delete",
      "delete",
      "delete",
      "delete",
    ]);
  });
});

describe("a client that leaves early", () => {
  it("does not keep a container that is not as declared from the record and from people", async () => {
    harness.engine.onCreate = ({ inspect }) => {
      (inspect.HostConfig as Record<string, unknown>).Privileged = true;
    };
    const body = JSON.stringify({ template: "lal.box", instance: "x1" });
    const socket = net.connect({ port: harness.port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.write(
      `POST /berth/instances HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      () => socket.destroy(),
    );
    await eventually(() => harness.audit.some(({ phase }) => phase === "alert"));
    expect(harness.audit.find(({ phase }) => phase === "alert")).toMatchObject({
      rule: "verify",
      fields: ["HostConfig.Privileged"],
    });
    await eventually(() => harness.engine.recorded.some(({ method }) => method === "DELETE"));
  });
});

describe("a list that is older than what is known", () => {
  it("does not make the proxy forget a lease, nor the quota that it takes", async () => {
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/containers/json?all=1") || /%22(id|name)%22/.test(path)) return false;
      const list = [...harness.engine.containers.values()].map(({ inspect }) => ({
        Id: inspect.Id,
        Names: [inspect.Name],
        Labels: (inspect.Config as { Labels: object }).Labels,
        State: (inspect.State as { Status: string }).Status,
      }));
      // What it says is from its beginning.
      setTimeout(() => response.end(JSON.stringify(list)), 200);
      return true;
    };
    const look = harness.ask("/containers/json");
    await pause(20);
    expect((await create("x1")).status).toBe(201);
    const started = await harness.ask("/containers/berth-dev-lal.box.x1/start", "POST");
    expect(started.status).toBe(204);
    const statuses: number[] = [];
    for (let i = 0; i < 20; i++) {
      statuses.push((await create(`y${i}`)).status);
      await pause(20);
    }
    await look;
    expect(new Set(statuses)).toEqual(new Set([429]));
  });
});

describe("a client that is none", () => {
  it("does not take the connections of the one that is", async () => {
    const strangers = Array.from({ length: 600 }, () => {
      const socket = net.connect({
        port: harness.port,
        host: "127.0.0.1",
        localAddress: "127.0.0.2",
      });
      socket.on("error", () => undefined);
      return socket;
    });
    await pause(300);
    expect((await harness.ask("/_ping")).status).toBe(200);
    await eventually(() => strangers.filter(({ destroyed }) => !destroyed).length <= 16);
    for (const socket of strangers) socket.destroy();
  });
});

describe("a volume that an image asks for", () => {
  const spec = agentContainer(declarationOf());
  const host = { defaultRuntime: "runc", cgroupVersion: "2", swapLimit: true };
  const of = (destination: string) => {
    const image = imageOf();
    (image.Config as Record<string, unknown>).Volumes = { [destination]: {} };
    const container = inspectOf(spec, "a".repeat(64));
    (container.Mounts as unknown[]).push({
      Type: "volume",
      Name: "f".repeat(64),
      Destination: destination,
      Driver: "local",
      RW: true,
      Propagation: "",
    });
    (container.Config as { Volumes: Record<string, object> }).Volumes[destination] = {};
    const volumes = new Map(
      spec.HostConfig.Binds.map((bind) => bind.split(":")[0] ?? "")
        .filter((name) => !name.startsWith("/"))
        .map((name) => [
          name,
          { Name: name, Driver: "local", Options: null, Labels: { "berth.stack": "dev" } },
        ]),
    );
    return differences(spec, "dev", { container, image, host, volumes, networks: new Map() });
  };

  it.each(["/tmp", "/tmp/x", "/workspace", "/workspace/cache", "/run/berth", "/run", "/"])(
    "must not lie at %s, where the rendering says something",
    (destination) => {
      expect(of(destination)).toContain("Mounts");
    },
  );

  it("may lie elsewhere", () => {
    expect(of("/var/lib/data")).toEqual([]);
    expect(of("/tmpfiles")).toEqual([]);
  });
});
