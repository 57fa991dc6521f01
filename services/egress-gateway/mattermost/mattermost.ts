import http from "node:http";
import type { Duplex } from "node:stream";
import type { Audit } from "../audit.ts";
import { type Carried, splice } from "../egress/splice.ts";
import type { Limits } from "../limits.ts";
import { framing, headText } from "../reply.ts";
import { answerError, type MattermostError } from "./answers.ts";
import { answerHeaders, requestHeaders } from "./headers.ts";
import { findRoute } from "./routes.ts";
import type { Bot, TokenHolder } from "./tokens.ts";
import { type Upstream, UpstreamError } from "./upstream.ts";

/** A WebSocket that is open in the bot's name. */
interface OpenSocket {
  readonly bot: Bot;
  readonly abort: AbortController;
}

/** Mattermost as one agent sees it: the API of a bot bridge, in the name of its bot, whose token it never sees. */
export class Mattermost {
  readonly #audit: Audit;
  readonly #limits: Limits;
  readonly #upstream: Upstream;
  readonly #holder: TokenHolder;
  readonly #sockets = new Set<OpenSocket>();
  /** Requests under way, and the checks. */
  readonly #calls = new Set<AbortController>();

  constructor(audit: Audit, limits: Limits, upstream: Upstream, holder: TokenHolder) {
    this.#audit = audit;
    this.#limits = limits;
    this.#upstream = upstream;
    this.#holder = holder;
  }

