import type http from "node:http";
import { hashOf, type Json } from "../../spec/canonical.ts";
import { advisoriesFor } from "../../spec/engine-advisories.ts";
import { Network, objectName } from "../../spec/names.ts";
import { listenUnix } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Alerts } from "./alerts.ts";
import type { Audit } from "./audit.ts";
import { coalesce } from "./coalesce.ts";
import type { ProxyConfig } from "./config.ts";
import { Declarations } from "./declarations.ts";
import { Engine, type EnginePort } from "./engine.ts";
import { EngineEvents, sleep } from "./events.ts";
import { Fleet } from "./fleet.ts";
import { type Client, grantOf } from "./grants.ts";
import { forgetFacts } from "./host.ts";
import { EndedInstances } from "./instances/ended.ts";
import { Leases } from "./instances/leases.ts";
import { Quotas } from "./instances/quotas.ts";
import { asObject, asText } from "./json.ts";
import { ClientLimits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import type { Parts } from "./parts.ts";
import { PeerAddresses } from "./peer.ts";
import { PidsLimits } from "./pids.ts";
import { createHandlers } from "./proxy.ts";
import { createListener, type Source } from "./transport.ts";
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

/** The parts of a proxy, and what each client has used of its quotas. */
export function createParts(
  config: Pick<ProxyConfig, "stack" | "grants">,
  options: { readonly engine: EnginePort; readonly log: Log; readonly audit: Audit },
): { readonly parts: Parts; readonly limitsOf: (client: Client) => ClientLimits } {
  const { stack, grants } = config;
  const { engine, log, audit } = options;
  const names = Object.keys(grants.clients);
  const limits = new Map(
    names.map((name) => [name, new ClientLimits(grantOf(grants, name).quotas, grants.suspension)]),
  );
  const limitsOf = (client: Client) => {
    const found = limits.get(client);
    if (!found) throw new Error(`${client} is no client`);
    return found;
  };
  const events = new EngineEvents(engine, log);
  const fleet = new Fleet({ engine, stack, log });
  const declarations = new Declarations({ engine, stack, log });
  const ended = new EndedInstances();
  const metrics = new Metrics();
  const leases = new Leases({
    engine,
    fleet,
    declarations,
    ended,
    audit,
    log,
    onEnd: (_own, end) => metrics.leaseEnd(end),
  });
  const policy = hashOf(grants as unknown as Json).slice(0, 16);
  const renderMetrics = () =>
    metrics.render({
      instances: leases.count,
      streams: [...limits.values()].reduce((sum, { streams }) => sum + streams, 0),
      suspendedClients: [...limits.values()].filter(({ isSuspended }) => isSuspended).length,
      auditWritable: audit.writable,
      auditSequence: audit.head().seq,
      engineEvents: events.stands,
      policy,
    });
  const parts = {
    stack,
    grants,
    engine,
    ping: coalesce(() => engine.status(upstream.ping(), { deadlineMs: 10_000, isApart: true })),
    events,
    fleet,
    declarations,
    leases,
    ended,
    quotas: new Quotas(grants.stack),
    pids: new PidsLimits({ engine, stack, log, audit }),
    audit,
    alerts: new Alerts(),
    metrics,
    renderMetrics,
    log,
  };
  return { parts, limitsOf };
}

/** Starts listeners, declarations, leases, pids limits and watchdog. Everything ends with the signal. */
export async function startProxy(
  config: ProxyConfig,
  options: {
    readonly log: Log;
    readonly signal: AbortSignal;
    readonly audit: Audit;
    readonly watchdog?: WatchdogConfig;
    /** Says where the TCP client's connections may come from. @default the Engine's addresses of the client's container */
    readonly source?: Source;
  },
): Promise<RunningProxy> {
  const { log, signal } = options;
  const { stack } = config;
  const engine = new Engine(config.dockerSocket, log);
  const { parts, limitsOf } = createParts(config, { engine, log, audit: options.audit });
  const { events, declarations, fleet, leases } = parts;
  const handlers = createHandlers(parts, limitsOf);

  const servers: http.Server[] = [];
  const ports: number[] = [];
  for (const listener of config.listeners) {
    const { client } = listener;
    if ("port" in listener) {
      const network = objectName(stack, Network.socketProxy);
      const peers = new PeerAddresses({ engine, stack, service: client, network, log });
      const source = options.source ?? ((address) => peers.allows(address));
      const server = createListener(client, handlers, source);
      servers.push(server);
      ports.push(await listenTcp(server, listener.host, listener.port));
    } else {
      const server = createListener(client, handlers);
      servers.push(server);
      // Every user may connect: who can see the socket is decided by who mounts its directory.
      await listenUnix(server, listener.socketPath, 0o666);
    }
  }
  const ended = [
    events.run(signal),
    declarations.follow(events, signal),
    fleet.follow(events, signal),
    leases.follow(signal),
  ];
  parts.pids.follow(events, signal);
  let isFirst = true;
  events.listen({
    connected: () => {
      forgetFacts(engine);
      // At the start it was checked already. An Engine that came back may be another; what is wrong with it is said.
      if (!isFirst)
        void checkEngine(config, log).catch((error: unknown) =>
          log.error("engine", { reason: reasonOf(error) }),
        );
      isFirst = false;
    },
  });
  const healthy = async () => {
    await engine.status(upstream.probe(), { deadlineMs: 5_000, isApart: true });
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
  const found = asText(engine.Version);
  log.info("engine", { version: found, api: newest, spoken: upstream.apiVersion });
  for (const { id, severity, means, cure } of advisoriesFor(found)) {
    const about = { id, engine: found, means, cure };
    if (severity === "bad") log.warn("engine-advisory", about);
    else log.info("engine-advisory", about);
  }
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
