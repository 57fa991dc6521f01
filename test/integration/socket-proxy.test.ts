import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, createReadStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEndpoint, request } from "../../services/common/http.ts";
import { createLog } from "../../services/common/log.ts";
import { createAudit } from "../../services/socket-proxy/audit.ts";
import { startProxy } from "../../services/socket-proxy/run.ts";
import {
  agentContainer,
  type ContainerSpec,
  serviceContainer,
  workspaceVolume,
} from "../../spec/container.ts";
import { type Declaration, encodeDeclaration } from "../../spec/declaration.ts";
import { Label, Network, objectName, Path, runDirectory, Service, Uid } from "../../spec/names.ts";
import { presets, serviceLimits } from "../../spec/presets.ts";
import {
  dockerHost,
  engine,
  engineAnswer,
  exec,
  type Inspected,
  inspect,
  labelled,
  stackName,
  until,
} from "../support/engine.ts";

/*
 * The socket proxy's server, in this process, before the real Engine. Containers are made through the Engine's API from
 * the same rendering that Pulumi uses. What only its own container shows (user, mounts, networks) is in other files.
 */

const stack = stackName("socket-proxy");
const image = `localhost/berth/socket-proxy-test:${randomBytes(6).toString("hex")}`;
const scratch = mkdtempSync(join(tmpdir(), "berth-socket-proxy-"));
const audit: Record<string, unknown>[] = [];
const ending = new AbortController();
let port = 0;
let done: Promise<void> | undefined;

/** Runs until SIGTERM, then exits 7; says what its own limits are. */
const program = `
  const fs = require("node:fs");
  const first = (...paths) => paths.map((p) => { try { return fs.readFileSync(p, "utf8").trim() } catch { return "" } }).find(Boolean);
  console.log("pids.max " + first("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"));
  console.error("to standard error");
  process.on("SIGTERM", () => process.exit(7));
  setInterval(() => {}, 1000);
`;

function declarationOf(name: string, changes: Partial<Declaration> = {}): Declaration {
  return {
    version: 1,
    stack,
    name,
    driver: "docker",
    image,
    runner: false,
    program: { command: ["/usr/local/bin/node", "-e", program] },
    activation: "manual",
    preset: "sandbox",
    limits: { ...presets.sandbox, pids: 77 },
    chat: { channels: [], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: false },
    ...changes,
  };
}

/** An Engine's create body, as the docker provider writes it: no pids limit, networks joined later. */
function createBody(spec: ContainerSpec): Record<string, unknown> & { HostConfig: object } {
  const { name, Networks, HostConfig, ...config } = spec;
  const { PidsLimit, PortBindings, ...host } = HostConfig;
  const joins = Object.keys(Networks).length > 0;
  return {
    ...config,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: { ...host, NetworkMode: joins ? "default" : host.NetworkMode },
  };
}

function volume(name: string, labels: Record<string, string>): Promise<unknown> {
  return engine("/volumes/create", "POST", {
    Name: name,
    Labels: { [Label.stack]: stack, ...labels },
  });
}

async function declare(declaration: Declaration, suffix = "declaration"): Promise<void> {
  const { name } = declaration;
  const text = encodeDeclaration(declaration);
  await volume(objectName(stack, `${name}-${suffix}`), {
    [Label.agent]: name,
    [Label.declaration]: text,
  });
}

/** Makes an agent's container the way `pulumi up` does; `spoil` changes the body that is sent. */
async function make(
  declaration: Declaration,
  spoil: (body: Record<string, unknown> & { HostConfig: object }) => void = () => undefined,
): Promise<string> {
  const spec = agentContainer(declaration);
  await volume(workspaceVolume(stack, declaration.name), {});
  const body = createBody(spec);
  spoil(body);
  const { Id } = await engine<{ Id: string }>(
    `/v1.41/containers/create?name=${spec.name}`,
    "POST",
    body,
  );
  const networks = Object.entries(spec.Networks);
  if (networks.length > 0) {
    await engineAnswer("/networks/bridge/disconnect", "POST", { Container: Id });
    for (const [name, Aliases] of networks) {
      await engine(`/networks/${name}/connect`, "POST", {
        Container: Id,
        EndpointConfig: { Aliases, IPAMConfig: {} },
      });
    }
  }
  return Id;
}

