import http from "node:http";
import { reasonOf } from "../common/log.ts";
import { type App, serverVersion } from "./app.ts";
import { type Actor, authenticate, localActor, nobody } from "./auth.ts";
import { ApiError, badBody, errorBody, noSuchPath } from "./errors.ts";
import { newId } from "./ids.ts";
import { pageFile } from "./page/files.ts";
import { tooLarge } from "./routes/files.ts";
import { checkParams, findRoute } from "./routes/index.ts";
import type { Reply, Route } from "./routes/route.ts";

/** Largest JSON body; Mattermost's longest post with all its properties fits. */
const maxJsonBytes = 2 * 1024 * 1024;
/** Room for a form's own lines around its files. */
const formBytes = 64 * 1024;
const base = "/api/v4";

/** Makes the HTTP side: the API, and over TCP also the web page. `local`: the local-mode socket's side. */
export function createApiServer(app: App, local: boolean): http.Server {
  const server = http.createServer((request, response) => {
    const requestId = newId();
    serve(app, request, local)
      .catch((error: unknown) => failed(app, error, request, requestId))
      .then((reply) => send(response, reply, requestId))
      .catch((error: unknown) => {
        app.log.warn("answer-failed", { reason: reasonOf(error) });
        response.destroy();
      });
  });
  server.requestTimeout = 60_000;
  server.headersTimeout = 20_000;
  server.keepAliveTimeout = 30_000;
  return server;
}

/** What a request asks for. Never throws: whatever stands behind the host is a path. */
export function targetOf(request: http.IncomingMessage): URL {
  const target = request.url ?? "/";
  return new URL(`http://standin${target.startsWith("/") ? target : "/"}`);
}

async function serve(app: App, request: http.IncomingMessage, local: boolean): Promise<Reply> {
  const url = targetOf(request);
  if (!url.pathname.startsWith(`${base}/`)) {
    const file = local || request.method !== "GET" ? undefined : pageFile(url.pathname);
    if (file) return file;
    throw noSuchPath();
  }
  const path = url.pathname.slice(base.length).replace(/(.)\/$/, "$1");
  const found = findRoute(request.method ?? "", path, local);
  if (!found) throw noSuchPath();
  const { route, raw } = found;
  const actor = local ? localActor : await actorFor(app, request, route);
  const params = checkParams(raw, actor.userId);
  const bytes = await readBody(
    request,
    route.raw ? app.config.maxFileBytes + formBytes : maxJsonBytes,
  );
  return route.handle({
    app,
    actor,
    params,
    query: url.searchParams,
    body: route.raw || bytes.length === 0 ? undefined : parse(bytes),
    bytes,
    request,
  });
}

/** Who calls. @throws ApiError 401 where a credential is needed and there is none */
async function actorFor(app: App, request: http.IncomingMessage, route: Route): Promise<Actor> {
  if (route.access === "open") return nobody;
  return authenticate(app.db, request).catch((error: unknown) => {
    if (route.access === "optional" && error instanceof ApiError && error.status === 401)
      return nobody;
    throw error;
  });
}

async function readBody(request: http.IncomingMessage, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > most) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    throw badBody("JSON");
  }
}

function failed(app: App, error: unknown, request: http.IncomingMessage, requestId: string): Reply {
  const known =
    error instanceof ApiError
      ? error
      : new ApiError(500, "app.standin.internal.app_error", "The stand-in failed; see its log.");
  if (known !== error) {
    const path = (request.url ?? "").split("?")[0];
    app.log.error("request-failed", {
      requestId,
      method: request.method,
      path,
      reason: reasonOf(error),
    });
  }
  return { status: known.status, body: errorBody(known, requestId) };
}

function send(response: http.ServerResponse, reply: Reply, requestId: string): void {
  const bytes = reply.bytes ?? Buffer.from(JSON.stringify(reply.body));
  response.writeHead(reply.status, {
    // Exactly this: clients compare the whole header.
    "Content-Type": "application/json",
    "Content-Length": bytes.length,
    Expires: "0",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Request-Id": requestId,
    "X-Version-Id": serverVersion,
    // What was not read of a refused body would be taken for the next request.
    ...(response.req.complete ? {} : { Connection: "close" }),
    ...reply.headers,
  });
  response.end(bytes);
}
