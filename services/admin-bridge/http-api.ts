import { readFile } from "node:fs/promises";
import http from "node:http";
import { networkInterfaces } from "node:os";
import { sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { AgentState } from "./agent-state.ts";
import type { DockerHealth } from "./docker-health.ts";
import type { SecretStoreState } from "./secret-watch.ts";

/** `/api/health`, in exactly this shape (requirement E15). */
export interface Health {
  readonly ok: boolean;
  readonly mode: "docker" | "local";
  readonly docker: DockerHealth;
}

/** `/api/status`: what `berth wait` and `berth status` read. */
export interface Status {
  readonly stack: string;
  /** Mattermost is connected, and the declarations have been acted on. */
  readonly ready: boolean;
  /** The secret store, as it stood at the last look, at most some seconds ago. */
  readonly secrets: { readonly state: SecretStoreState };
  readonly agents: readonly {
    readonly name: string;
    readonly activation: string;
    readonly driver: string;
    readonly state: AgentState;
    /** Its bot has written something. */
    readonly answered: boolean;
    /** The first thing that it wrote. */
    readonly greeting?: string;
    readonly lastError?: string;
  }[];
}

/** The bridge's HTTP interface: reading only, no secrets, and closed to pages of other sites and to agents. */
export function httpApi(options: {
  readonly health: () => Promise<Health>;
  readonly status: () => Status;
  readonly metrics: () => Promise<string>;
  readonly allowedHosts: readonly string[];
  /** Local addresses on which questions are taken; undefined: all. */
  readonly addresses?: ReadonlySet<string> | undefined;
  readonly log: Log;
}): http.Server {
  const bracketed = options.allowedHosts.map((name) => (name.includes(":") ? `[${name}]` : name));
  const hosts = new Set(["localhost", "127.0.0.1", "[::1]", ...bracketed]);
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    response.setHeader("cache-control", "no-store");
    response.setHeader("x-content-type-options", "nosniff");
    const local = request.socket.localAddress?.replace(/^::ffff:/, "") ?? "";
    if (options.addresses && !options.addresses.has(local)) {
      return sendJson(response, 403, { message: "not served on this network" });
    }
    // A page of another site whose name was pointed at this address still sends that name.
    const host = (request.headers.host ?? "").toLowerCase().replace(/:[0-9]+$/, "");
    if (!hosts.has(host)) {
      return sendJson(response, 403, { message: "not served under this host name" });
    }
    if (request.method !== "GET") {
      response.setHeader("allow", "GET");
      return sendJson(response, 405, { message: "only GET" });
    }
    switch (request.url?.split("?")[0]) {
      case "/api/health": {
        const health = await options.health();
        return sendJson(response, health.ok ? 200 : 503, health);
      }
      case "/api/status":
        return sendJson(response, 200, options.status());
      case "/metrics": {
        const body = Buffer.from(await options.metrics());
        response.writeHead(200, {
          "content-type": "text/plain; version=0.0.4; charset=utf-8",
          "content-length": body.length,
        });
        response.end(body);
        return;
      }
      default:
        return sendJson(response, 404, { message: "try /api/health, /api/status or /metrics" });
    }
  };
  const server = http.createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      options.log.error("http", { reason: reasonOf(error) });
      if (!response.headersSent) sendJson(response, 500, { message: "failed" });
      else response.destroy();
    });
  });
  server.maxConnections = 64;
  return server;
}

/**
 * Addresses under which the published port arrives: loopback and the interface of the default route. The other networks of
 * the container are internal and have none; there live the agents, who get no interface to the bridge.
 * @returns undefined where there is no default route to go by
 */
export async function publishedAddresses(): Promise<ReadonlySet<string> | undefined> {
  const table = await readFile("/proc/net/route", "utf8").catch(() => "");
  const route = table
    .split("\n")
    .map((line) => line.split("\t"))
    .find((fields) => fields[1] === "00000000" && fields[7] === "00000000");
  const own = route?.[0] ? networkInterfaces()[route[0]] : undefined;
  if (!own) return undefined;
  return new Set(["127.0.0.1", "::1", ...own.map((address) => address.address)]);
}
