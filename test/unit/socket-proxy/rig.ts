import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, listenUnix, request } from "../../../services/common/http.ts";
import { createLog } from "../../../services/common/log.ts";
import { createAudit } from "../../../services/socket-proxy/audit.ts";
import { Engine, type EnginePort } from "../../../services/socket-proxy/engine.ts";
import type { Parts } from "../../../services/socket-proxy/parts.ts";
import { createHandlers } from "../../../services/socket-proxy/proxy.ts";
import { createParts } from "../../../services/socket-proxy/run.ts";
import { createListener } from "../../../services/socket-proxy/transport.ts";
import type { GrantsDocument } from "../../../spec/grants.ts";
import { creatingGrants } from "./creating.ts";
import { EngineDouble } from "./engine-double.ts";

/** An Engine double on a socket of its own, which outlives the proxies before it. */
export interface Host {
  readonly engine: EngineDouble;
  readonly socketPath: string;
  readonly directory: string;
  close(): Promise<void>;
}

export async function startHost(): Promise<Host> {
  const directory = mkdtempSync(join(tmpdir(), "sp-"));
  const engine = new EngineDouble();
  const socketPath = join(directory, "engine.sock");
  await engine.listen(socketPath);
  return {
    engine,
    socketPath,
    directory,
    async close() {
      await engine.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** One run of a proxy whose parts a test can reach, with what lies between it and the Engine. */
export interface Rig {
  readonly parts: Parts;
  readonly audit: Record<string, unknown>[];
  readonly logged: string[];
  /** Set to make the audit's sink fail. */
  readonly sink: { fails: boolean };
  ask(path: string, method?: string, body?: unknown, client?: string): Promise<Answer>;
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>;
}

let runs = 0;

/** Starts a proxy for stack `dev`. `between` may spoil what the Engine says. */
export async function startRig(
  host: Host,
  options: {
    readonly grants?: GrantsDocument;
    readonly between?: (engine: EnginePort) => EnginePort;
  } = {},
): Promise<Rig> {
  const { grants = creatingGrants(), between = (engine) => engine } = options;
  const audit: Record<string, unknown>[] = [];
  const logged: string[] = [];
  const sink = { fails: false };
  const log = createLog("test", (line) => logged.push(line));
  const { parts, limitsOf } = createParts(
    { stack: "dev", grants },
    {
      engine: between(new Engine(host.socketPath, log)),
      log,
      audit: createAudit((line) => {
        if (sink.fails) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        audit.push(JSON.parse(line) as Record<string, unknown>);
      }),
    },
  );
  const ending = new AbortController();
  const { events, declarations, fleet, leases } = parts;
  const ended = [
    events.run(ending.signal),
    declarations.follow(events, ending.signal),
    fleet.follow(events, ending.signal),
    leases.follow(ending.signal),
  ];
  const run = ++runs;
  const handlers = createHandlers(parts, limitsOf);
  const socketOf = (client: string) => join(host.directory, `${client}-${run}.sock`);
  const servers = await Promise.all(
    Object.keys(grants.clients).map(async (client) => {
      const server = createListener(client, handlers);
      await listenUnix(server, socketOf(client), 0o600);
      return server;
    }),
  );
  return {
    parts,
    audit,
    logged,
    sink,
    ask: (path, method = "GET", body, client = "admin-bridge") =>
      request(
        { socketPath: socketOf(client) },
        { method, path, timeoutMs: 10_000, ...(body === undefined ? {} : { body }) },
      ),
    async stop() {
      ending.abort();
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      await Promise.all(ended);
    },
  };
}