const ask = (path: string, method = "GET") =>
  request({ host: "127.0.0.1", port }, { method, path, timeoutMs: 60_000 });

/** Bytes of an answer, from the proxy or from the Engine itself. */
function bytesOf(options: http.RequestOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...options, agent: false }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("end", () => resolve(Buffer.concat(parts)));
      })
      .on("error", reject);
  });
}

/** An image of the node that runs this test, the libraries that it loads and the proxy's bundle, and nothing else. */
async function importImage(): Promise<void> {
  const root = join(scratch, "root");
  const { sharedObjects } = process.report.getReport() as { readonly sharedObjects: string[] };
  const libraries = sharedObjects.filter((path) => path.startsWith("/") && path.includes(".so"));
  const files = [
    [process.execPath, "/usr/local/bin/node"],
    ...libraries.map((path) => [path, path]),
  ];
  for (const [from = "", to = ""] of files) {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  }
  mkdirSync(join(root, "tmp"));
  const bundle = { bundle: true, platform: "node", format: "esm", target: "node24" } as const;
  const programs = { "socket-proxy": "socket-proxy/main.ts", health: "common/health-main.ts" };
  for (const [to, from] of Object.entries(programs)) {
    const outfile = join(root, `opt/berth/${to}.mjs`);
    buildSync({ ...bundle, entryPoints: [join("services", from)], outfile, logLevel: "error" });
  }
  const archive = join(scratch, "image.tar");
  execFileSync("tar", ["cf", archive, "-C", root, "."]);
  const [repo, tag] = image.split(/:(?=[0-9a-f]{12}$)/);
  const changes = encodeURIComponent("ENV FROM_IMAGE=yes");
  await new Promise<void>((resolve, reject) => {
    const sent = http.request(
      {
        ...parseEndpoint(dockerHost),
        method: "POST",
        path: `/images/create?fromSrc=-&repo=${repo}&tag=${tag}&changes=${changes}`,
        headers: { "content-type": "application/x-tar" },
      },
      (answer) => {
        let text = "";
        answer.on("data", (part: Buffer) => {
          text += part.toString();
        });
        answer.on("end", () =>
          answer.statusCode === 200 && !text.includes('"error"')
            ? resolve()
            : reject(new Error(`importing the image: ${answer.statusCode} ${text}`)),
        );
      },
    );
    sent.on("error", reject);
    createReadStream(archive).pipe(sent);
  });
}

beforeAll(async () => {
  const where = parseEndpoint(dockerHost);
  if (!("socketPath" in where))
    throw new Error(`DOCKER_HOST is ${dockerHost}; a unix socket is needed`);
  await importImage();
  await engine("/networks/create", "POST", {
    Name: objectName(stack, Network.mattermost),
    Internal: true,
    CheckDuplicate: true,
    Labels: { [Label.stack]: stack },
  });
  const proxy = await startProxy(
    {
      stack,
      dockerSocket: where.socketPath,
      uid: process.getuid?.() ?? 0,
      listeners: [{ client: Service.adminBridge, host: "127.0.0.1", port: 0 }],
    },
    {
      log: createLog("socket-proxy", () => undefined),
      audit: createAudit((line) => audit.push(JSON.parse(line) as Record<string, unknown>)),
      signal: ending.signal,
    },
  );
  port = proxy.ports[0] ?? 0;
  done = proxy.done;
});

afterAll(async () => {
  ending.abort();
  await done;
  const objects = await labelled(stack);
  for (const kind of ["container", "volume", "network"] as const) {
    for (const object of objects.filter((name) => name.startsWith(`${kind}:`))) {
      await engineAnswer(`/${kind}s/${object.slice(kind.length + 1)}?force=1&v=1`, "DELETE");
    }
  }
  await engineAnswer(`/images/${image}?force=1`, "DELETE");
  rmSync(scratch, { recursive: true, force: true });
  rmSync(runDirectory(stack), { recursive: true, force: true });
  expect(await labelled(stack)).toEqual([]);
});

