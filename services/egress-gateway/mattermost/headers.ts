import type http from "node:http";
import { endToEndHeaders } from "../reply.ts";
import type { Bot } from "./tokens.ts";

/** The client's headers that go on to Mattermost. No identity is among them: that is the gateway's to add. */
const sent = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "content-type",
  "if-modified-since",
  "if-none-match",
  "range",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
  "user-agent",
]);

/** Headers of Mattermost's answers that could carry an identity. */
const withheld = new Set(["set-cookie", "set-cookie2", "token", "authorization", "x-csrf-token"]);

/** The bot's identity, as Mattermost takes it. */
export function bearer(bot: Bot): { readonly authorization: string } {
  return { authorization: `Bearer ${bot.token.reveal()}` };
}

/** Headers after which an answer's body is not the plain whole. */
const partial = new Set(["accept-encoding", "if-modified-since", "if-none-match", "range"]);

/**
 * Headers of a request to Mattermost, in the bot's name.
 * @param whole the gateway itself reads the answer: it must be the plain whole
 */
export function requestHeaders(
  request: http.IncomingMessage,
  server: URL,
  bot: Bot | undefined,
  whole: boolean,
): Record<string, string | string[]> {
  const goesOn = (name: string) => sent.has(name) && !(whole && partial.has(name));
  return {
    ...endToEndHeaders(request.rawHeaders, goesOn),
    host: server.host,
    ...(bot ? bearer(bot) : {}),
  };
}

/** Headers of Mattermost's answer that the agent gets. */
export function answerHeaders(answer: http.IncomingMessage): Record<string, string[]> {
  return endToEndHeaders(answer.rawHeaders, (name) => !withheld.has(name));
}
