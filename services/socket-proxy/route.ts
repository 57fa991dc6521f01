import type { Verb } from "../../spec/grants.ts";
import { type Denial, forbidden, malformed } from "./denial.ts";
import { readDockerCreate, readNativeCreate } from "./instances/read.ts";
import { type Intent, killSignals, waitConditions } from "./intent.ts";
import {
  parseCreateQuery,
  parseQuery,
  readFilters,
  readFlag,
  readNumber,
  readTime,
} from "./query.ts";
import { apiVersion } from "./upstream.ts";

/**
 * The path of a request in the language, on the raw target as it came: no escapes, no dots as segments, no double
 * slash, no scheme. Groups: version, first segment, rest of the path, query.
 */
const targetPattern =
  /^(?:\/v([0-9]{1,2}\.[0-9]{1,2}))?\/([a-z_]{1,32})((?:\/[A-Za-z0-9][A-Za-z0-9_.:@-]{0,199}){0,8})(?:\?([\x21-\x7e]{0,2048}))?$/;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Oldest API version a client may name; newest is the one spoken to the Engine. What it gets is the same for all. */
export const oldestVersion = "1.24";

/** Words of Docker's API that make a readable refusal; nothing is decided by them. */
const dockerWords: ReadonlySet<string> = new Set(
  (
    "archive attach auth build changes commit configs connect containers copy create disconnect distribution events " +
    "exec export get grpc history images import info kill load logs networks nodes pause plugins prune pull push " +
    "rename resize restart search secrets services session start stats stop swarm system tag tasks top unpause " +
    "update upgrade version volumes wait"
  ).split(" "),
);

/** What a request means: an intent, one that its body completes, or a refusal with the verb to name in it. */
export type Routed =
  | { readonly verb: Verb; readonly intent: Intent }
  | {
      readonly verb: Verb;
      /** Reads the body. @throws Denial */
      readonly read: (body: Uint8Array) => Intent;
    }
  | { readonly verb: string; readonly denial: Denial };

/** The closed table: method and raw target in, intent or refusal out. Pure. */
export function route(method: string, target: string): Routed {
  try {
    const built = understand(method, target);
    return "read" in built
      ? { verb: "create", read: built.read }
      : { verb: built.verb, intent: built };
  } catch (error) {
    return { denial: error as Denial, verb: refusedVerb(method, target) };
  }
}

/** A create, whose body is still to come. */
interface Unread {
  readonly read: (body: Uint8Array) => Intent;
}

function understand(method: string, target: string): Intent | Unread {
  const match = targetPattern.exec(target);
  if (!match) throw forbidden("target", "the target is not written as this proxy's language is");
  const [, version, first = "", rest = "", query = ""] = match;
  const segments = [first, ...rest.split("/").slice(1)];
  const build = find(method, segments);
  if (!build) throw forbidden("verb", "it is not in this proxy's language");
  if (version !== undefined) checkVersion(version);
  return build(query);
}

/** Reads the query into the typed intent; may refuse it as malformed. */
type Build = (query: string) => Intent | Unread;

function find(method: string, segments: readonly string[]): Build | undefined {
  const [first, second = "", third] = segments;
  if (segments.length === 1) return findPlain(`${method} ${first}`);
  if (first === "containers") {
    if (segments.length === 2 && second === "json" && method === "GET") return buildList;
    if (segments.length === 2 && second === "create" && method === "POST") return buildCreate;
    if (segments.length === 3 && namePattern.test(second)) {
      return containerVerb(`${method} ${third}`, second);
    }
    return undefined;
  }
  if (first === "berth" && segments.length === 2) return findOwn(`${method} ${second}`);
  if (method !== "GET") return undefined;
  if (first === "images" && segments.length >= 3 && segments.at(-1) === "json") {
    const reference = segments.slice(1, -1).join("/");
    return (query) => withoutQuery(query, { verb: "image", reference });
  }
  if (first === "networks" && segments.length === 2 && namePattern.test(second)) {
    return (query) => withoutQuery(query, { verb: "network", name: second });
  }
  return undefined;
}

/** What only this proxy has. */
function findOwn(request: string): Build | undefined {
  if (request === "POST instances") {
    return (query) => {
      parseQuery(query, []);
      return { read: (body) => ({ verb: "create", wanted: readNativeCreate(body) }) };
    };
  }
  if (request === "GET declarations") {
    return (query) => ({
      verb: "declarations",
      watch: readFlag(parseQuery(query, ["watch"]), "watch", false),
    });
  }
  const verb = (["alerts", "metrics", "audit"] as const).find((name) => request === `GET ${name}`);
  return verb && ((query) => withoutQuery(query, { verb }));
}

