import { reasonOf } from "../common/log.ts";
import { inline } from "./sanitise.ts";

/** A failure whose text is meant for people in the chat. */
export class PlainError extends Error {}

/** What the socket proxy or the Engine answered with a status of failure. */
export class EngineError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const unreachable =
  /ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|EACCES|socket hang up|no answer from/;

/** What the socket proxy answers while the Engine behind it is away. */
const engineAway = new Set([502, 503, 504]);

/** True where the socket proxy, or the Engine behind it, does not answer: that passes by itself when it is back. */
export function isUnreachable(error: unknown): boolean {
  if (error instanceof EngineError) return engineAway.has(error.status);
  return unreachable.test(reasonOf(error));
}

/**
 * An Engine failure in a sentence for people, with its cure (requirement E14). `what` says what was tried: "start lal".
 * The Engine's own words are quoted only where no better ones are known.
 */
export function wordEngineFailure(error: unknown, what: string, image?: string): string {
  if (error instanceof PlainError) return error.message;
  const reason = inline(reasonOf(error), 300);
  // The Engine's own words, and the socket proxy's for the same.
  if (/no such image|image is not on this engine/i.test(reason)) {
    const named = image ? `The image ${image}` : "Its image";
    return `I could not ${what}: ${named} is not on this host ("No such image"). Cure: \`pulumi up\` builds or pulls it.`;
  }
  if (error instanceof EngineError && error.status === 404) {
    return `I could not ${what}: its container is not there ("No such container"). Cure: \`pulumi up\` makes it again.`;
  }
  if (error instanceof EngineError && error.status === 403) {
    return `I could not ${what}: the socket proxy refused it (${reason}). Cure: \`pulumi up\` brings container and declaration together again.`;
  }
  if (isUnreachable(error)) {
    return `I could not ${what}: the socket proxy does not answer, or Docker behind it does not. Agents that run go on running. Cure: \`berth doctor\` on the host shows whether the Engine and docker-socket-proxy run.`;
  }
  return `I could not ${what}: ${reason}`;
}
