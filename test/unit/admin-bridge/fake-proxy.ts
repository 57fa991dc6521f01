import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Declaration } from "../../../spec/declaration.ts";
import { instanceName, Label, objectName } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";

export const image = "localhost/berth/agent-node:0123456789ab";

/** A declaration with what a test does not care about filled in. */
export function declare(name: string, change: Partial<Declaration> = {}): Declaration {
  return {
    version: 1,
    stack: "t",
    name,
    driver: "docker",
    image,
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    preset: "agent",
    limits: presets.agent,
    chat: {
      channels: ["town-square"],
      trigger: "mention",
      access: { mode: "allowlist", users: ["ada"] },
    },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: false },
    ...change,
  };
}

export interface FakeContainer {
  id: string;
  state: string;
  exitCode: number;
}

/** A socket proxy over a table of containers, as far as the admin bridge asks. */
export class FakeProxy {
  readonly containers = new Map<string, FakeContainer>();
  readonly calls: string[] = [];
  readonly startedAt = new Map<string, number>();
  declarations: Declaration[] = [];
  /** Alerts that a new listener gets. */
  readonly alerts: object[] = [];
  /** What `/berth/metrics` answers; undefined: nothing, ever. */
  metrics: string | undefined = "berth_socket_proxy_instances 0\n";
  /** Status of the image question: 200, 404 or 403. */
  imageStatus = 200;
  networkStatus = 200;
  /** What a start answers instead of succeeding. */
  startFailure: { status: number; message: string } | undefined;
  /** How long a stop takes, in ms. */
  stopMs = 0;
  log = Buffer.alloc(0);
  readonly #server: http.Server;
  readonly #watchers = new Set<http.ServerResponse>();
  readonly #listeners = new Set<http.ServerResponse>();
  readonly #alerted = new Set<http.ServerResponse>();
  readonly #instances: object[] = [];
  #ids = 0;

  constructor() {
    this.#server = http.createServer((request, response) => this.#answer(request, response));
  }

