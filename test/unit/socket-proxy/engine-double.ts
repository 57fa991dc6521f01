import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import http from "node:http";
import type { ContainerSpec } from "../../../spec/container.ts";
import { type Declaration, encodeDeclaration } from "../../../spec/declaration.ts";
import { Label } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";

/** A request as the Engine double received it. */
export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly headers: readonly string[];
}

type Members = Record<string, unknown>;

/** A container of the double: its list entry is derived from its inspect answer. */
export interface DoubleContainer {
  inspect: Members & { Id: string; Name: string };
}

/** An Engine on a unix socket that records what it is asked, and answers as Engine 26 does. */
export class EngineDouble {
  readonly recorded: Recorded[] = [];
  readonly containers = new Map<string, DoubleContainer>();
  readonly volumes = new Map<string, Members>();
  readonly images = new Map<string, Members>();
  readonly networks = new Map<string, Members>();
  /** What containers have written, by id. */
  readonly logs = new Map<string, string>();
  /** Id of the next container that is created. */
  nextId: string | undefined;
  /** Sees, and may change, what was made of a create. */
  onCreate: ((container: DoubleContainer) => void) | undefined;
  /** Takes a request before the double does; true: it has answered. */
  intercept: ((request: Recorded, response: http.ServerResponse) => boolean) | undefined;
  readonly #server: http.Server;
  readonly #eventStreams = new Set<http.ServerResponse>();
  readonly #waiting = new Map<string, Set<http.ServerResponse>>();

