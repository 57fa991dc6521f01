import { canonicalJson, type Json } from "../../spec/canonical.ts";
import { type Declaration, decodeDeclaration } from "../../spec/declaration.ts";
import { Label } from "../../spec/names.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { coalesce } from "./coalesce.ts";
import type { EnginePort } from "./engine.ts";
import { EngineError } from "./engine-error.ts";
import { type EngineEvents, sleep } from "./events.ts";
import { asList, asObject, asText, asTexts } from "./json.ts";
import * as upstream from "./upstream.ts";

/** Burst of volume events that are answered by one look. */
const debounceMs = 50;
/** A look without a reason, should an event ever be missed. */
const pollMs = 30_000;
/** The volumes of 400 agents with the largest declaration, twice as long in JSON. */
const maxBytes = 32 * 1024 * 1024;

/** The stack's declarations, as they stand in the labels of its volumes. */
export class Declarations {
  /**
   * Looks now. Calls during a look share the one that begins after it, so each caller sees what was there when it called.
   * @throws EngineError
   */
  readonly refresh: () => Promise<readonly Declaration[]>;
  readonly #engine: EnginePort;
  readonly #stack: string;
  readonly #log: Log;
  readonly #listeners = new Set<(declarations: readonly Declaration[]) => void>();
  #known: readonly Declaration[] | undefined;
  #line: string | undefined;
  #refused: ReadonlySet<string> = new Set();

  constructor(options: { readonly engine: EnginePort; readonly stack: string; readonly log: Log }) {
    this.#engine = options.engine;
    this.#stack = options.stack;
    this.#log = options.log;
    this.refresh = coalesce(() => this.#look());
  }

  /** The last list; undefined before the first look. */
  get known(): readonly Declaration[] | undefined {
    return this.#known;
  }

  /** Calls `listener` with the whole list after each change. @returns ends it */
  subscribe(listener: (declarations: readonly Declaration[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Keeps the list current until the signal ends it. */
  async follow(events: EngineEvents, signal: AbortSignal): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const soon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void this.#tryRefresh();
      }, debounceMs);
    };
    const stop = events.listen({
      connected: soon,
      event: (event) => {
        if (event.type === "volume" && /^(create|destroy)$/.test(event.action)) soon();
      },
    });
    while (!signal.aborted) {
      await this.#tryRefresh();
      await sleep(this.#line === undefined ? 1_000 : pollMs, signal);
    }
    clearTimeout(timer);
    stop();
  }

  async #tryRefresh(): Promise<void> {
    try {
      await this.refresh();
    } catch (error) {
      this.#log.warn("declarations-unread", { reason: reasonOf(error) });
    }
  }

  async #look(): Promise<readonly Declaration[]> {
    const answer = await this.#engine.json(upstream.listDeclarations(this.#stack), { maxBytes });
    const { Volumes } = asObject(answer);
    // Instances end with their declaration: what is no list must not be taken for "none". The Engine writes null for that.
    if (!Array.isArray(Volumes) && Volumes !== null) {
      throw new EngineError("unusable", "the Engine's answer is no list of volumes");
    }
    const { declarations, problems } = readDeclarations(this.#stack, Volumes);
    for (const [volume, problem] of problems) {
      if (!this.#refused.has(volume)) this.#log.error("declaration-refused", { volume, problem });
    }
    this.#refused = new Set(problems.keys());
    const line = canonicalJson(declarations as unknown as Json);
    if (line !== this.#line) {
      this.#line = line;
      this.#known = declarations;
      for (const listener of this.#listeners) listener(declarations);
    }
    return declarations;
  }
}

/**
 * Reads the declarations out of a volume list: for each agent the newest valid one (Engine times are whole seconds; at a
 * tie the last by volume name), sorted by agent. Volumes that hold none are given back with what is wrong.
 */
export function readDeclarations(
  stack: string,
  volumes: unknown,
): {
  readonly declarations: readonly Declaration[];
  readonly problems: ReadonlyMap<string, string>;
} {
  const newest = new Map<string, { declaration: Declaration; created: number; volume: string }>();
  const problems = new Map<string, string>();
  for (const item of asList(volumes)) {
    const volume = asObject(item);
    const labels = asTexts(volume.Labels);
    const text = labels[Label.declaration];
    if (text === undefined || labels[Label.stack] !== stack) continue;
    const name = asText(volume.Name);
    try {
      const declaration = decodeDeclaration(text);
      if (declaration.stack !== stack || declaration.name !== labels[Label.agent]) {
        throw new Error("its stack and agent labels name another than the declaration does");
      }
      const created = Date.parse(asText(volume.CreatedAt)) || 0;
      const other = newest.get(declaration.name);
      const wins =
        !other || created > other.created || (created === other.created && name > other.volume);
      if (wins) newest.set(declaration.name, { declaration, created, volume: name });
    } catch (error) {
      problems.set(name, reasonOf(error).slice(0, 500));
    }
  }
  const declarations = [...newest.values()]
    .map((entry) => entry.declaration)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { declarations, problems };
}
