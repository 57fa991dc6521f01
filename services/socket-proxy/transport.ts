import http from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Denial, denialBody, forbidden, rules } from "./denial.ts";
import type { Client } from "./grants.ts";
import { strictJsonLimits } from "./strict-json.ts";

/** Limits of the raw layer, before anything is understood. */
const transportLimits = {
  headerBytes: 8 * 1024,
  headers: 64,
  /** A body of a verb that takes none. */
  repeatedBytes: 256,
  /** A create's body. Ordinary ones have 2 to 4 kB. */
  bodyBytes: strictJsonLimits.bytes,
  /** Of a refused request's body, this much is thrown away so that the client can read the refusal. */
  discardedBytes: 64 * 1024,
  /** And for no longer than this. */
  discardMs: 1_000,
  connections: 512,
  /** Of them, those that come from elsewhere, or of which that is not known yet: they get a word, and no more. */
  foreignConnections: 16,
  foreignMs: 2_000,
  /** Requests on one connection whose answers are not read yet. */
  pipelined: 16,
  /** An answer that its client does not read is given up after this long. Streams have bounds of their own. */
  unreadMs: 30_000,
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

/** Says whether a connection comes from where this listener's client is. Asked once a connection. */
export type Source = (address: string | undefined) => boolean | Promise<boolean>;

/** A server for one client. Who the client is follows from this listener alone. */
export function createListener(client: Client, handlers: Handlers, source?: Source): http.Server {
  const sources = new WeakMap<Duplex, boolean | Promise<boolean>>();
  const answering = new WeakMap<Duplex, Set<http.ServerResponse>>();
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
      const open = answering.get(socket) ?? new Set();
      answering.set(socket, open.add(response));
      if (open.size > transportLimits.pipelined) {
        socket.destroy();
        return;
      }
      response.on("close", () => open.delete(response));
      const answer = (isSource: boolean) => {
        if (finished.has(socket)) return;
        if (isSource) void handlers.request(client, request, response);
        else refuseSource(request, response);
      };
      // At once where that is known: a request is looked at before the bytes behind it are.
      const isSource = sources.get(socket) ?? true;
      if (typeof isSource === "boolean") answer(isSource);
      else void isSource.then(answer);
    },
  );
  const foreign = () => forbidden("source", "only its own client may come in here");
  const refuseSource = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const { method = "", url = "" } = request;
    sendDenial(request, response, handlers.refused(client, method, url, foreign()));
  };
  if (source) {
    let strangers = 0;
    server.on("connection", (socket) => {
      const isSource = source(socket.remoteAddress);
      sources.set(socket, isSource);
      if (isSource === true) return;
      // They must not take the client's own places.
      if (strangers >= transportLimits.foreignConnections) {
        socket.destroy();
        return;
      }
      strangers += 1;
      let isCounted = true;
      const uncount = () => {
        if (isCounted) strangers -= 1;
        isCounted = false;
      };
      socket.on("close", uncount);
      const late = setTimeout(() => socket.destroy(), transportLimits.foreignMs);
      socket.on("close", () => clearTimeout(late));
      if (isSource === false) return;
      void isSource.then((settled) => {
        sources.set(socket, settled);
        if (!settled) return;
        clearTimeout(late);
        uncount();
      });
    });
  }
  // Node drops headers beyond the limit in silence; one more lets the check below see them.
  server.maxHeadersCount = transportLimits.headers + 1;
  server.maxConnections = transportLimits.connections;

  /** Refuses what is always refused. Where it comes from elsewhere, that is why: it is not its client's doing. */
  const refuseAlways = (socket: Duplex, denial: Denial, answer: (denial: Denial) => void) => {
    const settled = (isSource: boolean) => answer(isSource ? denial : foreign());
    const isSource = sources.get(socket) ?? true;
    if (typeof isSource === "boolean") settled(isSource);
    else void isSource.then(settled);
  };
  const refuse = (socket: Duplex, method: string, target: string, why: Denial) => {
    // Whatever follows is no request: each further piece of it would be refused, and recorded, once more.
    if (finished.has(socket)) return;
    finished.add(socket);
    socket.on("error", () => undefined);
    refuseAlways(socket, why, (denial) => {
      const refusal = handlers.refused(client, method, target, denial);
      const open = answering.get(socket) ?? new Set();
      if (open.size === 0 && socket.writable) return endSocket(socket, refusal, method);
      // A refusal between the bytes of an answer that is under way would look like a part of it.
      socket.destroy();
      for (const queued of open) abandon(queued);
    });
  };
  const expectation = (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (finished.has(request.socket)) return;
    refuseAlways(
      request.socket,
      new Denial(417, "expect", "expectations are not taken"),
      (denial) => {
        const { method = "", url = "" } = request;
        sendDenial(request, response, handlers.refused(client, method, url, denial));
      },
    );
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
    // Its refusal is sent already, and the rest of its body will never end.
    if (finished.has(socket)) return void socket.resume().end();
    refuse(socket, "?", "", parseDenial(error.code));
  });
  return server;
}

/**
 * Closes an answer whose turn on its connection never came. Node forgets those once a connection was to be upgraded: their
 * streams would stay open for ever.
 */
function abandon(response: http.ServerResponse): void {
  if (response.socket !== null) return;
  response.destroy();
  response.emit("close");
}

function parseDenial(code: string | undefined): Denial {
  if (code === "HPE_HEADER_OVERFLOW")
    return new Denial(431, "header-size", "its headers are too large");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new Denial(408, "slow", "it did not arrive in time");
  return new Denial(400, "http", "it is no well-formed HTTP request");
}

