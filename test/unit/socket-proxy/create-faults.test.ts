import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EnginePort } from "../../../services/socket-proxy/engine.ts";
import { EngineError } from "../../../services/socket-proxy/engine-error.ts";
import { agentContainer } from "../../../spec/container.ts";
import { declared, idOf, messageOf, mutationsOf, refusalOf, removedOf } from "./creating.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { type Host, type Rig, startHost, startRig } from "./rig.ts";

let host: Host;
let rig: Rig;
/** What happens to the next calls to the Engine that fit. */
let fault: ((path: string) => "before" | "after" | undefined) | undefined;
let outcome: () => unknown;

/** The Engine's port with faults: before it is asked, or when it has done what it was asked and the answer comes. */
function faulty(engine: EnginePort): EnginePort {
  const meet = async <T>(path: string, ask: () => Promise<T>): Promise<T> => {
    const when = fault?.(path);
    if (when === undefined) return ask();
    if (when === "after") await ask();
    return outcome() as T;
  };
  return {
    json: (call, options) => meet(`${call.method} ${call.path}`, () => engine.json(call, options)),
    status: (call, options) =>
      meet(`${call.method} ${call.path}`, () => engine.status(call, options)),
    bytes: (call, options) => engine.bytes(call, options),
    stream: (call, signal) => engine.stream(call, signal),
  };
}

beforeEach(async () => {
  fault = undefined;
  host = await startHost();
  const declaration = declarationOf(declared);
  host.engine.declare(declaration);
  host.engine.make(agentContainer(declaration), "a".repeat(64));
  rig = await startRig(host, { between: faulty });
  await eventually(
    () => rig.parts.events.stands && rig.parts.fleet.find("berth-dev-lal") !== undefined,
  );
});
afterEach(async () => {
  fault = undefined;
  await rig.stop();
  const outside = outsideLanguage(host.engine.recorded);
  await host.close();
  expect(outside).toEqual([]);
});

const wanted = { template: "lal.review", instance: "x1", parameters: { TASK_ID: "7" } };
const create = () => rig.ask("/berth/instances", "POST", wanted);
const instances = () =>
  [...host.engine.containers.values()].filter(({ inspect }) => /\.x1$/.test(inspect.Name));
const throwing = (error: Error) => () => {
  throw error;
};

/** The steps of a create at the Engine, by the request, and whether it comes before anything is made. */
const steps: [string, RegExp][] = [
  ["create", /^POST .*\/containers\/create/],
  ["search for what was made", /^GET .*\/containers\/json\?all=1&filters=%7B%22id%22/],
  ["look at what was made", /^GET .*\/containers\/(?!a{64})[0-9a-f]{64}\/json$/],
];
const outcomes: [string, () => unknown, number, string][] = [
  ["a refusal (500)", throwing(new EngineError("refused", "x", 500)), 500, "engine-refused"],
  ["a refusal (409)", throwing(new EngineError("refused", "x", 409)), 409, ""],
  ["no answer in time", throwing(new EngineError("late", "x")), 504, "engine-late"],
  ["a broken connection", throwing(new EngineError("down", "x")), 503, "engine-down"],
  ["no JSON", throwing(new EngineError("unusable", "x")), 502, "engine-answer"],
  ["nothing", () => undefined, 502, "engine-answer"],
  ["an empty object", () => ({}), 502, "engine-answer"],
  ["a number for a text", () => ({ Id: 7 }), 502, "engine-answer"],
  ["another container's id", () => ({ Id: "a".repeat(64) }), 502, "engine-answer"],
  ["a list of others", () => [{ Id: "b".repeat(64), Names: ["/x"] }], 502, "engine-answer"],
];
const cases = steps.flatMap(([step, pattern]) =>
  (["before", "after"] as const).flatMap((when) =>
    outcomes.map(([name, act, status, rule]) => ({ step, pattern, when, name, act, status, rule })),
  ),
);

