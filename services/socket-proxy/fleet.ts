import { type Log, reasonOf } from "../common/log.ts";
import { coalesce } from "./coalesce.ts";
import type { EnginePort } from "./engine.ts";
import { type EngineEvents, sleep } from "./events.ts";
import { type OwnContainer, ownContainers, ownName } from "./ownership.ts";
import * as upstream from "./upstream.ts";

/** A look without a reason, should an event ever be missed. */
const pollMs = 30_000;
/** After a look that failed. */
const retryMs = 1_000;

/** The stack's own containers, as the Engine last listed them. */
export class Fleet {
  /** Looks now. @throws EngineError */
  readonly refresh: () => Promise<readonly OwnContainer[]>;
  readonly #engine: EnginePort;
  readonly #stack: string;
  readonly #log: Log;
  readonly #listeners = new Set<(containers: readonly OwnContainer[], look: number) => void>();
  #looks = 0;
  #known: ReadonlyMap<string, OwnContainer> = new Map();
  #isCurrent = false;

  constructor(options: { readonly engine: EnginePort; readonly stack: string; readonly log: Log }) {
    this.#engine = options.engine;
    this.#stack = options.stack;
    this.#log = options.log;
    this.refresh = coalesce(() => this.#look());
  }

  /** The last list; undefined while changes may have been missed. */
  find(named: string): OwnContainer | undefined {
    return this.#isCurrent ? this.#known.get(named) : undefined;
  }

  /** How many looks have begun. */
  get looks(): number {
    return this.#looks;
  }

  /** Calls `listener` after each look, with the look's number. */
  subscribe(listener: (containers: readonly OwnContainer[], look: number) => void): void {
    this.#listeners.add(listener);
  }

  /** Keeps the list current until the signal ends it. */
  async follow(events: EngineEvents, signal: AbortSignal): Promise<void> {
    const stop = events.listen({
      connected: () => void this.#tryRefresh(),
      lost: () => {
        this.#isCurrent = false;
      },
      event: (event) => {
        if (event.type !== "container" || !/^(create|start|die|destroy|rename)$/.test(event.action))
          return;
        if (ownName(this.#stack, event.attributes) !== undefined) void this.#tryRefresh();
      },
    });
    while (!signal.aborted) {
      const isThere = await this.#tryRefresh();
      await sleep(isThere ? pollMs : retryMs, signal);
    }
    stop();
  }

  async #tryRefresh(): Promise<boolean> {
    try {
      await this.refresh();
      return true;
    } catch (error) {
      this.#log.warn("containers-unread", { reason: reasonOf(error) });
      return false;
    }
  }

  async #look(): Promise<readonly OwnContainer[]> {
    this.#looks += 1;
    const look = this.#looks;
    const answer = await this.#engine.json(upstream.listContainers(this.#stack));
    const containers = ownContainers(this.#stack, answer);
    this.#known = new Map(
      containers.flatMap((own) => [[own.id, own] as const, [own.name, own] as const]),
    );
    this.#isCurrent = true;
    for (const listener of this.#listeners) listener(containers, look);
    return containers;
  }
}
