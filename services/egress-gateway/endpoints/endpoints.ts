import type http from "node:http";
import { canonicalJson, type Json } from "../../../spec/canonical.ts";
import type { Endpoint } from "../../../spec/secrets.ts";
import { sendJson } from "../../common/http.ts";
import type { Log } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import { ReachError, type ReachOptions, reach, statusOf } from "../egress/reach.ts";
import { isCarried, relay } from "../egress/relay.ts";
import type { Rule } from "../egress/rules.ts";
import type { Carried } from "../egress/splice.ts";
import { authorityOf, parseAuthority, type Target } from "../egress/target.ts";
import type { Limits } from "../limits.ts";
import type { Refusal } from "../reply.ts";
import { answerHeaders, echoOf, requestHeaders } from "./headers.ts";
import { Injection } from "./injection.ts";
import { secure } from "./secure.ts";
import type { AskStore, Injected, StoreAnswer } from "./store.ts";
import { localLocation, readTarget, remotePath } from "./target.ts";

/** An endpoint of the present declaration, what it adds, and what runs over it. */
interface Served {
  readonly declared: Endpoint;
  readonly base: URL;
  readonly target: Target;
  readonly injection: Injection;
  readonly calls: Set<AbortController>;
}

/** One request under way, and what the audit tells of it. */
interface Call {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly name: string;
  readonly served: Served;
  /** With the query. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly carried: Carried;
}

/**
 * The endpoints of one agent: HTTP services outside that it may use in somebody's name. The credentials are added
 * here; the agent never has them. Each request has a connection of its own: none is shared, neither by agents nor
 * by requests.
 */
export class Endpoints {
  readonly #agent: string;
  readonly #audit: Audit;
  readonly #log: Log;
  readonly #limits: Limits;
  readonly #reach: ReachOptions;
  readonly #ask: AskStore;
  readonly #served = new Map<string, Served>();

  constructor(options: {
    readonly agent: string;
    readonly audit: Audit;
    readonly log: Log;
    readonly limits: Limits;
    readonly reach: ReachOptions;
    readonly ask: AskStore;
  }) {
    this.#agent = options.agent;
    this.#audit = options.audit;
    this.#log = options.log;
    this.#limits = options.limits;
    this.#reach = options.reach;
    this.#ask = options.ask;
  }

