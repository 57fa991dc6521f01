import { reasonOf } from "../common/log.ts";

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

/** True for a failure to reach the socket proxy at all, which passes by itself when the proxy is back. */
export function isUnreachable(error: unknown): boolean {
  return !(error instanceof EngineError) && unreachable.test(reasonOf(error));
}

/**
 * An Engine failure in a sentence for people, with its cure (requirement E14). `what` says what was tried: "start lal".
 * The Engine's own words are quoted only where no better ones are known.
 */
export function wordEngineFailure(error: unknown, what: string, image?: string): string {
  if (error instanceof PlainError) return error.message;
  const reason = reasonOf(error);
  if (/no such image/i.test(reason)) {
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
    return `I could not ${what}: the socket proxy does not answer, so I cannot reach Docker. Agents that run go on running. Cure: \`berth doctor\` on the host shows whether the Engine and docker-socket-proxy run.`;
  }
  return `I could not ${what}: ${reason}`;
}