describe("T8: whatever goes wrong while it is made leaves no container", () => {
  it.each(cases)("$step: $name, $when the Engine has done it", async (about) => {
    let met = 0;
    fault = (path) => (about.pattern.test(path) && met++ === 0 ? about.when : undefined);
    outcome = about.act;
    const isTaken = about.step === "create" && about.name.includes("409");
    const answer = await create();
    const rule = isTaken ? "name-taken" : about.rule || "engine-conflict";
    expect([refusalOf(answer), met]).toEqual([[about.status, rule], expect.any(Number)]);
    expect(met).toBeGreaterThan(0);
    fault = undefined;
    if (isTaken && about.when === "after") {
      // Said to be another's: it is left alone, and ends with its lease.
      expect([instances().length, removedOf(host.engine)]).toEqual([1, []]);
      return;
    }
    await eventually(() => instances().length === 0);
    const isMade = about.step !== "create" || about.when === "after";
    expect(removedOf(host.engine)).toHaveLength(isMade ? 1 : 0);
    expect([...host.engine.containers.keys()]).toEqual(["a".repeat(64)]);
    await eventually(() =>
      rig.audit.some(({ phase, verb }) => phase === "result" && verb === "create"),
    );
    expect(
      rig.audit.find(({ phase, verb }) => phase === "result" && verb === "create"),
    ).toMatchObject({
      status: about.status,
      rule,
    });
    if (isMade) {
      // The removal is on record, too, under its own verb.
      await eventually(() =>
        rig.audit.some(({ verb, phase }) => verb === "remove" && phase === "lease"),
      );
      await eventually(() => rig.parts.leases.count === 0);
    }
    // Name and share are free again.
    idOf(await create());
  });

  it("the Engine names another instance as the one that was made: that one stays, and the new one goes", async () => {
    const other = idOf(await rig.ask("/berth/instances", "POST", { ...wanted, instance: "x2" }));
    host.engine.recorded.length = 0;
    fault = (path) => (steps[0]?.[1].test(path) ? "after" : undefined);
    outcome = () => ({ Id: other });
    expect(refusalOf(await create())).toEqual([502, "engine-answer"]);
    await eventually(() => instances().length === 0);
    expect(host.engine.containers.has(other)).toBe(true);
    expect(removedOf(host.engine)).toHaveLength(1);
    expect(removedOf(host.engine)).not.toContain(other);
  });

  it("the Engine away for all that follows: it is removed when the Engine is back, and never started before", async () => {
    fault = (path) => (/containers\/(?!a{64})[0-9a-f]{64}/.test(path) ? "before" : undefined);
    outcome = throwing(new EngineError("down", "x"));
    expect(refusalOf(await create())).toEqual([503, "engine-down"]);
    expect(instances()).toHaveLength(1);
    fault = undefined;
    const started = await rig.ask("/containers/berth-dev-lal.review.x1/start", "POST");
    expect(refusalOf(started)).toEqual([409, "ended"]);
    expect(mutationsOf(host.engine).filter((asked) => asked.includes("start"))).toEqual([]);
    expect(JSON.stringify(rig.logged)).toContain("lease-end-failed");
  });

  it("a client that goes away while its instance is made: it is removed, and the record says why", async () => {
    const socketPath = `${host.directory}/admin-bridge-gone.sock`;
    let left: () => void = () => undefined;
    const { createListener } = await import("../../../services/socket-proxy/transport.ts");
    const { createHandlers } = await import("../../../services/socket-proxy/proxy.ts");
    const { ClientLimits } = await import("../../../services/socket-proxy/limits.ts");
    const { grants } = rig.parts;
    const quotas = grants.clients["admin-bridge"]?.quotas;
    if (!quotas) throw new Error("no quotas");
    const limits = new ClientLimits(quotas, grants.suspension);
    const server = createListener(
      "admin-bridge",
      createHandlers(rig.parts, () => limits),
    );
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    const body = JSON.stringify(wanted);
    const sent = http.request({
      socketPath,
      method: "POST",
      path: "/berth/instances",
      headers: { host: "x", "content-type": "application/json", "content-length": body.length },
    });
    sent.on("error", () => undefined);
    host.engine.onCreate = () => left();
    const closed = new Promise<void>((resolve) =>
      server.on("connection", (socket) => socket.on("close", () => resolve())),
    );
    left = () => sent.destroy();
    // The Engine's look at what it made is answered when the client is gone for sure.
    host.engine.intercept = ({ path }, response) => {
      if (!/containers\/(?!a{64})[0-9a-f]{64}\/json$/.test(path)) return false;
      host.engine.intercept = undefined;
      void closed.then(() => {
        const id = /[0-9a-f]{64}/.exec(path)?.[0] ?? "";
        response.end(JSON.stringify(host.engine.containers.get(id)?.inspect));
      });
      return true;
    };
    sent.end(body);
    await eventually(() => removedOf(host.engine).length === 1);
    await eventually(() => rig.audit.some(({ rule }) => rule === "client-gone"));
    expect(instances()).toEqual([]);
    server.close();
    server.closeAllConnections();
  });
});

