/** The value below which the share `p` (0…1) of the samples lies. @throws RangeError without samples */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
  if (value === undefined) throw new RangeError("no samples");
  return value;
}

/** One line of the report: what, its value, the baseline's value and their ratio. */
export function row(what: string, value: number, unit: string, baseline?: number): string {
  const shown = `${what.padEnd(58)} ${value.toFixed(value < 10 ? 2 : 0).padStart(8)} ${unit.padEnd(3)}`;
  return baseline === undefined
    ? `${shown}  (baseline)`
    : `${shown}  ${(value / baseline).toFixed(2)} × baseline`;
}

/** Runs a step and gives its seconds. */
export async function seconds(step: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await step();
  return (performance.now() - begin) / 1000;
}
