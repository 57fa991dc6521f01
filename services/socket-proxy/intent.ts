/** What a client can ask for: the whole language. A verb that is not here does not exist. */
export const verbs = [
  "ping",
  "version",
  "list",
  "inspect",
  "start",
  "stop",
  "wait",
  "logs",
  "events",
  "image",
  "network",
  "declarations",
] as const;
export type Verb = (typeof verbs)[number];

/** Verbs that change something: their audit record is written first, or they do not happen. */
export const mutations: ReadonlySet<Verb> = new Set<Verb>(["start", "stop"]);

/** A container as the client named it; what it means is settled by ownership, never by the Engine. */
interface Named {
  readonly name: string;
}

/** What of the client's filters is applied, here and on projected answers only. */
export interface Filters {
  /** `key` or `key=value`, all of which must hold. */
  readonly labels: readonly string[];
  /** Any of these, by substring, as Docker does. */
  readonly names: readonly string[];
  /** Any of these states (list). */
  readonly states: readonly string[];
  /** Any of these actions (events). */
  readonly actions: readonly string[];
  /** Any of these containers, by name or id (events). */
  readonly containers: readonly string[];
}

export const waitConditions = ["not-running", "next-exit", "removed"] as const;
export type WaitCondition = (typeof waitConditions)[number];

export interface LogOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  readonly timestamps: boolean;
  /** Lines from the end. All of them are bounded by the log file sizes of the rendering. */
  readonly tail: "all" | number;
  /** Unix seconds. */
  readonly since?: string;
  readonly until?: string;
}

/** A request that was understood: verb and typed parameters, nothing of the client's own bytes beside names. */
export type Intent =
  | { readonly verb: "ping" }
  | { readonly verb: "version" }
  | {
      readonly verb: "list";
      readonly all: boolean;
      readonly limit: number;
      readonly filters: Filters;
    }
  | ({ readonly verb: "inspect" } & Named)
  | ({ readonly verb: "start" } & Named)
  | ({ readonly verb: "stop"; readonly graceSeconds: number | undefined } & Named)
  | ({ readonly verb: "wait"; readonly condition: WaitCondition } & Named)
  | ({ readonly verb: "logs"; readonly options: LogOptions } & Named)
  | { readonly verb: "events"; readonly filters: Filters }
  | { readonly verb: "image"; readonly reference: string }
  | ({ readonly verb: "network" } & Named)
  | { readonly verb: "declarations"; readonly watch: boolean };
