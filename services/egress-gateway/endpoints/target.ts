/** Where endpoints are served: `/endpoints/<name>/<rest>`. */
export const endpointsPrefix = "/endpoints";

/** A request target of an agent, taken apart. */
export interface LocalTarget {
  /** As written; the declaration decides whether there is one of that name. */
  readonly name: string;
  /** Empty, or begins with a slash. Each of its readers understands it alike. */
  readonly rest: string;
  /** Empty, or begins with a question mark. No credentials of the client's own are in it. */
  readonly query: string;
}

/** Characters of a path segment, RFC 3986, section 3.3. */
const segmentPattern = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*$/;

/** Names of query parameters that are credentials. Servers take them beside a header, some before it. */
const credentialParameters = new Set([
  "access_token",
  "api-key",
  "api_key",
  "apikey",
  "auth_token",
  "authorization",
  "key",
  "x-api-key",
]);

/**
 * Takes a request target apart. The path must be in a form that no server, proxy or framework behind it can read as
 * another one: no empty or dot segments, no escapes of `/`, `\`, `.`, `%` or control characters.
 * @returns undefined where it is not
 */
export function readTarget(url: string): LocalTarget | undefined {
  const at = url.indexOf("?");
  const path = at < 0 ? url : url.slice(0, at);
  const query = at < 0 ? "" : url.slice(at + 1);
  if (!path.startsWith(`${endpointsPrefix}/`) || !/^[!-~]*$/.test(query) || query.includes("#"))
    return undefined;
  const [name = "", ...segments] = path.slice(endpointsPrefix.length + 1).split("/");
  if (!/^[A-Za-z0-9-]+$/.test(name)) return undefined;
  // The last one may be empty: a slash at the end.
  const plain = segments.every((text, i) => isPlain(text, i === segments.length - 1));
  if (!plain) return undefined;
  const rest = segments.map((segment) => `/${segment}`).join("");
  return { name, rest, query: withoutCredentials(query) };
}

function isPlain(segment: string, last: boolean): boolean {
  if (segment === "") return last;
  if (!segmentPattern.test(segment)) return false;
  for (const [, hex = ""] of segment.matchAll(/%(..)/g)) {
    const code = Number.parseInt(hex, 16);
    if (code < 0x20 || code === 0x7f || "/\\.%".includes(String.fromCharCode(code))) return false;
  }
  // Some servers fold wide and compound characters into plain ones. Broken UTF-8 would be read in many ways.
  const folded = decoded(segment)?.normalize("NFKC");
  if (folded === undefined || /[/\\]/.test(folded)) return false;
  // What follows a semicolon is cut off by some servers, dots and spaces at the end by others.
  return !/^[.\s]+(;|$)/.test(folded);
}

/** The query without the client's own credentials; all other parameters stay as they are written. */
function withoutCredentials(query: string): string {
  const kept = query.split("&").filter((parameter) => {
    const name = (parameter.split("=", 1)[0] ?? "").replaceAll("+", " ");
    return !credentialParameters.has((decoded(name) ?? name).trim().toLowerCase());
  });
  return kept.length === 0 || query === "" ? "" : `?${kept.join("&")}`;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/**
 * The path of a request at the other side: that of the endpoint's own URL, and the rest below it.
 * @returns undefined where that would not lie below it
 */
export function remotePath(
  base: URL,
  target: Pick<LocalTarget, "rest" | "query">,
): string | undefined {
  const path = target.rest === "" ? base.pathname : `${withoutSlash(base.pathname)}${target.rest}`;
  // Whatever a reader of URLs would still change about it would be a second way to read it.
  if (new URL(`${base.origin}${path}`).pathname !== path) return undefined;
  return isBelow(base, path) ? `${path}${target.query}` : undefined;
}

/**
 * A `Location` of the other side as the agent gets it. One within the endpoint becomes the local path. A relative one
 * elsewhere becomes whole: on the agent's side it would lead to another service of the gateway.
 * @param path of the request that was answered
 * @returns undefined: it cannot be read, and is left out
 */
export function localLocation(
  name: string,
  base: URL,
  path: string,
  location: string,
): string | undefined {
  const request = `${base.origin}${path}`;
  const url = URL.canParse(location, request) ? new URL(location, request) : undefined;
  if (!url) return undefined;
  if (url.origin !== base.origin || !isBelow(base, url.pathname) || url.username || url.password)
    return URL.canParse(location) ? location : url.href;
  const rest = url.pathname.slice(withoutSlash(base.pathname).length);
  return `${endpointsPrefix}/${name}${rest}${url.search}${url.hash}`;
}

/** Is a path that of the base, or one below it? */
function isBelow(base: URL, path: string): boolean {
  return path === base.pathname || path.startsWith(`${withoutSlash(base.pathname)}/`);
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}
