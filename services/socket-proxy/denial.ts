/**
 * The layers of the proxy, in the order that a request passes them. Each refusal belongs to one of them.
 * `probing` layers: an honest client is hardly ever refused there, so repeated refusals suspend it.
 */
export const layers = {
  transport: "limits of the connection, before anything is understood",
  http: "the strict view of the raw request",
  table: "the closed table of requests",
  body: "the strict reading of a create's body",
  grant: "the client's rights: verbs, templates, rates, quotas",
  ownership: "what of this stack the name means",
  lease: "the lease of the container",
  audit: "the record that is written first",
  engine: "the Engine's own answer",
  verification: "what the Engine made, against the rendering",
} as const;
export type Layer = keyof typeof layers;

/** Every rule that can refuse, with its layer. The ids are stable: people, tests, alerts and the audit use them. */
export const rules = {
  connect: "transport",
  expect: "transport",
  "header-count": "transport",
  "header-size": "transport",
  slow: "transport",
  source: "transport",
  upgrade: "transport",
  body: "http",
  "body-length": "http",
  "body-size": "http",
  "body-type": "http",
  host: "http",
  http: "http",
  "http-version": "http",
  "api-version": "table",
  "filter-key": "table",
  "filter-syntax": "table",
  "filter-value": "table",
  "query-duplicate": "table",
  "query-key": "table",
  "query-syntax": "table",
  "query-value": "table",
  target: "table",
  verb: "table",
  instance: "body",
  "json-depth": "body",
  "json-duplicate": "body",
  "json-key": "body",
  "json-number": "body",
  "json-size": "body",
  "json-syntax": "body",
  "json-utf8": "body",
  parameters: "body",
  template: "body",
  "template-body": "body",
  grant: "grant",
  quota: "grant",
  rate: "grant",
  streams: "grant",
  suspended: "grant",
  "client-gone": "ownership",
  driver: "ownership",
  "image-missing": "ownership",
  "image-name": "ownership",
  "name-taken": "ownership",
  "not-an-agent": "ownership",
  "not-found": "ownership",
  undeclared: "ownership",
  ended: "lease",
  unsettled: "lease",
  audit: "audit",
  "engine-answer": "engine",
  "engine-conflict": "engine",
  "engine-down": "engine",
  "engine-late": "engine",
  "engine-refused": "engine",
  internal: "engine",
  "pids-limit": "verification",
  verify: "verification",
} as const satisfies Record<string, Layer>;
export type Rule = keyof typeof rules;

/** Layers where repeated refusals are a sign of a client that tries doors. */
const probing: ReadonlySet<Layer> = new Set<Layer>(["transport", "http", "table", "body"]);

/** Whether a refusal counts towards the suspension of its client. A client that is slow, or is suspended, does not probe. */
export function isProbe({ rule }: Denial): boolean {
  return rule !== "slow" && (rule === "grant" || probing.has(rules[rule]));
}

/** A refusal: the only way a request ends without its intent being carried out. */
export class Denial extends Error {
  readonly status: number;
  readonly rule: Rule;
  /** Names of members that differ from the rendering, or of parameters; names only, never values. */
  readonly fields: readonly string[];

  constructor(status: number, rule: Rule, reason: string, fields: readonly string[] = []) {
    // Its place in our code says nothing, and a stack trace costs more than the refusal.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(reason);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = "Denial";
    this.status = status;
    this.rule = rule;
    this.fields = fields;
  }
}

/** 403: not in the language, or not for this client. */
export function forbidden(rule: Rule, reason: string, fields: readonly string[] = []): Denial {
  return new Denial(403, rule, reason, fields);
}

/** 400: in the language, but badly written. */
export function malformed(rule: Rule, reason: string, fields: readonly string[] = []): Denial {
  return new Denial(400, rule, reason, fields);
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
