import { type Duplex, duplexPair } from "node:stream";
import { createLog } from "../services/common/log.ts";
import { createAudit } from "../services/socket-proxy/audit.ts";
import { Denial, type Layer, layers, type Rule, rules } from "../services/socket-proxy/denial.ts";
import { createHandlers } from "../services/socket-proxy/proxy.ts";
import { route } from "../services/socket-proxy/route.ts";
import { createParts } from "../services/socket-proxy/run.ts";
import { createListener, type Handlers } from "../services/socket-proxy/transport.ts";
import type { GrantsDocument } from "../spec/grants.ts";
import { ExplainEngine, type ShownCall, type World } from "./explain-engine.ts";

/** What the proxy does with a request, found out by its own code. */
export interface Explanation {
  /** Method and target, as far as they were read. */
  readonly request: string;
  readonly client: string;
  readonly verb: string;
  readonly allowed: boolean;
  /** Of the proxy's own answer; undefined where it would be the Engine's, or none. */
  readonly status: number | undefined;
  /** The rule that refuses. */
  readonly rule: Rule | undefined;
  readonly layer: Layer | undefined;
  /** The refusal's words. */
  readonly words: string | undefined;
  /** JSON pointers and parameters that differ, as far as the refusal names them. */
  readonly fields: readonly string[];
  readonly layers: readonly LayerState[];
  /** What the Engine is asked for the decision, or for the answer. */
  readonly asked: readonly ShownCall[];
  /** What the Engine would be sent. */
  readonly sent: readonly ShownCall[];
  /** More follows on the connection, and was not looked at. */
  readonly more: boolean;
}

/** How far a request came in a layer. */
export interface LayerState {
  readonly layer: Layer;
  readonly about: string;
  readonly state: "passed" | "passed so far" | "refused" | "not reached";
}

export interface ExplainOptions {
  readonly stack: string;
  readonly client: string;
  readonly grants: GrantsDocument;
  readonly world: World;
}

/** Without a sign of life for this long, what was sent is taken for all there is. */
const quietMs = 500;
/** Longest time that a decision may take; looks at the Engine have their own bounds. */
const longestMs = 60_000;

/**
 * Sends a raw request through the proxy's own listener, table, grants, ownership and rendering, before an Engine that is
 * looked at and never changed.
 * @throws Error where the client has no grant, or the Engine cannot be looked at
 */
export async function explain(bytes: Uint8Array, options: ExplainOptions): Promise<Explanation> {
  const { stack, client, grants, world } = options;
  if (!Object.hasOwn(grants.clients, client)) {
    const known = Object.keys(grants.clients).join(", ");
    throw new Error(`${client} is no client of these grants; there are: ${known}`);
  }
  const engine = new ExplainEngine(world);
  const records: Record<string, unknown>[] = [];
  const audit = createAudit((line) => records.push(JSON.parse(line) as Record<string, unknown>));
  const log = createLog("explain", () => undefined);
  const { parts, limitsOf } = createParts({ stack, grants }, { engine, log, audit });
  const ending = new AbortController();
  const { handlers, seen } = watch(createHandlers(parts, limitsOf));
  let answer: Answer;
  try {
    void parts.events.run(ending.signal);
    await parts.fleet.refresh();
    await settled(() => parts.leases.living());
    engine.asked.length = 0;
    answer = await send(bytes, createListener(client, handlers), seen, () => engine.isBusy);
  } finally {
    ending.abort();
  }

  const own = records.filter((record) => record.client === client);
  const refusal = own.find(({ decision }) => decision === "deny");
  const failure = own.find(({ phase, rule }) => phase === "result" && rule !== undefined);
  // Where the Engine would have been sent something, what follows from not sending it says nothing.
  const decided = refusal ?? (engine.sent.length > 0 ? undefined : failure);
  const rule = ruleOf(decided?.rule);
  const allowed = rule === undefined;
  const isOwnAnswer = !allowed || engine.sent.length === 0;
  return {
    request: seen.request,
    client,
    verb: seen.verb,
    allowed,
    status: isOwnAnswer ? answer.status : undefined,
    rule,
    layer: rule && rules[rule],
    words: allowed ? undefined : answer.words,
    fields: Array.isArray(decided?.fields) ? decided.fields.map(String) : [],
    layers: statesOf(seen, rule, allowed ? engine.sent.length > 0 : decided === failure),
    asked: engine.asked,
    sent: allowed ? engine.sent : [],
    more: seen.more,
  };
}

