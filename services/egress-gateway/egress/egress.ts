import http from "node:http";
import type { Duplex } from "node:stream";
import { sendJson } from "../../common/http.ts";
import type { Fields } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import type { Limits } from "../limits.ts";
import { endToEndHeaders, endWithJson, headText, type Refusal } from "../reply.ts";
import { GuardError, HelloGuard, unrecognizedName } from "./hello-guard.ts";
import { ReachError, type ReachOptions, reach, statusOf } from "./reach.ts";
import { relay } from "./relay.ts";
import { findRule, parseRules, type Rule } from "./rules.ts";
import { type Carried, splice } from "./splice.ts";
import { authorityOf, parseAuthority, type Target } from "./target.ts";

/** Settings of the way outside, the same for every agent. */
export type EgressOptions = Omit<ReachOptions, "resolveMs" | "connectMs">;

/** How a refused user of the gateway gets an entry (`host`, `host:port`) onto its list. */
export type Cure = (user: string, entry: string) => string;

/** For agents: their list is in their file. */
const agentsFile: Cure = (agent, entry) =>
  `is not in the egress list of ${agent}. To open it add "${entry}" to egress in the agent's file and run pulumi up.`;

/** Client headers of plain requests that do not go on: those for this proxy, and those that the request gets anew. */
const dropped = new Set(["host", "expect", "content-length", "http2-settings"]);

/** Something open that a changed allow-list may forbid. */
interface Flow {
  readonly target: Target;
  readonly abort: AbortController;
}

/** The way outside of one user of the gateway: CONNECT and plain requests, by that one's allow-list alone. */
export class Egress {
  readonly #agent: string;
  readonly #audit: Audit;
  readonly #limits: Limits;
  readonly #reach: ReachOptions;
  readonly #cure: Cure;
  readonly #flows = new Set<Flow>();
  #rules: readonly Rule[] = [];

  /** @param cure what a refusal of a host that is not listed says */
  constructor(
    agent: string,
    audit: Audit,
    limits: Limits,
    options: EgressOptions,
    cure: Cure = agentsFile,
  ) {
    this.#agent = agent;
    this.#audit = audit;
    this.#limits = limits;
    this.#reach = { ...options, resolveMs: limits.resolveMs, connectMs: limits.connectMs };
    this.#cure = cure;
  }

