import type http from "node:http";
import type { Duplex } from "node:stream";
import type { Audit } from "../audit.ts";
import { type Carried, splice } from "../egress/splice.ts";
import type { Limits } from "../limits.ts";
import { headText } from "../reply.ts";
import { pass } from "./bodies.ts";
import { answerHeaders, requestHeaders } from "./headers.ts";
import type { Bot, TokenHolder } from "./tokens.ts";
import type { Upstream } from "./upstream.ts";

/** A WebSocket that is open in the bot's name. */
interface OpenSocket {
  readonly bot: Bot;
  readonly abort: AbortController;
}

/** The WebSockets of one agent. */
export class Sockets {
  readonly #audit: Audit;
  readonly #limits: Limits;
  readonly #upstream: Upstream;
  readonly #holder: TokenHolder;
  readonly #sockets = new Set<OpenSocket>();

  constructor(audit: Audit, limits: Limits, upstream: Upstream, holder: TokenHolder) {
    this.#audit = audit;
    this.#limits = limits;
    this.#upstream = upstream;
    this.#holder = holder;
  }

  /** How many are open now. */
  get size(): number {
    return this.#sockets.size;
  }

  /** Closes those of every token but the present one: after a revocation they stay open and go deaf. */
  dropOld(): void {
    for (const open of this.#sockets) {
      if (open.bot !== this.#holder.bot) open.abort.abort(new Error("token-replaced"));
    }
  }

  /** Closes those of a token that Mattermost does not take any more. */
  dropRevoked(bot: Bot): void {
    for (const open of this.#sockets) {
      if (open.bot === bot) open.abort.abort(new Error("token-revoked"));
    }
  }

  close(): void {
    for (const open of this.#sockets) open.abort.abort(new Error("closing"));
  }

  /**
   * Opens one and carries it to its end. @returns why not: there is no token
   * @throws UpstreamError
   */
  async open(
    request: http.IncomingMessage,
    near: Duplex,
    head: Buffer,
    signal: AbortSignal,
  ): Promise<"not-ready" | undefined> {
    const bot = await this.#usableBot(signal);
    if (!bot) return "not-ready";
    const headers = requestHeaders(request, this.#upstream.server, bot, false);
    const { answer, open } = await this.#upstream.upgrade(request.url ?? "", headers, signal);
    if (open) await this.#carry(answer, open, near, head, bot);
    else await this.#relayRefusal(answer, near);
    return undefined;
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
      this.dropOld();
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
}
