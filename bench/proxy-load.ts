import { spawn } from "node:child_process";
import { join } from "node:path";
import { root } from "../cli/paths.ts";
import { type Built, goBuild } from "../cli/toolchain/go-build.ts";
import { percentile } from "./numbers.ts";

/** One request of a sequence; `{n}` stands for the number of the sequence, `{k}` for that modulo `Kinds`. */
export interface Step {
  readonly Method: "GET" | "POST";
  readonly Path: string;
  readonly Body?: string;
}

/** What the load program is to do; see bench/load/main.go. Times in milliseconds. */
export interface Plan {
  readonly Socket: string;
  readonly Steps: readonly Step[];
  readonly Connections: number;
  readonly First: number;
  /** Sequences in all; 0: as many as the time allows. */
  readonly Count: number;
  readonly Kinds: number;
  /** Sequences a second; 0: each connection begins one when the last has ended. */
  readonly Rate: number;
  readonly WarmupMs: number;
  readonly DurationMs: number;
}

/** What came of it. Latencies are those of whole sequences, in microseconds. */
export interface Figures {
  readonly Sequences: number;
  readonly PerSecond: number;
  readonly P50: number;
  readonly P99: number;
  /** Answers by status, and requests without an answer by reason. */
  readonly Statuses: Readonly<Record<string, number>>;
  readonly Failures: Readonly<Record<string, number>>;
}

/** Builds the load program, or finds it in the cache. @throws CliError where Go is missing */
export function buildLoad(options: {
  readonly cache: string;
  readonly say: (line: string) => void;
}): Promise<Built> {
  return goBuild(
    {
      name: "load",
      module: join(root, "bench/load"),
      target: ".",
      flags: ["-ldflags", "-s -w"],
      instead: "run it on a machine that has Go",
    },
    { ...options, env: process.env },
  );
}

/** Beyond a plan's own time, one last request of each connection may take this long. */
const lateMs = 150_000;

/** Carries out a plan. @throws Error where the load program fails, or is ended by the signal */
export function load(program: string, plan: Plan, signal: AbortSignal): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, {
      stdio: ["pipe", "pipe", "inherit"],
      signal,
      timeout: plan.WarmupMs + plan.DurationMs + lateMs,
    });
    let text = "";
    child.stdout.on("data", (part: Buffer) => {
      text += part.toString();
    });
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      if (code === 0) resolve(JSON.parse(text) as Figures);
      else reject(new Error(`the load program ended with ${killedBy ?? `exit code ${code}`}`));
    });
    child.stdin.on("error", reject);
    child.stdin.end(JSON.stringify(plan));
  });
}

/** One set of figures out of several runs: the middle one of each number, and all answers together. */
export function middle(runs: readonly Figures[]): Figures {
  const of = (pick: (figures: Figures) => number) => percentile(runs.map(pick), 0.5);
  return {
    Sequences: runs.reduce((total, run) => total + run.Sequences, 0),
    PerSecond: of((run) => run.PerSecond),
    P50: of((run) => run.P50),
    P99: of((run) => run.P99),
    Statuses: added(runs.map((run) => run.Statuses)),
    Failures: added(runs.map((run) => run.Failures)),
  };
}

function added(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const [key, count] of counts.flatMap((each) => Object.entries(each))) {
    total[key] = (total[key] ?? 0) + count;
  }
  return total;
}
