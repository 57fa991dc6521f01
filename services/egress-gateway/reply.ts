import { type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** An answer of the gateway itself. `reason` is for programs and the log, `message` for people: what, and the cure. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

/** Headers that speak about one connection only and are never passed on (RFC 9110, section 7.6.1). */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/**
 * The headers that go on to the other side, in their order, repeated ones kept.
 * @param raw name, value, name, value … as the HTTP parser gives them
 * @param keep decides over each lower-case name that is not bound to the connection
 */
export function endToEndHeaders(
  raw: readonly string[],
  keep: (name: string) => boolean,
): Record<string, string[]> {
  const named = new Set<string>();
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== "connection") continue;
    for (const name of (raw[i + 1] ?? "").split(",")) named.add(name.trim().toLowerCase());
  }
  const headers: Record<string, string[]> = Object.create(null);
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    if (hopByHop.has(name) || named.has(name) || !keep(name)) continue;
    headers[name] ??= [];
    headers[name].push(raw[i + 1] ?? "");
  }
  return headers;
}

/**
 * The header that says where a body ends. Always given with a body, whatever the method: without it the other side
 * would read the body as its next request.
 */
export function framing(
  body: Buffer | NodeJS.ReadableStream | undefined,
  length: string | undefined,
): Record<string, string> {
  if (body === undefined) return {};
  if (Buffer.isBuffer(body)) return { "content-length": String(body.length) };
  return length === undefined ? { "transfer-encoding": "chunked" } : { "content-length": length };
}

/** A status with which an answer ends. The HTTP parser lets any three digits pass, `writeHead` and clients do not. */
export function isFinalStatus(status: number | undefined): status is number {
  return status !== undefined && status >= 200 && status <= 599;
}

/**
 * Passes on status and headers of another server's answer. Never throws: that would be in an event callback, where
 * it ends the process and with it every agent's way out.
 * @returns whether they could be passed on; where not, nothing was written
 */
export function writeAnswerHead(
  response: ServerResponse,
  status: number | undefined,
  headers: OutgoingHttpHeaders,
): boolean {
  if (!isFinalStatus(status)) return false;
  try {
    response.writeHead(status, headers);
    return true;
  } catch {
    return false;
  }
}

/** Writes an HTTP/1.1 answer with a JSON body to a bare stream and ends it. */
export function endWithJson(stream: Duplex, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  const head = headText(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    connection: "close",
  });
  if (!stream.writable) return void stream.destroy();
  stream.end(head + body);
  // A peer that does not close its side must not keep the connection.
  stream.resume();
  setTimeout(() => stream.destroy(), 1_000).unref();
}

/** Status line and headers of an answer, with the empty line. The caller answers for values without line breaks. */
export function headText(status: number, headers: OutgoingHttpHeaders): string {
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}`];
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value]) lines.push(`${name}: ${one}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}
