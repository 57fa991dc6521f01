import http from "node:http";
import type { Declaration } from "../../spec/declaration.ts";
import { listenUnix, sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { revokeTokens, tokenPrefix } from "./accounts.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Metrics } from "./metrics.ts";
import type { Provisioner } from "./provisioner.ts";
import { readJson } from "./read-json.ts";
import type { Store } from "./store.ts";

/** Mints bot tokens for the egress gateway: at most one of an agent works at any time, and none is kept here. */
export class TokenMint {
  readonly #options: {
    readonly local: LocalMode;
    readonly provisioner: Provisioner;
    readonly store: Store;
    readonly metrics: Metrics;
    readonly stack: string;
  };
  /** The last mint of each agent: two at once would revoke each other's token. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: {
    readonly local: LocalMode;
    readonly provisioner: Provisioner;
    readonly store: Store;
    readonly metrics: Metrics;
    readonly stack: string;
  }) {
    this.#options = options;
  }

  /** A new token of the agent's bot; the ones before it are revoked first. */
  mint(declaration: Declaration): Promise<{ token: string; userId: string; username: string }> {
    const turn = (this.#turns.get(declaration.name) ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#mint(declaration));
    this.#turns.set(declaration.name, turn);
    return turn;
  }

  async #mint(declaration: Declaration) {
    const { local, provisioner, store, metrics, stack } = this.#options;
    const { userId } = await provisioner.provision(declaration);
    const prefix = tokenPrefix.agent(stack, declaration.name);
    await revokeTokens(local, userId, prefix);
    const { token } = await local.createToken(userId, `${prefix}${store.nextGeneration()}`);
    metrics.add("berth_tokens_minted_total");
    return { token, userId, username: declaration.name };
  }
}

/** `POST /tokens {"agent":"lal"}` on a unix socket that only the egress gateway mounts. */
export async function serveTokens(options: {
  readonly path: string;
  readonly mint: TokenMint;
  readonly log: Log;
  /** The declaration of an agent; undefined: not declared. Throws while the declarations are not known yet. */
  readonly find: (agent: string) => Declaration | undefined;
}): Promise<http.Server> {
  const { mint, log, find } = options;
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (request.method !== "POST" || request.url !== "/tokens") {
      return sendJson(response, 404, { message: "only POST /tokens is served here" });
    }
    const body = await readJson(request);
    const agent = (body as { agent?: unknown } | undefined)?.agent;
    if (typeof agent !== "string") {
      return sendJson(response, 400, { message: 'send {"agent": "name"}' });
    }
    try {
      const declaration = find(agent);
      if (!declaration) return sendJson(response, 404, { message: `${agent} is not declared` });
      sendJson(response, 200, await mint.mint(declaration));
      log.info("token-minted", { agent });
    } catch (error) {
      log.warn("token-not-minted", { agent, reason: reasonOf(error) });
      sendJson(response, 503, { message: `not ready: ${reasonOf(error)}` });
    }
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      log.warn("token-request", { reason: reasonOf(error) });
      response.destroy();
    });
  });
  // Writable by all: whoever has the volume is the gateway, and the gateway has no capability to pass a 0600.
  await listenUnix(server, options.path, 0o666);
  return server;
}
