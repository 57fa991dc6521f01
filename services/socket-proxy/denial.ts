/** A refusal: the only way a request ends without its intent being carried out. */
export class Denial extends Error {
  readonly status: number;
  /** Stable id of the rule that refused, for people, tests and the audit. */
  readonly rule: string;
  /** Names of container fields that differ from the declaration; names only, never values. */
  readonly fields: readonly string[];

  constructor(status: number, rule: string, reason: string, fields: readonly string[] = []) {
    super(reason);
    this.name = "Denial";
    this.status = status;
    this.rule = rule;
    this.fields = fields;
  }
}

/** 403: not in the language, or not for this client. */
export function forbidden(rule: string, reason: string, fields: readonly string[] = []): Denial {
  return new Denial(403, rule, reason, fields);
}

/** 400: in the language, but badly written. */
export function malformed(rule: string, reason: string): Denial {
  return new Denial(400, rule, reason);
}

/** 404: not there, or not of this stack. Both are the same answer, byte for byte. */
export function notFound(): Denial {
  return new Denial(404, "not-found", "no such object in this stack");
}

/**
 * The refusal in Docker's error shape, which the docker command prints as it stands.
 * A 404 has no request id in it, so that it tells nothing apart; the id is in the `x-request-id` header.
 */
export function denialBody(verb: string, denial: Denial, request: string): string {
  const words =
    denial.status === 404
      ? `berth: ${denial.message} [${denial.rule}]`
      : `berth: ${verb} denied: ${denial.message} [${denial.rule}] (request ${request})`;
  return `${JSON.stringify({ message: words })}\n`;
}
