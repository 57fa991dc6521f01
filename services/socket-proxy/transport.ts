import http from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Denial, denialBody, forbidden } from "./denial.ts";
import type { Client } from "./grants.ts";

/** Limits of the raw layer, before anything is understood. */
const transportLimits = {
  headerBytes: 8 * 1024,
  headers: 64,
  /** Of a refused request's body, this much is thrown away so that the client can read the refusal. */
  discardedBytes: 64 * 1024,
  connections: 512,
} as const;

/** Name of the response header with the request's id. */
export const requestIdHeader = "x-request-id";

/** What the layers above do with what comes in. Every way into the server ends in one of these two. */
export interface Handlers {
  /** An ordinary request. Resolves when it is answered; must not reject. */
  request(
    client: Client,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): Promise<void>;
  /**
   * Something that Node does not hand over as a request, and that is always refused. What the table has to say against
   * it goes before `denial`, which is the transport's own reason.
   */
  refused(client: Client, method: string, target: string, denial: Denial): Refusal;
}

/** A refusal as it is sent: recorded, with the request's id and the verb to name. */
export interface Refusal {
  readonly id: string;
  readonly verb: string;
  readonly denial: Denial;
}

/** A server for one client. Who the client is follows from this listener alone. */
export function createListener(client: Client, handlers: Handlers): http.Server {
  const answering = new WeakMap<Duplex, number>();
  const count = (socket: Duplex, by: 1 | -1) =>
    answering.set(socket, (answering.get(socket) ?? 0) + by);
  const server = http.createServer(
    {
      maxHeaderSize: transportLimits.headerBytes,
      insecureHTTPParser: false,
      // Checked below, so that this refusal is on record like any other.
      requireHostHeader: false,
      headersTimeout: 10_000,
      requestTimeout: 20_000,
      keepAliveTimeout: 15_000,
      connectionsCheckingInterval: 5_000,
      keepAlive: true,
      noDelay: true,
    },
    (request, response) => {
      const { socket } = request;
      count(socket, 1);
      response.on("close", () => count(socket, -1));
      void handlers.request(client, request, response);
    },
  );
  // Node drops headers beyond the limit in silence; one more lets the check below see them.
  server.maxHeadersCount = transportLimits.headers + 1;
  server.maxConnections = transportLimits.connections;

  const refuse = (socket: Duplex, method: string, target: string, denial: Denial) => {
    const refusal = handlers.refused(client, method, target, denial);
    // A refusal between the bytes of an answer that is under way would look like a part of it.
    if ((answering.get(socket) ?? 0) > 0 || !socket.writable) socket.destroy();
    else endSocket(socket, refusal);
  };
  const expectation = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const denial = new Denial(417, "expect", "expectations are not taken");
    const refusal = handlers.refused(client, request.method ?? "", request.url ?? "", denial);
    sendDenial(request, response, refusal);
  };
  // Node takes these requests past the request handler; without a listener some would be dropped unseen.
  server.on("upgrade", (request: http.IncomingMessage, socket: Duplex) => {
    const denial = forbidden("upgrade", "no connection changes its protocol here");
    refuse(socket, request.method ?? "", request.url ?? "", denial);
  });
  server.on("connect", (request: http.IncomingMessage, socket: Duplex) => {
    refuse(socket, "CONNECT", request.url ?? "", forbidden("connect", "this is no tunnel"));
  });
  server.on("checkContinue", expectation);
  server.on("checkExpectation", expectation);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === "ECONNRESET" || error.code === "EPIPE") return void socket.destroy();
    refuse(socket, "?", "", parseDenial(error.code));
  });
  return server;
}

function parseDenial(code: string | undefined): Denial {
  if (code === "HPE_HEADER_OVERFLOW")
    return new Denial(431, "header-size", "its headers are too large");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new Denial(408, "slow", "it did not arrive in time");
  return new Denial(400, "http", "it is no well-formed HTTP request");
}

/** Checks what is common to all verbs: HTTP/1.1, one host, a bounded number of headers, no body. @throws Denial */
export function checkFraming(request: http.IncomingMessage): void {
  if (request.httpVersion !== "1.1")
    throw new Denial(505, "http-version", "only HTTP/1.1 is spoken");
  if (request.rawHeaders.length / 2 > transportLimits.headers) {
    throw new Denial(431, "header-count", "it has too many headers");
  }
  const names = request.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
  if (names.filter((name) => name === "host").length !== 1) {
    throw new Denial(400, "host", "it must name its host once");
  }
  const length = request.headers["content-length"];
  if (
    request.headers["transfer-encoding"] !== undefined ||
    (length !== undefined && length !== "0")
  ) {
    throw new Denial(400, "body", "no verb takes a body");
  }
}

/** Answers with a refusal. The connection ends: whatever follows on it is not read. */
export function sendDenial(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  { id, verb, denial }: Refusal,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = Buffer.from(denialBody(verb, denial, id));
  response.writeHead(denial.status, {
    "content-type": "application/json",
    "content-length": body.length,
    [requestIdHeader]: id,
    connection: "close",
  });
  response.end(request.method === "HEAD" ? undefined : body);
  discard(request);
}

function discard(request: http.IncomingMessage): void {
  let left = transportLimits.discardedBytes;
  request.on("data", (part: Buffer) => {
    left -= part.length;
    if (left < 0) request.socket.destroy();
  });
  request.on("error", () => undefined);
}

function endSocket(socket: Duplex, { id, verb, denial }: Refusal): void {
  const body = denialBody(verb, denial, id);
  const head = [
    `HTTP/1.1 ${denial.status} ${http.STATUS_CODES[denial.status] ?? "Refused"}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${requestIdHeader}: ${id}`,
    "Connection: close",
  ];
  socket.on("error", () => undefined);
  socket.resume();
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), 1_000).unref();
}
