import { CPU, GiB, MiB } from "./units.ts";

/** Resource limits of a container. Swap is never allowed beyond memory, so the limit is real. */
export interface Limits {
  readonly memoryBytes: number;
  /** Billionths of a CPU. */
  readonly nanoCpus: number;
  /** Processes and threads. */
  readonly pids: number;
  /** Size of the `/tmp` tmpfs. */
  readonly tmpBytes: number;
  /** Time between SIGTERM and SIGKILL. */
  readonly stopGraceSeconds: number;
}

/** Named sets of limits an agent can choose from (requirements C6, D7, D8, E3–E5). */
export const Preset = { agent: "agent", worker: "worker", sandbox: "sandbox" } as const;
export type Preset = (typeof Preset)[keyof typeof Preset];

export const presets: Readonly<Record<Preset, Limits>> = {
  agent: {
    memoryBytes: 4 * GiB,
    nanoCpus: 2 * CPU,
    pids: 512,
    tmpBytes: 256 * MiB,
    stopGraceSeconds: 30,
  },
  worker: {
    memoryBytes: 2 * GiB,
    nanoCpus: 2 * CPU,
    pids: 256,
    tmpBytes: 256 * MiB,
    stopGraceSeconds: 30,
  },
  sandbox: {
    memoryBytes: 512 * MiB,
    nanoCpus: 1 * CPU,
    pids: 128,
    tmpBytes: 64 * MiB,
    stopGraceSeconds: 30,
  },
};

/** Limits of a platform service, unless it says otherwise. */
export const serviceLimits: Limits = {
  memoryBytes: 256 * MiB,
  nanoCpus: 1 * CPU,
  pids: 128,
  tmpBytes: 16 * MiB,
  stopGraceSeconds: 30,
};
