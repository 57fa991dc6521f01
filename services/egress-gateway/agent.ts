import type http from "node:http";
import type { Duplex } from "node:stream";
import { type Declaration, declarationHash } from "../../spec/declaration.ts";
import { sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Audit } from "./audit.ts";
import { Door } from "./door.ts";
import { Egress, type EgressOptions } from "./egress/egress.ts";
import { Endpoints } from "./endpoints/endpoints.ts";
import type { AskStore } from "./endpoints/store.ts";
import { endpointsPrefix } from "./endpoints/target.ts";
import { Front } from "./front.ts";
import type { Limits } from "./limits.ts";
import { Mattermost } from "./mattermost/mattermost.ts";
import { apiPrefix } from "./mattermost/routes.ts";
import { type Bot, type FindChannels, type Mint, TokenHolder } from "./mattermost/tokens.ts";
import type { Upstream } from "./mattermost/upstream.ts";
import { selfAnswer, selfPath } from "./self.ts";
import { removeFile } from "./socket-file.ts";
import { writeTokenFile } from "./token-file.ts";

/** What every agent's side of the gateway is made from. */
export interface AgentOptions {
  readonly log: Log;
  readonly limits: Limits;
  readonly egress: EgressOptions;
  readonly upstream: Upstream;
  readonly mint: Mint;
  readonly findChannels: FindChannels;
  /** Asks the secret store what is added to an endpoint's requests. */
  readonly askStore: AskStore;
  readonly team: string;
}

/** Files of one agent in its directory. */
export interface AgentPaths {
  readonly socket: string;
  readonly botToken: string;
}

/** A kind of request with a path (`GET /…`) that an agent may make of the gateway. One more of these is one more service. */
interface Mode {
  readonly takes: (path: string) => boolean;
  readonly request: (
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ) => void | Promise<void>;
  readonly upgrade?: (request: http.IncomingMessage, near: Duplex, head: Buffer) => Promise<void>;
}

/** The gateway's side of one agent: its socket, its bot's token, its ways out. Who connects here *is* that agent. */
export class Agent {
  #declaration: Declaration;
  readonly #paths: AgentPaths;
  readonly #options: AgentOptions;
  readonly #audit: Audit;
  readonly #egress: Egress;
  readonly #holder: TokenHolder;
  readonly #mattermost: Mattermost;
  readonly #endpoints: Endpoints;
  readonly #modes: readonly Mode[];
  readonly #front: Front;
  readonly #door: Door;
  #closed = false;

