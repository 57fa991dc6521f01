import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { listenUnix } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { App } from "./app.ts";
import type { Config } from "./config.ts";
import { ApiError } from "./errors.ts";
import { createApiServer } from "./http.ts";
import { Hub } from "./hub.ts";
import { Database } from "./store/database.ts";
import { serveWebSocket } from "./websocket.ts";

/** A running stand-in. */
export interface RunningServer {
  /** The TCP port. */
  readonly port: number;
  /** Rejects while the database cannot be written, or its schema is not there yet. */
  check(): Promise<void>;
  /** Resolves once the schema is up to date. @throws Error where the database is not ours to use */
  readonly ready: Promise<void>;
  stop(): Promise<void>;
}

/** Longest wait between two tries to reach Postgres. */
const maxWaitMs = 1_000;

/**
 * Starts listening at once and brings the schema up to date as soon as Postgres answers; until then health says why not.
 * @throws Error where a port or socket cannot be had
 */
export async function startServer(config: Config, log: Log): Promise<RunningServer> {
  const db = new Database(config.dataSource, log);
  const app: App = { config, db, hub: new Hub(), log };
  const stopping = new AbortController();
  let migrated = false;
  const ready = migrate(db, log, stopping.signal).then(() => {
    migrated = true;
  });
  ready.catch(() => undefined);
  const tcp = createApiServer(app, false);
  const endStreams = serveWebSocket(app, tcp);
  await listen(tcp, config.port);
  const local = createApiServer(app, true);
  await listenUnix(local, config.localSocket, 0o600);
  const { port } = tcp.address() as AddressInfo;
  log.info("listening", { port, localSocket: config.localSocket });
  return {
    port,
    ready,
    async check() {
      if (!migrated) throw new Error("waiting for Postgres");
      await db.check(5_000);
    },
    async stop() {
      stopping.abort();
      endStreams();
      await Promise.all([close(tcp), close(local)]);
      await ready.catch(() => undefined);
      await db.close();
    },
  };
}

/** Migrates, trying again for as long as Postgres does not answer and nobody says stop. */
async function migrate(db: Database, log: Log, signal: AbortSignal): Promise<void> {
  for (let waitMs = 250; !signal.aborted; waitMs = Math.min(waitMs * 2, maxWaitMs)) {
    try {
      await db.migrate();
      log.info("database-ready");
      return;
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 503)) throw error;
      log.warn("database-not-ready", { retryMs: waitMs, reason: reasonOf(error) });
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 2_000).unref();
  });
}