  /** Takes the agent's present list. What is open and no longer allowed is cut. */
  allow(egress: readonly string[]): void {
    this.#rules = parseRules(egress);
    for (const flow of this.#flows) {
      if (!findRule(this.#rules, flow.target)) flow.abort.abort(new Error("no longer allowed"));
    }
  }

  /** Cuts everything that is open. */
  close(): void {
    for (const flow of this.#flows) flow.abort.abort(new Error("closing"));
  }

  /** `CONNECT host:port`: a tunnel. */
  async connect(request: http.IncomingMessage, near: Duplex, head: Buffer): Promise<void> {
    near.on("error", () => {});
    const target = parseAuthority(request.url ?? "");
    if (!target) return this.#refuse("connect", undefined, malformed(request.url), near);
    const begin = Date.now();
    const rule = findRule(this.#rules, target);
    if (!rule) return this.#refuse("connect", target, this.#notListed(target), near);
    const flow = this.#begin(target);
    const gone = () => flow.abort.abort(new Error("the agent left"));
    near.once("close", gone);
    const carried: Carried = { sent: 0, received: 0 };
    try {
      const { socket, address } = await reach(target, rule, this.#reach, flow.abort.signal);
      this.#allowed("connect", target, rule, address);
      const cut = () => socket.destroy();
      flow.abort.signal.addEventListener("abort", cut, { once: true });
      near.write(headText(200, {}).replace("200 OK", "200 Connection Established"));
      if (head.length > 0) near.unshift(head);
      const guard = new HelloGuard(target, this.#limits.helloMs);
      guard.once("error", (error) => {
        if (error instanceof GuardError && error.reason !== "not-tls") near.write(unrecognizedName);
      });
      const how = await splice(near, socket, {
        idleMs: this.#limits.tunnelIdleMs,
        carried,
        through: guard,
      });
      if (guard.errored instanceof GuardError) {
        const { reason, message } = guard.errored;
        this.#audit.write("egress", { ...decision("connect", "deny", target), reason, message });
      }
      const end = flow.abort.signal.aborted ? reasonOfAbort(flow.abort.signal) : how;
      this.#ended("connect", target, carried, begin, end);
    } catch (error) {
      this.#failed("connect", target, rule, error, near);
    } finally {
      near.off("close", gone);
      this.#flows.delete(flow);
    }
  }

  /** `GET http://host:80/…`: one plain request. */
  async plain(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = /^http:\/\/([^/?#]*)([^#]*)$/i.exec(request.url ?? "");
    const target = url ? parseAuthority(url[1] ?? "", 80) : undefined;
    if (!url || !target) return this.#refuse("http", undefined, malformed(request.url), response);
    const begin = Date.now();
    const rule = findRule(this.#rules, target);
    if (!rule) return this.#refuse("http", target, this.#notListed(target), response);
    if (target.port === tlsPort) return this.#refuse("http", target, tlsOnly(target), response);
    const flow = this.#begin(target);
    const gone = () => flow.abort.abort(new Error("the agent left"));
    response.once("close", gone);
    const carried: Carried = { sent: 0, received: 0 };
    try {
      const { socket, address } = await reach(target, rule, this.#reach, flow.abort.signal);
      this.#allowed("http", target, rule, address);
      const path = (url[2] ?? "").startsWith("/") ? (url[2] ?? "/") : `/${url[2] ?? ""}`;
      // The Host header says what the allow-list saw.
      const host = authorityOf(target, 80);
      const headers = endToEndHeaders(request.rawHeaders, (name) => !dropped.has(name));
      const { end } = await relay({
        request,
        response,
        socket,
        host,
        path,
        headers: { ...headers, host },
        answerHeaders: (answer) => endToEndHeaders(answer.rawHeaders, () => true),
        limits: this.#limits,
        signal: flow.abort.signal,
        carried,
      }).finally(() => socket.destroy());
      this.#ended("http", target, carried, begin, end);
    } catch (error) {
      this.#failed("http", target, rule, error, response);
    } finally {
      response.off("close", gone);
      this.#flows.delete(flow);
    }
  }

  #begin(target: Target): Flow {
    const flow = { target, abort: new AbortController() };
    this.#flows.add(flow);
    return flow;
  }

  #notListed(target: Target): Refusal {
    const cure = this.#cure(this.#agent, authorityOf(target, 443));
    return { status: 403, reason: "not-listed", message: `${authorityOf(target)} ${cure}` };
  }

  #allowed(kind: Kind, target: Target, rule: Rule, address: string): void {
    this.#audit.write("egress", { ...decision(kind, "allow", target), rule: rule.text, address });
  }

  #ended(kind: Kind, target: Target, carried: Carried, begin: number, end: string): void {
    const { host, port } = target;
    this.#audit.write("egress-end", { kind, host, port, ...carried, ms: Date.now() - begin, end });
  }

  #refuse(
    kind: Kind,
    target: Target | undefined,
    refusal: Refusal,
    to: Duplex | http.ServerResponse,
    about: Fields = {},
  ): void {
    const what = refusal.status >= 500 ? "fail" : "deny";
    this.#audit.write("egress", {
      ...decision(kind, what, target),
      ...about,
      reason: refusal.reason,
    });
    const body = { message: refusal.message, reason: refusal.reason };
    if (!(to instanceof http.ServerResponse)) endWithJson(to, refusal.status, body);
    else if (to.headersSent) to.destroy();
    else sendJson(to, refusal.status, body);
  }

  /** The target was allowed and not reached, or not answered. */
  #failed(
    kind: Kind,
    target: Target,
    rule: Rule,
    error: unknown,
    to: Duplex | http.ServerResponse,
  ): void {
    if (error instanceof ReachError) {
      const refusal = { status: statusOf(error), reason: error.reason, message: error.message };
      const { addresses } = error;
      this.#refuse(kind, target, refusal, to, { rule: rule.text, addresses });
    } else {
      const message = `The connection to ${authorityOf(target)} was lost.`;
      const refusal = { status: 502, reason: "connection-lost", message };
      this.#refuse(kind, target, refusal, to, { rule: rule.text });
    }
  }
}

type Kind = "connect" | "http";

/** Port on which only TLS is carried, in tunnels whose hello is checked: a plain request names no host that is. */
const tlsPort = 443;

function tlsOnly(target: Target): Refusal {
  return {
    status: 403,
    reason: "tls-only",
    message: `On port ${tlsPort} only TLS is carried: use CONNECT ${authorityOf(target)}.`,
  };
}

function decision(kind: Kind, what: "allow" | "deny" | "fail", target: Target | undefined) {
  return { kind, decision: what, host: target?.host, port: target?.port };
}

function malformed(written: string | undefined): Refusal {
  const secure = /^https:/i.test(written ?? "");
  return {
    status: 400,
    reason: "malformed-target",
    message: secure
      ? "https goes through the proxy by CONNECT host:443."
      : "Write CONNECT host:port, or http://host/path with a plain host name or address.",
  };
}

function reasonOfAbort(signal: AbortSignal): string {
  return signal.reason instanceof Error ? signal.reason.message : "aborted";
}
