import http from "node:http";
import type { Duplex } from "node:stream";
import { sendJson } from "../../common/http.ts";
import { endWithJson } from "../reply.ts";

/** Answers of the gateway in Mattermost's own error shape, so that its clients understand them. */
const errors = {
  "not-ready": [503, "The token of this agent's bot is not there yet. Try again in a moment."],
  "token-renewed": [503, "The bot's token was replaced while this request ran. Send it again."],
  unreachable: [502, "Mattermost does not answer. Try again in a moment."],
  timeout: [504, "Mattermost gave no answer in time."],
  "too-large": [413, "The body is too large."],
  "not-allowed": [403, "An agent may not use this part of Mattermost's API."],
  "other-channel": [
    403,
    "Only the channels in the agent's declaration and its direct channels with people are open to it.",
  ],
  "not-a-person": [403, "A direct channel is opened only with a person whom chat.access allows."],
  "too-many": [429, "Too many of these from this agent. Try again in a moment."],
  multipart: [
    400,
    "Send the file's bytes as the body, channel_id and filename in the query; forms are not carried.",
  ],
  "malformed-path": [400, "The path must be plain: no escapes, no empty or dot segments."],
  "token-in-query": [403, "A token in the query is refused: the gateway adds the bot's own."],
  "not-websocket": [400, "Only a WebSocket upgrade is served here."],
  "malformed-request": [400, "The request is malformed."],
} as const;

export type MattermostError = keyof typeof errors;

/** Answers with an error of the gateway's own. */
export function answerError(to: http.ServerResponse | Duplex, error: MattermostError): void {
  const [status, message] = errors[error];
  const body = {
    id: `berth.gateway.${error.replaceAll("-", "_")}`,
    message,
    detailed_error: "",
    request_id: "",
    status_code: status,
  };
  if (!(to instanceof http.ServerResponse)) endWithJson(to, status, body);
  else if (to.headersSent) to.destroy();
  else sendJson(to, status, body);
}