  constructor() {
    this.#server = http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const recorded = {
          method: request.method ?? "",
          path: request.url ?? "",
          body: Buffer.concat(parts).toString(),
          headers: request.rawHeaders,
        };
        this.recorded.push(recorded);
        if (!this.intercept?.(recorded, response)) this.#answer(recorded, response);
      });
    });
  }

  listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    return new Promise((resolve) => this.#server.listen(path, resolve));
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    return closed;
  }

  /** Requests beside those that the proxy makes of its own accord at any time. */
  asked(): string[] {
    return this.recorded
      .filter(({ path }) => !/\/events\?|\/volumes\?|limit=1$/.test(path))
      .map(({ method, path }) => `${method} ${path.split("?")[0]}`);
  }

  get eventStreams(): number {
    return this.#eventStreams.size;
  }

  dropEventStreams(): void {
    for (const stream of this.#eventStreams) stream.destroy();
  }

  emit(event: object): void {
    for (const stream of this.#eventStreams) stream.write(`${JSON.stringify(event)}\n`);
  }

  /** Adds a declaration volume and tells of it. */
  declare(declaration: Declaration, options: { name?: string; created?: string } = {}): string {
    const name = options.name ?? `${declaration.name}-${this.volumes.size}`;
    this.volumes.set(name, {
      Name: name,
      Driver: "local",
      Options: null,
      CreatedAt: options.created ?? "2026-01-01T00:00:00Z",
      Labels: {
        [Label.stack]: declaration.stack,
        [Label.agent]: declaration.name,
        [Label.declaration]: encodeDeclaration(declaration),
      },
    });
    this.emit({ Type: "volume", Action: "create", Actor: { ID: name, Attributes: {} } });
    return name;
  }

  /** Makes a container as the Engine would from a rendering, and what it needs. */
  make(spec: ContainerSpec, id: string): DoubleContainer {
    const stack = spec.Labels[Label.stack] ?? "";
    for (const bind of spec.HostConfig.Binds) {
      const name = bind.split(":")[0] ?? "";
      if (name.startsWith("/")) continue;
      this.volumes.set(name, {
        Name: name,
        Driver: "local",
        Options: null,
        Labels: { [Label.stack]: stack },
      });
    }
    for (const name of Object.keys(spec.Networks)) {
      const labels = { [Label.stack]: stack };
      this.networks.set(name, { Name: name, Id: "e".repeat(64), Internal: true, Labels: labels });
    }
    this.images.set(spec.Image, imageOf());
    const container = { inspect: inspectOf(spec, id) };
    this.containers.set(id, container);
    return container;
  }

  #answer(request: Recorded, response: http.ServerResponse): undefined {
    const url = new URL(request.path, "http://engine");
    const json = (value: unknown, status = 200): undefined => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(`${JSON.stringify(value)}\n`);
    };
    const missing = (): undefined => json({ message: `No such thing: ${request.path}` }, 404);
    const path = url.pathname.replace(/^\/v1\.41/, "");
    const found = (map: Map<string, Members>, key: string) => {
      const value = map.get(decodeURIComponent(key));
      return value ? json(value) : missing();
    };
    if (path === "/_ping") {
      response.end("OK");
      return;
    }
    if (path === "/version") return json({ ApiVersion: "1.45", MinAPIVersion: "1.24" });
    if (path === "/info") {
      return json({ DefaultRuntime: "runc", CgroupVersion: "2", SwapLimit: true });
    }
    if (path === "/events") {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      this.#eventStreams.add(response);
      response.on("close", () => this.#eventStreams.delete(response));
      return;
    }
    if (path === "/volumes") {
      const all = [...this.volumes.values()];
      return json({ Volumes: all.filter((v) => labelsOf(v)[Label.declaration] !== undefined) });
    }
    if (path.startsWith("/volumes/")) return found(this.volumes, path.slice("/volumes/".length));
    if (path.startsWith("/networks/")) return found(this.networks, path.slice("/networks/".length));
    if (path.startsWith("/images/")) {
      return found(this.images, path.slice("/images/".length, -"/json".length));
    }
    if (path === "/containers/json") return json(this.#list(url));
    if (path === "/containers/create" && request.method === "POST") {
      return this.#create(url.searchParams.get("name") ?? "", request.body, json);
    }
    const [, , id = "", verb = ""] = path.split("/");
    const container = this.containers.get(id);
    if (!container) return missing();
    if (request.method === "DELETE" && verb === "") {
      this.exit(id, 137);
      this.containers.delete(id);
      this.emit(containerEvent(container, "destroy"));
      response.writeHead(204);
      response.end();
      return;
    }
    this.#container(container, verb, request, response, json);
  }

  #container(
    { inspect }: DoubleContainer,
    verb: string,
    request: Recorded,
    response: http.ServerResponse,
    json: (value: unknown, status?: number) => undefined,
  ): undefined {
    const state = inspect.State as Members;
    const host = inspect.HostConfig as Members;
    const empty = (status: number): undefined => {
      response.writeHead(status);
      response.end();
    };
    if (verb === "json") return json(inspect);
    if (verb === "update") {
      Object.assign(host, JSON.parse(request.body));
      return json({ Warnings: null });
    }
    if (verb === "start") {
      if (state.Running) return empty(304);
      Object.assign(state, {
        Running: true,
        Status: "running",
        StartedAt: new Date().toISOString(),
      });
      this.emit(containerEvent({ inspect }, "start"));
      return empty(204);
    }
    if (verb.startsWith("kill")) {
      if (!state.Running) return json({ message: "is not running" }, 409);
      this.exit(inspect.Id, 137);
      return empty(204);
    }
    if (verb.startsWith("stats"))
      return json({ name: inspect.Name, pids_stats: { current: 3 }, networks: { secret: 1 } });
    if (verb === "logs") {
      response.writeHead(200, { "content-type": "application/vnd.docker.raw-stream" });
      response.end(logFrames(this.logs.get(inspect.Id) ?? ""));
      return;
    }
    if (verb === "stop") {
      if (!state.Running) return empty(304);
      this.exit(inspect.Id, 143);
      return empty(204);
    }
    if (verb === "wait") {
      response.writeHead(200, { "content-type": "application/json" });
      response.flushHeaders();
      const waiting = this.#waiting.get(inspect.Id) ?? new Set();
      this.#waiting.set(inspect.Id, waiting.add(response));
      return;
    }
    json({ message: "the double does not know this" }, 500);
  }

  /** Makes a container of a create body, as the Engine would. */
  #create(
    name: string,
    text: string,
    json: (value: unknown, status?: number) => undefined,
  ): undefined {
    const body = JSON.parse(text) as CreatedBody;
    if ([...this.containers.values()].some(({ inspect }) => inspect.Name === `/${name}`)) {
      return json({ message: `Conflict. The container name "/${name}" is already in use` }, 409);
    }
    if (!this.images.has(body.Image)) return json({ message: `No such image: ${body.Image}` }, 404);
    const id = (this.nextId ?? randomBytes(32).toString("hex")).padEnd(64, "0");
    this.nextId = undefined;
    const made = { inspect: inspectOfBody(name, body, id) };
    this.onCreate?.(made);
    this.containers.set(id, made);
    this.emit(containerEvent(made, "create"));
    return json({ Id: id, Warnings: [] }, 201);
  }

  /** Ends a container. */
  exit(id: string, code: number): void {
    const container = this.containers.get(id);
    if (!container) return;
    const state = container.inspect.State as Members;
    const wasRunning = state.Running === true;
    const finished = { FinishedAt: new Date().toISOString() };
    Object.assign(state, {
      Running: false,
      Status: wasRunning ? "exited" : state.Status,
      ExitCode: code,
      ...finished,
    });
    if (wasRunning) this.emit(containerEvent(container, "die"));
    for (const response of this.#waiting.get(id) ?? []) {
      response.end(`${JSON.stringify({ StatusCode: code })}\n`);
    }
    this.#waiting.delete(id);
  }

  #list(url: URL): Members[] {
    const filters = JSON.parse(url.searchParams.get("filters") ?? "{}") as Record<string, string[]>;
    return [...this.containers.values()]
      .map(({ inspect }) => inspect)
      .filter((inspect) => {
        const labels = labelsOf(inspect.Config as Members);
        const hasLabels = (filters.label ?? []).every((wanted) => {
          const [key = "", value] = wanted.split("=");
          return labels[key] === value;
        });
        const hasId = filters.id?.every((id) => inspect.Id.startsWith(id)) ?? true;
        const hasName = filters.name?.every((name) => new RegExp(name).test(inspect.Name)) ?? true;
        return hasLabels && hasId && hasName;
      })
      .map((inspect) => ({
        Id: inspect.Id,
        Names: [inspect.Name],
        Image: (inspect.Config as Members).Image,
        ImageID: inspect.Image,
        Command: "secret-command",
        Created: 1,
        Labels: labelsOf(inspect.Config as Members),
        State: (inspect.State as Members).Status,
        Status: "Up 2 minutes",
        HostConfig: { NetworkMode: (inspect.HostConfig as Members).NetworkMode },
        NetworkSettings: inspect.NetworkSettings,
        Mounts: inspect.Mounts,
      }));
  }
}

