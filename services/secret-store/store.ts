import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Declaration } from "../../spec/declaration.ts";
import { agentNamePattern, Path } from "../../spec/names.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Delivery, type Wanted } from "./delivery.ts";
import { resolve, type Sources } from "./source.ts";

/**
 * How one secret of one agent stands.
 * `delivered`: its file holds the value of its reference. `kept`: the value cannot be had now, the file still holds the
 * one that was delivered for this reference. `missing`: there is no file.
 */
export interface SecretState {
  readonly agent: string;
  readonly name: string;
  readonly reference: string;
  readonly state: "delivered" | "kept" | "missing";
  /** Why it is not `delivered`, and the cure. Never a value. */
  readonly reason?: string;
}

/** Keeps every agent's secret files as its declaration and the sources say. */
export class SecretStore {
  readonly #directory: string;
  readonly #stack: string | undefined;
  readonly #sources: Sources;
  readonly #log: Log;
  readonly #owner: number | undefined;
  #declarations: readonly Declaration[] | undefined;
  #states: readonly SecretState[] = [];
  #problems: readonly string[] = [];
  /** Passes run one after the other. */
  #work: Promise<void> = Promise.resolve();
  #waiting = false;

  constructor(options: {
    /** Where every agent's directory is. */
    readonly directory: string;
    /** Declarations of other stacks are not ours. */
    readonly stack?: string | undefined;
    readonly sources: Sources;
    readonly log: Log;
    /** User that gets the files; the agents' own unless a test says otherwise. */
    readonly owner?: number | undefined;
  }) {
    this.#directory = options.directory;
    this.#stack = options.stack;
    this.#sources = options.sources;
    this.#log = options.log;
    this.#owner = options.owner;
  }

  /** Takes the whole list of declarations; resolves when the files agree with it. */
  declare(declarations: readonly Declaration[]): Promise<void> {
    this.#declarations = declarations.filter((d) => !this.#stack || d.stack === this.#stack);
    return this.refresh();
  }

  /** Takes pushed values; resolves when the files agree with them. @throws Error that names no value */
  async push(values: unknown): Promise<number> {
    const count = this.#sources.pushed.push(values);
    this.#log.info("pushed", { names: Object.keys(values as object) });
    await this.refresh();
    return count;
  }

  /** Resolves everything anew and puts right what differs. Calls that come while a pass waits share it. */
  refresh(): Promise<void> {
    if (this.#waiting) return this.#work;
    this.#waiting = true;
    this.#work = this.#work.then(() => {
      this.#waiting = false;
      return this.#pass();
    });
    return this.#work;
  }

  /** Every declared secret and how it stands. */
  get states(): readonly SecretState[] {
    return this.#states;
  }

  /** Resolves while the store can do its work; a missing secret is not its fault. @throws Error with the reason */
  async health(): Promise<void> {
    if (!this.#declarations) throw new Error("no declarations yet: is the socket proxy running?");
    if (this.#problems.length > 0) throw new Error(this.#problems.join("; "));
  }

  async #pass(): Promise<void> {
    if (!this.#declarations) return;
    const states: SecretState[] = [];
    const problems: string[] = [];
    const attempt = async (agent: string, act: () => Promise<void>) => {
      try {
        await act();
      } catch (error) {
        problems.push(`${agent}: ${reasonOf(error)}`);
      }
    };
    for (const declaration of this.#declarations) {
      await attempt(declaration.name, async () => {
        states.push(...(await this.#deliver(declaration)));
      });
    }
    const declared = new Set(this.#declarations.map(({ name }) => name));
    for (const name of await this.#agentsOnDisk()) {
      if (declared.has(name)) continue;
      await attempt(name, async () => {
        if (await this.#delivery(name).withdraw()) this.#log.info("withdrawn", { agent: name });
      });
    }
    this.#report(states, problems);
    this.#states = states;
    this.#problems = problems;
  }

  async #deliver(declaration: Declaration): Promise<SecretState[]> {
    const agent = declaration.name;
    const delivery = this.#delivery(agent);
    const there = await delivery.delivered();
    const wanted = new Map<string, Wanted>();
    const keep = new Set<string>();
    const states: SecretState[] = [];
    const secrets = Object.entries(declaration.secrets).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name, reference] of secrets) {
      const about = { agent, name, reference };
      if (declaration.network === "none") {
        const reason =
          'an agent with network "none" has no directory to which secrets could be delivered';
        states.push({ ...about, state: "missing", reason });
        continue;
      }
      const found = await resolve(reference, { agent, name }, this.#sources);
      if (found.kind === "value") {
        const { value } = found;
        const fingerprint = this.#sources.seed.fingerprint({ agent, name }, value.reveal());
        wanted.set(name, { reference, fingerprint, value });
        states.push({ ...about, state: "delivered" });
      } else if (found.kind === "unavailable" && there.get(name)?.reference === reference) {
        keep.add(name);
        states.push({ ...about, state: "kept", reason: found.reason });
      } else states.push({ ...about, state: "missing", reason: found.reason });
    }
    if (await delivery.apply(wanted, keep))
      this.#log.info("delivered", { agent, names: [...wanted.keys(), ...keep] });
    if (declaration.network !== "none") await delivery.tell(states);
    return states;
  }

  /** Says what changed since the pass before, once. */
  #report(states: readonly SecretState[], problems: readonly string[]): void {
    const known = new Set(this.#states.map((state) => JSON.stringify(state)));
    for (const state of states) {
      if (known.has(JSON.stringify(state)) || state.state === "delivered") continue;
      this.#log.warn("secret", { ...state });
    }
    for (const problem of problems)
      if (!this.#problems.includes(problem)) this.#log.error("not-written", { reason: problem });
  }

  #delivery(agent: string): Delivery {
    const directory = Path.agentSecrets.replace(Path.agentRun, join(this.#directory, agent));
    return new Delivery(directory, this.#owner);
  }

  async #agentsOnDisk(): Promise<string[]> {
    const found = await readdir(this.#directory).catch(() => []);
    return found.filter((name) => agentNamePattern.test(name));
  }
}
