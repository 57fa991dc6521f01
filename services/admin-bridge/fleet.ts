import type { Declaration } from "../../spec/declaration.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Agent } from "./agent.ts";
import { mayWake, shouldRun } from "./agent-state.ts";
import { type Container, type ContainerEvent, type Engine, isContained } from "./engine.ts";
import type { Metrics } from "./metrics.ts";
import { Orders } from "./orders.ts";
import { Runs } from "./runs.ts";
import type { Store } from "./store.ts";
import { isUnreachable, PlainError, wordEngineFailure } from "./words.ts";

/** Unasked ends within the window after which an agent counts as failed. */
const endsToFail = 5;
const endsWindowMs = 5 * 60_000;
/** How long an agent must run without an end to count as well again. */
const steadyMs = 60_000;
/** How long a declared agent's container may be missing: `pulumi up` makes the declaration before the container. */
const missingGraceMs = 60_000;
/** Waits between attempts of a wake while the socket proxy does not answer. */
const wakeRetriesMs = [250, 500, 1_000, 2_000];
const longestBackoffMs = 5 * 60_000;

/** What a message may do to an agent that it addresses. */
export type WakeResult = "awake" | "started" | "stopped" | "manual";

/**
 * The agents of the stack and their containers: which should run, which do, and the starts and stops between the two.
 * Containers are found by name at every look, so one that Pulumi replaced is simply the agent's container again.
 */
export class Fleet {
  readonly #agents = new Map<string, Agent>();
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #runs: Runs;
  /** What operators order. */
  readonly orders: Orders;
  readonly #log: Log;
  readonly #dockerMode: boolean;
  #engineUp = false;
  #looking: Promise<void> | undefined;

