import { malformed } from "./denial.ts";
import type { Filters } from "./intent.ts";
import { parseStrict } from "./strict-json.ts";

/**
 * Reads a raw query strictly: known keys only, each once, written plainly (no escape in a key), no `;`.
 * @returns the decoded values by key
 * @throws Denial 400 that names the rule
 */
export function parseQuery(raw: string, known: readonly string[]): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  if (raw === "") return values;
  if (raw.includes(";")) throw malformed("query-syntax", "the query contains a semicolon");
  for (const part of raw.split("&")) {
    const at = part.indexOf("=");
    const key = at < 0 ? part : part.slice(0, at);
    if (!known.includes(key)) {
      throw malformed("query-key", "the query has a key that this verb does not take");
    }
    if (values.has(key)) throw malformed("query-duplicate", `the query has "${key}" twice`);
    values.set(key, at < 0 ? "" : decodeValue(part.slice(at + 1)));
  }
  return values;
}

/**
 * Reads a create's query: the name, and which members of the body a client writes there, too. The Engine reads those
 * nowhere but in the body, and neither does anything here.
 * @throws Denial 400
 */
export function parseCreateQuery(raw: string): {
  readonly name: string | undefined;
  readonly repeated: readonly string[];
} {
  const parts = raw.split("&");
  const isRepeated = (part: string) => /^[A-Z][A-Za-z]{0,40}=[^;]*$/.test(part);
  const own = parts.filter((part) => !isRepeated(part)).join("&");
  return {
    name: parseQuery(own, ["name"]).get("name") || undefined,
    repeated: parts.filter(isRepeated).map((part) => part.slice(0, part.indexOf("="))),
  };
}

/**
 * Checks the body of a verb that takes none: an object that says nothing, or nothing but what the query says already.
 * @throws Denial 400
 */
export function checkRepeat(target: string, body: Uint8Array): void {
  const value = parseStrict(body);
  const parts = (target.split("?", 2)[1] ?? "").split("&");
  const isRepeat = ([key, member]: [string, unknown]) =>
    ["string", "number", "boolean"].includes(typeof member) && parts.includes(`${key}=${member}`);
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject || !Object.entries(value).every(isRepeat)) {
    throw malformed("body", "this verb takes no body");
  }
}

function decodeValue(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw malformed("query-syntax", "the query has a broken escape");
  }
}

/** A flag as Docker's clients write it. Other spellings, which the Engine would take as true, are refused. */
export function readFlag(
  query: ReadonlyMap<string, string>,
  key: string,
  otherwise: boolean,
): boolean {
  const value = query.get(key);
  if (value === undefined) return otherwise;
  if (value === "1" || value === "true" || value === "True") return true;
  if (value === "0" || value === "false" || value === "False" || value === "") return false;
  throw malformed("query-value", `"${key}" must be 1 or 0`);
}

/** A whole number from 0 to `most`. */
export function readNumber(
  query: ReadonlyMap<string, string>,
  key: string,
  most: number,
): number | undefined {
  const value = query.get(key);
  if (value === undefined || value === "") return undefined;
  if (!/^[0-9]{1,9}$/.test(value) || Number(value) > most) {
    throw malformed("query-value", `"${key}" must be a whole number from 0 to ${most}`);
  }
  return Number(value);
}

/** Seconds since 1970, with a fraction at will. */
export function readTime(query: ReadonlyMap<string, string>, key: string): string | undefined {
  const value = query.get(key);
  if (value === undefined || value === "" || value === "0") return undefined;
  if (!/^[0-9]{1,10}(\.[0-9]{1,9})?$/.test(value)) {
    throw malformed("query-value", `"${key}" must be seconds since 1970`);
  }
  return value;
}

const filterKeys = {
  list: ["label", "name", "status"],
  events: ["label", "container", "event", "type"],
} as const;

/** Reads Docker's `filters` parameter: `{"label":["a=b"]}` or the older `{"label":{"a=b":true}}`. */
export function readFilters(
  query: ReadonlyMap<string, string>,
  verb: "list" | "events",
): Filters & { readonly types: readonly string[] } {
  const found = new Map<string, readonly string[]>();
  const text = query.get("filters");
  if (text !== undefined && text !== "") {
    const known: readonly string[] = filterKeys[verb];
    for (const [key, value] of Object.entries(parseObject(text))) {
      if (!known.includes(key)) {
        throw malformed("filter-key", `only these filters are known: ${known.join(", ")}`);
      }
      found.set(key, filterValues(value));
    }
  }
  const of = (key: string) => found.get(key) ?? [];
  return {
    labels: of("label"),
    names: of("name"),
    states: of("status"),
    actions: of("event"),
    containers: of("container"),
    types: of("type"),
  };
}

function parseObject(text: string): object {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed("filter-syntax", "the filters are no JSON object");
  }
  return value;
}

function filterValues(value: unknown): readonly string[] {
  const list = Array.isArray(value)
    ? value
    : typeof value === "object" && value !== null && Object.values(value).every((v) => v === true)
      ? Object.keys(value)
      : undefined;
  if (!list?.every((item): item is string => typeof item === "string" && item.length <= 512)) {
    throw malformed("filter-syntax", "a filter's value must be a list of texts");
  }
  return list;
}