/** The parts of a request's head that the framing rules look at. */
export interface Head {
  readonly httpVersion: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
}

/**
 * Checks what is common to all verbs: HTTP/1.1, one host, a bounded number of headers, and a body only where one is
 * taken, its length said beforehand.
 * @returns the length of the body in bytes
 * @throws Denial
 */
export function checkFraming({ httpVersion, rawHeaders }: Head, takesBody: boolean): number {
  if (httpVersion !== "1.1") throw new Denial(505, "http-version", "only HTTP/1.1 is spoken");
  if (rawHeaders.length / 2 > transportLimits.headers) {
    throw new Denial(431, "header-count", "it has too many headers");
  }
  const headers = new Map<string, string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), rawHeaders[i + 1] ?? ""]);
  }
  if (headers.get("host")?.length !== 1) {
    throw new Denial(400, "host", "it must name its host once");
  }
  if (headers.has("transfer-encoding")) {
    throw new Denial(411, "body-length", "a body must have a Content-Length and no other framing");
  }
  const lengths = headers.get("content-length") ?? [];
  if (lengths.length > 1 || !/^(0|[1-9][0-9]{0,9})$/.test(lengths[0] ?? "0")) {
    throw new Denial(400, "body-length", "its Content-Length is not one plain number");
  }
  const length = Number(lengths[0] ?? 0);
  if (length === 0) {
    if (!takesBody) return 0;
    throw new Denial(411, "body-length", "a create has a body, and says its length");
  }
  // Some clients (dockerode) write an object all the same: empty, or what the query says already.
  if (!takesBody && length > transportLimits.repeatedBytes) {
    throw new Denial(400, "body", "this verb takes no body");
  }
  if (length > transportLimits.bodyBytes) {
    throw new Denial(413, "body-size", `a body has at most ${transportLimits.bodyBytes} bytes`);
  }
  const types = headers.get("content-type") ?? [];
  const isJson = /^application\/json(; ?charset=utf-8)?$/i.test(types[0] ?? "");
  if (types.length !== 1 || !isJson || headers.has("content-encoding")) {
    throw new Denial(415, "body-type", "a body must be plain application/json");
  }
  return length;
}

/** Reads a body whose length was checked. @throws Denial where it breaks off */
export async function readBody(request: http.IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  } catch {
    throw new Denial(400, "http", "its body broke off");
  }
  return Buffer.concat(parts);
}

/**
 * Answers with a refusal. Where anything was wrong with the request's outer form, or it has a body, the connection ends
 * and whatever follows on it is not read.
 */
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
  const isOpen =
    isCleanlyFramed(request) && layersOfForm.every((layer) => rules[denial.rule] !== layer);
  response.writeHead(denial.status, {
    "content-type": "application/json",
    "content-length": body.length,
    [requestIdHeader]: id,
    ...(isOpen ? {} : { connection: "close" }),
  });
  const text = request.method === "HEAD" ? "" : body;
  if (!isOpen) finished.add(request.socket);
  // Head and text in one piece where nothing is to be thrown away: Node closes some connections right behind the head.
  if (isOpen || isBodyless(request)) {
    response.end(text);
    return;
  }
  // The end of the answer closes the connection: a client that is still writing then would not get to read it.
  response.flushHeaders();
  if (text.length > 0) response.write(text);
  discard(request, () => response.end());
}

/** Connections whose last answer is a refusal: nothing behind it is a request any more, whatever it looks like. */
const finished = new WeakSet<Duplex>();

/** Gives up an answer that is complete and not read: it would be kept in memory for as long as its client likes. */
export function dropUnread(response: http.ServerResponse): void {
  if (response.writableFinished) return;
  const late = setTimeout(() => response.destroy(), transportLimits.unreadMs).unref();
  response.on("close", () => clearTimeout(late));
}

const layersOfForm = ["transport", "http"] as const;

/** Whether nothing can follow the head of a request but the next request. */
function isCleanlyFramed(request: http.IncomingMessage): boolean {
  return request.httpVersion === "1.1" && isBodyless(request);
}

function isBodyless({ headers }: http.IncomingMessage): boolean {
  return headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0";
}

/** Throws away what is left of a request's body, as far as is bearable, and says when that is over. */
function discard(request: http.IncomingMessage, done: () => void): void {
  // Nothing is left where the body was read already.
  if (request.readableEnded || request.destroyed) {
    done();
    return;
  }
  const late = setTimeout(done, transportLimits.discardMs);
  const over = () => {
    clearTimeout(late);
    done();
  };
  let left = transportLimits.discardedBytes;
  request.on("data", (part: Buffer) => {
    left -= part.length;
    if (left < 0) request.socket.destroy();
  });
  request.on("error", () => undefined);
  request.on("end", over);
  request.on("close", over);
}

function endSocket(socket: Duplex, { id, verb, denial }: Refusal, method: string): void {
  const body = denialBody(verb, denial, id);
  const head = [
    `HTTP/1.1 ${denial.status} ${http.STATUS_CODES[denial.status] ?? "Refused"}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    `${requestIdHeader}: ${id}`,
    "Connection: close",
  ];
  socket.resume();
  socket.end(`${head.join("\r\n")}\r\n\r\n${method === "HEAD" ? "" : body}`);
  setTimeout(() => socket.destroy(), 1_000).unref();
}
