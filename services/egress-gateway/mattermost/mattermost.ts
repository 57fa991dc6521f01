import http from "node:http";
import type { Duplex } from "node:stream";
import type { Chat } from "../../../spec/declaration.ts";
import type { Log } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import type { Carried } from "../egress/splice.ts";
import type { Limits } from "../limits.ts";
import { Bucket } from "../rate.ts";
import { framing, writeAnswerHead } from "../reply.ts";
import { answerError, type MattermostError } from "./answers.ts";
import { pass, readWhole, uploadBody, wholeBody } from "./bodies.ts";
import { checkAnswer, checkRequest, readsAnswer } from "./checks.ts";
import { answerHeaders, bearer, requestHeaders } from "./headers.ts";
import { apiPrefix, type Check, findRoute } from "./routes.ts";
import { Scope } from "./scope.ts";
import { Sockets } from "./sockets.ts";
import type { Bot, FindChannels, TokenHolder } from "./tokens.ts";
import { type Upstream, UpstreamError } from "./upstream.ts";

/** Milliseconds for a question of the gateway's own. */
const lookupMs = 15_000;

/** Mattermost as one agent sees it: the API of a bot bridge, in the name of its bot, whose token it never sees. */
export class Mattermost {
  readonly #audit: Audit;
  readonly #limits: Limits;
  readonly #upstream: Upstream;
  readonly #holder: TokenHolder;
  readonly #access: () => Chat["access"];
  readonly #posts: Bucket;
  readonly #changes: Bucket;
  readonly #uploads: Bucket;
  /** Where the agent may read and write. */
  readonly scope: Scope;
  readonly #sockets: Sockets;
  /** Requests under way, and the checks. */
  readonly #calls = new Set<AbortController>();

  /** @param options.access whom the agent's declaration lets talk to it, as it is now */
  constructor(options: {
    readonly agent: string;
    readonly audit: Audit;
    readonly log: Log;
    readonly limits: Limits;
    readonly upstream: Upstream;
    readonly holder: TokenHolder;
    readonly findChannels: FindChannels;
    readonly access: () => Chat["access"];
  }) {
    const { limits } = options;
    this.#audit = options.audit;
    this.#limits = limits;
    this.#upstream = options.upstream;
    this.#holder = options.holder;
    this.#access = options.access;
    this.#posts = new Bucket(limits.posts);
    this.#changes = new Bucket(limits.changes);
    this.#uploads = new Bucket(limits.uploads);
    this.#sockets = new Sockets(options.audit, limits, options.upstream, options.holder);
    this.scope = new Scope({
      agent: options.agent,
      findChannels: options.findChannels,
      userId: () => this.#holder.bot?.userId,
      ask: (path) => this.#ask(path),
      limits,
      log: options.log,
    });
  }

  /** WebSockets that are open now. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  /** Closes the WebSockets of every token but the present one: after a revocation they stay open and go deaf. */
  dropOldSockets(): void {
    this.#sockets.dropOld();
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
    this.#sockets.dropRevoked(bot);
  }