function findPlain(request: string): Build | undefined {
  if (request === "GET _ping" || request === "HEAD _ping") {
    return (query) => withoutQuery(query, { verb: "ping" });
  }
  if (request === "GET version") return (query) => withoutQuery(query, { verb: "version" });
  if (request === "GET events") return buildEvents;
  return undefined;
}

function containerVerb(request: string, name: string): Build | undefined {
  if (request === "GET json") return (query) => withoutQuery(query, { verb: "inspect", name });
  if (request === "POST start") return (query) => withoutQuery(query, { verb: "start", name });
  if (request === "POST stop") {
    return (query) => ({
      verb: "stop",
      name,
      graceSeconds: readNumber(parseQuery(query, ["t"]), "t", 600),
    });
  }
  if (request === "POST kill") return (query) => buildKill(query, name);
  if (request === "GET stats") return (query) => buildStats(query, name);
  if (request === "POST wait") return (query) => buildWait(query, name);
  if (request === "GET logs") return (query) => buildLogs(query, name);
  return undefined;
}

function withoutQuery(query: string, intent: Intent): Intent {
  parseQuery(query, []);
  return intent;
}

function buildList(query: string): Intent {
  const values = parseQuery(query, ["all", "limit", "filters"]);
  const { types, ...filters } = readFilters(values, "list");
  return {
    verb: "list",
    all: readFlag(values, "all", false),
    limit: readNumber(values, "limit", 10_000) ?? 0,
    filters,
  };
}

function buildCreate(query: string): Unread {
  const { name, repeated } = parseCreateQuery(query);
  return { read: (body) => ({ verb: "create", wanted: readDockerCreate(name, body, repeated) }) };
}

function buildKill(query: string, name: string): Intent {
  const written = parseQuery(query, ["signal"]).get("signal") || "KILL";
  const signal = killSignals.find((known) => written === known || written === `SIG${known}`);
  if (!signal) throw malformed("query-value", `"signal" must be one of ${killSignals.join(", ")}`);
  return { verb: "kill", name, signal };
}

function buildStats(query: string, name: string): Intent {
  const values = parseQuery(query, ["stream", "one-shot"]);
  if (readFlag(values, "stream", true)) {
    throw malformed(
      "query-value",
      "the counters are read once: say stream=0 (docker stats --no-stream)",
    );
  }
  readFlag(values, "one-shot", true);
  return { verb: "stats", name };
}

function buildEvents(query: string): Intent {
  const { types, ...filters } = readFilters(parseQuery(query, ["filters"]), "events");
  if (types.some((type) => type !== "container")) {
    throw malformed("filter-value", "only events of containers are given out");
  }
  return { verb: "events", filters };
}

function buildWait(query: string, name: string): Intent {
  const written = parseQuery(query, ["condition"]).get("condition") || "not-running";
  const condition = waitConditions.find((known) => known === written);
  if (!condition) {
    throw malformed("query-value", `"condition" must be one of ${waitConditions.join(", ")}`);
  }
  return { verb: "wait", name, condition };
}

function buildLogs(query: string, name: string): Intent {
  const keys = ["stdout", "stderr", "follow", "timestamps", "tail", "since", "until"];
  const values = parseQuery(query, keys);
  const stdout = readFlag(values, "stdout", false);
  const stderr = readFlag(values, "stderr", false);
  if (!stdout && !stderr) throw malformed("query-value", "choose stdout, stderr or both");
  const since = readTime(values, "since");
  const until = readTime(values, "until");
  return {
    verb: "logs",
    name,
    options: {
      stdout,
      stderr,
      follow: readFlag(values, "follow", false),
      timestamps: readFlag(values, "timestamps", false),
      tail: values.get("tail") === "all" ? "all" : (readNumber(values, "tail", 100_000) ?? "all"),
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
    },
  };
}

function checkVersion(version: string): void {
  const number = (text: string) => {
    const [major = 0, minor = 0] = text.split(".").map(Number);
    return major * 100 + minor;
  };
  if (number(version) > number(apiVersion)) {
    throw malformed(
      "api-version",
      `client version ${version} is too new; the newest supported API version is ${apiVersion}`,
    );
  }
  if (number(version) < number(oldestVersion)) {
    throw malformed(
      "api-version",
      `client version ${version} is too old; the oldest supported API version is ${oldestVersion}`,
    );
  }
}

/** A word for the refusal: the last of Docker's own words in the path, else `request`. */
function refusedVerb(method: string, target: string): string {
  if (method === "DELETE") return "delete";
  const words =
    target
      .slice(0, 512)
      .split("?", 1)[0]
      ?.toLowerCase()
      .match(/[a-z]+/g) ?? [];
  const known = words.filter((word) => dockerWords.has(word));
  return known.includes("exec") ? "exec" : (known.at(-1) ?? "request");
}
