import type { Agent } from "./agent.ts";
import type { Engine } from "./engine.ts";
import type { Runs } from "./runs.ts";
import type { Store } from "./store.ts";
import { PlainError, wordEngineFailure } from "./words.ts";

/** What operators order of an agent's container. An order is kept over restarts and goes before the declared activation. */
export class Orders {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #runs: Runs;

  constructor(parts: { readonly engine: Engine; readonly store: Store; readonly runs: Runs }) {
    this.#engine = parts.engine;
    this.#store = parts.store;
    this.#runs = parts.runs;
  }

  /** A start: holds until an operator's stop. @throws PlainError in words for the chat */
  async start(agent: Agent): Promise<void> {
    this.#mustBeContained(agent);
    this.#want(agent, "running");
    agent.failedStarts = 0;
    agent.nextStartAt = 0;
    agent.ends = [];
    if (agent.running && !agent.stopping) return;
    await this.#worded(agent, "start", () => this.#runs.start(agent));
  }

  /** A stop: holds against mentions and restarts of ours. @throws PlainError in words for the chat */
  async stop(agent: Agent): Promise<void> {
    this.#mustBeContained(agent);
    this.#want(agent, "stopped");
    await this.#worded(agent, "stop", () => this.#runs.stop(agent));
  }

  /** Stops an agent without an order to stay so: its activation decides again. @throws PlainError in words */
  async sleep(agent: Agent): Promise<void> {
    this.#mustBeContained(agent);
    this.#want(agent, "auto");
    await this.#worded(agent, "stop", () => this.#runs.stop(agent));
  }

  /** Stops and starts. @throws PlainError in words for the chat */
  async restart(agent: Agent): Promise<void> {
    this.#mustBeContained(agent);
    await this.#worded(agent, "stop", () => this.#runs.stop(agent));
    await this.start(agent);
  }

  /** The end of an agent's log. @throws PlainError in words for the chat */
  logs(agent: Agent, lines: number): Promise<string> {
    this.#mustBeContained(agent);
    return this.#worded(agent, "read the log of", () => this.#engine.logs(agent.name, lines));
  }

  #want(agent: Agent, desired: Agent["desired"]): void {
    agent.desired = desired;
    this.#store.update(agent.name, { desired });
  }

  #mustBeContained(agent: Agent): void {
    if (!agent.contained) {
      throw new PlainError(`${agent.name} is local: its operator runs it, not berth.`);
    }
  }

  async #worded<T>(agent: Agent, what: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const words = wordEngineFailure(error, `${what} ${agent.name}`, agent.declaration.image);
      this.#runs.note(agent, words);
      throw new PlainError(words);
    }
  }
}