  /** WebSockets that are open now. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  /** Closes the WebSockets of every token but the present one: after a revocation they stay open and go deaf. */
  dropOldSockets(): void {
    for (const open of this.#sockets) {
      if (open.bot !== this.#holder.bot) open.abort.abort(new Error("token-replaced"));
    }
  }

  /** Asks Mattermost whether it still takes the token; where not, gets a new one and closes what has gone deaf. */
  async check(): Promise<void> {
    const bot = this.#holder.bot;
    if (!bot) return;
    const call = this.#begin();
    const good = await this.#upstream.takes(bot, call.signal).catch(() => true);
    this.#calls.delete(call);
    if (good) return;
    await this.#holder.renew(bot);
    for (const open of this.#sockets) {
      if (open.bot === bot) open.abort.abort(new Error("token-revoked"));
    }
  }

  close(): void {
    for (const call of this.#calls) call.abort(new Error("closing"));
    for (const open of this.#sockets) open.abort.abort(new Error("closing"));
  }

  #begin(): AbortController {
    const call = new AbortController();
    this.#calls.add(call);
    return call;
  }

  /** A REST call. */
  async request(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const begin = Date.now();
    const verdict = findRoute(request.method ?? "", request.url ?? "");
    if ("refused" in verdict) return this.#refuse(verdict.refused, request, response);
    const { route } = verdict;
    if (route === "GET /websocket") return this.#refuse("not-websocket", request, response);
    const bot = await this.#holder.get();
    if (!bot && route !== "GET /system/ping") return this.#refuse("not-ready", request, response);
    const call = this.#begin();
    response.once("close", () => call.abort(new Error("the agent left")));
    const carried: Carried = { sent: 0, received: 0 };
    try {
      const body = await this.#bodyOf(request, carried);
      if (body === "too-large") return this.#refuse(body, request, response);
      const { answer, retried } = await this.#send(request, body, bot, call.signal);
      if (answer === "token-renewed") return this.#refuse(answer, request, response);
      response.writeHead(answer.statusCode ?? 502, answerHeaders(answer));
      carried.received = await pass(answer, response);
      this.#audit.write("mattermost", {
        kind: "rest",
        decision: "allow",
        rule: route,
        status: answer.statusCode ?? 0,
        ...carried,
        ms: Date.now() - begin,
        ...(retried ? { retried } : {}),
      });
    } catch (error) {
      this.#refuse(
        error instanceof UpstreamError ? error.kind : "malformed-request",
        request,
        response,
      );
    } finally {
      this.#calls.delete(call);
    }
  }

  /** A WebSocket. */
  async upgrade(request: http.IncomingMessage, near: Duplex, head: Buffer): Promise<void> {
    near.on("error", () => {});
    const verdict = findRoute(request.method ?? "", request.url ?? "");
    if ("refused" in verdict) return this.#refuse(verdict.refused, request, near);
    if (verdict.route !== "GET /websocket") return this.#refuse("not-allowed", request, near);
    const call = this.#begin();
    near.once("close", () => call.abort(new Error("the agent left")));
    try {
      const bot = await this.#usableBot(call.signal);
      if (!bot) return this.#refuse("not-ready", request, near);
      const headers = requestHeaders(request, this.#upstream.server, bot);
      const { answer, open } = await this.#upstream.upgrade(
        request.url ?? "",
        headers,
        call.signal,
      );
      if (open) await this.#carry(answer, open, near, head, bot);
      else await this.#relayRefusal(answer, near);
    } catch (error) {
      this.#refuse(
        error instanceof UpstreamError ? error.kind : "malformed-request",
        request,
        near,
      );
    } finally {
      this.#calls.delete(call);
    }
  }

  /**
   * The bot with a token that Mattermost takes right now. A WebSocket with a dead token is opened all the same and
   * hears nothing, so it is asked beforehand.
   */
  async #usableBot(signal: AbortSignal): Promise<Bot | undefined> {
    const bot = await this.#holder.get();
    if (!bot || (await this.#upstream.takes(bot, signal))) return bot;
    return this.#holder.renew(bot);
  }

  async #carry(
    answer: http.IncomingMessage,
    open: { readonly socket: Duplex; readonly head: Buffer },
    near: Duplex,
    head: Buffer,
    bot: Bot,
  ): Promise<void> {
    const begin = Date.now();
    const { socket: far } = open;
    const entry: OpenSocket = { bot, abort: new AbortController() };
    entry.abort.signal.addEventListener("abort", () => far.destroy(), { once: true });
    this.#sockets.add(entry);
    const carried: Carried = { sent: 0, received: 0 };
    const about = { kind: "websocket", rule: "GET /websocket" };
    this.#audit.write("mattermost", { ...about, decision: "allow", status: 101 });
    try {
      near.write(
        headText(101, { ...answerHeaders(answer), connection: "Upgrade", upgrade: "websocket" }),
      );
      if (head.length > 0) near.unshift(head);
      if (open.head.length > 0) far.unshift(open.head);
      // The token may have been replaced while the upgrade was under way.
      this.dropOldSockets();
      const how = await splice(near, far, { idleMs: this.#limits.webSocketIdleMs, carried });
      const { reason } = entry.abort.signal;
      const end = reason instanceof Error ? reason.message : how;
      this.#audit.write("mattermost-end", { ...about, ...carried, ms: Date.now() - begin, end });
    } finally {
      this.#sockets.delete(entry);
    }
  }

  /** Mattermost's own answer where it refuses the upgrade. */
  async #relayRefusal(answer: http.IncomingMessage, near: Duplex): Promise<void> {
    const headers = answerHeaders(answer);
    this.#audit.write("mattermost", {
      kind: "websocket",
      decision: "allow",
      rule: "GET /websocket",
      status: answer.statusCode ?? 0,
    });
    near.write(headText(answer.statusCode ?? 502, { ...headers, connection: "close" }));
    // Without a length and chunks the end of the connection ends the body.
    await pass(answer, near);
  }

  /** Sends a request, and where it can be repeated, once more with a new token. */
  async #send(
    request: http.IncomingMessage,
    body: Buffer | http.IncomingMessage | undefined,
    bot: Bot | undefined,
    signal: AbortSignal,
  ): Promise<{ answer: http.IncomingMessage | "token-renewed"; retried: boolean }> {
    const attempt = (as: Bot | undefined) => {
      const headers = {
        ...requestHeaders(request, this.#upstream.server, as),
        ...framing(body, request.headers["content-length"]),
      };
      const { method = "", url: path = "" } = request;
      return this.#upstream.send({ method, path, headers, body }, signal);
    };
    const answer = await attempt(bot);
    if (answer.statusCode !== 401 || !bot) return { answer, retried: false };
    const renewed = await this.#holder.renew(bot);
    if (!renewed) return { answer, retried: false };
    answer.on("error", () => {});
    answer.resume();
    if (body && !Buffer.isBuffer(body)) return { answer: "token-renewed", retried: false };
    return { answer: await attempt(renewed), retried: true };
  }

  /** The whole body where it is small, the stream where it is not, nothing where there is none. */
  async #bodyOf(
    request: http.IncomingMessage,
    carried: Carried,
  ): Promise<Buffer | http.IncomingMessage | undefined | "too-large"> {
    const chunked = request.headers["transfer-encoding"] !== undefined;
    const length = Number(request.headers["content-length"] ?? 0);
    if (!chunked && length === 0) return undefined;
    if (length > this.#limits.bodyBytes) return "too-large";
    if (chunked || length > this.#limits.repeatableBytes) {
      request.on("data", (part: Buffer) => {
        carried.sent += part.length;
        if (carried.sent > this.#limits.bodyBytes) request.destroy();
      });
      return request.pause();
    }
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    carried.sent = length;
    return Buffer.concat(parts);
  }

  #refuse(error: MattermostError, request: http.IncomingMessage, to: http.ServerResponse | Duplex) {
    const fault = ["not-ready", "unreachable", "timeout", "token-renewed"].includes(error);
    this.#audit.write("mattermost", {
      kind: to instanceof http.ServerResponse ? "rest" : "websocket",
      decision: fault ? "fail" : "deny",
      method: request.method,
      // Never the query: it may hold what a person searched for.
      path: (request.url ?? "").split("?", 1)[0]?.slice(0, 200),
      reason: error,
    });
    answerError(to, error);
  }
}

/** Carries a body to its end. @returns its bytes; also where one of the two broke off */
function pass(from: http.IncomingMessage, to: http.ServerResponse | Duplex): Promise<number> {
  return new Promise((resolve) => {
    let size = 0;
    from.on("data", (part: Buffer) => {
      size += part.length;
    });
    from.on("error", () => to.destroy());
    from.on("close", () => {
      if (!from.complete) to.destroy();
    });
    to.on("error", () => from.destroy());
    to.on("close", () => {
      from.destroy();
      resolve(size);
    });
    to.on("finish", () => resolve(size));
    from.pipe(to);
  });
}
