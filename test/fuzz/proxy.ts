import type http from "node:http";
import { createAudit } from "../../services/socket-proxy/audit.ts";
import { createHandlers } from "../../services/socket-proxy/proxy.ts";
import { createParts } from "../../services/socket-proxy/run.ts";
import {
  createListener,
  type Handlers,
  type Source,
} from "../../services/socket-proxy/transport.ts";
import { type Fault, faults, MemoryEngine } from "./memory-engine.ts";
import { type Moment, problemOf } from "./oracle.ts";
import { connectionBytes } from "./requests.ts";
import { type ClientName, clients, grantsOf } from "./stack.ts";
import type { Target } from "./target.ts";
import { turn, Wire } from "./wire.ts";

/** How a connection goes, said by the first bytes of an input; the rest is what the client sends. */
interface Case {
  readonly client: ClientName;
  readonly fault: Fault;
  /** Quotas are soon used up, and few probes suspend. */
  readonly isTight: boolean;
  /** Records cannot be written. */
  readonly isMute: boolean;
  readonly source: "none" | "yes" | "later" | "no";
  /** The client breaks off in place of ending its half. */
  readonly breaksOff: boolean;
  /** Bytes come in this many pieces. */
  readonly pieces: number;
  readonly bytes: Uint8Array;
}

const headBytes = 4;

function caseOf(input: Uint8Array): Case {
  const [a = 0, b = 0, c = 0, d = 0] = input;
  return {
    client: clients[a % 4] ?? "admin-bridge",
    fault: b < 128 ? "none" : (faults[b % faults.length] ?? "none"),
    isTight: (c & 3) === 3,
    isMute: (c & 60) === 60,
    source: (["none", "yes", "later", "none"] as const)[c >> 6] ?? "none",
    breaksOff: (d & 1) === 1,
    pieces: d < 160 ? 1 : d < 240 ? 2 + ((d >> 1) % 3) : 64,
    bytes: input.subarray(headBytes),
  };
}

/** Bytes as an input of this target: of the admin bridge, at once, while nothing goes wrong. */
export function plainCase(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([new Uint8Array(headBytes), bytes]);
}

/** Turns of the event loop without anything happening, after which a connection is taken to be at rest. */
const quietTurns = 3;
/** Turns after which something hangs. */
const mostTurns = 2_000;

/** The whole proxy but its sockets, for one client, before an Engine in memory. */
class World {
  readonly key: string;
  readonly moments: Moment[] = [];
  readonly problems: string[] = [];
  readonly engine: MemoryEngine;
  readonly server: http.Server;
  readonly #ending = new AbortController();
  readonly #ready: Promise<unknown>;
  busy = 0;

  constructor({ client, fault, isTight, isMute, source }: Case, key: string) {
    this.key = key;
    this.engine = new MemoryEngine(fault, (call) => this.moments.push({ call }));
    const log = {
      info: () => undefined,
      warn: () => undefined,
      error: (event: string, fields: object = {}) => {
        if (event === "request-failed") this.problems.push(`${event}: ${JSON.stringify(fields)}`);
      },
    };
    const audit = createAudit((line) => {
      if (isMute) throw new Error("no space");
      this.moments.push({ record: JSON.parse(line) as Record<string, unknown> });
    });
    const grants = grantsOf(isTight);
    const { parts, limitsOf } = createParts(
      { stack: "dev", grants },
      { engine: this.engine, log, audit },
    );
    void parts.events.run(this.#ending.signal);
    this.#ready = parts.fleet.refresh().catch(() => undefined);
    const handlers = createHandlers(parts, limitsOf);
    const counted: Handlers = {
      ...handlers,
      request: async (...args) => {
        this.busy += 1;
        try {
          await handlers.request(...args);
        } catch (error) {
          this.problems.push(`a handler rejected: ${String(error)}`);
        } finally {
          this.busy -= 1;
        }
      },
    };
    const sources: Readonly<Record<Case["source"], Source | undefined>> = {
      none: undefined,
      yes: () => true,
      later: async () => true,
      no: async () => false,
    };
    this.server = createListener(client, counted, sources[source]);
  }

  /** Resolves when what is there is known. */
  async settle(): Promise<void> {
    await this.#ready;
    await turn();
    this.moments.length = 0;
  }

  end(): void {
    this.#ending.abort();
  }

  get activity(): number {
    return this.engine.activity + this.moments.length;
  }
}

/** What a run has reached. */
export type Reached = Record<string, number>;

/** The proxy's headline property: whatever a client sends, the Engine gets renderings of templates and typed parameters. */
export class ProxyTarget implements Target {
  readonly name = "proxy";
  readonly #seeds: readonly Uint8Array[];
  readonly #reached: Reached = {};
  readonly #worlds = new Map<string, World>();

