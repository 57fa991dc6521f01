import { type EngineClient, engineJson } from "../cli/engine-api.ts";
import { buildImages } from "../images/build.ts";
import { buildImage, hasImage } from "../images/engine-images.ts";
import { tarOf } from "../images/layer.ts";
import {
  agentContainer,
  type ContainerSpec,
  serviceContainer,
  workspaceVolume,
} from "../spec/container.ts";
import { createBody } from "../spec/create-body.ts";
import { type Declaration, encodeDeclaration, type Template } from "../spec/declaration.ts";
import { encodeGrants, type GrantsDocument } from "../spec/grants.ts";
import { instanceContainer, templatesOf } from "../spec/instance.ts";
import {
  instanceName,
  Label,
  objectName,
  Path,
  runDirectory,
  Service,
  templateId,
} from "../spec/names.ts";
import { presets, serviceLimits } from "../spec/presets.ts";
import { removeObjects } from "../test/support/stack.ts";
import type { Step } from "./proxy-load.ts";

/** Agents of the stack that is listed; the first one runs. */
const agents = Array.from({ length: 20 }, (_, i) => `crew${i}`);
const runningAgent = "crew0";
/** Templates of the running agent: one may have a hundred instances at once, and more are made. */
export const templateCount = 16;
/** The client of the proxy that is measured, and those that hold streams: a listener takes 512 connections. */
export const client = "bench";
export const streamClients = ["bench-events", "bench-wait", "bench-logs"] as const;
/** Containers that are removed side by side. */
const width = 8;
/** Longest time of a single call; the Engine removes hundreds of containers one after the other. */
const callMs = 120_000;

/** What the proxy's container gets beside its stack's name: grants under which no quota is ever met. */
export function proxyEnvironment(): Record<string, string> {
  const most = 1_000_000;
  const instances = {
    createsPerMinute: 100_000,
    instances: 10_000,
    memoryBytes: Number.MAX_SAFE_INTEGER,
    nanoCpus: Number.MAX_SAFE_INTEGER,
    pids: Number.MAX_SAFE_INTEGER,
  };
  const grant: GrantsDocument["clients"][string] = {
    listener: "unix",
    verbs: ["ping", "version", "list", "inspect", "create", "start", "wait", "logs", "events"],
    templates: ["*"],
    services: true,
    quotas: {
      ...instances,
      requestsPerSecond: most,
      requestBurst: most,
      streams: 1000,
      streamBytesPerSecond: Number.MAX_SAFE_INTEGER,
    },
  };
  return {
    BERTH_GRANTS: encodeGrants({
      version: 1,
      clients: Object.fromEntries([client, ...streamClients].map((name) => [name, grant])),
      stack: instances,
      // The refusals that are measured must not end in a suspension.
      suspension: { denials: most, windowSeconds: 1, seconds: 1 },
    }),
  };
}

/** A stack of the benchmark's own on the Engine: declared agents, one of them running, and the socket proxy. */
export class Stage {
  readonly stack: string;
  readonly engineSocket: string;
  /** Reference of the socket proxy's image. */
  readonly proxyImage: string;
  readonly #engine: EngineClient;
  readonly #program: string;
  readonly #say: (line: string) => void;

  private constructor(options: StageOptions, proxyImage: string) {
    this.stack = options.stack;
    this.engineSocket = options.engineSocket;
    this.proxyImage = proxyImage;
    this.#engine = options.engine;
    this.#program = `localhost/berth/bench-load:${options.load.key.slice(0, 12)}`;
    this.#say = options.say;
  }

  /** Makes images, declarations and containers. What it has made is removed where it fails. */
  static async create(options: StageOptions): Promise<Stage> {
    const { "socket-proxy": image = "" } = await buildImages({
      engine: options.engine,
      cacheDirectory: options.imageCache,
      log: options.say,
      only: ["socket-proxy"],
    });
    const stage = new Stage(options, image);
    try {
      await stage.#make(options.load.path);
    } catch (error) {
      await stage.remove();
      throw error;
    }
    return stage;
  }

  /** Name of the running agent's container. */
  get running(): string {
    return objectName(this.stack, runningAgent);
  }

  /** Name of the socket proxy's container. */
  get proxy(): string {
    return objectName(this.stack, Service.socketProxy);
  }

  /** A client's socket at the proxy. */
  socketOf(name: string): string {
    return `${runDirectory(this.stack)}/proxy/${name}/docker.sock`;
  }

