import { readdir } from "node:fs/promises";
import type { Declaration } from "../../spec/declaration.ts";
import { agentNamePattern } from "../../spec/names.ts";
import { isWithin, type OpReference, parseReference } from "../../spec/references.ts";
import { referencesIn } from "../../spec/secrets.ts";
import { type Log, reasonOf } from "../common/log.ts";
import {
  type Deliveries,
  deliver,
  deliveriesOf,
  headersOf,
  type Making,
  type Outcome,
  type SecretState,
  versionOf,
} from "./agent-delivery.ts";
import type { Sources } from "./source.ts";

/** What the gateway is told of an endpoint. `unknown`: nothing is to be added any more; `unavailable`: not now. */
export type EndpointAnswer =
  | {
      readonly kind: "value";
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      /** Another text whenever the rest is another one. */
      readonly version: string;
    }
  | { readonly kind: "unknown" | "unavailable"; readonly reason: string };

/** Keeps every agent's secret files as its declaration and the sources say. */
export class SecretStore {
  readonly #directory: string;
  readonly #stack: string | undefined;
  readonly #sources: Sources;
  readonly #log: Log;
  readonly #owner: number | undefined;
  readonly #onStates: (outcomes: readonly Outcome[]) => void;
  #declarations: readonly Declaration[] | undefined;
  /** The `op://` references that agents may have. */
  #named: readonly { readonly agent: string; readonly reference: OpReference }[] = [];
  /** The agents of each item, and what that was made from. */
  #owners:
    | {
        readonly revision: number | undefined;
        readonly named: object;
        readonly of: ReadonlyMap<string, ReadonlySet<string>>;
      }
    | undefined;
  #outcomes: readonly Outcome[] = [];
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
    /** Called after every pass, with how everything stands. */
    readonly onStates?: (outcomes: readonly Outcome[]) => void;
  }) {
    this.#directory = options.directory;
    this.#stack = options.stack;
    this.#sources = options.sources;
    this.#log = options.log;
    this.#owner = options.owner;
    this.#onStates = options.onStates ?? (() => undefined);
  }

  /** Takes the whole list of declarations; resolves when the files agree with it. Values that nobody names go at once. */
  declare(declarations: readonly Declaration[]): Promise<void> {
    this.#declarations = declarations.filter((d) => !this.#stack || d.stack === this.#stack);
    this.#named = this.#declarations.flatMap((declaration) =>
      allowedOf(declaration).map((reference) => ({ agent: declaration.name, reference })),
    );
    this.#sources.op?.want(this.#named.map(({ reference }) => reference));
    return this.refresh();
  }

  /** The declarations of the stack; none before the first. */
  get declarations(): readonly Declaration[] {
    return this.#declarations ?? [];
  }

  /** Takes pushed values; resolves when the files agree with them. @throws Error that names no value */
  async push(values: unknown): Promise<number> {
    if (!this.#sources.development)
      throw new Error("env: references are refused in this stack, so nothing can be pushed");
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

  /** Everything that is declared and how it stands. */
  get states(): readonly SecretState[] {
    return this.#outcomes.map(({ wrong: _, ...state }) => state);
  }

  /** What the gateway adds for an agent's endpoint. Of an agent that is declared no more, nothing from that moment on. */
  async endpoint(agent: string, name: string): Promise<EndpointAnswer> {
    // Not "unknown", which would take a value from the gateway that it holds for an agent at work.
    if (!this.#declarations)
      return { kind: "unavailable", reason: "the secret store has no declarations yet" };
    const declaration = this.declarations.find((one) => one.name === agent);
    const endpoints = new Map(Object.entries(declaration?.endpoints ?? {}));
    const endpoint = endpoints.get(name);
    if (!declaration || !endpoint || declaration.network === "none")
      return { kind: "unknown", reason: `${agent} declares no endpoint "${name}"` };
    const making = this.makingOf(declaration);
    const found = await headersOf(making, name, endpoint);
    if (found.kind !== "filled")
      return { kind: found.kind === "gone" ? "unknown" : "unavailable", reason: found.reason };
    const { url } = endpoint;
    const version = versionOf(making, name, url, found.of);
    return { kind: "value", url, headers: found.of, version };
  }

  /** What one agent's things are made from now. */
  makingOf(declaration: Declaration): Making {
    // Looked up anew for each value: what leads where may become known while files are written.
    const alsoOf = (item: string) =>
      [...(this.#ownersNow().get(item) ?? [])].find((agent) => agent !== declaration.name);
    return { declaration, sources: this.#sources, alsoOf };
  }

  /** Resolves while the store can do its work; a missing secret is not its fault. @throws Error with the reason */
  async health(): Promise<void> {
    if (!this.#declarations) throw new Error("no declarations yet: is the socket proxy running?");
    if (this.#problems.length > 0) throw new Error(this.#problems.join("; "));
  }

  async #pass(): Promise<void> {
    const declarations = this.#declarations;
    if (!declarations) return;
    const outcomes: Outcome[] = [];
    const problems: string[] = [];
    const attempt = async (agent: string, act: () => Promise<void>) => {
      try {
        await act();
      } catch (error) {
        problems.push(`${agent}: ${reasonOf(error)}`);
      }
    };
    const declared = new Set(declarations.map(({ name }) => name));
    // First what must go: nobody waits for another agent's values.
    for (const name of await this.#agentsOnDisk()) {
      if (declared.has(name)) continue;
      await attempt(name, async () => {
        const { secrets, config } = this.#deliveries(name);
        const gone = [await secrets.withdraw(), await config.withdraw()];
        if (gone.includes(true)) this.#log.info("withdrawn", { agent: name });
      });
    }
    for (const declaration of declarations) {
      // Others are declared by now, and their pass waits for this one.
      if (this.#declarations !== declarations) return;
      const agent = declaration.name;
      await attempt(agent, async () => {
        const done = await deliver(this.makingOf(declaration), this.#deliveries(agent));
        outcomes.push(...done.outcomes);
        if (done.changed.length > 0) this.#log.info("delivered", { agent, names: done.changed });
      });
    }
    this.#report(outcomes, problems);
    this.#outcomes = outcomes;
    this.#problems = problems;
    this.#onStates(outcomes);
  }

  /** The agents whose references lead to an item, by whatever name, each within its own allow-list. */
  #ownersNow(): ReadonlyMap<string, ReadonlySet<string>> {
    const revision = this.#sources.op?.revision;
    if (this.#owners?.revision === revision && this.#owners?.named === this.#named)
      return this.#owners.of;
    const owners = new Map<string, Set<string>>();
    for (const { agent, reference } of this.#named) {
      const item = this.#sources.op?.itemOf(reference);
      if (item !== undefined) owners.set(item, (owners.get(item) ?? new Set()).add(agent));
    }
    this.#owners = { revision, named: this.#named, of: owners };
    return owners;
  }

  /** Says what changed since the pass before, once. */
  #report(outcomes: readonly Outcome[], problems: readonly string[]): void {
    const known = new Set(this.#outcomes.map((outcome) => JSON.stringify(outcome)));
    for (const outcome of outcomes) {
      if (known.has(JSON.stringify(outcome)) || outcome.state === "delivered") continue;
      const { wrong: _, ...state } = outcome;
      this.#log.warn("secret", state);
    }
    for (const problem of problems)
      if (!this.#problems.includes(problem)) this.#log.error("not-written", { reason: problem });
  }

  #deliveries(agent: string): Deliveries {
    return deliveriesOf(this.#directory, agent, this.#owner);
  }

  async #agentsOnDisk(): Promise<string[]> {
    const found = await readdir(this.#directory).catch(() => []);
    return found.filter((name) => agentNamePattern.test(name));
  }
}

/** The `op://` references of a declaration that its own allow-list admits. */
function allowedOf(declaration: Declaration): OpReference[] {
  if (declaration.network === "none") return [];
  try {
    return referencesIn(declaration).flatMap(({ reference: written }) => {
      const reference = parseReference(written);
      const allowed = reference.scheme === "op" && isWithin(reference, declaration.vaults ?? []);
      return allowed ? [reference] : [];
    });
  } catch {
    // One that is no reference is refused where it is delivered.
    return [];
  }
}
