import type { Log } from "../common/log.ts";
import type { Agent } from "./agent.ts";
import type { Engine } from "./engine.ts";
import type { Metrics } from "./metrics.ts";
import type { Store } from "./store.ts";

/** Starts and stops agents' containers, one at a time an agent, and records what comes of it. */
export class Runs {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #tell: (text: string) => void;

  constructor(options: {
    readonly engine: Engine;
    readonly store: Store;
    readonly metrics: Metrics;
    readonly log: Log;
    /** Says something in the home channel. */
    readonly tell: (text: string) => void;
  }) {
    this.#engine = options.engine;
    this.#store = options.store;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#tell = options.tell;
  }

  /** An agent works again: what was wrong is history. */
  recovered(agent: Agent): void {
    if (agent.failure === undefined && agent.lastError === undefined && !agent.told) return;
    agent.failure = undefined;
    agent.lastError = undefined;
    agent.told = false;
    this.#store.update(agent.name, { lastError: null, failureTold: false });
  }

  /** Starts the container; more calls while that goes on share it. The request is sent before this returns. */
  start(agent: Agent): Promise<void> {
    agent.starting ??= this.#doStart(agent).finally(() => {
      agent.starting = undefined;
    });
    return agent.starting;
  }

  async #doStart(agent: Agent): Promise<void> {
    if (agent.stopping) {
      await agent.stopping.catch(() => undefined);
      // The stop that was waited for, or one asked for meanwhile, may be an order that holds.
      if (agent.desired === "stopped") return;
    }
    try {
      await this.#engine.start(agent.name);
    } catch (error) {
      this.#metrics.add("berth_starts_total", { result: "failed" });
      throw error;
    }
    this.#metrics.add("berth_starts_total", { result: "done" });
    agent.failedStarts = 0;
    if (agent.container) this.set(agent, agent.container.id, "running");
    this.recovered(agent);
    this.#log.info("agent-started", { agent: agent.name });
  }

  /** Stops the container and waits for its end; more calls while that goes on share it. */
  stop(agent: Agent): Promise<void> {
    agent.stopping ??= this.#doStop(agent).finally(() => {
      agent.stopping = undefined;
    });
    return agent.stopping;
  }

  async #doStop(agent: Agent): Promise<void> {
    if (agent.starting) await agent.starting.catch(() => undefined);
    await this.#engine.stop(agent.name, agent.declaration.limits.stopGraceSeconds);
    if (agent.container) this.set(agent, agent.container.id, "exited");
    this.#store.runEnded(agent.name, agent.exitCode ?? null);
    this.#log.info("agent-stopped", { agent: agent.name });
  }

  /** What is known of the container now, in memory and in the database. */
  set(agent: Agent, id: string, state: string): void {
    agent.container = { id, name: this.#engine.nameOf(agent.name), state };
    agent.missingSince = undefined;
    if (state === "running") this.#store.runStarted(agent.name, id);
    this.#store.update(agent.name, {
      containerId: id,
      status: state,
      exitCode: agent.exitCode ?? null,
    });
  }

  /** Something went wrong. */
  note(agent: Agent, words: string): void {
    agent.lastError = words;
    this.#store.update(agent.name, { lastError: words });
    this.#log.warn("agent-trouble", { agent: agent.name, reason: words });
  }

  /** Something is wrong and stays so: the home channel is told, once until the agent works again. */
  fail(agent: Agent, words: string): void {
    agent.failure = words;
    if (agent.lastError !== words) this.note(agent, words);
    if (agent.told) return;
    agent.told = true;
    this.#store.update(agent.name, { failureTold: true });
    this.#tell(words);
  }
}