  /** Requests that make and start an instance: at the Engine with the body that the proxy itself sends there, or by its template. */
  createAndStart(at: "engine" | "proxy"): readonly Step[] {
    const instance = "x{n}";
    if (at === "proxy") {
      const template = templateId(runningAgent, "t{k}");
      const body = { template, instance, parameters: {} };
      return [
        { Method: "POST", Path: "/berth/instances", Body: JSON.stringify(body) },
        {
          Method: "POST",
          Path: `/v1.41/containers/${instanceName(this.stack, template, instance)}/start`,
        },
      ];
    }
    // Of another stack, so that the proxy does not take them for its own and work for them, too.
    const [template] = templatesOf(this.#declaration(runningAgent, this.#direct));
    if (!template) throw new Error("the running agent has no template");
    const leaseEnds = Math.floor(Date.now() / 1000) + 3600;
    const spec = instanceContainer(template, { name: instance, client, parameters: {}, leaseEnds });
    return [
      {
        Method: "POST",
        Path: `/v1.41/containers/create?name=${spec.name}`,
        Body: JSON.stringify(createBody(spec)),
      },
      { Method: "POST", Path: `/v1.41/containers/${spec.name}/start` },
    ];
  }

  /** Removes all instances, whoever made them. */
  async removeInstances(): Promise<void> {
    const found: string[] = [];
    for (const stack of [this.stack, this.#direct]) {
      const filters = { label: [`${Label.stack}=${stack}`, Label.instance] };
      const listed = await engineJson<{ Id: string }[]>(this.#engine, {
        path: `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filters))}`,
      });
      found.push(...listed.map(({ Id }) => Id));
    }
    const worker = async () => {
      for (let id = found.pop(); id; id = found.pop()) {
        const path = `/containers/${id}?force=1&v=1`;
        await this.#engine.request({ method: "DELETE", path, timeoutMs: callMs });
      }
    };
    await Promise.all(Array.from({ length: width }, worker));
  }

  /** Removes everything that {@link create} and the measurements made; images of the project stay. */
  async remove(): Promise<void> {
    this.#say("removing what was made");
    await this.removeInstances();
    await removeObjects(this.stack);
    await this.#engine.request({ method: "DELETE", path: `/images/${this.#program}?force=1` });
  }

  get #direct(): string {
    return `${this.stack}-direct`;
  }

  /** Volume of the proxy's audit. */
  get #audit(): string {
    return objectName(this.stack, "audit");
  }

  async #make(program: string): Promise<void> {
    if (!(await hasImage(this.#engine, this.#program))) {
      const dockerfile = Buffer.from("FROM scratch\nCOPY load /load\n");
      const context = tarOf([
        { type: "file", path: "/Dockerfile", mode: 0o644, content: dockerfile },
        { type: "file", path: "/load", mode: 0o755, content: { file: program } },
      ]);
      await buildImage(this.#engine, this.#program, {}, context);
    }
    for (const name of agents) {
      const declaration = this.#declaration(name, this.stack);
      await this.#volume(objectName(this.stack, `${name}-declaration`), {
        [Label.agent]: name,
        [Label.declaration]: encodeDeclaration(declaration),
      });
      await this.#volume(workspaceVolume(this.stack, name), {});
      await this.#container(agentContainer(declaration));
    }
    await this.#post(`/containers/${this.running}/start`);
    await this.#volume(this.#audit, {});
    await this.#container(this.#proxyContainer());
  }

  #declaration(name: string, stack: string): Declaration {
    const template: Template = {
      preset: "sandbox",
      image: this.#program,
      command: ["/load", "exit"],
      env: {},
      parameters: {},
      limits: presets.sandbox,
      network: "none",
      workspace: "scratch",
      instances: { max: 100, timeoutSeconds: 3600 },
    };
    const templates = Array.from({ length: templateCount }, (_, i) => [`t${i}`, template]);
    return {
      version: 1,
      stack,
      name,
      driver: "docker",
      image: this.#program,
      runner: false,
      program: { command: ["/load", "hold"] },
      activation: "manual",
      preset: "sandbox",
      limits: presets.sandbox,
      chat: { channels: [], trigger: "mention", access: { mode: "open" } },
      network: "none",
      egress: [],
      secrets: {},
      workspace: { retain: false },
      ...(name === runningAgent ? { templates: Object.fromEntries(templates) } : {}),
    };
  }

  /** As components/socket-proxy.ts renders it, but for grants, network and healthcheck, which would be a Node process every 15 s. */
  #proxyContainer(): ContainerSpec {
    return serviceContainer({
      stack: this.stack,
      service: Service.socketProxy,
      image: this.proxyImage,
      limits: serviceLimits,
      user: "0:0",
      capabilities: ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"],
      init: false,
      env: { BERTH_STACK: this.stack, ...proxyEnvironment() },
      binds: [
        `${this.engineSocket}:${Path.dockerSocket}`,
        `${runDirectory(this.stack)}/proxy:${Path.proxyRun}`,
        `${this.#audit}:${Path.audit}`,
      ],
      networks: [],
      healthcheck: { test: ["NONE"] },
    });
  }

  async #container(spec: ContainerSpec): Promise<void> {
    await this.#post(`/containers/create?name=${spec.name}`, createBody(spec));
  }

  async #volume(name: string, labels: Record<string, string>): Promise<void> {
    await this.#post("/volumes/create", {
      Name: name,
      Labels: { [Label.stack]: this.stack, ...labels },
    });
  }

  async #post(path: string, body?: unknown): Promise<void> {
    await engineJson(this.#engine, { method: "POST", path, body, timeoutMs: callMs });
  }
}

/** What a stage is made with. */
export interface StageOptions {
  readonly stack: string;
  readonly engine: EngineClient;
  readonly engineSocket: string;
  /** The load program and its key. */
  readonly load: { readonly path: string; readonly key: string };
  readonly imageCache: string;
  readonly say: (line: string) => void;
}