/** Waits until what there is of instances was read, as the proxy does before it makes any. */
async function settled(read: () => unknown): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      read();
      return;
    } catch (error) {
      if (!(error instanceof Denial) || tries >= 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** What was seen of the connection. */
interface Seen {
  request: string;
  verb: string;
  /** The first request was answered or refused. */
  isDone: boolean;
  /** Something came behind the first request. */
  more: boolean;
  /** All bytes were sent. What is complained of then is what was missing. */
  isAtEnd: boolean;
}

/** The proxy's handlers, for the first request on the connection; what is behind it is noticed and not answered. */
function watch(handlers: Handlers): { readonly handlers: Handlers; readonly seen: Seen } {
  const seen: Seen = { request: "", verb: "request", isDone: false, more: false, isAtEnd: false };
  let begun = 0;
  const begin = (method: string, target: string): boolean => {
    begun += 1;
    if (begun > 1) return false;
    // A parser that could make nothing of it names no method.
    seen.request = method === "?" ? "" : `${method} ${target}`.trim();
    seen.verb = route(method, target).verb;
    return true;
  };
  return {
    seen,
    handlers: {
      async request(client, request, response) {
        if (!begin(request.method ?? "", request.url ?? "")) {
          seen.more = true;
          return;
        }
        await handlers.request(client, request, response);
        seen.isDone = true;
      },
      refused(client, method, target, denial) {
        if (!begin(method, target) && !seen.isAtEnd) {
          seen.more = true;
          return { id: "behind", verb: "request", denial };
        }
        seen.isDone = true;
        return handlers.refused(client, method, target, denial);
      },
    },
  };
}

interface Answer {
  readonly status: number | undefined;
  readonly words: string | undefined;
}

/** Puts the bytes on a connection of the server's and reads its answer, or the head of one that stays open. */
async function send(
  bytes: Uint8Array,
  server: ReturnType<typeof createListener>,
  seen: Seen,
  isBusy: () => boolean,
): Promise<Answer> {
  const [ours, theirs] = duplexPair();
  const parts: Buffer[] = [];
  let lastAt = performance.now();
  const end = lastAt + longestMs;
  let isClosed = false;
  const close = () => {
    isClosed = true;
  };
  ours.on("data", (part: Buffer) => {
    parts.push(part);
    lastAt = performance.now();
  });
  ours.on("error", close).on("close", close).on("end", close);
  theirs.on("error", close).on("close", close);
  server.emit("connection", theirs);
  ours.write(bytes);
  while (!isClosed && performance.now() < end) {
    const text = Buffer.concat(parts).toString("latin1");
    if (isAnswer(text, seen.isDone)) break;
    const isQuiet = performance.now() - lastAt > quietMs && !isBusy();
    if (isQuiet && seen.isAtEnd) break;
    if (isQuiet) {
      // Nothing more comes: what is missing of the request will not come either.
      seen.isAtEnd = true;
      lastAt = performance.now();
      ours.end();
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  destroy(ours, theirs);
  server.close();
  return readAnswer(Buffer.concat(parts).toString("utf8"));
}

function destroy(...streams: readonly Duplex[]): void {
  for (const stream of streams) stream.destroy();
}

/** A whole answer, or the head of a stream's. */
function isAnswer(text: string, isDone: boolean): boolean {
  const head = /^HTTP\/1\.1 [0-9]{3} [\s\S]*?\r\n\r\n/.exec(text)?.[0];
  if (head === undefined) return false;
  const length = /^content-length: ([0-9]+)\r$/im.exec(head)?.[1];
  return isDone || length === undefined || text.length >= head.length + Number(length);
}

function readAnswer(text: string): Answer {
  const status = /^HTTP\/1\.1 ([0-9]{3}) /.exec(text)?.[1];
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  let words: string | undefined;
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === "string") words = message;
  } catch {
    // An answer to HEAD has no body, and a stream's has more than one line.
  }
  return { status: status === undefined ? undefined : Number(status), words };
}

function ruleOf(value: unknown): Rule | undefined {
  return typeof value === "string" && Object.hasOwn(rules, value) ? (value as Rule) : undefined;
}

/**
 * When the checks of a layer begin and end, on the way of a request: the table stands before the framing of a body, the
 * client's verbs before its templates and quotas.
 */
const spans: Readonly<Record<Layer, readonly [begin: number, end: number]>> = {
  transport: [0, 0],
  http: [0, 4],
  table: [2, 2],
  grant: [1, 9],
  body: [5, 6],
  ownership: [6, 7],
  lease: [8, 8],
  audit: [11, 11],
  engine: [12, 12],
  verification: [10, 13],
};
/** After the record of the permission. */
const permitted = 11.5;
/** Before a create, image, volumes and networks are looked at, ahead of names and quotas. */
const beforeCreate = 6.5;

/** Rules whose place is not the end of their layer's. */
const places: Partial<Record<Rule, number>> = {
  http: 0.5,
  suspended: 1,
  grant: 3,
  rate: 4.5,
  verify: 10,
  "pids-limit": permitted,
};

/** @param isPermitted the request was recorded as allowed before it failed, or went on to the Engine */
function statesOf(seen: Seen, rule: Rule | undefined, isPermitted: boolean): LayerState[] {
  const isCreate = seen.verb === "create";
  const place = isPermitted
    ? permitted
    : rule === undefined
      ? Number.POSITIVE_INFINITY
      : rule === "verify" && isCreate
        ? beforeCreate
        : rule === "http" && seen.request !== ""
          ? spans.http[1]
          : (places[rule] ?? spans[rules[rule]][1]);
  return (Object.keys(layers) as Layer[]).map((layer) => {
    const [usual, end] = spans[layer];
    const begin = layer === "verification" && isCreate ? beforeCreate - 0.1 : usual;
    const isDeciding = rule !== undefined && rules[rule] === layer;
    const state = end < place ? "passed" : begin < place ? "passed so far" : "not reached";
    return { layer, about: layers[layer], state: isDeciding ? "refused" : state };
  });
}
