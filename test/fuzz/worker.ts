import { fuzz, type Result, replay } from "./run.ts";
import { checked } from "./target.ts";
import { allTargets } from "./targets.ts";

/** One of the processes of a run: takes tasks of the driver, one after the other, and tells what they came to. */

/** A part of a run. `from` -1: the kept inputs. */
export interface Task {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly to: number;
  /** Ends it, whatever is left. */
  readonly forMs: number;
}

/** What a task came to; findings' inputs as base64. */
export interface Told extends Omit<Result, "findings"> {
  readonly target: string;
  readonly findings: readonly (Omit<Result["findings"][number], "input"> & {
    readonly input: string;
  })[];
  readonly seen: Readonly<Record<string, number>>;
}

const targets = new Map(allTargets().map((target) => [target.name, target]));
let unhandled: string | undefined;
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => {
    unhandled ??= `${event}: ${error instanceof Error ? error.stack : String(error)}`;
  });
}

process.on("message", (task: Task) => void run(task));

async function run({ target: name, seed, from, to, forMs }: Task): Promise<void> {
  const found = targets.get(name);
  if (!found) throw new Error(`no target ${name}`);
  const before = { ...found.seen?.() };
  // What is thrown where nobody waits belongs to the execution that runs, too.
  const target: typeof found = {
    name,
    generate: (random) => found.generate(random),
    known: () => found.known?.() ?? [],
    check: async (input) => {
      const problem = await checked(found, input);
      const lost = unhandled;
      unhandled = undefined;
      return problem ?? lost;
    },
  };
  const until = performance.now() + forMs;
  const result = from < 0 ? await replay(target) : await fuzz(target, { seed, from, to }, until);
  const seen = Object.entries(found.seen?.() ?? {}).map(([key, count]) => [
    key,
    count - (before[key] ?? 0),
  ]);
  const told: Told = {
    target: name,
    executions: result.executions,
    findings: result.findings.map((finding) => ({
      ...finding,
      input: Buffer.from(finding.input).toString("base64"),
    })),
    seen: Object.fromEntries(seen),
  };
  process.send?.(told);
}