/** A change of what the Engine made, and the name that the refusal must hold. */
type Spoil = [name: string, change: (inspect: Inspect) => void];
interface Inspect {
  [key: string]: unknown;
  HostConfig: Record<string, unknown>;
  Config: Record<string, unknown>;
  NetworkSettings: { Networks: Record<string, unknown> };
  Mounts: Record<string, unknown>[];
  State: Record<string, unknown>;
}
const hostMembers: Record<string, unknown> = {
  Binds: ["/:/host"],
  LogConfig: { Type: "syslog", Config: {} },
  NetworkMode: "host",
  RestartPolicy: { Name: "always", MaximumRetryCount: 0 },
  CapDrop: [],
  CapAdd: ["CAP_SYS_ADMIN"],
  SecurityOpt: ["seccomp=unconfined"],
  ReadonlyRootfs: false,
  Tmpfs: { "/tmp": "exec" },
  Memory: 0,
  MemorySwap: -1,
  MemoryReservation: 1,
  NanoCpus: 0,
  CpuShares: 2,
  CpuPeriod: 1,
  CpuQuota: -1,
  CpusetCpus: "0",
  ShmSize: 1,
  Init: false,
  IpcMode: "host",
  PidMode: "host",
  UTSMode: "host",
  UsernsMode: "host",
  CgroupnsMode: "host",
  Cgroup: "container:x",
  CgroupParent: "/x",
  Privileged: true,
  PublishAllPorts: true,
  PortBindings: { "22/tcp": [{ HostIp: "", HostPort: "22" }] },
  AutoRemove: true,
  VolumesFrom: ["postgres"],
  VolumeDriver: "vieux",
  Mounts: [{ Type: "bind", Source: "/", Target: "/host" }],
  Devices: [{ PathOnHost: "/dev/sda" }],
  DeviceRequests: [{ Count: -1 }],
  DeviceCgroupRules: ["a *:* rwm"],
  ExtraHosts: ["mattermost:192.0.2.1"],
  Dns: ["192.0.2.1"],
  DnsSearch: ["x"],
  DnsOptions: ["x"],
  Links: ["x:y"],
  GroupAdd: ["0"],
  Sysctls: { "net.ipv4.ip_forward": "1" },
  Annotations: { a: "b" },
  StorageOpt: { size: "1g" },
  OomScoreAdj: -1000,
  OomKillDisable: true,
  MemorySwappiness: 60,
  Runtime: "runsc",
  Ulimits: [{ Name: "nofile", Soft: 1, Hard: 1 }],
  MaskedPaths: [],
  ReadonlyPaths: [],
  BlkioWeight: 10,
  ContainerIDFile: "/x",
  Isolation: "process",
  SomethingNew: true,
};
const configMembers: Record<string, unknown> = {
  Hostname: "mattermost",
  Domainname: "x",
  User: "0:0",
  AttachStdin: true,
  OpenStdin: true,
  StdinOnce: true,
  Tty: true,
  Env: ["LD_PRELOAD=/x"],
  Cmd: ["sh"],
  Entrypoint: ["sh"],
  WorkingDir: "/",
  StopSignal: "SIGKILL",
  StopTimeout: 1,
  Healthcheck: { Test: ["CMD", "x"] },
  Volumes: { "/host": {} },
  ExposedPorts: { "22/tcp": {} },
  MacAddress: "02:42:ac:11:00:02",
  NetworkDisabled: true,
  SomethingNew: 1,
};
const spoils: Spoil[] = [
  ...Object.entries(hostMembers).map(
    ([name, value]): Spoil => [
      `HostConfig.${name}`,
      (inspect) => {
        inspect.HostConfig[name] = value;
      },
    ],
  ),
  ...Object.entries(configMembers).map(
    ([name, value]): Spoil => [
      `Config.${name}`,
      (inspect) => {
        inspect.Config[name] = value;
      },
    ],
  ),
  ...[
    "x",
    "com.example.watch",
    "berth.pids",
    "berth.config",
    "berth.parameters",
    "berth.declaration",
  ].map(
    (label): Spoil => [
      "Config.Labels",
      ({ Config }) => {
        Config.Labels = { ...(Config.Labels as object), [label]: "1" };
      },
    ],
  ),
  [
    "Image",
    (inspect) => {
      inspect.Image = `sha256:${"d".repeat(64)}`;
    },
  ],
  [
    "Path",
    (inspect) => {
      inspect.Path = "/bin/sh";
    },
  ],
  [
    "Args",
    (inspect) => {
      inspect.Args = ["-c", "x"];
    },
  ],
  [
    "Platform",
    (inspect) => {
      inspect.Platform = "windows";
    },
  ],
  [
    "AppArmorProfile",
    (inspect) => {
      inspect.AppArmorProfile = "unconfined";
    },
  ],
  [
    "NetworkSettings.Networks",
    ({ NetworkSettings }) => {
      NetworkSettings.Networks.bridge = { Aliases: null };
    },
  ],
  ["Mounts", ({ Mounts }) => void Mounts.pop()],
  ["Mounts", ({ Mounts }) => void Mounts.push({ Type: "bind", Source: "/", Destination: "/host" })],
  ...[{ RW: true }, { Source: "/", Name: "other" }, { Propagation: "rshared" }].map(
    (change): Spoil => [
      "Mounts",
      ({ Mounts }) => {
        for (const mount of Mounts) Object.assign(mount, change);
      },
    ],
  ),
];

