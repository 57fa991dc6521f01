import http from "node:http";
import type { Limits } from "../limits.ts";
import { isFinalStatus } from "../reply.ts";
import { bearer } from "./headers.ts";
import { apiPrefix } from "./routes.ts";
import type { Bot } from "./tokens.ts";

/** Mattermost did not answer. */
export class UpstreamError extends Error {
  readonly kind: "unreachable" | "timeout";

  constructor(kind: UpstreamError["kind"]) {
    super(kind === "timeout" ? "no answer in time" : "the connection failed");
    this.kind = kind;
  }
}

/** One request to Mattermost. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: http.OutgoingHttpHeaders;
  /** A whole body, a stream of one, or none. */
  readonly body?: Buffer | NodeJS.ReadableStream | undefined;
}

/** The way to one Mattermost server. Connections are shared by all agents: every request carries its own identity. */
export class Upstream {
  readonly server: URL;
  readonly #limits: Limits;
  // A connection that has been idle for long may be closed by the server just when it is used again.
  readonly #pool = new http.Agent({ keepAlive: true, maxFreeSockets: 32, timeout: 30_000 });

  constructor(server: URL, limits: Limits) {
    this.server = server;
    this.#limits = limits;
  }

  close(): void {
    this.#pool.destroy();
  }

  /**
   * Sends a request. @returns the answer, its body unread
   * @throws UpstreamError; whatever the signal's reason is where it was aborted
   */
  async send(call: Call, signal: AbortSignal): Promise<http.IncomingMessage> {
    const repeatable = call.body === undefined || Buffer.isBuffer(call.body);
    try {
      return await this.#once(call, signal);
    } catch (error) {
      // An idle connection that the server had already given up: nothing of the request was read.
      if (error === staleConnection && repeatable) return this.#once(call, signal, false);
      throw error === staleConnection ? new UpstreamError("unreachable") : error;
    }
  }

  /** Does Mattermost take the bot's token? Cheap. @throws UpstreamError */
  async takes(bot: Bot, signal: AbortSignal): Promise<boolean> {
    const path = `${apiPrefix}/users/me`;
    const headers = { host: this.server.host, ...bearer(bot) };
    const answer = await this.send({ method: "GET", path, headers }, signal);
    answer.on("error", () => {});
    answer.resume();
    return answer.statusCode !== 401;
  }

  /** Asks for a WebSocket. @returns the open socket, or the answer that refuses it. @throws UpstreamError */
  async upgrade(
    path: string,
    headers: http.OutgoingHttpHeaders,
    signal: AbortSignal,
  ): Promise<{
    readonly answer: http.IncomingMessage;
    readonly open?: { readonly socket: import("node:stream").Duplex; readonly head: Buffer };
  }> {
    return new Promise((resolve, reject) => {
      const sent = http.request({
        ...this.#options({ method: "GET", path, headers }),
        headers: { ...headers, connection: "Upgrade", upgrade: "websocket" },
        agent: false,
      });
      const settle = this.#guard(sent, signal, reject);
      sent.on("upgrade", (answer, socket, head) => {
        settle();
        socket.on("error", () => {});
        resolve({ answer, open: { socket, head } });
      });
      sent.on("response", (answer) => {
        settle();
        answer.on("error", () => {});
        if (!isFinalStatus(answer.statusCode)) return giveUp(sent, reject);
        resolve({ answer });
      });
      sent.end();
    });
  }

  #once(call: Call, signal: AbortSignal, pooled = true): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = http.request({
        ...this.#options(call),
        agent: pooled ? this.#pool : false,
      });
      const settle = this.#guard(sent, signal, reject);
      sent.on("response", (answer) => {
        settle();
        answer.on("error", () => {});
        if (!isFinalStatus(answer.statusCode)) return giveUp(sent, reject);
        const cut = () => answer.destroy();
        signal.addEventListener("abort", cut, { once: true });
        answer.once("close", () => signal.removeEventListener("abort", cut));
        resolve(answer);
      });
      if (call.body === undefined || Buffer.isBuffer(call.body)) sent.end(call.body);
      else call.body.pipe(sent);
    });
  }

  #options(call: Call): http.RequestOptions {
    return {
      host: this.server.hostname,
      port: this.server.port || 80,
      method: call.method,
      path: call.path,
      headers: call.headers,
      maxHeaderSize: this.#limits.headerBytes,
    };
  }

  /** Bounds the time until an answer begins, and turns every failure into an {@link UpstreamError}. */
  #guard(sent: http.ClientRequest, signal: AbortSignal, reject: (error: unknown) => void) {
    const fail = (error: unknown) => {
      settle();
      reject(error);
      sent.destroy();
    };
    const timer = setTimeout(() => fail(new UpstreamError("timeout")), this.#limits.answerMs);
    const aborted = () => fail(signal.reason);
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
    };
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) aborted();
    sent.on("error", (error: NodeJS.ErrnoException) => {
      const stale = sent.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
      fail(stale ? staleConnection : new UpstreamError("unreachable"));
    });
    return settle;
  }
}

/** An answer whose status is none. */
function giveUp(sent: http.ClientRequest, reject: (error: unknown) => void): void {
  sent.destroy();
  reject(new UpstreamError("unreachable"));
}

const staleConnection = new Error("stale connection");
