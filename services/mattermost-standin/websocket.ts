import type http from "node:http";
import { hostname } from "node:os";
import type { Duplex } from "node:stream";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { reasonOf } from "../common/log.ts";
import { type App, serverVersion } from "./app.ts";
import { presentedToken } from "./auth.ts";
import { ApiError } from "./errors.ts";
import { targetOf } from "./http.ts";
import { Connection, eventBody } from "./hub.ts";
import { isId } from "./ids.ts";
import { tellChannel } from "./posting.ts";
import { findChannelMember } from "./store/channels.ts";
import { type Credential, findCredential } from "./store/credentials.ts";

const path = "/api/v4/websocket";
/** Time in which a connection must show its token. */
const authMs = 5_000;
/** The server pings this often, and gives a connection up that has not answered for so long. */
const pingMs = 60_000;
const silentMs = 100_000;
/** Largest request of a client. */
const maxRequestBytes = 8 * 1024;
/** Requests that may wait for their answer; a client that sends more without reading is cut off. */
const maxWaiting = 128;

/** Serves the stream of events on a server's upgrades. Returns what ends it. */
export function serveWebSocket(app: App, server: http.Server): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxRequestBytes,
    perMessageDeflate: false,
  });
  server.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    const url = targetOf(request);
    if (url.pathname !== path) return refuse(socket, "404 Not Found");
    if (!originAllowed(app, request)) return refuse(socket, "403 Forbidden");
    credentialOf(app, request)
      .then((credential) =>
        sockets.handleUpgrade(request, socket, head, (ws) => {
          new Session(app, ws).start(credential, url.searchParams);
        }),
      )
      .catch((error: unknown) => {
        app.log.warn("websocket-refused", { reason: reasonOf(error) });
        refuse(socket, "503 Service Unavailable");
      });
  });
  const sweeping = setInterval(() => app.hub.sweep(), 30_000);
  sweeping.unref();
  return () => {
    clearInterval(sweeping);
    for (const ws of sockets.clients) ws.close(1001, "the server stops");
    sockets.close();
  };
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** A browser names the page's origin; it must be ours. Other clients name none. */
function originAllowed(app: App, request: http.IncomingMessage): boolean {
  const { origin } = request.headers;
  if (origin === undefined) return true;
  if (app.config.siteUrl !== "") return origin === app.config.siteUrl;
  return origin.replace(/^https?:\/\//, "") === request.headers.host;
}

async function credentialOf(
  app: App,
  request: http.IncomingMessage,
): Promise<Credential | undefined> {
  const presented = presentedToken(request);
  return presented && findCredential(app.db, presented.token);
}

interface ActionRequest {
  readonly seq: number;
  readonly action: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One open socket, and the stream that it carries once its user is known. */
class Session {
  readonly #app: App;
  readonly #ws: WebSocket;
  #connection: Connection | undefined;
  #lastHeard = Date.now();
  /** Requests are answered one after the other, in their order. */
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(app: App, ws: WebSocket) {
    this.#app = app;
    this.#ws = ws;
  }

  start(credential: Credential | undefined, query: URLSearchParams): void {
    const ws = this.#ws;
    const auth = setTimeout(() => {
      if (!this.#connection) ws.close();
    }, authMs);
    const ping = setInterval(() => {
      if (Date.now() - this.#lastHeard > silentMs) ws.terminate();
      else ws.ping();
    }, pingMs);
    ws.on("pong", () => {
      this.#lastHeard = Date.now();
    });
    ws.on("close", () => {
      clearTimeout(auth);
      clearInterval(ping);
      this.#connection?.detach(ws);
      if (this.#connection && !this.#connection.resumable) this.#app.hub.remove(this.#connection);
    });
    ws.on("error", () => ws.terminate());
    ws.on("message", (data) => {
      if (++this.#waiting > maxWaiting) ws.terminate();
      this.#queue = this.#queue
        .then(() => this.#receive(data))
        .catch((error: unknown) => {
          this.#app.log.warn("websocket-request-failed", { reason: reasonOf(error) });
          ws.terminate();
        })
        .finally(() => {
          this.#waiting--;
        });
    });
    if (credential) this.#welcome(credential, query);
  }

  /** The upgrade carried the token: goes on with the stream that the client names, if it is kept, or begins one. */
  #welcome(credential: Credential, query: URLSearchParams): void {
    const id = query.get("connection_id") ?? "";
    if (id === "") {
      this.#begin(credential, true);
      return;
    }
    const sequence = query.get("sequence_number") ?? "";
    if (!isId(id) || !/^[0-9]{1,15}$/.test(sequence)) {
      this.#ws.close();
      return;
    }
    const kept = this.#app.hub.find(credential.user.id, id);
    if (kept?.key === credential.key && kept.resume(this.#ws, Number(sequence))) {
      this.#connection = kept;
      return;
    }
    if (kept) this.#app.hub.remove(kept);
    this.#begin(credential, true);
  }

  #begin(credential: Credential, resumable: boolean): void {
    const owner = {
      userId: credential.user.id,
      key: credential.key,
      expiresAt: credential.expiresAt,
    };
    const connection = new Connection(this.#ws, owner, resumable);
    this.#connection = connection;
    const hello = {
      connection_id: connection.id,
      server_version: serverVersion,
      server_hostname: hostname(),
    };
    connection.send(eventBody("hello", hello, { user_id: owner.userId }));
    this.#app.hub.add(connection);
  }

  async #receive(data: RawData): Promise<void> {
    const request = readRequest(data);
    if (!request) return this.#ws.close();
    if (request.action === "authentication_challenge") {
      if (!this.#connection && request.seq > 0) await this.#challenge(request);
      return;
    }
    // Before authentication there is no answer to anything.
    if (!this.#connection) return;
    try {
      if (request.action === "") throw failure(400, "no_action", "No websocket action.");
      if (request.seq <= 0)
        throw failure(400, "bad_seq", "Invalid sequence for WebSocket message.");
      if (!this.#connection.authenticated) {
        throw failure(401, "not_authenticated", "WebSocket connection is not authenticated.");
      }
      const result = await this.#act(request, this.#connection.userId);
      this.#reply({ status: "OK", ...(result ? { data: result } : {}), seq_reply: request.seq });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#reply({
        status: "FAIL",
        error: {
          id: error.id,
          message: error.message,
          detailed_error: "",
          status_code: error.status,
        },
        seq_reply: request.seq,
      });
    }
  }

  async #challenge(request: ActionRequest): Promise<void> {
    const { token } = request.data;
    const credential =
      typeof token === "string" ? await findCredential(this.#app.db, token) : undefined;
    // A wrong token ends the connection without a word.
    if (!credential) return this.#ws.close();
    if (this.#ws.readyState !== this.#ws.OPEN) return;
    this.#begin(credential, false);
    this.#reply({ status: "OK", seq_reply: request.seq });
  }

  #reply(body: unknown): void {
    this.#ws.send(JSON.stringify(body));
  }

  async #act(
    request: ActionRequest,
    userId: string,
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { hub } = this.#app;
    const status = (id: string) => (hub.online(id) ? "online" : "offline");
    switch (request.action) {
      case "ping":
        return { text: "pong", version: serverVersion, server_time: Date.now(), node_id: "" };
      case "user_typing":
        await this.#typing(request, userId);
        return undefined;
      case "get_statuses":
        return { [userId]: status(userId) };
      case "get_statuses_by_ids": {
        const ids = request.data.user_ids;
        if (!Array.isArray(ids)) throw failure(400, "bad_action", "Invalid user_ids.");
        return Object.fromEntries(ids.map((id) => [String(id), status(String(id))]));
      }
      // Which channel a client shows, and whether a person sits there: heard, and of no consequence here.
      case "presence":
      case "user_update_active_status":
      case "posted_notify_ack":
        return undefined;
      default:
        throw failure(500, "bad_action", "Unknown WebSocket action.");
    }
  }

  async #typing(request: ActionRequest, userId: string): Promise<void> {
    const channelId = request.data.channel_id;
    const parentId = request.data.parent_id ?? "";
    if (!isId(channelId) || !(await findChannelMember(this.#app.db, channelId, userId)))
      throw new ApiError(
        400,
        "api.websocket_handler.invalid_param.app_error",
        "Invalid channel_id.",
      );
    const data = { parent_id: String(parentId), user_id: userId };
    await tellChannel(this.#app, channelId, "typing", data, userId);
  }
}

function failure(status: number, what: string, message: string): ApiError {
  return new ApiError(status, `api.web_socket_router.${what}.app_error`, message);
}

function readRequest(data: RawData): ActionRequest | undefined {
  try {
    const value = JSON.parse(String(data)) as Record<string, unknown> | null;
    if (typeof value !== "object" || value === null) return undefined;
    const { seq, action, data: given } = value;
    const isObject = typeof given === "object" && given !== null;
    return {
      seq: typeof seq === "number" ? seq : 0,
      action: typeof action === "string" ? action : "",
      data: isObject ? (given as Record<string, unknown>) : {},
    };
  } catch {
    return undefined;
  }
}