  constructor(options: {
    readonly engine: Engine;
    readonly store: Store;
    readonly metrics: Metrics;
    readonly log: Log;
    readonly dockerMode: boolean;
    /** Says something in the home channel. */
    readonly tell: (text: string) => void;
  }) {
    this.#engine = options.engine;
    this.#store = options.store;
    this.#runs = new Runs(options);
    this.orders = new Orders({ engine: options.engine, store: options.store, runs: this.#runs });
    this.#log = options.log;
    this.#dockerMode = options.dockerMode;
  }

  /** Declared agents, by name. */
  get agents(): readonly Agent[] {
    return [...this.#agents.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get engineUp(): boolean {
    return this.#engineUp;
  }

  find(name: string): Agent | undefined {
    return this.#agents.get(name);
  }

  /** Takes the declarations as they are now. @returns names that are no longer among them */
  declare(declarations: readonly Declaration[]): string[] {
    const names = new Set(declarations.map((d) => d.name));
    for (const declaration of declarations) {
      const known = this.#agents.get(declaration.name);
      const contained = isContained(declaration, this.#dockerMode);
      if (known && known.contained === contained) {
        known.declaration = declaration;
        continue;
      }
      const row = this.#store.agent(declaration.name);
      if (row?.standing !== "active") this.#store.update(declaration.name, { standing: "active" });
      const kept = this.#store.agent(declaration.name);
      if (kept) this.#agents.set(declaration.name, new Agent(declaration, contained, kept));
    }
    const gone = [...this.#agents.keys()].filter((name) => !names.has(name));
    for (const name of gone) this.#agents.delete(name);
    return gone;
  }

  /** Reads the containers and then does what should be done. One look at a time; more requests share the next. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    if (!this.#dockerMode) return;
    let containers: Container[];
    try {
      containers = await this.#engine.list();
    } catch (error) {
      if (this.#engineUp) this.#log.warn("engine-lost", { reason: reasonOf(error) });
      this.#engineUp = false;
      return;
    }
    this.#engineUp = true;
    const byName = new Map(containers.map((c) => [c.name, c]));
    for (const agent of this.#agents.values()) {
      if (agent.contained) await this.#observe(agent, byName.get(this.#engine.nameOf(agent.name)));
    }
    this.reconcile();
  }

  async #observe(agent: Agent, seen: Container | undefined): Promise<void> {
    const before = agent.container;
    // A start or stop that is on its way knows better than a list that was read before it.
    if (agent.starting || agent.stopping) return;
    agent.container = seen;
    if (!seen) {
      agent.missingSince ??= Date.now();
      if (before) this.#store.runEnded(agent.name, null);
      if (before || this.#store.agent(agent.name)?.status !== "missing") {
        this.#store.update(agent.name, { containerId: null, status: "missing" });
      }
      if (Date.now() - agent.missingSince > missingGraceMs) {
        this.#runs.fail(
          agent,
          `The container of ${agent.name} is not there: \`pulumi up\` makes it again.`,
        );
      }
      return;
    }
    if (agent.missingSince !== undefined) this.#runs.recovered(agent);
    agent.missingSince = undefined;
    const quiet = Date.now() - (agent.ends.at(-1) ?? 0) > steadyMs;
    if (agent.failure !== undefined && agent.running && quiet) this.#runs.recovered(agent);
    if (before?.id === seen.id && before.state === seen.state) return;
    if (agent.running) this.#store.runStarted(agent.name, seen.id);
    let exitCode = agent.exitCode;
    if (seen.state === "exited" || seen.state === "dead") {
      exitCode = await this.#engine.exitOf(agent.name).then(
        (end) => end.exitCode,
        () => exitCode,
      );
      this.#store.runEnded(agent.name, exitCode ?? null);
    }
    agent.exitCode = exitCode;
    this.#store.update(agent.name, {
      containerId: seen.id,
      status: seen.state,
      exitCode: exitCode ?? null,
    });
  }

  /** Takes one event of the Engine. @returns true where a look at the containers should follow */
  event(event: ContainerEvent): boolean {
    const agent = this.agents.find((a) => this.#engine.nameOf(a.name) === event.name);
    if (!agent?.contained) return false;
    if (event.action === "start") {
      this.#runs.set(agent, event.id, "running");
      return false;
    }
    if (event.action === "die") {
      agent.exitCode = event.exitCode ?? agent.exitCode;
      this.#store.runEnded(agent.name, event.exitCode ?? null);
      // The event of a stop may come after the stop's own answer, which has set the state already.
      const done = agent.container?.id === event.id && agent.container.state === "exited";
      const asked = done || agent.stopping !== undefined || agent.desired === "stopped";
      // The Engine's restart policy may bring it back at once: only a later look says that it is down.
      this.#runs.set(agent, event.id, asked ? "exited" : "restarting");
      if (!asked) this.#ended(agent);
      return true;
    }
    return ["create", "destroy", "rename", "stop", "kill"].includes(event.action);
  }

  #ended(agent: Agent): void {
    const now = Date.now();
    agent.ends = [...agent.ends.filter((at) => now - at < endsWindowMs), now];
    this.#log.warn("agent-ended", { agent: agent.name, exitCode: agent.exitCode ?? null });
    if (agent.ends.length >= endsToFail) {
      this.#runs.fail(
        agent,
        `${agent.name} ended ${agent.ends.length} times in five minutes, last with exit code ${agent.exitCode ?? "unknown"}; \`logs ${agent.name}\` shows why.`,
      );
    }
  }

  /** Starts what should run and does not. */
  reconcile(): void {
    const now = Date.now();
    for (const agent of this.#agents.values()) {
      if (!shouldRun(agent.facts) || agent.running || !agent.container) continue;
      if (!agent.provisioned || agent.starting || agent.stopping || now < agent.nextStartAt)
        continue;
      this.#runs.start(agent).then(
        () => undefined,
        (error: unknown) => this.#startFailed(agent, error),
      );
    }
  }

  #startFailed(agent: Agent, error: unknown): void {
    agent.failedStarts += 1;
    agent.nextStartAt =
      Date.now() + Math.min(1_000 * 2 ** (agent.failedStarts - 1), longestBackoffMs);
    const words = wordEngineFailure(error, `start ${agent.name}`, agent.declaration.image);
    this.#runs.note(agent, words);
    // A proxy that is away passes; what the Engine itself answers is told at once, the rest after the third time.
    if (!isUnreachable(error) || agent.failedStarts >= 3) this.#runs.fail(agent, words);
  }

  /**
   * A message addresses the agent. Asks for the start before it returns, without any question in between, where the agent
   * sleeps; then retries while the socket proxy is away.
   * @throws PlainError in words for the chat where it could not be started
   */
  async wake(agent: Agent, onAsked: () => void): Promise<WakeResult> {
    if (agent.starting || (agent.running && !agent.stopping)) return "awake";
    if (!mayWake(agent.facts)) return agent.desired === "stopped" ? "stopped" : "manual";
    for (const waitMs of [...wakeRetriesMs, undefined]) {
      try {
        const started = this.#runs.start(agent);
        onAsked();
        await started;
        return "started";
      } catch (error) {
        if (waitMs === undefined || !isUnreachable(error)) {
          const words = wordEngineFailure(error, `wake ${agent.name}`, agent.declaration.image);
          this.#runs.note(agent, words);
          throw new PlainError(words);
        }
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
    return "awake";
  }

  /** Stops a container whose declaration is gone; the proxy may refuse, since it starts and stops declared agents only. */
  async stopOrphan(name: string): Promise<void> {
    try {
      await this.#engine.stop(name, 30);
    } catch (error) {
      this.#log.info("orphan-not-stopped", { agent: name, reason: reasonOf(error) });
    }
  }

  /** Whether a container of that name is there, declared or not. */
  async hasContainer(name: string): Promise<boolean> {
    return (await this.#engine.list()).some((c) => c.name === this.#engine.nameOf(name));
  }

  /** Records trouble that is not of the container: the bot could not be made, for example. */
  trouble(agent: Agent, words: string): void {
    this.#runs.note(agent, words);
    this.#runs.fail(agent, words);
  }
}
