import type http from "node:http";
import { listenUnix } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { type Audit, createAudit } from "./audit.ts";
import type { ProxyConfig } from "./config.ts";
import { Declarations } from "./declarations.ts";
import { Engine } from "./engine.ts";
import { EngineEvents, sleep } from "./events.ts";
import { asObject, asText } from "./json.ts";
import { PidsLimits } from "./pids.ts";
import { createHandlers } from "./proxy.ts";
import { createListener } from "./transport.ts";
import * as upstream from "./upstream.ts";

/** How the proxy tells a dead socket: after a restart of the Engine its own bind may still be the old one. */
export interface WatchdogConfig {
  readonly everyMs: number;
  /** Failures in a row after which the process ends, to be started again with the socket that is there then. */
  readonly failures: number;
}

export interface RunningProxy {
  /** Ports of the TCP listeners, in the order of the configuration. */
  readonly ports: readonly number[];
  /** Resolves while the Engine really answers. @throws EngineError */
  readonly healthy: () => Promise<void>;
  /** Resolves after the signal, when all is closed; rejects when the watchdog gives up. */
  readonly done: Promise<void>;
}

/** Starts listeners, declarations, pids limits and watchdog. Everything ends with the signal. */
export async function startProxy(
  config: ProxyConfig,
  options: {
    readonly log: Log;
    readonly signal: AbortSignal;
    readonly audit?: Audit;
    readonly watchdog?: WatchdogConfig;
  },
): Promise<RunningProxy> {
  const { log, signal } = options;
  const { stack } = config;
  const audit = options.audit ?? createAudit();
  const engine = new Engine(config.dockerSocket, log);
  const events = new EngineEvents(engine, log);
  const declarations = new Declarations({ engine, stack, log });
  const pids = new PidsLimits({ engine, stack, log, audit });
  const handlers = createHandlers({ stack, engine, events, declarations, pids, audit, log });

  const servers: http.Server[] = [];
  const ports: number[] = [];
  for (const listener of config.listeners) {
    const server = createListener(listener.client, handlers);
    servers.push(server);
    if ("port" in listener) ports.push(await listenTcp(server, listener.host, listener.port));
    // Every user may connect: who can see the socket is decided by who mounts its directory.
    else await listenUnix(server, listener.socketPath, 0o666);
  }
  const ended = [events.run(signal), declarations.follow(events, signal)];
  pids.follow(events, signal);
  const healthy = async () => {
    await engine.status(upstream.probe(), { deadlineMs: 5_000 });
  };
  const watchdog = options.watchdog ?? { everyMs: 5_000, failures: 6 };
  const done = watch(healthy, watchdog, log, signal).then(async () => {
    await Promise.all([...servers.map(closeServer), ...ended]);
  });
  log.info("serving", {
    stack,
    api: upstream.apiVersion,
    clients: config.listeners.map((listener) => listener.client),
  });
  return { ports, healthy, done };
}

/**
 * Checks that the Engine speaks the pinned API version.
 * @throws Error that names the cure; an Engine that does not answer is left to the watchdog
 */
export async function checkEngine(config: ProxyConfig, log: Log): Promise<void> {
  let answer: unknown;
  try {
    answer = await new Engine(config.dockerSocket).json(upstream.version(), { deadlineMs: 10_000 });
  } catch (error) {
    log.warn("engine-unknown", { reason: reasonOf(error) });
    return;
  }
  const engine = asObject(answer);
  const [oldest, newest] = [asText(engine.MinAPIVersion), asText(engine.ApiVersion)];
  const minor = (text: string) => Number(/^1\.([0-9]{1,3})$/.exec(text)?.[1] ?? Number.NaN);
  const pinned = minor(upstream.apiVersion);
  if (minor(oldest) > pinned || minor(newest) < pinned) {
    throw new Error(
      `the Engine (version ${asText(engine.Version)}) speaks API ${oldest} to ${newest}, this proxy ${upstream.apiVersion}: ` +
        "use Engine 20.10 or later, but not 29.0 to 29.2",
    );
  }
  log.info("engine", { version: asText(engine.Version), api: newest });
}

async function watch(
  healthy: () => Promise<void>,
  { everyMs, failures }: WatchdogConfig,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let failed = 0;
  while (!signal.aborted) {
    await sleep(everyMs, signal);
    if (signal.aborted) return;
    try {
      await healthy();
      failed = 0;
    } catch (error) {
      failed += 1;
      log.warn("engine-unanswered", { reason: reasonOf(error), failures: failed });
      if (failed >= failures) {
        throw new Error(`the Engine did not answer ${failed} times in a row; starting anew`);
      }
    }
  }
}

function listenTcp(server: http.Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : 0);
    });
  });
}

/** Streams would keep a server open for ever: after half a second they are cut. */
async function closeServer(server: http.Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), 500);
  await closed;
  clearTimeout(cut);
}
