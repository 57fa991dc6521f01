import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, createReadStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildSync } from "esbuild";
import { type Answer, parseEndpoint, request } from "../../services/common/http.ts";
import { createLog } from "../../services/common/log.ts";
import { createAudit } from "../../services/socket-proxy/audit.ts";
import { startProxy } from "../../services/socket-proxy/run.ts";
import { agentContainer, type ContainerSpec, workspaceVolume } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import { type Declaration, encodeDeclaration } from "../../spec/declaration.ts";
import { type GrantsDocument, renderGrants } from "../../spec/grants.ts";
import { Label, Network, objectName, runDirectory } from "../../spec/names.ts";
import { presets } from "../../spec/presets.ts";
import { dockerHost, engine, engineAnswer, labelled, stackName } from "./engine.ts";

/** A body of the Engine's create, to be spoiled. */
export type Body = Record<string, unknown> & { HostConfig: Record<string, unknown> };

/** The socket proxy's server, in this process, before the real Engine, with a stack of its own that has no Pulumi. */
export interface RealProxy {
  readonly stack: string;
  /** An image of Node and its libraries, and the proxy's own bundle in `/opt/berth`. */
  readonly image: string;
  /** Of the admin bridge's listener. */
  readonly port: number;
  /** Audit records, parsed. */
  readonly audit: Record<string, unknown>[];
  /** A folder for the run's files. */
  readonly scratch: string;
  /** Socket of a client that has one. */
  readonly socketOf: (client: string) => string;
  /** Container name of an agent. */
  readonly name: (agent: string) => string;
  ask(path: string, method?: string, body?: unknown, client?: string): Promise<Answer>;
  /** An agent's declaration, with a sleeping program, in this stack. */
  declarationOf(name: string, changes?: Partial<Declaration>): Declaration;
  volume(name: string, labels?: Record<string, string>): Promise<unknown>;
  declare(declaration: Declaration, suffix?: string): Promise<void>;
  /** Makes an agent's container the way `pulumi up` does; `spoil` changes the body that is sent. @returns its id */
  make(declaration: Declaration, spoil?: (body: Body) => void): Promise<string>;
  /** Stops the proxy as SIGTERM does. */
  stop(): Promise<void>;
  /** Starts it again, on the same sockets. */
  start(): Promise<void>;
  /** Stops it and removes all of the stack. @throws where something stays */
  close(): Promise<void>;
}

/** Runs until SIGTERM, then exits 7; says what its own limits are. */
const sleeper = `
  process.on("SIGTERM", () => process.exit(7));
  const fs = require("node:fs");
  const first = (...paths) => paths.map((p) => { try { return fs.readFileSync(p, "utf8").trim() } catch { return "" } }).find(Boolean);
  console.log("pids.max " + first("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"));
  console.error("to standard error");
  setInterval(() => {}, 1000);
`;