  close(): void {
    for (const call of this.#calls) call.abort(new Error("closing"));
    this.#sockets.close();
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
    const { route, check } = verdict;
    if (route === "GET /websocket") return this.#refuse("not-websocket", request, response);
    const bot = await this.#holder.get();
    if (!bot && route !== "GET /system/ping") return this.#refuse("not-ready", request, response);
    if (!this.#mayWrite(request.method ?? "", check))
      return this.#refuse("too-many", request, response);
    const call = this.#begin();
    response.once("close", () => call.abort(new Error("the agent left")));
    const carried: Carried = { sent: 0, received: 0 };
    try {
      const body = await this.#checkedBody(request, verdict, bot, carried);
      if (typeof body === "string") return this.#refuse(body, request, response);
      const { answer, retried } = await this.#send(request, check, body, bot, call.signal);
      if (answer === "token-renewed") return this.#refuse(answer, request, response);
      const refused = await this.#deliver(answer, check, response, carried);
      if (refused) return this.#refuse(refused, request, response);
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

  /** The body that goes on: looked at, and where it names a channel written anew. */
  async #checkedBody(
    request: http.IncomingMessage,
    route: { readonly check: Check; readonly id: string },
    bot: Bot | undefined,
    carried: Carried,
  ): Promise<Buffer | http.IncomingMessage | undefined | MattermostError> {
    const { check } = route;
    const upload = check === "upload";
    const body = upload ? undefined : await wholeBody(request, carried, this.#limits);
    if (body === "too-large") return body;
    const url = request.url ?? "";
    const verdict = await checkRequest(this.scope, {
      ...route,
      query: new URLSearchParams(url.includes("?") ? url.slice(url.indexOf("?")) : ""),
      headers: request.headers,
      body,
      userId: bot?.userId,
      access: this.#access(),
    });
    if (typeof verdict === "string") return verdict;
    return upload ? uploadBody(request, carried, this.#limits, this.#uploads) : verdict.body;
  }

  /** Gives the agent Mattermost's answer, or says why it does not get it. */
  async #deliver(
    answer: http.IncomingMessage,
    check: Check,
    response: http.ServerResponse,
    carried: Carried,
  ): Promise<MattermostError | undefined> {
    const { statusCode = 0 } = answer;
    const headers = answerHeaders(answer);
    if (!readsAnswer(check) || statusCode >= 300) {
      if (!writeAnswerHead(response, statusCode, headers)) return drop(answer, "unreachable");
      carried.received = await pass(answer, response);
      return undefined;
    }
    const whole = await readWhole(answer, this.#limits.wholeAnswerBytes);
    if (!whole) return drop(answer, "unreachable");
    const shown = statusCode === 200 ? await checkAnswer(this.scope, check, whole) : undefined;
    if (!shown) return "other-channel";
    const length = { "content-length": String(shown.length) };
    if (!writeAnswerHead(response, statusCode, { ...headers, ...length })) return "unreachable";
    response.end(shown);
    carried.received = shown.length;
    return undefined;
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
      const refused = await this.#sockets.open(request, near, head, call.signal);
      if (refused) this.#refuse(refused, request, near);
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

  /** Sends a request, and where it can be repeated, once more with a new token. */
  async #send(
    request: http.IncomingMessage,
    check: Check,
    body: Buffer | http.IncomingMessage | undefined,
    bot: Bot | undefined,
    signal: AbortSignal,
  ): Promise<{ answer: http.IncomingMessage | "token-renewed"; retried: boolean }> {
    const attempt = (as: Bot | undefined) => {
      const headers = {
        ...requestHeaders(request, this.#upstream.server, as, readsAnswer(check)),
        // A form would name a channel of its own.
        ...(check === "upload" ? { "content-type": "application/octet-stream" } : {}),
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

  /** Reads something of Mattermost as the bot, for the gateway's own decisions. @throws UpstreamError */
  async #ask(path: string): Promise<unknown> {
    const call = this.#begin();
    const timer = setTimeout(() => call.abort(new UpstreamError("timeout")), lookupMs);
    try {
      const first = await this.#holder.get();
      let bot = first;
      while (bot) {
        const headers = { host: this.#upstream.server.host, ...bearer(bot) };
        const whole = { method: "GET", path: `${apiPrefix}${path}`, headers };
        const answer = await this.#upstream.send(whole, call.signal);
        const { statusCode = 0 } = answer;
        const body = await readWhole(answer, this.#limits.wholeAnswerBytes);
        answer.destroy();
        if (statusCode >= 500) throw new UpstreamError("unreachable");
        if (statusCode === 200) return JSON.parse(body?.toString("utf8") ?? "null");
        bot = statusCode === 401 && bot === first ? await this.#holder.renew(bot) : undefined;
      }
      return undefined;
    } finally {
      clearTimeout(timer);
      this.#calls.delete(call);
    }
  }

  /** Counts what fills Mattermost's disk. @returns whether the agent may do it now */
  #mayWrite(method: string, check: Check): boolean {
    if (method === "GET" || check === "none" || check === "upload") return true;
    return (check === "new-post" ? this.#posts : this.#changes).take();
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

function drop<T>(answer: http.IncomingMessage, because: T): T {
  answer.destroy();
  return because;
}
