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

/** What the mint works with. */
interface MintParts {
  readonly local: LocalMode;
  readonly provisioner: Provisioner;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly stack: string;
}

/** Where an agent is in the chat, as the gateway is told. */
interface Whereabouts {
  readonly userId: string;
  /** Channels that the agent's declaration names, by id. */
  readonly channelIds: readonly string[];
}

/** Mints bot tokens for the egress gateway: at most one of an agent works at any time, and none is kept here. */
export class TokenMint {
  readonly #parts: MintParts;
  /** The last mint or revocation of each agent: two at once would revoke each other's token. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(parts: MintParts) {
    this.#parts = parts;
  }

  /** A new token of the agent's bot; the ones before it are revoked first. */
  mint(
    declaration: Declaration,
  ): Promise<Whereabouts & { readonly token: string; readonly username: string }> {
    return this.#inTurn(declaration.name, async () => {
      const { local, store, metrics, stack } = this.#parts;
      const { userId, channelIds } = await this.whereabouts(declaration);
      const prefix = tokenPrefix.agent(stack, declaration.name);
      await revokeTokens(local, userId, prefix);
      const { token } = await local.createToken(userId, `${prefix}${store.nextGeneration()}`);
      metrics.add("berth_tokens_minted_total");
      return { token, userId, username: declaration.name, channelIds };
    });
  }

  /** Bot and channels of an agent, provisioned where they are not yet. Mints nothing. */
  async whereabouts(declaration: Declaration): Promise<Whereabouts> {
    const { userId, channelIds } = await this.#parts.provisioner.provision(declaration);
    return { userId, channelIds: [...channelIds] };
  }

  /** Revokes every token that the agent works with, one whose minting is under way included. @returns how many */
  revoke(agent: string, userId: string): Promise<number> {
    const { local, stack } = this.#parts;
    return this.#inTurn(agent, () => revokeTokens(local, userId, tokenPrefix.agent(stack, agent)));
  }

  #inTurn<T>(agent: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(agent) ?? Promise.resolve()).catch(() => undefined).then(act);
    this.#turns.set(agent, turn);
    return turn;
  }
}

/**
 * The gateway's questions, on a unix socket that only the egress gateway mounts. The body of each is `{"agent":"lal"}`.
 * `POST /tokens` → `{token, userId, username, channelIds}`: a new token, those before it are revoked.
 * `POST /channels` → `{userId, channelIds}`: where the agent is, without a token.
 * Both: 404 for an agent that is not declared or has no gateway, 503 while Mattermost or the declarations are not ready.
 */
export async function serveTokens(options: {
  readonly path: string;
  readonly mint: TokenMint;
  readonly log: Log;
  /** The declaration of an agent; undefined: not declared. Throws while the declarations are not known yet. */
  readonly find: (agent: string) => Declaration | undefined;
}): Promise<http.Server> {
  const { mint, log, find } = options;
  const questions: ReadonlyMap<string, (declaration: Declaration) => Promise<unknown>> = new Map([
    [
      "/tokens",
      async (declaration: Declaration) => {
        const minted = await mint.mint(declaration);
        log.info("token-minted", { agent: declaration.name });
        return minted;
      },
    ],
    ["/channels", (declaration: Declaration) => mint.whereabouts(declaration)],
  ]);
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const path = request.url ?? "";
    const question = questions.get(path);
    if (request.method !== "POST" || !question) {
      const message = "only POST /tokens and POST /channels are served here";
      return sendJson(response, 404, { message });
    }
    const body = await readJson(request);
    const agent = (body as { agent?: unknown } | undefined)?.agent;
    if (typeof agent !== "string") {
      return sendJson(response, 400, { message: 'send {"agent": "name"}' });
    }
    try {
      const declaration = find(agent);
      if (!declaration) return sendJson(response, 404, { message: `${agent} is not declared` });
      sendJson(response, 200, await question(declaration));
    } catch (error) {
      log.warn("gateway-not-served", { asked: path, agent, reason: reasonOf(error) });
      sendJson(response, 503, { message: `not ready: ${reasonOf(error)}` });
    }
  };
  const server = http.createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      log.warn("gateway-request", { reason: reasonOf(error) });
      response.destroy();
    });
  });
  // Writable by all: whoever has the volume is the gateway, and the gateway has no capability to pass a 0600.
  await listenUnix(server, options.path, 0o666);
  return server;
}