const name = (agent: string) => objectName(stack, agent);

describe("on a real Engine", () => {
  it("A11: start, inspect, wait and stop work on a declared container", async () => {
    await declare(declarationOf("lal"));
    const id = await make(declarationOf("lal"));
    await until("the pids limit", async () => (await inspect(id)).HostConfig.PidsLimit === 77);

    expect((await ask(`/v1.41/containers/${name("lal")}/start`, "POST")).status).toBe(204);
    expect((await ask(`/containers/${id}/start`, "POST")).status).toBe(304);
    const shown = JSON.parse((await ask(`/containers/${name("lal")}/json`)).text) as Inspected;
    expect([shown.Id, shown.State.Running, shown.HostConfig.PidsLimit]).toEqual([id, true, 77]);

    await until("its handler of SIGTERM", async () =>
      (await ask(`/containers/${id}/logs?stdout=1`)).text.includes("pids.max"),
    );
    const waiting = ask(`/containers/${id}/wait`, "POST");
    expect((await ask(`/containers/${id}/stop?t=20`, "POST")).status).toBe(204);
    expect(JSON.parse((await waiting).text)).toEqual({ StatusCode: 7, Error: null });
  });

  it("A11: the same fail on a container that is not declared, or not of this stack", async () => {
    await make(declarationOf("undeclared"));
    for (const verb of ["start", "stop"]) {
      const answer = await ask(`/containers/${name("undeclared")}/${verb}`, "POST");
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("[undeclared]")]);
    }
    const labels = agentContainer(declarationOf("undeclared")).Labels;
    const { Id } = await engine<{ Id: string }>(
      `/containers/create?name=foreign-${stack}`,
      "POST",
      { Image: image, Cmd: ["/usr/local/bin/node", "--version"], Labels: labels },
    );
    for (const [method, verb] of [
      ["POST", "start"],
      ["POST", "stop"],
      ["POST", "wait"],
      ["GET", "json"],
    ] as const) {
      expect((await ask(`/containers/${Id}/${verb}`, method)).status).toBe(404);
      expect((await ask(`/containers/foreign-${stack}/${verb}`, method)).status).toBe(404);
    }
    expect((await inspect(Id)).State.Status).toBe("created");
    expect((await inspect(name("undeclared"))).State.Status).toBe("created");
  });

  it("the limit that the container itself sees is the declared one", async () => {
    await ask(`/containers/${name("lal")}/start`, "POST");
    const text = await until("its output", async () => {
      const { text: logs } = await ask(`/containers/${name("lal")}/logs?stdout=1`);
      return logs.includes("pids.max") && logs;
    });
    expect(text).toContain("pids.max 77");
  });

  it("logs are the Engine's own bytes", async () => {
    const path = `/v1.41/containers/${name("lal")}/logs?stdout=1&stderr=1&timestamps=1`;
    // Two starts, a line on each stream at each.
    await until("all of its output", async () => {
      const { text } = await ask(path);
      return text.split("pids.max").length === 3 && text.split("standard error").length === 3;
    });
    const [ours, theirs] = await Promise.all([
      bytesOf({ host: "127.0.0.1", port, path }),
      bytesOf({ ...parseEndpoint(dockerHost), path }),
    ]);
    expect(ours.length).toBeGreaterThan(50);
    expect(ours.equals(theirs)).toBe(true);
  });

  it("A12: delete and exec answer 403 with a record in every spelling, and the container is unharmed", async () => {
    const before = await inspect(name("lal"));
    const tried: [string, string][] = [];
    for (const own of [name("lal"), before.Id]) {
      for (const prefix of ["", "/v1.41", "/v1.45", "/v1.24", "//", "/v1.41/."]) {
        tried.push(["DELETE", `${prefix}/containers/${own}?force=1&v=1`]);
        for (const verb of [
          "exec",
          "%65xec",
          "exec/",
          "kill",
          "update",
          "rename?name=x",
          "restart",
          "pause",
          "attach",
          "start/../kill",
        ]) {
          tried.push(["POST", `${prefix}/containers/${own}/${verb}`]);
        }
        for (const method of ["GET", "HEAD", "PUT"])
          tried.push([method, `${prefix}/containers/${own}/archive?path=/`]);
      }
    }
    const records = audit.length;
    for (const [method, path] of tried) {
      expect([method, path, (await ask(path, method)).status]).toEqual([method, path, 403]);
    }
    expect(audit.slice(records).filter(({ decision }) => decision === "deny")).toHaveLength(
      tried.length,
    );
    const after = await inspect(name("lal"));
    expect([after.Id, after.State.Pid, after.State.StartedAt, after.Name]).toEqual([
      before.Id,
      before.State.Pid,
      before.State.StartedAt,
      before.Name,
    ]);
  });

  const spoiled: [
    string,
    string,
    (body: Record<string, unknown> & { HostConfig: object }) => void,
  ][] = [
    [
      "privileged",
      "HostConfig.Privileged",
      (b) => Object.assign(b.HostConfig, { Privileged: true }),
    ],
    [
      "a bind of the host",
      "HostConfig.Binds",
      (b) => Object.assign(b.HostConfig, { Binds: ["/:/host"] }),
    ],
    [
      "a mount",
      "HostConfig.Mounts",
      (b) =>
        Object.assign(b.HostConfig, { Mounts: [{ Type: "bind", Source: "/tmp", Target: "/x" }] }),
    ],
    [
      "a capability",
      "HostConfig.CapAdd",
      (b) => Object.assign(b.HostConfig, { CapAdd: ["SYS_ADMIN"] }),
    ],
    [
      "the host's network",
      "HostConfig.NetworkMode",
      (b) => Object.assign(b.HostConfig, { NetworkMode: "host" }),
    ],
    [
      "the host's processes",
      "HostConfig.PidMode",
      (b) => Object.assign(b.HostConfig, { PidMode: "host" }),
    ],
    [
      "no seccomp",
      "HostConfig.SecurityOpt",
      (b) =>
        Object.assign(b.HostConfig, {
          SecurityOpt: ["no-new-privileges:true", "seccomp=unconfined"],
        }),
    ],
    [
      "a device",
      "HostConfig.Devices",
      (b) =>
        Object.assign(b.HostConfig, {
          Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "r" }],
        }),
    ],
    [
      "more memory",
      "HostConfig.Memory",
      (b) => Object.assign(b.HostConfig, { Memory: 2 ** 30, MemorySwap: 2 ** 30 }),
    ],
    [
      "a writable root",
      "HostConfig.ReadonlyRootfs",
      (b) => Object.assign(b.HostConfig, { ReadonlyRootfs: false }),
    ],
    [
      "no masked paths",
      "HostConfig.MaskedPaths",
      (b) => Object.assign(b.HostConfig, { MaskedPaths: [] }),
    ],
    ["root", "Config.User", (b) => Object.assign(b, { User: "0" })],
    [
      "a preload",
      "Config.Env",
      (b) => Object.assign(b, { Env: [...(b.Env as string[]), "LD_PRELOAD=/x"] }),
    ],
    [
      "another program",
      "Config.Entrypoint",
      (b) => Object.assign(b, { Entrypoint: ["/usr/local/bin/node"] }),
    ],
    [
      "a healthcheck",
      "Config.Healthcheck",
      (b) => Object.assign(b, { Healthcheck: { Test: ["CMD", "x"], Interval: 1e9 } }),
    ],
    ["a host name", "Config.Hostname", (b) => Object.assign(b, { Hostname: "mattermost" })],
    [
      "a label of another tool",
      "Config.Labels",
      (b) => Object.assign(b, { Labels: { ...(b.Labels as object), "traefik.enable": "true" } }),
    ],
  ];
  it.each(spoiled)("a container made with %s is not started: %s", async (_title, field, spoil) => {
    const declaration = declarationOf("spoiled");
    await declare(declaration);
    const id = await make(declaration, spoil);
    const answer = await ask(`/containers/${id}/start`, "POST");
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining(field)]);
    expect((await inspect(id)).State.Status).toBe("created");
    expect(audit.findLast(({ phase }) => phase === "alert")).toMatchObject({
      fields: expect.arrayContaining([field]),
    });
    await engine(`/containers/${id}?force=1`, "DELETE");
  });

  it("a workspace volume that is a host directory in disguise is not mounted", async () => {
    const declaration = declarationOf("disguised");
    await declare(declaration);
    await engine("/volumes/create", "POST", {
      Name: workspaceVolume(stack, "disguised"),
      Labels: { [Label.stack]: stack },
      DriverOpts: { type: "none", o: "bind", device: "/tmp" },
    });
    const spec = agentContainer(declaration);
    const body = createBody(spec);
    await engine(`/containers/create?name=${spec.name}`, "POST", body);
    const answer = await ask(`/containers/${spec.name}/start`, "POST");
    expect([answer.status, answer.text]).toEqual([
      403,
      expect.stringContaining("declared: Volumes ["),
    ]);
  });

  it("an agent on mattermost-net starts on that network alone, and starts again", async () => {
    const declaration = declarationOf("scout", { network: "mattermost" });
    await declare(declaration);
    const id = await make(declaration);
    for (const _ of [1, 2]) {
      const started = await ask(`/containers/${id}/start`, "POST");
      expect([started.status, started.text]).toEqual([204, ""]);
      const { NetworkSettings } = await inspect(id);
      expect(Object.keys(NetworkSettings.Networks)).toEqual([name(Network.mattermost)]);
      expect((await ask(`/containers/${id}/stop?t=0`, "POST")).status).toBe(204);
    }
    const network = JSON.parse((await ask(`/networks/${name(Network.mattermost)}`)).text) as object;
    expect(network).toMatchObject({ Name: name(Network.mattermost), Internal: true });
  });

  it("events of the stack come, of others not, and a stopped agent is seen to die", async () => {
    const events: { Action: string; Actor: { Attributes: Record<string, string> } }[] = [];
    const isItsEnd = ({ Action, Actor }: (typeof events)[number]) =>
      Action === "die" && Actor.Attributes.name === name("lal");
    const stream = http.get(
      { host: "127.0.0.1", port, path: "/events", agent: false },
      (answer) => {
        answer.on("error", () => undefined);
        answer.on("data", (part: Buffer) => {
          for (const line of part.toString().split("\n").filter(Boolean))
            events.push(JSON.parse(line));
        });
      },
    );
    stream.on("error", () => undefined);
    await until("the subscription", async () => stream.socket?.bytesRead);
    await engine(`/containers/foreign-${stack}/start`, "POST");
    await ask(`/containers/${name("lal")}/stop`, "POST");
    await until("its end", async () => events.some(isItsEnd));
    stream.destroy();
    const die = events.find(isItsEnd);
    expect(die?.Actor.Attributes).toMatchObject({ name: name("lal"), exitCode: "7" });
    expect(events.map(({ Actor }) => Actor.Attributes.name)).not.toContain(`foreign-${stack}`);
    await engine(`/containers/foreign-${stack}?force=1`, "DELETE");
  });

  it("declarations follow the volumes: a changed one is seen before the old one is gone", async () => {
    const list = async () => {
      const answer = await ask("/berth/declarations");
      return (JSON.parse(answer.text) as Declaration[]).find((item) => item.name === "data");
    };
    await declare(declarationOf("data", { activation: "manual" }), "declaration-1");
    expect((await list())?.activation).toBe("manual");
    // Engine times are whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await declare(declarationOf("data", { activation: "always" }), "declaration-0");
    expect((await list())?.activation).toBe("always");
    await engine(`/volumes/${name("data-declaration-1")}`, "DELETE");
    expect((await list())?.activation).toBe("always");
  });

  it("the image that a declaration names is shown, without its environment", async () => {
    const { status, text } = await ask(`/images/${image}/json`);
    expect([status, JSON.parse(text)]).toEqual([
      200,
      expect.objectContaining({ RepoTags: [image] }),
    ]);
    expect(text).not.toContain("FROM_IMAGE");
  });
});

