import { randomBytes } from "node:crypto";
import http from "node:http";
import type WebSocket from "ws";
import { WebSocketServer } from "ws";
import { listenUnix, sendJson } from "../../../services/common/http.ts";
import type { Limits } from "../../../services/egress-gateway/limits.ts";
import {
  adminBridgeChannels,
  adminBridgeMint,
} from "../../../services/egress-gateway/mattermost/tokens.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { call, declaration, listen, TestGateway, until } from "./support.ts";

/** An id as Mattermost makes them: the bot's, and that of its one channel. */
export const id = "abcdefghijklmnopqrstuvwxyz";
/** A new id. */
export const fresh = () => randomBytes(13).toString("hex");

/** What a request looked like when it reached Mattermost. */
interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** A Mattermost and an admin bridge of the test's own, real servers both, and a gateway between. */
export class Scene implements AsyncDisposable {
  /** Tokens that Mattermost takes now. */
  readonly valid = new Set<string>();
  /** Every token that was ever minted. */
  readonly minted: string[] = [];
  readonly seen: Seen[] = [];
  /** Open WebSockets at the server, by the token that they came with. */
  readonly sockets = new Map<WebSocket, string | undefined>();
  /** Status of the admin bridge's next answers; 200 mints. */
  bridge = 200;
  bridgeDelayMs = 0;
  /** Mattermost also lets each newly minted token in. Off: a disabled bot. */
  accepting = true;
  readonly test: TestGateway;
  readonly #open: readonly AsyncDisposable[];
  readonly #bridge = http.createServer((request, response) => void this.#mint(request, response));

  static async start(limits: Partial<Limits> = {}): Promise<Scene> {
    const server = http.createServer();
    const mattermost = await listen(server);
    const socketPath = `/tmp/mint-${process.pid}-${fresh()}.sock`;
    const test = new TestGateway({
      mint: adminBridgeMint({ socketPath }),
      findChannels: adminBridgeChannels({ socketPath }),
      mattermost: `http://127.0.0.1:${mattermost.port}`,
      limits: { tokenRetryFirstMs: 20, tokenRetryMostMs: 20, tokenRenewEveryMs: 0, ...limits },
    });
    const scene = new Scene(test, mattermost);
    server.on("request", (request, response) => {
      scene.#answer(request, response).catch(() => response.destroy());
    });
    const ws = new WebSocketServer({ server, path: "/api/v4/websocket" });
    ws.on("connection", (socket, request) => {
      const token = tokenOf(request.headers);
      scene.seen.push({
        method: "GET",
        url: request.url ?? "",
        headers: request.headers,
        body: "",
      });
      scene.sockets.set(socket, token);
      socket.on("close", () => scene.sockets.delete(socket));
      socket.on("message", (data) => socket.send(`echo ${data}`));
      if (token && scene.valid.has(token)) socket.send(JSON.stringify({ event: "hello", seq: 0 }));
    });
    await listenUnix(scene.#bridge, socketPath, 0o666);
    return scene;
  }

  constructor(test: TestGateway, mattermost: AsyncDisposable) {
    this.test = test;
    this.#open = [mattermost];
  }

  /** Declares lal and waits until its token is there. */
  async ready(members: Partial<Declaration> = {}): Promise<string> {
    await this.test.gateway.apply([declaration("lal", members)]);
    const socket = this.test.socket("lal");
    await until("the token", async () => (await call(socket, { path: "/healthz" })).status === 200);
    return socket;
  }

  get token(): string {
    return this.minted.at(-1) ?? "";
  }

  /** Channels that the admin bridge says are the agent's. */
  channelIds: readonly string[] = [id];
  mints = 0;
  /** What Mattermost answers by its path below the API, in place of an echo. */
  readonly things = new Map<string, unknown>([[`/posts/${id}`, { id, channel_id: id }]]);

  async #mint(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let body = "";
    for await (const part of request) body += part;
    await new Promise((resolve) => setTimeout(resolve, this.bridgeDelayMs));
    if (this.bridge !== 200) return sendJson(response, this.bridge, { message: "not ready" });
    const { channelIds } = this;
    if (request.url === "/channels") return sendJson(response, 200, { userId: id, channelIds });
    const { agent } = JSON.parse(body) as { agent: string };
    const token = fresh();
    this.valid.clear();
    if (this.accepting) this.valid.add(token);
    this.minted.push(token);
    this.mints += 1;
    sendJson(response, 200, { token, userId: id, username: agent, channelIds });
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    let body = "";
    for await (const part of request) body += part;
    this.seen.push({ method, url, headers, body });
    const token = tokenOf(headers);
    response.setHeader("set-cookie", "MMAUTHTOKEN=session");
    response.setHeader("token", "session");
    response.setHeader("x-request-id", "r1");
    if (url.endsWith("/system/ping")) return sendJson(response, 200, { status: "OK" });
    if (!token || !this.valid.has(token))
      return sendJson(response, 401, { id: "api.context.session_expired.app_error" });
    const thing = this.things.get(url.replace("/api/v4", ""));
    if (method === "GET" && thing) return sendJson(response, 200, thing);
    sendJson(response, method === "POST" ? 201 : 200, { method, url, length: body.length });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.test[Symbol.asyncDispose]();
    this.#bridge.close();
    for (const socket of this.sockets.keys()) socket.terminate();
    for (const open of this.#open) await open[Symbol.asyncDispose]();
  }
}

function tokenOf(headers: http.IncomingHttpHeaders): string | undefined {
  return /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1];
}