  async open(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, "127.0.0.1", resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint() {
    return { host: "127.0.0.1", port: this.port };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Sets the declarations, makes their containers as Pulumi would, and tells the watchers. */
  declare(...declarations: Declaration[]): void {
    this.declarations = declarations;
    for (const d of declarations) {
      if (d.driver === "docker" && !this.containers.has(d.name)) this.create(d.name);
    }
    for (const watcher of this.#watchers) watcher.write(`${JSON.stringify(declarations)}\n`);
  }

  create(name: string): void {
    this.#ids += 1;
    const id = String(this.#ids).padStart(64, "a");
    this.containers.set(name, { id, state: "created", exitCode: 0 });
    this.event("create", name);
  }

  /** A further container of an agent's template, as the proxy makes it; its name need not be one that the proxy gives. */
  createInstance(
    agent: string,
    instance: string,
    name = instanceName("t", `${agent}.agent`, instance),
  ): void {
    this.#ids += 1;
    this.#instances.push({
      Id: String(this.#ids).padStart(64, "b"),
      Names: [`/${name}`],
      State: "running",
      Labels: {
        [Label.stack]: "t",
        [Label.component]: "agent",
        [Label.agent]: agent,
        [Label.template]: `${agent}.agent`,
        [Label.instance]: instance,
      },
    });
  }

  /** Raises an alert: kept for those who come later, and told to who listens. */
  alert(alert: object): void {
    this.alerts.push(alert);
    for (const listener of this.#alerted) listener.write(`${JSON.stringify(alert)}\n`);
  }

  /** Breaks the streams of alerts off. */
  dropAlerts(): void {
    for (const listener of this.#alerted) listener.destroy();
  }

  get alertStreams(): number {
    return this.#alerted.size;
  }

  /** A container ends by itself. */
  die(name: string, exitCode: number, state = "exited"): void {
    const container = this.container(name);
    container.state = state;
    container.exitCode = exitCode;
    this.event("die", name);
  }

  remove(name: string): void {
    this.event("destroy", name);
    this.containers.delete(name);
  }

  container(name: string): FakeContainer {
    const container = this.containers.get(name);
    if (!container) throw new Error(`no container ${name}`);
    return container;
  }

  event(action: string, name: string): void {
    const { id, exitCode } = this.container(name);
    const attributes = { name: objectName("t", name), "berth.agent": name };
    const line = JSON.stringify({
      Type: "container",
      Action: action,
      Actor: {
        ID: id,
        Attributes: action === "die" ? { ...attributes, exitCode: String(exitCode) } : attributes,
      },
      time: 0,
    });
    for (const listener of this.#listeners) listener.write(`${line}\n`);
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): unknown {
    const url = new URL(request.url ?? "/", "http://proxy");
    const path = url.pathname;
    this.calls.push(`${request.method} ${path}`);
    const send = (status: number, value: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    const open = (group: Set<http.ServerResponse>, first?: string) => {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.flushHeaders();
      if (first) response.write(first);
      group.add(response);
      response.on("close", () => group.delete(response));
    };
    if (path === "/_ping") return send(200, "OK");
    if (url.pathname === "/berth/declarations" && !url.searchParams.has("watch")) {
      return send(200, this.declarations);
    }
    if (path === "/berth/declarations") {
      return open(this.#watchers, `${JSON.stringify(this.declarations)}\n`);
    }
    if (path === "/berth/alerts") {
      return open(this.#alerted, this.alerts.map((alert) => `${JSON.stringify(alert)}\n`).join(""));
    }
    if (path === "/berth/metrics") {
      if (this.metrics === undefined) return undefined;
      response.writeHead(200, { "content-type": "text/plain" });
      return response.end(this.metrics);
    }
    if (path === "/events") return open(this.#listeners);
    if (path === "/containers/json") {
      const list = [...this.containers].map(([name, c]) => ({
        Id: c.id,
        Names: [`/${objectName("t", name)}`],
        State: c.state,
        Labels: { [Label.stack]: "t", [Label.component]: "agent", [Label.agent]: name },
      }));
      return send(200, [...list, ...this.#instances]);
    }
    if (path.startsWith("/images/")) {
      return send(this.imageStatus, { message: `No such image: ${image}`, Id: "sha256:0" });
    }
    if (path.startsWith("/networks/")) {
      return send(this.networkStatus, { message: "network not found", Name: "n" });
    }
    const [, name = "", verb = ""] =
      /^\/containers\/berth-t-([a-z0-9-]+)\/(json|start|stop|logs)$/.exec(path) ?? [];
    const container = this.containers.get(name);
    if (!container) return send(404, { message: `No such container: ${name}` });
    return this.#act(name, container, verb, url, send, response);
  }

  #act(
    name: string,
    container: FakeContainer,
    verb: string,
    url: URL,
    send: (status: number, value: unknown) => void,
    response: http.ServerResponse,
  ): unknown {
    if (verb === "json") {
      return send(200, { Id: container.id, State: { ExitCode: container.exitCode, Error: "" } });
    }
    if (verb === "logs") {
      this.calls.push(`tail ${url.searchParams.get("tail")}`);
      response.writeHead(200);
      return response.end(this.log);
    }
    if (verb === "start") {
      this.startedAt.set(name, performance.now());
      if (this.startFailure) {
        return send(this.startFailure.status, { message: this.startFailure.message });
      }
      container.state = "running";
      this.event("start", name);
      response.writeHead(204);
      return response.end();
    }
    return setTimeout(() => {
      if (container.state === "running") this.die(name, 0);
      response.writeHead(204);
      response.end();
    }, this.stopMs);
  }
}

/** Waits until `check` gives a value that is not undefined or false. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<Exclude<T, false | null | undefined>> {
  const end = Date.now() + timeoutMs;
  while (Date.now() < end) {
    const value = await check();
    if (value !== undefined && value !== false && value !== null)
      return value as Exclude<T, false | null | undefined>;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited for ${what}`);
}