describe("T8: what the Engine made is compared with what it was asked for", () => {
  it("A14: there are enough ways to be wrong", () => {
    expect(spoils.length).toBeGreaterThanOrEqual(80);
  });

  it.each(spoils)(
    "A14: %s differs: removed, 403 with its name, on record, and people are told (%#)",
    async (name, change) => {
      host.engine.onCreate = ({ inspect }) => change(inspect as unknown as Inspect);
      const answer = await create();
      expect([refusalOf(answer), messageOf(answer)]).toEqual([
        [403, "verify"],
        expect.stringContaining(name),
      ]);
      expect(instances()).toEqual([]);
      expect(removedOf(host.engine)).toHaveLength(1);
      expect(mutationsOf(host.engine).filter((asked) => asked.includes("/start"))).toEqual([]);
      await eventually(() => rig.audit.some(({ phase }) => phase === "alert"));
      expect(rig.audit.find(({ phase }) => phase === "alert")).toMatchObject({
        rule: "verify",
        object: "berth-dev-lal.review.x1",
        template: "lal.review",
        fields: expect.arrayContaining([name]),
      });
      const told: string[] = [];
      rig.parts.alerts.subscribe(({ kind, text }) => told.push(`${kind}: ${text}`));
      expect(told).toEqual([
        expect.stringMatching(/^mismatch: berth-dev-lal\.review\.x1: the container/),
      ]);
      expect(told.join()).toContain(name);
      // Its share is free again, its name too.
      host.engine.onCreate = undefined;
      idOf(await create());
    },
  );

  it("A5: a container whose own labels of ownership differ is none of ours, and what was made is removed all the same", async () => {
    host.engine.onCreate = ({ inspect }) => {
      const { Config } = inspect as unknown as Inspect;
      Config.Labels = { ...(Config.Labels as object), "berth.component": "postgres" };
    };
    const answer = await create();
    expect(answer.status).toBe(502);
    // Not one that may be removed: by its labels it is a part of the platform. Its name keeps it from being one.
    expect(removedOf(host.engine)).toEqual([]);
  });

  it("A13: the image's name moved between the look and the create: the container's image is another", async () => {
    host.engine.onCreate = () => {
      const [name = "", image = {}] = [...host.engine.images][0] ?? [];
      host.engine.images.set(name, { ...image, Id: `sha256:${"d".repeat(64)}` });
    };
    // The double still makes it of the old one, as an Engine does that was faster than the name.
    const moved = `sha256:${"d".repeat(64)}`;
    expect((await create()).status).toBe(201);
    const started = await rig.ask("/containers/berth-dev-lal.review.x1/start", "POST");
    expect([refusalOf(started), messageOf(started)]).toEqual([
      [403, "verify"],
      expect.stringContaining("Image"),
    ]);
    host.engine.onCreate = ({ inspect }) => {
      inspect.Image = `sha256:${"e".repeat(64)}`;
    };
    const other = await rig.ask("/berth/instances", "POST", { ...wanted, instance: "x2" });
    expect(refusalOf(other)).toEqual([403, "verify"]);
    expect(JSON.stringify([...host.engine.images.values()])).toContain(moved);
  });

  it("the alert reaches a client that listens, in order, with the field's name and no value", async () => {
    host.engine.onCreate = ({ inspect }) => {
      (inspect as unknown as Inspect).HostConfig.Binds = ["/etc/canary-path:/x"];
    };
    await create();
    const socketPath = (await import("node:fs"))
      .readdirSync(host.directory)
      .find((name) => name.startsWith("admin-bridge-"));
    const line = await new Promise<string>((resolve, reject) => {
      const asked = http.get(
        {
          socketPath: `${host.directory}/${socketPath}`,
          path: "/berth/alerts",
          headers: { host: "x" },
        },
        (response) =>
          response.once("data", (part: Buffer) => {
            asked.destroy();
            resolve(part.toString());
          }),
      );
      asked.on("error", reject);
    });
    expect(JSON.parse(line)).toMatchObject({ kind: "mismatch", client: "admin-bridge" });
    expect(line).toContain("HostConfig.Binds");
    expect(line).not.toContain("canary");
  });
});