  /** @param seeds bytes of connections, to be changed */
  constructor(seeds: readonly Uint8Array[] = []) {
    this.#seeds = seeds;
  }

  generate(random: Parameters<Target["generate"]>[0]): Uint8Array {
    const head = random.bytes(headBytes);
    if (random.percent(70)) head[1] = 0;
    if (random.percent(70)) head[2] = 0;
    return Buffer.concat([head, connectionBytes(random, this.#seeds)]);
  }

  /** The bytes that it was given, sent by each client at once. */
  known(): readonly Uint8Array[] {
    return this.#seeds.flatMap((bytes) =>
      clients.map((_client, i) => Buffer.concat([Buffer.from([i, 0, 0, 0]), bytes])),
    );
  }

  seen(): Readonly<Reached> {
    return this.#reached;
  }

  async check(input: Uint8Array): Promise<string | undefined> {
    const given = caseOf(input);
    const world = await this.#worldOf(given);
    const from = Math.floor(Date.now() / 1000);
    const { wire, hangs } = await converse(world, given);
    const to = Math.floor(Date.now() / 1000);
    const { moments, engine, problems } = world;
    const changed = moments.some((moment) => "call" in moment && moment.call.method !== "GET");
    if (changed || given.isTight || hangs) this.#drop(world);
    this.#count(moments, wire);
    const problem =
      problems[0] ??
      (hangs ? "a request that does not end when its client is gone" : undefined) ??
      problemOf({
        client: given.client,
        bytes: given.bytes,
        moments,
        made: engine.made,
        isMute: given.isMute,
        answer: wire.answer,
        from,
        to,
      });
    if (problem !== undefined) this.#drop(world);
    moments.length = 0;
    return problem;
  }

  #drop(world: World): void {
    world.end();
    this.#worlds.delete(world.key);
  }

  /** A world that nothing was changed in serves again: it is as good as a new one. */
  async #worldOf(given: Case): Promise<World> {
    const { client, fault, isTight, isMute, source } = given;
    const key = [client, fault, isTight, isMute, source].join();
    const known = this.#worlds.get(key);
    if (known) return known;
    const world = new World(given, key);
    this.#worlds.set(key, world);
    await world.settle();
    return world;
  }

  #count(moments: readonly Moment[], wire: Wire): void {
    const add = (what: string) => {
      this.#reached[what] = (this.#reached[what] ?? 0) + 1;
    };
    for (const moment of moments) {
      if ("call" in moment) {
        const { method, path } = moment.call;
        if (method !== "GET")
          add(method === "DELETE" ? "DELETE" : `POST ${/\/([a-z]+)(\?|$)/.exec(path)?.[1]}`);
      } else if (moment.record.decision === "deny") add(`[${moment.record.rule}]`);
      else if (moment.record.phase === "result" && moment.record.rule)
        add(`[${moment.record.rule}]`);
    }
    if (wire.answer.length === 0) add("no answer");
  }
}

/** Sends the bytes, waits until nothing happens any more, ends the connection, and waits until nothing is under way. */
async function converse(
  world: World,
  { bytes, pieces, breaksOff }: Case,
): Promise<{ readonly wire: Wire; readonly hangs: boolean }> {
  const wire = new Wire().connect(world.server);
  wire.on("error", () => undefined);
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  for (let at = 0; at < bytes.length; at += size) {
    wire.send(bytes.subarray(at, at + size));
    if (pieces > 1) await turn();
  }
  await quiet(world, wire);
  if (!wire.closed) {
    if (!breaksOff) {
      wire.finish();
      await quiet(world, wire);
    }
    wire.destroy();
  }
  let turns = 0;
  while (world.busy > 0 && turns < mostTurns) {
    await turn();
    turns += 1;
  }
  return { wire, hangs: turns >= mostTurns };
}

async function quiet(world: World, wire: Wire): Promise<void> {
  let last = -1;
  let still = 0;
  for (let turns = 0; turns < mostTurns && still < quietTurns; turns++) {
    await turn();
    const now = world.activity + wire.activity;
    still = now === last || world.busy === 0 ? still + 1 : 0;
    if (world.busy === 0 && now === last) return;
    last = now;
  }
}