/** Starts a proxy for a new stack. Its suspension is out of the way unless `grants` says otherwise. */
export async function startRealProxy(
  seed: string,
  options: { readonly grants?: GrantsDocument } = {},
): Promise<RealProxy> {
  const where = parseEndpoint(dockerHost);
  if (!("socketPath" in where)) {
    throw new Error(`DOCKER_HOST is ${dockerHost}; a unix socket is needed`);
  }
  const stack = stackName(seed);
  const image = `localhost/berth/socket-proxy-test:${randomBytes(6).toString("hex")}`;
  const scratch = mkdtempSync(join(tmpdir(), "berth-socket-proxy-"));
  const audit: Record<string, unknown>[] = [];
  const grants =
    options.grants ??
    renderGrants({ suspension: { denials: 1_000_000, windowSeconds: 60, seconds: 1 } });
  const socketOf = (client: string) => join(scratch, `${client}.sock`);
  await importImage(image, scratch);
  for (const network of [Network.mattermost, Network.socketProxy]) {
    await engine("/networks/create", "POST", {
      Name: objectName(stack, network),
      Internal: true,
      CheckDuplicate: true,
      Labels: { [Label.stack]: stack },
    });
  }
  let ending = new AbortController();
  let done: Promise<void> = Promise.resolve();
  let port = 0;
  const start = async () => {
    ending = new AbortController();
    const proxy = await startProxy(
      {
        stack,
        dockerSocket: where.socketPath,
        uid: process.getuid?.() ?? 0,
        auditDirectory: scratch,
        grants,
        listeners: Object.entries(grants.clients).map(([client, { listener }]) =>
          listener === "tcp"
            ? { client, host: "127.0.0.1", port }
            : { client, directory: scratch, socketPath: socketOf(client) },
        ),
      },
      {
        log: createLog("socket-proxy", () => undefined),
        audit: createAudit((line) => audit.push(JSON.parse(line) as Record<string, unknown>)),
        signal: ending.signal,
        source: () => true,
      },
    );
    port = proxy.ports[0] ?? port;
    done = proxy.done;
  };
  const stop = async () => {
    ending.abort();
    await done;
  };
  await start();

  const volume = (name: string, labels: Record<string, string> = {}) =>
    engine("/volumes/create", "POST", { Name: name, Labels: { [Label.stack]: stack, ...labels } });
  return {
    stack,
    image,
    audit,
    scratch,
    socketOf,
    get port() {
      return port;
    },
    name: (agent) => objectName(stack, agent),
    ask: (path, method = "GET", body, client) =>
      request(client ? { socketPath: socketOf(client) } : { host: "127.0.0.1", port }, {
        method,
        path,
        ...(body === undefined ? {} : { body }),
        timeoutMs: 90_000,
      }),
    declarationOf: (name, changes = {}) => ({
      version: 1,
      stack,
      name,
      driver: "docker",
      image,
      runner: false,
      program: { command: ["/usr/local/bin/node", "-e", sleeper] },
      activation: "manual",
      preset: "sandbox",
      limits: { ...presets.sandbox, pids: 77 },
      chat: { channels: [], trigger: "mention", access: { mode: "open" } },
      network: "sealed",
      egress: [],
      secrets: {},
      workspace: { retain: false },
      ...changes,
    }),
    volume,
    declare: async (declaration, suffix = "declaration") => {
      await volume(objectName(stack, `${declaration.name}-${suffix}`), {
        [Label.agent]: declaration.name,
        [Label.declaration]: encodeDeclaration(declaration),
      });
    },
    make: async (declaration, spoil = () => undefined) => {
      await volume(workspaceVolume(stack, declaration.name));
      const spec = agentContainer(declaration);
      const body = providerBody(spec);
      spoil(body);
      const { Id } = await engine<{ Id: string }>(
        `/v1.41/containers/create?name=${spec.name}`,
        "POST",
        body,
      );
      const networks = Object.entries(spec.Networks);
      if (networks.length > 0) {
        await engineAnswer("/networks/bridge/disconnect", "POST", { Container: Id });
      }
      for (const [name, Aliases] of networks) {
        await engine(`/networks/${name}/connect`, "POST", {
          Container: Id,
          EndpointConfig: { Aliases, IPAMConfig: {}, DriverOpts: {} },
        });
      }
      return Id;
    },
    start,
    stop,
    close: async () => {
      await stop();
      for (const kind of ["container", "volume", "network"] as const) {
        const objects = (await labelled(stack)).filter((name) => name.startsWith(`${kind}:`));
        for (const object of objects) {
          const name = object.slice(kind.length + 1);
          await engineAnswer(`/${kind}s/${name}?force=1&v=1`, "DELETE");
        }
      }
      await engineAnswer(`/images/${image}?force=1`, "DELETE");
      rmSync(scratch, { recursive: true, force: true });
      rmSync(runDirectory(stack), { recursive: true, force: true });
      const left = await labelled(stack);
      if (left.length > 0) throw new Error(`left behind: ${left.join(", ")}`);
    },
  };
}

/**
 * A create body as the docker provider writes it: no pids limit, networks joined later, each bind with a word for its
 * mode and its target as a volume. test/integration/instances.test.ts compares with what it really makes.
 */
export function providerBody(spec: ContainerSpec): Body {
  const { NetworkingConfig, HostConfig, ...config } = createBody(spec) as Body;
  const { PidsLimit, ...host } = HostConfig;
  const joins = Object.keys(spec.Networks).length > 0;
  const binds = spec.HostConfig.Binds.map((bind) => bind.split(":"));
  return {
    ...config,
    Volumes: Object.fromEntries(binds.map(([, target]) => [target, {}])),
    HostConfig: {
      ...host,
      Binds: binds.map(([source, target, mode = "rw"]) => `${source}:${target}:${mode}`),
      NetworkMode: joins ? "default" : host.NetworkMode,
    },
  };
}

/** An image of the node that runs this test, the libraries that it loads and the proxy's bundle, and nothing else. */
async function importImage(image: string, scratch: string): Promise<void> {
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
  rmSync(root, { recursive: true, force: true });
  rmSync(archive, { force: true });
}
