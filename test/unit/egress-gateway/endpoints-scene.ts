import { randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import tls from "node:tls";
import { listenUnix, sendJson } from "../../../services/common/http.ts";
import { secretStore } from "../../../services/egress-gateway/endpoints/store.ts";
import { defaultLimits, type Limits } from "../../../services/egress-gateway/limits.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import type { Endpoint } from "../../../spec/secrets.ts";
import { Authority } from "./certificates.ts";
import { declaration, listen, TestGateway, type World, world } from "./support.ts";

/** Addresses of the outside world; public as far as the gateway can tell. */
export const site = "203.0.113.10";
export const other = "203.0.113.20";

/** One request as the other side saw it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Lower-case names and values in their order. */
  readonly raw: readonly string[];
  readonly body: string;
}

type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

const authority = new Authority();
// As NODE_EXTRA_CA_CERTS does at the start of a process.
tls.setDefaultCACertificates([authority.cert]);

/** A certificate by the authority that is trusted here. */
export const issue: Authority["issue"] = (hosts, validity) => authority.issue(hosts, validity);

/** An HTTPS server of the outside with a certificate for its names, by the authority that is trusted here unless told otherwise. */
export async function outside(
  handler: Handler,
  certificate = issue(["api.example.com", "other.example.com"]),
): Promise<{ readonly port: number } & AsyncDisposable> {
  const server: net.Server = https.createServer(certificate, handler);
  return listen(server);
}

/** The endpoint that most tests have. */
export const model: Endpoint = {
  url: "https://api.example.com/v1",
  headers: { authorization: "Bearer {{ op://agents/lal/model-key }}", "x-plan": "basic" },
};

/** Declares an endpoint `model`. */
export function withModel(name: string, endpoint: Endpoint = model): Declaration {
  return declaration(name, { endpoints: { model: endpoint } });
}

/** A secret store and an API of the test's own, real servers both, and a gateway between. */
export class EndpointScene implements AsyncDisposable {
  readonly test: TestGateway;
  readonly wire: World;
  readonly seen: Seen[];
  /** Paths that the store was asked for. */
  readonly asked: string[] = [];
  /** What the store has, by `agent/name`. */
  readonly values = new Map<string, { url: string; headers: Record<string, string> }>();
  /** What the store does: tells, says that it cannot, stays silent, is broken. */
  store: "up" | "locked" | "silent" | "broken" = "up";
  readonly #servers: readonly AsyncDisposable[];
  readonly #store: http.Server;
  readonly #storePath: string;

  /** @param handler what the API does with a request; it tells what it was asked unless told otherwise */
  static async start(
    options: {
      readonly handler?: Handler;
      readonly limits?: Partial<Limits>;
      readonly names?: Readonly<Record<string, readonly string[]>>;
      readonly listeners?: Readonly<Record<string, number>>;
      readonly privateHosts?: readonly string[];
    } = {},
  ): Promise<EndpointScene> {
    const seen: Seen[] = [];
    const api = await outside(options.handler ?? mirror(seen));
    const storePath = `/tmp/store-${process.pid}-${randomBytes(6).toString("hex")}.sock`;
    const wire = world(
      { "api.example.com": [site], "other.example.com": [other], ...options.names },
      { [`${site}:443`]: api.port, ...options.listeners },
    );
    const limits = { endpointFreshMs: 100, endpointRetryMs: 20, storeMs: 300, ...options.limits };
    const test = new TestGateway({
      wire,
      limits,
      askStore: secretStore({ socketPath: storePath }, { ...defaultLimits, ...limits }.storeMs),
      ...(options.privateHosts ? { privateHosts: options.privateHosts } : {}),
    });
    const scene = new EndpointScene(test, wire, seen, [api], storePath);
    await scene.comeBack();
    return scene;
  }

  constructor(
    test: TestGateway,
    wire: World,
    seen: Seen[],
    servers: readonly AsyncDisposable[],
    storePath: string,
  ) {
    this.test = test;
    this.wire = wire;
    this.seen = seen;
    this.#servers = servers;
    this.#storePath = storePath;
    this.#store = http.createServer((request, response) => this.#tell(request, response));
  }

  /** Gives an agent's endpoint a key, as its template has it. */
  give(agent: string, key: string, name = "model", endpoint: Endpoint = model): void {
    const headers = Object.fromEntries(
      Object.entries(endpoint.headers).map(([h, text]) => [h, text.replace(/\{\{.*?\}\}/, key)]),
    );
    this.values.set(`${agent}/${name}`, { url: endpoint.url, headers });
  }

  /** The store's process ends. */
  async goAway(): Promise<void> {
    await new Promise((resolve) => this.#store.close(resolve));
  }

  /** It is there again. */
  async comeBack(): Promise<void> {
    await listenUnix(this.#store, this.#storePath, 0o600);
  }

  /** Makes these the declarations. */
  async apply(...declarations: readonly Declaration[]): Promise<void> {
    await this.test.gateway.apply(declarations);
  }

  #tell(request: http.IncomingMessage, response: http.ServerResponse): void {
    const url = request.url ?? "";
    this.asked.push(url);
    const found = this.values.get(url.replace("/endpoints/", ""));
    if (this.store === "silent") return;
    if (this.store === "broken") response.end('{"url": "broken-off-key');
    else if (this.store === "locked") sendJson(response, 503, { message: "The store is locked." });
    else if (!found) sendJson(response, 404, { message: "There is no such endpoint." });
    else sendJson(response, 200, { ...found, version: "7" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.test[Symbol.asyncDispose]();
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
    this.#store.closeAllConnections();
    this.#store.close();
  }
}

/** Answers with what it was asked, once the body is whole. */
export function mirror(seen: Seen[]): Handler {
  return (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const raw = request.rawHeaders.map((text) => text.toLowerCase());
      seen.push({ method, url, headers, raw, body: Buffer.concat(parts).toString() });
      sendJson(response, 200, { url });
    });
  };
}

export const key = "sk-Canary-1234567890";
export const path = "/endpoints/model/chat/completions";
export const reasonIn = (answer: { text: string }) =>
  (JSON.parse(answer.text) as { reason: string }).reason;

/** A scene with lal, its endpoint and key. */
export async function started(options: Parameters<typeof EndpointScene.start>[0] = {}) {
  const scene = await EndpointScene.start(options);
  scene.give("lal", key);
  await scene.apply(withModel("lal"));
  return scene;
}

/** An answer that is read as it comes. */
export function open(
  socketPath: string,
  options: http.RequestOptions = {},
): Promise<{ answer: http.IncomingMessage; sent: http.ClientRequest }> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ socketPath, path, agent: false, ...options });
    sent.on("response", (answer) => resolve({ answer, sent }));
    sent.on("error", reject);
    if (options.method !== "POST") sent.end();
  });
}
