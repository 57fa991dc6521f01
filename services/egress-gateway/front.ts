import http from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { reasonOf } from "../common/log.ts";
import type { Audit } from "./audit.ts";
import type { Limits } from "./limits.ts";
import { Bucket } from "./rate.ts";
import { endWithJson } from "./reply.ts";

/** What is done with the agent's requests. A rejection ends that one exchange. */
export interface FrontHandlers {
  readonly mayUpgrade: (request: http.IncomingMessage) => boolean;
  readonly request: (
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ) => void | Promise<void>;
  readonly upgrade: Tunnel;
  readonly connect: Tunnel;
}

type Tunnel = (
  request: http.IncomingMessage,
  near: Duplex,
  head: Buffer,
) => void | Promise<void> | undefined;

/**
 * The side of the gateway that one agent talks to. The agent is not trusted, and one process serves all agents: so
 * it may have only so many connections, one request at a time on each, and so many of both a second. What is over
 * the rate is not answered with an error, it waits its turn.
 */
export class Front {
  readonly #limits: Limits;
  readonly #audit: Audit;
  readonly #handlers: FrontHandlers;
  readonly #open = new Set<Socket>();
  /** Connections with a request that is not answered yet, and tunnels, which have no answer. */
  readonly #busy = new Map<Duplex, http.ServerResponse | undefined>();
  readonly #tunnels = new Set<Duplex>();
  readonly #requests: Bucket;
  readonly #connections: Bucket;

  constructor(limits: Limits, audit: Audit, handlers: FrontHandlers) {
    this.#limits = limits;
    this.#audit = audit;
    this.#handlers = handlers;
    this.#requests = new Bucket(limits.requests);
    this.#connections = new Bucket(limits.newConnections);
  }

  /** Ends every connection. */
  close(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** A server that is not listening yet. All servers of one agent share its bounds. */
  makeServer(): http.Server {
    const limits = this.#limits;
    const server = http.createServer({
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(limits.headersMs, 5_000),
      // Node would answer by itself, past every bound here; no answer depends on Host.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) =>
        request.headers.upgrade?.toLowerCase() === "websocket" &&
        this.#handlers.mayUpgrade(request),
    });
    server.maxConnections = limits.connections;
    server.on("drop", () => this.#refused("too-many"));
    server.on("connection", (socket: Socket) => this.#connected(socket));
    const request = (request: http.IncomingMessage, response: http.ServerResponse) => {
      response.on("error", () => {});
      if (!this.#enter(request.socket, response)) return;
      response.once("close", () => this.#busy.delete(request.socket));
      this.#run(response, () => this.#handlers.request(request, response));
    };
    server.on("request", request);
    // Else Node answers an unknown Expect by itself.
    server.on("checkExpectation", request);
    const tunnel = (act: Tunnel) => (request: http.IncomingMessage, near: Duplex, head: Buffer) => {
      near.on("error", () => {});
      if (!this.#enter(near)) return;
      this.#tunnels.add(near);
      this.#run(near, () => act(request, near, head));
    };
    server.on("upgrade", tunnel(this.#handlers.upgrade));
    server.on("connect", tunnel(this.#handlers.connect));
    server.on("clientError", (error: NodeJS.ErrnoException, near) => {
      const begun = this.#busy.get(near)?.headersSent;
      if (error.code === "ECONNRESET" || !near.writable || begun) near.destroy();
      else endWithJson(near, 400, { message: "The request is malformed.", reason: "malformed" });
      this.#refused(error.code ?? "malformed");
    });
    return server;
  }

  #connected(socket: Socket): void {
    socket.on("error", () => {});
    this.#open.add(socket);
    const waitMs = this.#connections.charge(1, this.#limits.turnMs);
    if (waitMs === undefined) {
      this.#refused("too-fast");
      socket.destroy();
    }
    let timer: NodeJS.Timeout | undefined;
    if (waitMs) {
      // Not at once: the socket only now begins to read, and would go on.
      process.nextTick(() => socket.pause());
      timer = setTimeout(() => socket.resume(), waitMs);
    }
    socket.once("close", () => {
      clearTimeout(timer);
      this.#open.delete(socket);
      this.#busy.delete(socket);
      this.#tunnels.delete(socket);
    });
  }

  /** Marks a connection as busy. @returns false where it already was: then it is closed */
  #enter(socket: Duplex, response?: http.ServerResponse): boolean {
    if (socket.destroyed) return false;
    if (this.#busy.has(socket)) {
      // The rest of what was read is parsed all the same, and so would be what the others have ready: they go too,
      // and new ones come slowly. Programs that pipeline requests are rare.
      this.#refused("pipelined");
      this.#connections.charge(this.#limits.pipelinedCost, this.#limits.turnMs);
      for (const other of this.#open) if (!this.#tunnels.has(other)) other.destroy();
      socket.destroy();
      return false;
    }
    this.#busy.set(socket, response);
    return true;
  }

  /** Runs one exchange when its turn has come. Its failure ends that exchange and nothing else. */
  #run(to: http.ServerResponse | Duplex, exchange: () => void | Promise<void> | undefined): void {
    const waitMs = this.#requests.charge(1, this.#limits.turnMs);
    if (waitMs === undefined) {
      this.#refused("too-fast");
      to.destroy();
      return;
    }
    const begin = async () => {
      try {
        if (!to.destroyed) await exchange();
      } catch (error) {
        this.#audit.write("exchange-failed", { decision: "fail", reason: reasonOf(error) });
        to.destroy();
      }
    };
    if (waitMs === 0) return void begin();
    const timer = setTimeout(begin, waitMs);
    to.once("close", () => clearTimeout(timer));
  }

  #refused(reason: string): void {
    this.#audit.write("connection", { decision: "deny", reason });
  }
}
