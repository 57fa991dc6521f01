import http from "node:http";
import type { Declaration } from "../../spec/declaration.ts";
import { listenUnix, sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { readJson } from "./read-json.ts";
import type { TokenMint } from "./token-mint.ts";

/**
 * The gateway's questions, on a unix socket that only the egress gateway mounts. The body of a `POST` is `{"agent":"lal"}`.
 * `POST /tokens` → `{token, userId, username, channelIds}`: a new token, those before it are revoked.
 * `POST /channels` → `{userId, channelIds}`: where the agent is, without a token.
 * Both: 404 for an agent that is not declared or has no gateway, 503 while Mattermost or the declarations are not ready.
 * `GET /renewals` → a line `{"agent":"lal"}` whenever the gateway should ask for that agent's token anew.
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
    if (request.method === "GET" && path === "/renewals") return sendRenewals(mint, response);
    const question = questions.get(path);
    if (request.method !== "POST" || !question) {
      const message = "only POST /tokens, POST /channels and GET /renewals are served here";
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

/** A stream that ends when the gateway closes it, or we do. */
function sendRenewals(mint: TokenMint, response: http.ServerResponse): void {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  const end = mint.follow((agent) => response.write(`${JSON.stringify({ agent })}\n`));
  response.once("close", end);
}