  constructor(declaration: Declaration, paths: AgentPaths, options: AgentOptions) {
    const { log, limits } = options;
    const { name } = declaration;
    this.#declaration = declaration;
    this.#paths = paths;
    this.#options = options;
    this.#audit = new Audit(name, log, limits);
    this.#egress = new Egress(name, this.#audit, limits, options.egress);
    this.#egress.allow(declaration.egress);
    this.#holder = new TokenHolder({
      agent: name,
      mint: options.mint,
      limits,
      log,
      onChange: (bot) => this.#tokenChanged(bot),
    });
    this.#mattermost = new Mattermost({
      agent: name,
      audit: this.#audit,
      log,
      limits,
      upstream: options.upstream,
      holder: this.#holder,
      findChannels: options.findChannels,
      access: () => this.#declaration.chat.access,
    });
    const { resolveMs, connectMs } = limits;
    this.#endpoints = new Endpoints({
      agent: name,
      audit: this.#audit,
      log,
      limits,
      reach: { ...options.egress, resolveMs, connectMs },
      ask: options.askStore,
    });
    this.#endpoints.declare(declaration.endpoints ?? {});
    this.#modes = [
      {
        takes: (path) => path.startsWith(`${apiPrefix}/`),
        request: (request, response) => this.#mattermost.request(request, response),
        upgrade: (request, near, head) => this.#mattermost.upgrade(request, near, head),
      },
      {
        takes: (path) => path.startsWith(`${endpointsPrefix}/`),
        request: (request, response) => this.#endpoints.request(request, response),
      },
      { takes: (path) => path === selfPath, request: this.#self },
      { takes: (path) => path === "/healthz", request: this.#health },
    ];
    this.#front = new Front(limits, this.#audit, {
      mayUpgrade: (request) => this.#mode(request)?.upgrade !== undefined,
      request: (request, response) => this.#request(request, response),
      upgrade: (request, near, head) => this.#mode(request)?.upgrade?.(request, near, head),
      connect: (request, near, head) => this.#egress.connect(request, near, head),
    });
    this.#door = new Door(this.#front, paths.socket, 0o666);
  }

  /** Begins to listen and to fetch the bot's token. @throws Error where the socket cannot be placed */
  async start(): Promise<void> {
    this.#holder.start().catch((error: unknown) => this.#report("token-missing", error));
    await this.#door.open();
    if (!this.#ownsToken()) await removeFile(this.#paths.botToken);
  }

  /** Takes a changed declaration: what it no longer allows is cut, all else goes on. */
  async update(declaration: Declaration): Promise<void> {
    const owned = this.#ownsToken();
    const changed = declarationHash(declaration) !== declarationHash(this.#declaration);
    this.#declaration = declaration;
    this.#egress.allow(declaration.egress);
    this.#endpoints.declare(declaration.endpoints ?? {});
    if (changed) this.#mattermost.scope.changed();
    if (owned && !this.#ownsToken()) {
      await removeFile(this.#paths.botToken);
      // The agent may have copied it; only a new one ends it.
      this.#holder.replace().catch((error: unknown) => this.#report("token-missing", error));
    }
    if (!owned && this.#ownsToken()) await this.#placeToken();
    await this.sweep();
  }

  /** Puts the socket back where somebody took it away. @throws Error where that fails */
  async sweep(): Promise<void> {
    if (await this.#door.keep())
      this.#options.log.warn("socket-put-back", { agent: this.#declaration.name });
  }

  /** Checks a token of whose end nobody would tell: of a WebSocket that went deaf, or in the agent's own hands. */
  async check(): Promise<void> {
    if (this.#mattermost.openSockets > 0 || this.#ownsToken()) await this.#mattermost.check();
  }

  /** Asks for another token though this one is good: the admin bridge is about to revoke it. */
  renewToken(): void {
    this.#holder.replace().catch((error: unknown) => this.#report("token-missing", error));
  }

  /** Ends everything of this agent; its socket and token files are gone when the promise resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endpoints.close();
    this.#holder.close();
    await this.#door.shut();
    await removeFile(this.#paths.botToken);
    this.#mattermost.close();
    this.#egress.close();
    this.#front.close();
  }

  #mode(request: http.IncomingMessage): Mode | undefined {
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    return this.#modes.find((mode) => mode.takes(path));
  }

  #request(request: http.IncomingMessage, response: http.ServerResponse): void | Promise<void> {
    const url = request.url ?? "";
    if (!url.startsWith("/")) return this.#egress.plain(request, response);
    const mode = this.#mode(request);
    if (mode) return mode.request(request, response);
    this.#audit.write("request", {
      decision: "deny",
      method: request.method,
      path: url.split("?", 1)[0]?.slice(0, 200),
      reason: "no-such-path",
    });
    sendJson(response, 404, {
      message: `Served here: ${apiPrefix}/… (Mattermost), ${endpointsPrefix}/<name>/…, ${selfPath}, /healthz, and proxy requests.`,
      reason: "no-such-path",
    });
  }

  readonly #self = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const { bot } = this.#holder;
    if (request.method !== "GET")
      sendJson(response, 405, { message: "only GET", reason: "method" });
    else if (bot) sendJson(response, 200, selfAnswer(this.#declaration, bot, this.#options.team));
    else sendJson(response, 503, { message: "The bot is not known yet.", reason: "not-ready" });
  };

  readonly #health = (_request: http.IncomingMessage, response: http.ServerResponse): void => {
    const ok = this.#holder.bot !== undefined;
    sendJson(response, ok ? 200 : 503, { ok });
  };

  /** The agent talks to Mattermost itself, over the network, and holds its token. */
  #ownsToken(): boolean {
    return this.#declaration.network === "mattermost";
  }

  async #tokenChanged(bot: Bot): Promise<void> {
    this.#mattermost.scope.learn(bot.channelIds);
    await this.#placeToken();
    this.#mattermost.dropOldSockets();
  }

  /** Writes the token file of an agent that owns its token; no other has one. */
  async #placeToken(): Promise<void> {
    const { bot } = this.#holder;
    const owns = () => this.#ownsToken() && !this.#closed;
    try {
      if (bot && owns()) await writeTokenFile(this.#paths.botToken, bot.token);
      // The declaration may have changed meanwhile.
      if (!owns()) await removeFile(this.#paths.botToken);
    } catch (error) {
      this.#report("token-file", error);
    }
  }

  #report(event: string, error: unknown): void {
    this.#options.log.error(event, { agent: this.#declaration.name, reason: reasonOf(error) });
  }
}
