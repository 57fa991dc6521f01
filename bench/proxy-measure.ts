import { Label } from "../spec/names.ts";
import { type Figures, load, middle, type Plan, type Step } from "./proxy-load.ts";
import { type Stage, templateCount } from "./proxy-stage.ts";

/** What is measured: the Engine itself, and it behind each of the two. */
export const targets = ["engine", "haproxy", "berth"] as const;
export type Target = (typeof targets)[number];
export type Sockets = Readonly<Record<Target, string>>;

/** What is asked for. `steady` is `inspect` at a fixed rate. */
export const operations = [
  "_ping",
  "list",
  "inspect",
  "refusal",
  "steady",
  "create+start",
] as const;
export type Operation = (typeof operations)[number];

/** An operation at a number of connections, by target. */
export interface Row {
  readonly operation: Operation;
  readonly connections: number;
  readonly figures: Readonly<Record<Target, Figures>>;
}

export const levels = [1, 10, 50, 200] as const;
/** Requests a second of `steady`, over so many connections. */
export const steady = { rate: 200, connections: 50 } as const;

const runs = 5;
/** Every run opens its connections and warms them up. */
const times = { WarmupMs: 100, DurationMs: 350 };
const steadyTimes = { WarmupMs: 300, DurationMs: 1_700 };
/** Before anything counts, so that the programs are compiled as they will be under load. */
const firstWarmup = { Connections: 10, Count: 0, WarmupMs: 0, DurationMs: 1_000 };
/**
 * Containers made in a run, by connections, and runs. Each takes the Engine a tenth of a second and more, which drifts with
 * all else that the machine does: one connection is measured in many short turns.
 */
const creations: Readonly<Record<(typeof levels)[number], { count: number; runs: number }>> = {
  1: { count: 3, runs: 10 },
  10: { count: 10, runs: 3 },
  50: { count: 50, runs: 1 },
  200: { count: 200, runs: 1 },
};
/** Longest time of a run that makes containers. */
const creationMs = 60_000;

/** The status that each target gives where all is well. Nothing is refused by the Engine itself. */
function expected(operation: Operation, target: Target): readonly number[] {
  if (operation === "create+start") return [201, 204];
  return [operation === "refusal" && target !== "engine" ? 403 : 200];
}

function stepsOf(stage: Stage, operation: Operation, target: Target): readonly Step[] {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${Label.stack}=${stage.stack}`] }));
  const get = (Path: string): readonly Step[] => [{ Method: "GET", Path }];
  switch (operation) {
    case "_ping":
      return get("/_ping");
    case "list":
      return get(`/v1.41/containers/json?all=1&filters=${filters}`);
    case "inspect":
    case "steady":
      return get(`/v1.41/containers/${stage.running}/json`);
    case "refusal":
      return get("/v1.41/plugins");
    case "create+start":
      return stage.createAndStart(target === "berth" ? "proxy" : "engine");
  }
}

/** Measures operations on all targets by turns, so that what else the machine does hits all alike. */
export class Measurement {
  /** What went otherwise than it should: figures that hold it mean nothing. */
  readonly problems: string[] = [];
  readonly #program: string;
  readonly #stage: Stage;
  readonly #sockets: Sockets;
  readonly #signal: AbortSignal;
  #sequences = 0;
  #turns = 0;

  /** @param options `program` is the load program; the signal ends what is under way */
  constructor(options: {
    readonly program: string;
    readonly stage: Stage;
    readonly sockets: Sockets;
    readonly signal: AbortSignal;
  }) {
    this.#program = options.program;
    this.#stage = options.stage;
    this.#sockets = options.sockets;
    this.#signal = options.signal;
  }

  /** All rows of an operation. */
  async rows(operation: Operation): Promise<Row[]> {
    const rows: Row[] = [];
    if (operation === "steady") {
      const { rate: Rate, connections: Connections } = steady;
      rows.push(await this.#row(operation, { Connections, Rate, Count: 0, ...steadyTimes }, runs));
    } else if (operation === "create+start") {
      for (const Connections of levels) {
        const { count: Count, runs: some } = creations[Connections];
        const plan = { Connections, Rate: 0, Count, WarmupMs: 0, DurationMs: creationMs };
        rows.push(await this.#row(operation, plan, some));
      }
    } else {
      for (const target of targets)
        await this.#load(operation, target, { Rate: 0, ...firstWarmup });
      for (const Connections of levels) {
        rows.push(await this.#row(operation, { Connections, Rate: 0, Count: 0, ...times }, runs));
      }
    }
    return rows;
  }

  async #row(operation: Operation, plan: PlanShape, times: number): Promise<Row> {
    const figures: Record<Target, Figures[]> = { engine: [], haproxy: [], berth: [] };
    for (let run = 0; run < times; run++) {
      this.#turns += 1;
      for (let i = 0; i < targets.length; i++) {
        const target = targets[(this.#turns + i) % targets.length] ?? "engine";
        figures[target].push(await this.#load(operation, target, plan));
      }
    }
    const row = {
      operation,
      connections: plan.Connections,
      figures: {
        engine: middle(figures.engine),
        haproxy: middle(figures.haproxy),
        berth: middle(figures.berth),
      },
    };
    for (const target of targets) this.#check(row, target);
    return row;
  }

  async #load(operation: Operation, target: Target, plan: PlanShape): Promise<Figures> {
    const whole: Plan = {
      Socket: this.#sockets[target],
      Steps: stepsOf(this.#stage, operation, target),
      First: this.#sequences,
      Kinds: templateCount,
      ...plan,
    };
    const figures = await load(this.#program, whole, this.#signal);
    if (operation === "create+start") {
      this.#sequences += plan.Count;
      await this.#stage.removeInstances();
    }
    return figures;
  }

  #check({ operation, connections, figures }: Row, target: Target): void {
    const { Statuses, Failures, Sequences } = figures[target];
    const right = expected(operation, target).map(String);
    const wrong = Object.entries({ ...Statuses, ...Failures }).filter(
      ([key]) => !right.includes(key),
    );
    const what = `${operation} at ${connections} connections, ${target}`;
    if (Sequences === 0) this.problems.push(`${what}: nothing was answered`);
    for (const [key, count] of wrong) this.problems.push(`${what}: ${key}, ${count} times`);
  }
}

type PlanShape = Pick<Plan, "Connections" | "Rate" | "Count" | "WarmupMs" | "DurationMs">;
