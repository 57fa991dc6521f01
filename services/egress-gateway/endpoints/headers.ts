import type http from "node:http";
import { fillText, referencesInText } from "../../../spec/json-template.ts";
import type { Endpoint } from "../../../spec/secrets.ts";
import { endToEndHeaders } from "../reply.ts";
import type { Injected } from "./store.ts";

/**
 * Client headers that never go on: its own credentials, what the request gets anew, and those that some frameworks
 * take for another path or method than the request's.
 */
const dropped = new Set([
  "api-key",
  "authorization",
  "content-length",
  "cookie",
  "cookie2",
  "expect",
  "forwarded",
  "host",
  "http2-settings",
  "ocp-apim-subscription-key",
  "x-api-key",
  "x-auth-token",
  "x-goog-api-key",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-uri",
  "x-original-url",
  "x-rewrite-url",
]);

/** The same, by the beginning of their names. */
const droppedPrefixes = ["proxy-", "x-forwarded-", "sec-websocket-"];

/** Answer headers that could carry an identity, or change how the agent reaches its own gateway. */
const withheld = new Set(["set-cookie", "set-cookie2", "authorization", "alt-svc"]);

/** Headers of a request to the other side: the client's own without its credentials, and the endpoint's. */
export function requestHeaders(
  request: http.IncomingMessage,
  host: string,
  injected: Injected,
): Record<string, string | string[]> {
  const added = injected.reveal();
  // Many frameworks read `X_Api_Key` and `x-api-key` as one name.
  const folded = new Set(Object.keys(added).map(fold));
  const goesOn = (name: string) => {
    const plain = fold(name);
    if (dropped.has(plain) || folded.has(plain)) return false;
    return !droppedPrefixes.some((prefix) => plain.startsWith(prefix));
  };
  return { ...endToEndHeaders(request.rawHeaders, goesOn), ...added, host };
}

/**
 * Headers of an answer that the agent gets. None that holds an injected value, in its name, as it is or with
 * escapes, comes back: a server that tells what it was asked would hand over the key.
 * @param location how the answer's `Location` is to be told
 */
export function answerHeaders(
  answer: http.IncomingMessage,
  echoes: (text: string) => boolean,
  location: (written: string) => string | undefined,
): Record<string, string[]> {
  const headers = endToEndHeaders(answer.rawHeaders, (name) => !withheld.has(name));
  for (const [name, values] of Object.entries(headers)) {
    const told = name === "location" ? values.flatMap((value) => location(value) ?? []) : values;
    const bad = [...values, ...told].some((value) => echoes(`${name}: ${value}`));
    if (bad || told.length === 0) delete headers[name];
    else headers[name] = told;
  }
  return headers;
}

/** A part of a header that is shorter is no secret, and stands in too many texts by chance. */
const leastMark = 4;

/**
 * Tells texts that hold an injected value: a whole header value that has a reference in it, or what stands in the
 * place of one.
 */
export function echoOf(declared: Endpoint, injected: Injected): (text: string) => boolean {
  const values = new Set<string>();
  for (const [name, value] of Object.entries(injected.reveal())) {
    const template = declared.headers[name] ?? "";
    if (referencesInText(template).length === 0) continue;
    values.add(value);
    for (const part of filledIn(template, value)) if (part.length >= leastMark) values.add(part);
  }
  const marks = [...values].map((value) => value.toLowerCase());
  return (text) => {
    const forms = [text, unescaped(text)].map((form) => form.toLowerCase());
    return marks.some((mark) => forms.some((form) => form.includes(mark)));
  };
}

/** What stands in a filled text where the template has its references. */
function filledIn(template: string, value: string): readonly string[] {
  const literals = fillText(template, () => "\0").split("\0");
  const pattern = literals.map(escaped).join("(.+?)");
  return new RegExp(`^${pattern}$`, "s").exec(value)?.slice(1) ?? [];
}

/** A text as a regular expression for itself. */
function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Without percent escapes. */
function unescaped(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function fold(name: string): string {
  return name.replaceAll("_", "-");
}
