import { type Limits, presets } from "../spec/presets.ts";
import { CPU, MiB, parseBytes } from "../spec/units.ts";

/** Limits that differ from the preset's, in the units that people write. */
export interface Resources {
  /** Memory like `512m` or `4g`, whole MiB; swap is never added to it. */
  readonly memory?: string;
  /** CPUs, fractions allowed. */
  readonly cpus?: number;
  /** Processes and threads. */
  readonly pids?: number;
  /** Size of `/tmp` like `256m`, in RAM. */
  readonly tmp?: string;
  /** Seconds between SIGTERM and SIGKILL, 30 or more. */
  readonly stopGraceSeconds?: number;
}

const known = ["cpus", "memory", "pids", "stopGraceSeconds", "tmp"];

/** The preset's limits with an agent's own in their place. What cannot be read is added to `problems`. */
export function limitsOf(preset: string, resources: Resources, problems: string[]): Limits {
  const base = Object.hasOwn(presets, preset)
    ? presets[preset as keyof typeof presets]
    : presets.agent;
  if (typeof resources !== "object" || resources === null) {
    problems.push('resources: must be an object like { memory: "4g", cpus: 2 }');
    return base;
  }
  for (const key of Object.keys(resources))
    if (!known.includes(key))
      problems.push(`resources.${key}: is not known; there are: ${known.join(", ")}`);
  const size = (key: "memory" | "tmp", otherwise: number): number => {
    const written = resources[key];
    if (written === undefined) return otherwise;
    try {
      const bytes = parseBytes(String(written));
      if (bytes % MiB === 0) return bytes;
      problems.push(
        `resources.${key}: "${written}" is no whole number of MiB; write it like "512m"`,
      );
    } catch (error) {
      problems.push(`resources.${key}: ${(error as Error).message}`);
    }
    return otherwise;
  };
  return {
    memoryBytes: size("memory", base.memoryBytes),
    nanoCpus: resources.cpus === undefined ? base.nanoCpus : Math.round(resources.cpus * CPU),
    pids: resources.pids ?? base.pids,
    tmpBytes: size("tmp", base.tmpBytes),
    stopGraceSeconds: resources.stopGraceSeconds ?? base.stopGraceSeconds,
  };
}
