import http from "node:http";
import { listenUnix, sendJson } from "../common/http.ts";
import { reasonOf } from "../common/log.ts";
import { Redacted } from "../common/redacted.ts";
import type { Operations } from "./operations.ts";

/** Most bytes that one request may have. */
export const maxInputBytes = 4 * 1024 * 1024;

/** What is done for each request, by method and path. `body` is what was sent, as JSON. */
function routesOf(operations: Operations): ReadonlyMap<string, (body: unknown) => unknown> {
  return new Map<string, (body: unknown) => unknown>([
    ["GET /status", () => operations.status()],
    ["POST /push", (body) => operations.push(body)],
    ["POST /unlock", (body) => operations.unlock(new Redacted(textOf(body, "token"), "token"))],
    ["POST /lock", () => operations.lock()],
    ["POST /refresh", () => operations.refresh()],
    ["POST /check", (body) => operations.check(textsOf(body, "references"))],
    [
      "POST /rotate",
      (body) => operations.rotate(textOf(body, "agent"), textsOf(body, "names") ?? []),
    ],
    ["POST /create", () => operations.create()],
  ]);
}

/**
 * Serves the operator on a socket of the container's own. Only user 0 inside the container can connect: whoever may exec
 * there. No answer holds a value.
 */
export async function serveOperator(operations: Operations, path: string): Promise<http.Server> {
  const routes = routesOf(operations);
  const answer = async (incoming: http.IncomingMessage, response: http.ServerResponse) => {
    const route = routes.get(`${incoming.method} ${incoming.url}`);
    if (!route) return sendJson(response, 404, { message: [...routes.keys()].join(", ") });
    try {
      const text = await readAll(incoming);
      return sendJson(response, 200, await route(text === "" ? undefined : parseJson(text)));
    } catch (error) {
      return sendJson(response, 400, { message: reasonOf(error) });
    }
  };
  const server = http.createServer((incoming, response) => {
    answer(incoming, response).catch(() => response.destroy());
  });
  await listenUnix(server, path, 0o600);
  return server;
}

/** A member that must be a text. @throws Error that does not show it */
function textOf(body: unknown, member: string): string {
  const value = (Object(body) as Record<string, unknown>)[member];
  if (typeof value !== "string") throw new Error(`${member} must be a text`);
  return value;
}

/** A member that, where it is there, must be a list of texts. @throws Error that does not show it */
function textsOf(body: unknown, member: string): readonly string[] | undefined {
  const value = (Object(body) as Record<string, unknown>)[member];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
    throw new Error(`${member} must be a list of texts`);
  return value;
}

/** @throws Error without any of the text: it holds secrets, and a parser's own message would quote it */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('standard input is not JSON: expected an object like {"API_TOKEN": "…"}');
  }
}

/** Reads all of an input. @throws Error where it is over {@link maxInputBytes} */
export async function readAll(input: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of input) {
    const bytes = Buffer.from(part);
    size += bytes.length;
    if (size > maxInputBytes) throw new Error(`more than ${maxInputBytes} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}
