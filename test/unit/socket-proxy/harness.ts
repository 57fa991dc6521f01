import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, request } from "../../../services/common/http.ts";
import { createLog } from "../../../services/common/log.ts";
import { createAudit } from "../../../services/socket-proxy/audit.ts";
import {
  type RunningProxy,
  startProxy,
  type WatchdogConfig,
} from "../../../services/socket-proxy/run.ts";
import type { Source } from "../../../services/socket-proxy/transport.ts";
import { agentContainer } from "../../../spec/container.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { type GrantOptions, type GrantsDocument, renderGrants } from "../../../spec/grants.ts";
import { type DoubleContainer, declarationOf, EngineDouble } from "./engine-double.ts";

/** The double's container of agent `lal`. */
export const lalId = "a".repeat(64);

/** The whole proxy in this process, before an Engine double. */
export interface Harness {
  readonly engine: EngineDouble;
  readonly proxy: RunningProxy;
  readonly port: number;
  /** Audit records, parsed. */
  readonly audit: Record<string, unknown>[];
  readonly logged: string[];
  /** Set to make the audit's sink fail. */
  readonly sink: { fails: boolean };
  readonly engineSocket: string;
  readonly socketOf: (client: string) => string;
  ask(path: string, method?: string, client?: string, body?: unknown): Promise<Answer>;
  /** Declares an agent and makes its container. */
  agent(changes?: Partial<Declaration>, id?: string): DoubleContainer;
  close(): Promise<void>;
}

/** Grants of the tests: no suspension but where it is the subject, or a file's own refusals would end it. */
export function testGrants(options: GrantOptions = {}): GrantsDocument {
  return renderGrants({
    suspension: { denials: 100_000, windowSeconds: 60, seconds: 60 },
    ...options,
  });
}

export interface HarnessOptions {
  readonly watchdog?: WatchdogConfig;
  readonly grants?: GrantsDocument;
  /** `engine`: the addresses that the Engine lists, as in a stack. @default every source */
  readonly source?: Source | "engine";
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const { watchdog, grants = testGrants(), source = async () => true } = options;
  const directory = mkdtempSync(join(tmpdir(), "sp-"));
  const engine = new EngineDouble();
  const engineSocket = join(directory, "engine.sock");
  await engine.listen(engineSocket);
  const audit: Record<string, unknown>[] = [];
  const logged: string[] = [];
  const sink = { fails: false };
  const ending = new AbortController();
  const socketOf = (client: string) => join(directory, `${client}.sock`);
  const proxy = await startProxy(
    {
      stack: "dev",
      dockerSocket: engineSocket,
      uid: 0,
      auditDirectory: directory,
      grants,
      listeners: Object.entries(grants.clients).map(([client, { listener }]) =>
        listener === "tcp"
          ? { client, host: "127.0.0.1", port: 0 }
          : { client, directory, socketPath: socketOf(client) },
      ),
    },
    {
      log: createLog("test", (line) => logged.push(line)),
      signal: ending.signal,
      audit: createAudit((line) => {
        if (sink.fails) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        audit.push(JSON.parse(line) as Record<string, unknown>);
      }),
      ...(source === "engine" ? {} : { source }),
      ...(watchdog ? { watchdog } : {}),
    },
  );
  const port = proxy.ports[0] ?? 0;
  // The first sweep of the pids limits is over before a test makes anything: it comes when the events do.
  await eventually(() => engine.eventStreams > 0);
  for (let before = -1; before !== engine.recorded.length; ) {
    before = engine.recorded.length;
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return {
    engine,
    proxy,
    port,
    audit,
    logged,
    sink,
    engineSocket,
    socketOf,
    ask: (path, method = "GET", client, body) =>
      request(client ? { socketPath: socketOf(client) } : { host: "127.0.0.1", port }, {
        method,
        path,
        timeoutMs: 5_000,
        ...(body === undefined ? {} : { body }),
      }),
    agent(changes = {}, id = lalId) {
      const declaration = declarationOf(changes);
      engine.declare(declaration);
      return engine.make(agentContainer(declaration), id);
    },
    async close() {
      ending.abort();
      await proxy.done.catch(() => undefined);
      await engine.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Waits until it holds; fails after two seconds. */
export async function eventually(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never: ${holds}`);
}

/** Sends raw bytes and gives all that comes back until the connection ends or nothing comes for a while. */
export function sendRaw(port: number, bytes: string | Uint8Array, idleMs = 400): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = net.connect({ port, host: "127.0.0.1" });
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(idleMs, done);
    socket.on("data", (part) => {
      text += part.toString("latin1");
    });
    socket.on("error", done);
    socket.on("close", done);
    socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  });
}

/** Status codes of all answers in raw text. */
export function statuses(text: string): number[] {
  return [...text.matchAll(/^HTTP\/1\.1 ([0-9]{3}) /gm)].map((match) => Number(match[1]));
}
