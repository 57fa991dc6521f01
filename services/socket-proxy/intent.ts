import type { Verb } from "../../spec/grants.ts";
import type { Parameters } from "../../spec/instance.ts";
import type { StrictJson } from "./strict-json.ts";

/** Verbs that change something: their audit record is written first, or they do not happen. */
export const mutations: ReadonlySet<Verb> = new Set<Verb>(["create", "start", "stop", "kill"]);

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

/** Signals that can be sent to an agent's own process. */
export const killSignals = ["TERM", "INT", "KILL", "HUP"] as const;
export type KillSignal = (typeof killSignals)[number];

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

/** What a client wants made, before it is looked at against the templates. */
export type CreateRequest =
  | {
      readonly form: "native";
      /** Whole id of the template: `lal.review`. */
      readonly template: string;
      readonly instance: string | undefined;
      readonly parameters: Parameters;
    }
  | {
      readonly form: "docker";
      /** Of the query. */
      readonly name: string | undefined;
      /** Compared with the template and then thrown away. */
      readonly body: { readonly [key: string]: StrictJson };
    };

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
  | { readonly verb: "create"; readonly wanted: CreateRequest }
  | ({ readonly verb: "start" } & Named)
  | ({ readonly verb: "stop"; readonly graceSeconds: number | undefined } & Named)
  | ({ readonly verb: "kill"; readonly signal: KillSignal } & Named)
  | ({ readonly verb: "wait"; readonly condition: WaitCondition } & Named)
  | ({ readonly verb: "logs"; readonly options: LogOptions } & Named)
  | ({ readonly verb: "stats" } & Named)
  | { readonly verb: "events"; readonly filters: Filters }
  | { readonly verb: "image"; readonly reference: string }
  | ({ readonly verb: "network" } & Named)
  | { readonly verb: "declarations"; readonly watch: boolean }
  | { readonly verb: "alerts" }
  | { readonly verb: "metrics" }
  | { readonly verb: "audit" };
