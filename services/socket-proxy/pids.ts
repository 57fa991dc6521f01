import { Label } from "../../spec/names.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { Audit } from "./audit.ts";
import type { EnginePort } from "./engine.ts";
import { EngineError } from "./engine-error.ts";
import type { EngineEvents } from "./events.ts";
import { asObject } from "./json.ts";
import { lookup, type OwnContainer, ownContainers, ownName, pick } from "./ownership.ts";
import * as upstream from "./upstream.ts";

/** How many containers a sweep looks at side by side. */
const width = 4;

/** Puts the pids limit of every container of the stack in force: the docker provider has no input for it. */
export class PidsLimits {
  readonly #engine: EnginePort;
  readonly #stack: string;
  readonly #log: Log;
  readonly #audit: Audit;

  constructor(options: {
    readonly engine: EnginePort;
    readonly stack: string;
    readonly log: Log;
    readonly audit: Audit;
  }) {
    this.#engine = options.engine;
    this.#stack = options.stack;
    this.#log = options.log;
    this.#audit = options.audit;
  }

  /** Enforces on what is there now and on whatever is created or started, until the signal ends it. */
  follow(events: EngineEvents, signal: AbortSignal): void {
    const stop = events.listen({
      connected: () => void this.sweep(),
      event: (event) => {
        if (event.type !== "container" || !/^(create|start)$/.test(event.action)) return;
        const name = ownName(this.#stack, event.attributes);
        if (name !== undefined && name === event.attributes.name) void this.#one(event.id);
      },
    });
    signal.addEventListener("abort", stop, { once: true });
  }

  /** Every container of the stack. Failures are logged; the next sweep tries again. */
  async sweep(): Promise<void> {
    try {
      const answer = await this.#engine.json(upstream.listContainers(this.#stack));
      const waiting = ownContainers(this.#stack, answer);
      const worker = async () => {
        for (let own = waiting.pop(); own; own = waiting.pop()) await this.#try(own);
      };
      await Promise.all(Array.from({ length: width }, worker));
    } catch (error) {
      this.#log.warn("pids-sweep-failed", { reason: reasonOf(error) });
    }
  }

  /**
   * Sees to it that the limit of the container's own label is in force.
   * @returns whether it is; false also where the host cannot limit processes
   * @throws EngineError, or Denial where the audit record cannot be written
   */
  async enforce(own: OwnContainer, inspected: unknown, request: string): Promise<boolean> {
    const limit = Number(own.labels[Label.pids]);
    if (!Number.isInteger(limit) || limit < 1 || limit > 4_194_304) return false;
    if (limitOf(inspected) === limit) return true;
    const record = {
      client: "socket-proxy",
      request,
      verb: "update",
      object: own.name,
      id: own.id,
    };
    this.#audit.require({ ...record, phase: "decision", decision: "allow", rule: "pids-limit" });
    await this.#engine.status(upstream.setPidsLimit(own.id, limit));
    return limitOf(await this.#engine.json(upstream.inspectContainer(own.id))) === limit;
  }

  async #one(id: string): Promise<void> {
    const call = lookup(this.#stack, id);
    if (!call) return;
    try {
      const own = pick(this.#stack, id, await this.#engine.json(call));
      if (own) await this.#try(own);
    } catch (error) {
      this.#log.warn("pids-limit-failed", { id, reason: reasonOf(error) });
    }
  }

  async #try(own: OwnContainer): Promise<void> {
    if (own.labels[Label.pids] === undefined) return;
    try {
      const inspected = await this.#engine.json(upstream.inspectContainer(own.id));
      if (!(await this.enforce(own, inspected, "sweep"))) {
        this.#log.error("pids-limit-not-in-force", { object: own.name });
      }
    } catch (error) {
      // Removed meanwhile: nothing is left to limit.
      if (error instanceof EngineError && error.status === 404) return;
      this.#log.warn("pids-limit-failed", { object: own.name, reason: reasonOf(error) });
    }
  }
}

function limitOf(inspected: unknown): unknown {
  return asObject(asObject(inspected).HostConfig).PidsLimit;
}
