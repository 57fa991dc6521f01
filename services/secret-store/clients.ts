import { rmSync } from "node:fs";
import http from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import { agentNamePattern, endpointNamePattern, Path, Service, Uid } from "../../spec/names.ts";
import { sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { Alerts } from "./alerts.ts";
import { closeDirectory } from "./directory.ts";
import { placeSocket } from "./place-socket.ts";
import type { EndpointAnswer } from "./store.ts";

/** What clients may learn. */
export interface ClientViews {
  /** How the store stands: no value is in it. */
  readonly status: () => unknown;
  readonly alerts: Alerts;
  readonly endpoint: (agent: string, name: string) => Promise<EndpointAnswer>;
}

/** Answers a request for a path; false: the client has no such route. */
type Route = (path: string, response: http.ServerResponse) => boolean;

/** Our own parts ask in a few hundred bytes. */
const maxHeadBytes = 2 * 1024;
/** Connections of one client; more are closed at once. The gateway asks for every agent, each for a moment. */
const maxConnections = 64;
/** Bytes that may wait for a slow reader of alerts. */
const maxWaitingBytes = 256 * 1024;
const requestMs = 10_000;

/**
 * Serves the store's clients, each on a socket of its own in a directory that it alone mounts. Who asks is decided by the
 * socket and by nothing in the request; a client has its own routes and no others.
 * @param options.owner user that may connect, by client, unless a test says otherwise
 * @returns ends it
 */
export async function serveClients(
  views: ClientViews,
  log: Log,
  options: {
    readonly directory?: string;
    readonly owner?: (client: Service) => number;
  } = {},
): Promise<() => void> {
  const directory = options.directory ?? Path.storeRun;
  await closeDirectory(directory, log);
  const clients: readonly (readonly [Service, number, Route])[] = [
    // User 0 without capabilities.
    [Service.egressGateway, 0, endpointRoute(views)],
    [Service.adminBridge, Uid.mattermost, reportRoutes(views)],
  ];
  const servers: { readonly server: http.Server; readonly path: string }[] = [];
  const file = Path.storeSocket.slice(Path.storeRun.length);
  for (const [client, uid, route] of clients) {
    const server = makeServer(route, (reason) => log.warn("request-failed", { client, reason }));
    const path = join(directory, client, file);
    await placeSocket(server, path, options.owner?.(client) ?? uid);
    servers.push({ server, path });
  }
  return () => {
    for (const { server, path } of servers) {
      server.close();
      server.closeAllConnections();
      // Node takes a socket away by the name that it was made under, and these were moved.
      rmSync(path, { force: true });
    }
  };
}

/** `GET /endpoints/<agent>/<name>` */
function endpointRoute({ endpoint }: ClientViews): Route {
  return (path, response) => {
    const [root, agent = "", name = "", ...more] = path.slice(1).split("/");
    if (root !== "endpoints" || more.length > 0) return false;
    if (!agentNamePattern.test(agent) || !endpointNamePattern.test(name)) return false;
    endpoint(agent, name).then(
      (answer) => {
        if (answer.kind === "value") {
          const { url, headers, version } = answer;
          sendJson(response, 200, { url, headers, version });
        } else {
          const status = answer.kind === "unknown" ? 404 : 503;
          sendJson(response, status, { message: answer.reason });
        }
      },
      () => response.destroy(),
    );
    return true;
  };
}

/** `GET /status`, `GET /alerts` */
function reportRoutes({ status, alerts }: ClientViews): Route {
  return (path, response) => {
    if (path === "/status") sendJson(response, 200, status());
    else if (path === "/alerts") streamAlerts(alerts, response);
    else return false;
    return true;
  };
}

/** The alerts that are kept, then each new one, a JSON object a line, for as long as the client reads. */
function streamAlerts(alerts: Alerts, response: http.ServerResponse): void {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  const stop = alerts.subscribe((alert) => {
    response.write(`${JSON.stringify(alert)}\n`);
    if (response.writableLength > maxWaitingBytes) response.destroy();
  });
  response.once("close", stop);
}

function makeServer(route: Route, failed: (reason: string) => void): http.Server {
  const server = http.createServer({
    maxHeaderSize: maxHeadBytes,
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    keepAliveTimeout: 1_000,
    requireHostHeader: false,
    // An upgrade is a request like any other here: one for a path that may not exist.
    shouldUpgradeCallback: () => false,
  });
  server.maxConnections = maxConnections;
  const answer = (request: http.IncomingMessage, response: http.ServerResponse) => {
    response.on("error", () => undefined);
    request.resume();
    try {
      if (request.method === "GET" && route(request.url ?? "", response)) return;
      response.shouldKeepAlive = false;
      sendJson(response, 404, { message: "there is nothing here" });
    } catch (error) {
      failed(reasonOf(error));
      response.destroy();
    }
  };
  server.on("request", answer);
  // Else Node answers these by itself.
  server.on("checkExpectation", answer);
  server.on("checkContinue", answer);
  server.on("connect", (_request, socket) => {
    socket.on("error", () => undefined);
    socket.end(refusal(404, "Not Found"));
  });
  server.on("clientError", (_error, socket) => {
    if (socket.writable && (socket as Socket).bytesWritten === 0)
      socket.end(refusal(400, "Bad Request"));
    else socket.destroy();
  });
  return server;
}

function refusal(status: number, words: string): string {
  return `HTTP/1.1 ${status} ${words}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`;
}