  /** Takes the present declaration's endpoints. What went or changed loses its value at once, and what is open is cut. */
  declare(endpoints: Readonly<Record<string, Endpoint>>): void {
    const text = (endpoint: Endpoint | undefined) =>
      endpoint && canonicalJson(endpoint as unknown as Json);
    const wanted = new Map(Object.entries(endpoints));
    for (const [name, served] of this.#served) {
      if (text(wanted.get(name)) !== text(served.declared)) this.#end(name, served);
    }
    for (const [name, declared] of wanted) {
      if (this.#served.has(name)) continue;
      const base = URL.canParse(declared.url) ? new URL(declared.url) : undefined;
      const target = base && parseAuthority(base.host, base.protocol === "http:" ? 80 : 443);
      if (!base || !target) continue;
      const of = { agent: this.#agent, name, declared };
      const injection = new Injection(of, this.#ask, this.#limits, this.#log);
      this.#served.set(name, { declared, base, target, injection, calls: new Set() });
    }
  }

  /** Forgets every value and cuts everything that is open. */
  close(): void {
    this.declare({});
  }

  /** One request to `/endpoints/<name>/<rest>`. */
  async request(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const begin = Date.now();
    const local = readTarget(request.url ?? "");
    const refuse = (refusal: Refusal, about: { endpoint?: string; host?: string } = {}) =>
      this.#refuse(refusal, request, response, about);
    if (!local) return refuse(malformed);
    const { name } = local;
    const served = this.#served.get(name);
    if (!served) return refuse(this.#unknown(name), { endpoint: name });
    const about = { endpoint: name, host: authorityOf(served.target) };
    if (!isCarried(request.method)) return refuse(badMethod, about);
    if (/websocket/i.test(request.headers.upgrade ?? "")) return refuse(noUpgrade, about);
    const path = remotePath(served.base, local);
    if (path === undefined) return refuse(malformed, about);
    const abort = new AbortController();
    served.calls.add(abort);
    const gone = () => abort.abort(new Error("the agent left"));
    response.once("close", gone);
    const { signal } = abort;
    const carried: Carried = { sent: 0, received: 0 };
    try {
      const answer = await served.injection.get();
      signal.throwIfAborted();
      if (answer.kind !== "value") return refuse(without(name, answer), about);
      const call = { request, response, name, served, path, signal, carried };
      const { status, end } = await this.#forward(call, answer.injected);
      this.#audit.write("endpoint", {
        decision: "allow",
        ...about,
        method: request.method,
        path: shownPath(path),
        status,
        ...carried,
        ms: Date.now() - begin,
        end: signal.aborted && end !== "ended" ? reasonOfAbort(signal) : end,
      });
    } catch (error) {
      refuse(this.#failure(error, signal), about);
    } finally {
      response.off("close", gone);
      served.calls.delete(abort);
    }
  }

  async #forward(call: Call, injected: Injected): Promise<{ status: number; end: string }> {
    const { request, response, name, served, path, signal, carried } = call;
    const { base, declared, target } = served;
    const echoes = echoOf(declared, injected);
    const { socket: plain } = await reach(target, ruleOf(declared, target), this.#reach, signal);
    const { helloMs, tunnelIdleMs, headerBytes } = this.#limits;
    const encrypted = base.protocol === "https:";
    const socket = encrypted ? await secure(plain, target, helloMs, signal) : plain;
    const host = authorityOf(target, encrypted ? 443 : 80);
    const location = (written: string) => localLocation(name, base, path, written);
    return relay({
      request,
      response,
      socket,
      host,
      path,
      headers: requestHeaders(request, host, injected),
      answerHeaders: (answer) => answerHeaders(answer, echoes, location),
      // A model may think for as long as a tunnel may be silent.
      limits: { headerBytes, tunnelIdleMs, answerMs: tunnelIdleMs },
      signal,
      carried,
    }).finally(() => socket.destroy());
  }

  #end(name: string, served: Served): void {
    this.#served.delete(name);
    served.injection.drop();
    for (const call of served.calls) call.abort(new Error("no longer declared"));
  }

  #unknown(name: string): Refusal {
    const names = [...this.#served.keys()].sort().join(", ");
    const known = names === "" ? "it declares none" : `it declares: ${names}`;
    const message = `${this.#agent} declares no endpoint "${name.slice(0, 40)}"; ${known}. Add it to endpoints in the agent's file and run pulumi up.`;
    return { status: 404, reason: "unknown-endpoint", message };
  }

  #failure(error: unknown, signal: AbortSignal): Refusal {
    if (signal.aborted) {
      const reason = "cut";
      return { status: 502, reason, message: `The request was ended: ${reasonOfAbort(signal)}.` };
    }
    if (!(error instanceof ReachError)) throw error;
    return { status: statusOf(error), reason: error.reason, message: error.message };
  }

  #refuse(
    refusal: Refusal,
    request: http.IncomingMessage,
    response: http.ServerResponse,
    about: { readonly endpoint?: string; readonly host?: string },
  ): void {
    const { status, reason, message } = refusal;
    this.#audit.write("endpoint", {
      decision: status >= 500 ? "fail" : "deny",
      ...about,
      endpoint: about.endpoint?.slice(0, 40),
      method: request.method,
      path: shownPath(request.url ?? ""),
      status,
      reason,
    });
    if (response.headersSent) response.destroy();
    else sendJson(response, status, { message, reason });
  }
}

const malformed: Refusal = {
  status: 400,
  reason: "malformed-path",
  message:
    "Write /endpoints/<name>/<path> with a plain path: no empty or dot segments, no escaped slashes, dots or percent signs.",
};
const badMethod: Refusal = {
  status: 405,
  reason: "method",
  message: "GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are carried.",
};
const noUpgrade: Refusal = {
  status: 400,
  reason: "no-upgrade",
  message: "An endpoint carries requests and their answers; WebSockets are not carried.",
};

/** The answer where the secret store gives no value. */
function without(name: string, answer: Exclude<StoreAnswer, { kind: "value" }>): Refusal {
  const about = `The secret store has nothing for endpoint ${name}`;
  return answer.kind === "unknown"
    ? { status: 404, reason: "unknown-endpoint", message: `${about}: ${answer.message}` }
    : { status: 503, reason: "no-value", message: `${about} now: ${answer.message}` };
}

/** An endpoint is its own entry: its URL names host and port, so an address in it may be a private one. */
function ruleOf(declared: Endpoint, target: Target): Rule {
  return { text: declared.url, ...target, wildcard: false, portWritten: true };
}

/** A path as the audit has it: without the query, which may hold anything, and of bounded length. */
function shownPath(path: string): string {
  return (path.split("?", 1)[0] ?? "").slice(0, 200);
}

function reasonOfAbort(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : "aborted";
}
