import { writeFileSync } from "node:fs";
import { Random, seedOf } from "./random.ts";
import { checked, shrink, type Target } from "./target.ts";
import { keptInputs, pathOfFinding } from "./targets.ts";

/** An input with which something is wrong, as small as it could be made. */
export interface Finding {
  readonly target: string;
  /** Seed of the run and number of the execution; a kept input has none. */
  readonly seed: number;
  readonly index: number;
  readonly problem: string;
  readonly input: Uint8Array;
}

/** What a run of one target came to. */
export interface Result {
  readonly executions: number;
  readonly findings: readonly Finding[];
}

/** After this many findings a run ends: the rest is most likely the same. */
const mostFindings = 5;

/** Tries the kept inputs of a target, and those that it knows. */
export async function replay(target: Target): Promise<Result> {
  const findings: Finding[] = [];
  const kept = keptInputs(target.name);
  for (const { name, input } of kept) {
    const problem = await checked(target, input);
    if (problem !== undefined) {
      findings.push({
        target: target.name,
        seed: 0,
        index: -1,
        problem: `${name}: ${problem}`,
        input,
      });
    }
  }
  const known = target.known?.() ?? [];
  for (const input of known) {
    const problem = await checked(target, input);
    if (problem !== undefined) {
      findings.push({ target: target.name, seed: 0, index: -1, problem, input });
    }
  }
  return { executions: kept.length + known.length, findings };
}

/**
 * Runs a target from one number of execution up to another.
 * @param until time of `performance.now()` at which it ends in any case
 */
export async function fuzz(
  target: Target,
  range: { readonly seed: number; readonly from: number; readonly to: number },
  until: number,
): Promise<Result> {
  const { seed, from, to } = range;
  const findings: Finding[] = [];
  let index = from;
  for (; index < to && performance.now() < until && findings.length < mostFindings; index++) {
    const input = target.generate(new Random(seedOf(seed, index)));
    const problem = await checked(target, input);
    if (problem === undefined) continue;
    const again = await checked(target, input);
    const small = again === undefined ? input : await shrink(target, input, again);
    const words = again === undefined ? `${problem} (not when it was tried again)` : problem;
    findings.push({ target: target.name, seed, index, problem: words, input: small });
  }
  return { executions: index - from, findings };
}

/** Keeps a finding with the seeds. @returns its file */
export function keepFinding({ target, seed, index, input }: Finding): string {
  const path = pathOfFinding(target, `found-${seed}-${index}`);
  writeFileSync(path, input);
  return path;
}
