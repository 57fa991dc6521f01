import { canonicalJson, type Json } from "./canonical.ts";
import { clientNamePattern, Service } from "./names.ts";
import { list, object, oneOf, record, text, whole } from "./rules.ts";
import { CPU, GiB, MiB } from "./units.ts";

/** What a client of the socket proxy can ask for: the whole language. A verb that is not here does not exist. */
export const verbs = [
  "ping",
  "version",
  "list",
  "inspect",
  "create",
  "start",
  "stop",
  "kill",
  "wait",
  "logs",
  "stats",
  "events",
  "image",
  "network",
  "declarations",
  "alerts",
  "metrics",
  "audit",
] as const;
export type Verb = (typeof verbs)[number];

/** Sums over running instances, and how fast new ones may come. */
export interface InstanceQuotas {
  readonly createsPerMinute: number;
  readonly instances: number;
  readonly memoryBytes: number;
  /** Billionths of a CPU. */
  readonly nanoCpus: number;
  readonly pids: number;
}

/** What one client may ask for. */
export interface ClientQuotas extends InstanceQuotas {
  /** In the long run. */
  readonly requestsPerSecond: number;
  /** At once, after a quiet time. */
  readonly requestBurst: number;
  /** Answers that stay open: `wait`, `logs`, `events`, `alerts`, the watch of declarations. */
  readonly streams: number;
  /** Bytes a second of all its streams together. */
  readonly streamBytesPerSecond: number;
}

/** The rights of one client. Which client it is says the listener that it comes in by. */
export interface ClientGrant {
  /** A port on `socket-proxy-net`, or a unix socket in a directory that only this client mounts. */
  readonly listener: "tcp" | "unix";
  readonly verbs: readonly Verb[];
  /** Templates whose containers it may see and use: `lal.review`, `lal.*`, `*`. `lal.agent` is the agent itself. */
  readonly templates: readonly string[];
  /** It may list and inspect the platform's own containers, too. */
  readonly services: boolean;
  readonly quotas: ClientQuotas;
}

/** When a client that keeps asking for what is forbidden is not answered any more, and for how long. */
export interface Suspension {
  /** Refusals within the window. */
  readonly denials: number;
  readonly windowSeconds: number;
  /** How long it lasts; it always ends by itself. */
  readonly seconds: number;
}

/** All rights at the socket proxy. Rendered by the program, read by the proxy; a client without an entry has none. */
export interface GrantsDocument {
  readonly version: 1;
  readonly clients: Readonly<Record<string, ClientGrant>>;
  /** Over all clients together. */
  readonly stack: InstanceQuotas;
  readonly suspension: Suspension;
}

/** Quotas that a stack may set for itself. */
export interface GrantOptions {
  readonly stack?: Partial<InstanceQuotas>;
  readonly suspension?: Partial<Suspension>;
}

/** Quotas of all instances of a stack together, where its config says nothing else. */
export const defaultStackQuotas: InstanceQuotas = {
  createsPerMinute: 60,
  instances: 32,
  memoryBytes: 32 * GiB,
  nanoCpus: 32 * CPU,
  pids: 8192,
};

/** Suspension where the stack's config says nothing else. */
export const defaultSuspension: Suspension = { denials: 20, windowSeconds: 60, seconds: 60 };

const noInstances: InstanceQuotas = {
  createsPerMinute: 0,
  instances: 0,
  memoryBytes: 0,
  nanoCpus: 0,
  pids: 0,
};
const observerQuotas = {
  requestsPerSecond: 50,
  requestBurst: 200,
  streams: 16,
  streamBytesPerSecond: 32 * MiB,
};
/** What a client that only follows the declarations needs. */
const observer: ClientGrant = {
  listener: "unix",
  verbs: ["ping", "version", "declarations", "events"],
  templates: ["*"],
  services: false,
  quotas: { ...observerQuotas, ...noInstances },
};

/**
 * The rights of a stack's own parts: the admin bridge has the whole language but `kill`, which it does not need (it stops);
 * the others follow the declarations.
 */
export function renderGrants(options: GrantOptions = {}): GrantsDocument {
  const stack = { ...defaultStackQuotas, ...options.stack };
  return {
    version: 1,
    clients: {
      [Service.adminBridge]: {
        listener: "tcp",
        verbs: verbs.filter((verb) => verb !== "kill"),
        templates: ["*"],
        services: true,
        quotas: { ...observerQuotas, streams: 256, ...stack },
      },
      [Service.egressGateway]: observer,
      [Service.secretStore]: observer,
    },
    stack,
    suspension: { ...defaultSuspension, ...options.suspension },
  };
}

/** The document as text; equal documents give equal text. */
export function encodeGrants(grants: GrantsDocument): string {
  return canonicalJson(grants as unknown as Json);
}

const most = Number.MAX_SAFE_INTEGER;
const instanceRules = {
  createsPerMinute: whole(0, 100_000),
  instances: whole(0, 10_000),
  memoryBytes: whole(0, most),
  nanoCpus: whole(0, most),
  pids: whole(0, most),
};
/** What `templates` of a grant may hold. */
export const templateGrantPattern = /^(\*|[a-z][a-z0-9-]{1,30}\.(\*|[a-z][a-z0-9-]{0,30}))$/;
const rule = object({
  version: oneOf(1),
  clients: record(
    clientNamePattern,
    "a client's name",
    object({
      listener: oneOf("tcp", "unix"),
      verbs: list(oneOf(...verbs)),
      templates: list(
        text(templateGrantPattern, "a template like lal.review, lal.* or *"),
        0,
        4096,
      ),
      services: oneOf(true, false),
      quotas: object({
        ...instanceRules,
        requestsPerSecond: whole(1, 1_000_000),
        requestBurst: whole(1, 1_000_000),
        streams: whole(0, 100_000),
        streamBytesPerSecond: whole(1024, most),
      }),
    }),
    64,
  ),
  stack: object(instanceRules),
  suspension: object({
    denials: whole(1, 1_000_000),
    windowSeconds: whole(1, 3600),
    seconds: whole(1, 3600),
  }),
});

/** Reads a document's text. Strict. @throws Error that lists every problem with its path */
export function decodeGrants(written: string): GrantsDocument {
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch {
    throw new Error("grants: not JSON");
  }
  const problems = rule(value).map((problem) => `grants${problem}`);
  const listeners = Object.values((value as GrantsDocument)?.clients ?? {});
  if (problems.length === 0 && listeners.filter(({ listener }) => listener === "tcp").length > 1) {
    problems.push("grants.clients: only one client can have the port; the others have sockets");
  }
  if (problems.length > 0) throw new Error(problems.join("; "));
  return value as GrantsDocument;
}

/** Whether a grant covers a template. */
export function coversTemplate(grant: ClientGrant, agent: string, template: string): boolean {
  return grant.templates.some(
    (item) => item === "*" || item === `${agent}.*` || item === `${agent}.${template}`,
  );
}
