import { addAbortSignal, PassThrough, type Readable } from "node:stream";
import { request } from "../services/common/http.ts";
import type { EnginePort } from "../services/socket-proxy/engine.ts";
import { EngineError } from "../services/socket-proxy/engine-error.ts";
import type { EngineCall } from "../services/socket-proxy/upstream.ts";
import { type Declaration, encodeDeclaration } from "../spec/declaration.ts";
import { Label, Network, objectName } from "../spec/names.ts";
import type { EngineClient } from "./engine-api.ts";

/** A request to the Engine, as it is shown. */
export interface ShownCall {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/** Answers what the proxy asks before it decides. Only reads come here. */
export interface World {
  /** What it is, for people. */
  readonly says: string;
  /** @throws EngineError */
  read(path: string): Promise<unknown>;
}

/** Requests that only look: the proxy asks them on the way to a decision. All else is recorded, and never sent. */
const looks =
  /^\/v[0-9.]+\/(volumes\?|volumes\/|networks\/|images\/.*\/json$|containers\/json\?|containers\/[0-9a-f]{64}\/json$|info$)/;

const eventsPath = /^\/v[0-9.]+\/events\?/;

/**
 * An Engine that is never touched: looks are answered by a world, and whatever else the proxy would send is written down
 * and fails. So the proxy's own code decides, and nothing happens.
 */
export class ExplainEngine implements EnginePort {
  /** What was looked at on the way. */
  readonly asked: ShownCall[] = [];
  /** What would have been sent. */
  readonly sent: ShownCall[] = [];
  readonly #world: World;
  readonly #limits = new Map<string, number>();
  #isOver = false;
  #open = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether an answer is still awaited. */
  get isBusy(): boolean {
    return this.#open > 0;
  }

  async json(call: EngineCall): Promise<unknown> {
    if (call.method !== "GET" || !looks.test(call.path)) throw this.#record(call);
    if (this.#isOver) throw over();
    this.asked.push(shown(call));
    this.#open += 1;
    try {
      return this.#withLimit(call.path, await this.#world.read(call.path));
    } finally {
      this.#open -= 1;
    }
  }

  async bytes(call: EngineCall): Promise<Buffer> {
    throw this.#record(call);
  }

  async status(call: EngineCall): Promise<number> {
    const [, id] = /^\/v[0-9.]+\/containers\/([0-9a-f]{64})\/update$/.exec(call.path) ?? [];
    const limit = (JSON.parse(call.body ?? "{}") as { PidsLimit?: unknown }).PidsLimit;
    if (id === undefined || typeof limit !== "number" || this.#isOver) throw this.#record(call);
    // On its way to a start the proxy sets the limit first and looks again: what it would see then is known.
    this.sent.push(shown(call));
    this.#limits.set(id, limit);
    return 200;
  }

  async stream(call: EngineCall, signal: AbortSignal): Promise<Readable> {
    // The proxy's own subscription, which stands before any request: here nothing ever happens.
    if (eventsPath.test(call.path)) return addAbortSignal(signal, new PassThrough());
    throw this.#record(call);
  }

  #record(call: EngineCall): EngineError {
    if (!this.#isOver) this.sent.push(shown(call));
    this.#isOver = true;
    return over();
  }

  #withLimit(path: string, answer: unknown): unknown {
    const [, id = ""] = /\/containers\/([0-9a-f]{64})\/json$/.exec(path) ?? [];
    const limit = this.#limits.get(id);
    if (limit === undefined) return answer;
    const inspected = answer as { readonly HostConfig?: object };
    return { ...inspected, HostConfig: { ...inspected.HostConfig, PidsLimit: limit } };
  }
}

function over(): EngineError {
  return new EngineError("down", "nothing is sent: this only explains");
}

function shown({ method, path, body }: EngineCall): ShownCall {
  return { method, path, ...(body === undefined ? {} : { body: JSON.parse(body) as unknown }) };
}

/** The Engine that runs, asked by `GET` alone. */
export function liveWorld({ endpoint }: EngineClient, says: string): World {
  return {
    says,
    async read(path) {
      let answer: Awaited<ReturnType<typeof request>>;
      try {
        answer = await request(endpoint, { path, timeoutMs: 30_000 });
      } catch {
        throw new EngineError("down", "the Engine does not answer");
      }
      if (answer.status !== 200) {
        throw new EngineError("refused", `status ${answer.status}`, answer.status);
      }
      return JSON.parse(answer.text) as unknown;
    },
  };
}

/**
 * A stack that is as its declarations say: their images, volumes and networks are there, and no containers. For
 * declarations that are not up.
 */
export function assumedWorld(
  stack: string,
  declarations: readonly Declaration[],
  says: string,
): World {
  const labels = { [Label.stack]: stack };
  const volumes = declarations.map((declaration, i) => ({
    Name: `declaration-${i}`,
    CreatedAt: "2000-01-01T00:00:00Z",
    Labels: {
      ...labels,
      [Label.agent]: declaration.name,
      [Label.declaration]: encodeDeclaration(declaration),
    },
  }));
  const networks = Object.values(Network).map((name) => objectName(stack, name));
  return {
    says,
    async read(path) {
      const [, kind = "", rest = ""] = /^\/v[0-9.]+\/([a-z]+)(.*)$/.exec(path) ?? [];
      const name = rest.slice(1);
      if (kind === "volumes" && rest.startsWith("?")) return { Volumes: volumes };
      if (kind === "volumes") return { Name: name, Driver: "local", Options: null, Labels: labels };
      if (kind === "images") return { Id: `sha256:${"0".repeat(64)}`, Config: {} };
      if (kind === "info") return { DefaultRuntime: "runc", CgroupVersion: "2", SwapLimit: true };
      if (kind === "networks" && networks.includes(name)) {
        return { Name: name, Id: "0".repeat(64), Internal: true, Labels: labels };
      }
      if (kind === "containers" && rest.startsWith("/json?")) return [];
      throw new EngineError("refused", "it is not there", 404);
    },
  };
}