interface CreatedBody {
  readonly Image: string;
  readonly Labels: Record<string, string>;
  readonly Env: readonly string[];
  readonly HostConfig: Members & { readonly Binds: readonly string[] };
  readonly NetworkingConfig?: {
    readonly EndpointsConfig: Record<string, { readonly Aliases: readonly string[] }>;
  };
}

function inspectOfBody(name: string, body: CreatedBody, id: string): DoubleContainer["inspect"] {
  const endpoints = Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {});
  const inspect = inspectOf(
    {
      ...(body as unknown as ContainerSpec),
      name,
      Networks: Object.fromEntries(endpoints.map(([net, { Aliases }]) => [net, Aliases])),
    },
    id,
  );
  (inspect.HostConfig as Members).PidsLimit = body.HostConfig.PidsLimit;
  return inspect;
}

function containerEvent({ inspect }: DoubleContainer, action: string): object {
  const labels = labelsOf(inspect.Config as Members);
  return {
    Type: "container",
    Action: action,
    Actor: { ID: inspect.Id, Attributes: { ...labels, name: inspect.Name.slice(1) } },
  };
}

/** Output as the Engine's log frames. */
function logFrames(text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

function labelsOf(value: Members): Record<string, string> {
  return (value.Labels ?? {}) as Record<string, string>;
}

/** The id of the double's one image. */
export const imageId = `sha256:${"c".repeat(64)}`;

/** An image as inspect shows it. */
export function imageOf(): Members {
  return {
    Id: imageId,
    RepoTags: ["localhost/berth/node:0123456789ab"],
    Created: "2026-01-01T00:00:00Z",
    Size: 5,
    Config: { Env: ["PATH=/usr/bin"], Labels: { "berth.image": "node" }, Volumes: null },
  };
}

/** A declaration of stack `dev`. */
export function declarationOf(changes: Partial<Declaration> = {}): Declaration {
  return {
    version: 1,
    stack: "dev",
    name: "lal",
    driver: "docker",
    image: "localhost/berth/node:0123456789ab",
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "manual",
    preset: "agent",
    limits: presets.agent,
    chat: { channels: ["town-square"], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: true },
    ...changes,
  };
}

/** What Engine 26.1 answers to an inspect of a container made from a rendering and not yet started (seen there). */
export function inspectOf(spec: ContainerSpec, id: string): DoubleContainer["inspect"] {
  const { Env, Labels, HostConfig } = spec;
  const image = imageOf().Config as { Env: string[]; Labels: Record<string, string> };
  const endpoint = { IPAMConfig: {}, Links: null, DriverOpts: null, NetworkID: "" };
  const networks = Object.entries(spec.Networks).map(([name, aliases]) => [
    name,
    { ...endpoint, Aliases: [...aliases, id.slice(0, 12)] },
  ]);
  return structuredClone({
    Id: id,
    Name: `/${spec.name}`,
    Created: "2026-01-01T00:00:00.5Z",
    Path: spec.Entrypoint?.[0],
    Args: spec.Entrypoint?.slice(1),
    State: {
      Status: "created",
      Running: false,
      Pid: 0,
      ExitCode: 0,
      Error: "",
      StartedAt: "0001-01-01T00:00:00Z",
      FinishedAt: "0001-01-01T00:00:00Z",
    },
    Image: imageId,
    LogPath: "/var/lib/docker/x.log",
    RestartCount: 0,
    Platform: "linux",
    AppArmorProfile: "",
    HostConfig: {
      ...HostConfig,
      Binds: HostConfig.Binds.map((bind) => (bind.endsWith(":ro") ? bind : `${bind}:rw`)),
      PidsLimit: null,
      CapAdd: null,
      PortBindings: {},
      RestartPolicy: { ...HostConfig.RestartPolicy, MaximumRetryCount: 0 },
      ConsoleSize: [0, 0],
      CgroupnsMode: "private",
      Runtime: "runc",
      Privileged: false,
      PidMode: "",
      UTSMode: "",
      UsernsMode: "",
      Devices: null,
      OomKillDisable: null,
      MemorySwappiness: null,
      MaskedPaths: [
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
      ],
      ReadonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
    Mounts: HostConfig.Binds.map((bind) => {
      const [source = "", Destination, mode] = bind.split(":");
      const RW = mode !== "ro";
      return source.startsWith("/")
        ? { Type: "bind", Source: source, Destination, RW, Propagation: "rprivate" }
        : { Type: "volume", Name: source, Destination, RW, Driver: "local", Propagation: "" };
    }),
    Config: {
      Hostname: id.slice(0, 12),
      Domainname: "",
      User: spec.User,
      AttachStdin: false,
      Tty: false,
      Env: [...Env, ...image.Env],
      Cmd: null,
      Healthcheck: { Test: ["NONE"] },
      Image: spec.Image,
      Volumes: Object.fromEntries(HostConfig.Binds.map((bind) => [bind.split(":")[1], {}])),
      WorkingDir: spec.WorkingDir,
      Entrypoint: spec.Entrypoint,
      Labels: { ...image.Labels, ...Labels },
      StopSignal: spec.StopSignal,
      StopTimeout: spec.StopTimeout,
    },
    NetworkSettings: {
      Networks:
        networks.length > 0
          ? Object.fromEntries(networks)
          : { none: { Aliases: null, IPAMConfig: null } },
    },
  });
}
