import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Declaration } from "../../spec/declaration.ts";
import { agentNamePattern, Path } from "../../spec/names.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Agent, type AgentOptions, type AgentPaths } from "./agent.ts";
import { removeFile } from "./socket-file.ts";

/** The gateway: one {@link Agent} for each declaration that has a network at all. */
export class Gateway {
  readonly #directory: string;
  readonly #stack: string | undefined;
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #agents = new Map<string, Agent>();
  /** Agents whose socket could not be placed, with the reason. */
  readonly #broken = new Map<string, string>();
  readonly #timers: readonly NodeJS.Timeout[];
  #known = false;
  /** Changes run one after the other. */
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param place.directory where every agent's directory is; `stack`: other stacks' declarations are not ours */
  constructor(
    place: { readonly directory: string; readonly stack?: string | undefined },
    options: AgentOptions,
  ) {
    this.#directory = place.directory;
    this.#stack = place.stack;
    this.#options = options;
    this.#log = options.log;
    const { sweepEveryMs, tokenCheckEveryMs } = options.limits;
    this.#timers = [
      setInterval(() => this.#enqueue(() => this.#sweep()), sweepEveryMs).unref(),
      setInterval(() => this.#check(), tokenCheckEveryMs).unref(),
    ];
  }

  /** Makes the agents equal to the declarations. Never rejects: what fails is tried again and reported by health. */
  apply(declarations: readonly Declaration[]): Promise<void> {
    return this.#enqueue(async () => {
      const wanted = new Map(
        declarations
          .filter((d) => d.network !== "none" && (!this.#stack || d.stack === this.#stack))
          .map((d) => [d.name, d]),
      );
      for (const [name, agent] of this.#agents) {
        if (wanted.has(name)) continue;
        this.#agents.delete(name);
        await this.#try(name, () => agent.close());
        this.#broken.delete(name);
        this.#log.info("agent-removed", { agent: name });
      }
      if (!this.#known) await this.#removeLeftovers(new Set(wanted.keys()));
      for (const [name, declaration] of wanted) {
        const present = this.#agents.get(name);
        if (present) {
          await this.#try(name, () => present.update(declaration));
          continue;
        }
        const agent = new Agent(declaration, this.#paths(name), this.#options);
        this.#agents.set(name, agent);
        await this.#try(name, () => agent.start());
        this.#log.info("agent", { agent: name, network: declaration.network });
      }
      this.#known = true;
    });
  }

  /** Replaces one agent's token; the others keep theirs. */
  renewToken(name: string): void {
    this.#agents.get(name)?.renewToken();
  }

  /** Resolves while every declared agent can be served. @throws Error with the reason */
  async health(): Promise<void> {
    if (!this.#known) throw new Error("no declarations yet: is the socket proxy running?");
    const broken = [...this.#broken].map(([name, reason]) => `${name}: ${reason}`);
    if (broken.length > 0) throw new Error(broken.join("; "));
  }

  /** Stops listening, closes every connection and takes the socket files away. */
  close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    return this.#enqueue(async () => {
      for (const [name, agent] of this.#agents) await this.#try(name, () => agent.close());
      this.#agents.clear();
    }, true);
  }

  #enqueue(work: () => Promise<void>, last = false): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (!this.#closed || last) await work();
    });
    return this.#work;
  }

  /** Files of agents whose declaration went while the gateway was away. Their directories stay: they may be mounted. */
  async #removeLeftovers(wanted: ReadonlySet<string>): Promise<void> {
    const found = await readdir(this.#directory).catch(() => []);
    for (const name of found) {
      if (wanted.has(name) || !agentNamePattern.test(name)) continue;
      const { socket, botToken } = this.#paths(name);
      for (const path of [socket, `${socket}.new`, botToken, `${botToken}.new`]) {
        await removeFile(path).catch((error: unknown) =>
          this.#log.warn("leftover", { agent: name, reason: reasonOf(error) }),
        );
      }
    }
  }

  #paths(name: string): AgentPaths {
    const at = (path: string) => path.replace(Path.agentRun, join(this.#directory, name));
    return { socket: at(Path.gatewaySocket), botToken: at(Path.botToken) };
  }

  async #sweep(): Promise<void> {
    for (const [name, agent] of this.#agents) await this.#try(name, () => agent.sweep());
  }

  #check(): void {
    for (const [name, agent] of this.#agents) {
      agent
        .check()
        .catch((error: unknown) =>
          this.#log.warn("token-check", { agent: name, reason: reasonOf(error) }),
        );
    }
  }

  /** One agent's failure is its own: it is reported, and the next sweep tries again. */
  async #try(name: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.#broken.delete(name);
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#broken.get(name) !== reason)
        this.#log.error("agent-broken", { agent: name, reason });
      this.#broken.set(name, reason);
    }
  }
}