describe("in its own container", () => {
  const self = name(Service.socketProxy);
  const mounted = runDirectory(stack);

  beforeAll(async () => {
    const where = parseEndpoint(dockerHost);
    const spec = serviceContainer({
      stack,
      service: Service.socketProxy,
      image,
      limits: serviceLimits,
      user: "0:0",
      capabilities: ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"],
      command: ["/usr/local/bin/node", "/opt/berth/socket-proxy.mjs"],
      env: { BERTH_STACK: stack },
      binds: [
        `${"socketPath" in where ? where.socketPath : ""}:${Path.dockerSocket}`,
        `${mounted}/proxy:${Path.proxyRun}`,
      ],
      networks: [],
      healthcheck: { test: ["NONE"] },
    });
    await engine(`/containers/create?name=${self}`, "POST", createBody(spec));
    await engine(`/containers/${self}/start`, "POST");
    await until("the proxy to be healthy", async () => {
      const health = await exec(self, ["/usr/local/bin/node", "/opt/berth/health.mjs"]);
      return health.exitCode === 0;
    });
  });

  it("C8: the proxy is not root, has the socket's group, no capability and no way back", async () => {
    const script = `
      const fs = require("node:fs");
      const socket = fs.statSync("${Path.dockerSocket}").gid;
      for (const pid of fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
        const argv = fs.readFileSync("/proc/" + pid + "/cmdline", "utf8").split("\\0");
        if (argv[0] !== "/usr/local/bin/node" || argv[1] !== "/opt/berth/socket-proxy.mjs") continue;
        const status = fs.readFileSync("/proc/" + pid + "/status", "utf8");
        const field = (name) => new RegExp("^" + name + ":\\\\s*(.*)$", "m").exec(status)[1].trim();
        console.log(JSON.stringify({
          uid: field("Uid").split(/\\s+/), groups: field("Groups"), socket: String(socket),
          permitted: field("CapPrm"), effective: field("CapEff"), locked: field("NoNewPrivs"),
        }));
      }`;
    const { output } = await exec(self, ["/usr/local/bin/node", "-e", script]);
    const [line = "", ...more] = output.trim().split("\n");
    expect(more).toEqual([]);
    const found = JSON.parse(line) as Record<string, unknown>;
    expect(found).toEqual({
      uid: Array.from({ length: 4 }, () => String(Uid.socketProxy)),
      groups: found.socket,
      socket: found.socket,
      permitted: "0000000000000000",
      effective: "0000000000000000",
      locked: "1",
    });
  });

  it("a client that mounts its own directory, root without capabilities, is served there and granted only its verbs", async () => {
    const script = `
      const http = require("node:http");
      const ask = (path) => new Promise((resolve) => http.get({ socketPath: "${Path.proxySocket}", path }, (answer) => {
        let text = ""; answer.on("data", (part) => text += part); answer.on("end", () => resolve(answer.statusCode + " " + text.trim()));
      }));
      ask("/berth/declarations").then((first) => ask("/containers/json").then((second) => console.log(first + "\\n" + second)));`;
    const { Id } = await engine<{ Id: string }>("/containers/create", "POST", {
      Image: image,
      User: "0:0",
      Cmd: ["/usr/local/bin/node", "-e", script],
      Labels: { [Label.stack]: stack },
      HostConfig: {
        NetworkMode: "none",
        CapDrop: ["ALL"],
        Binds: [`${mounted}/proxy/${Service.egressGateway}:${Path.proxyRun}`],
      },
    });
    await engine(`/containers/${Id}/start`, "POST");
    await engine(`/containers/${Id}/wait`, "POST");
    const output = (await engineAnswer(`/containers/${Id}/logs?stdout=1`)).text;
    expect(output).toMatch(/200 \[.*"name":"lal"/);
    expect(output).toMatch(/403 \{"message":"berth: list denied: .* \[grant\]/);
  });

  it("its own pids limit is in force, too", async () => {
    await until(
      "its limit",
      async () => (await inspect(self)).HostConfig.PidsLimit === serviceLimits.pids,
    );
  });
});
