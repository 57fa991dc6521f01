import { MiB } from "../spec/units.ts";
import type { Memory } from "./proxy-process.ts";
import { agents, type Layout, secretsEach } from "./secrets-fleet.ts";
import { type Case, type Step, steps } from "./secrets-measure.ts";
import type { Figures } from "./secrets-process.ts";
import { markdownTable } from "./table.ts";

/** All that a run has measured, as it stands in test-results/bench-secrets.json. Bytes and seconds. */
export interface Report {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly fleet: { readonly agents: number; readonly secretsEach: number };
  readonly rounds: number;
  /** A Node process that does nothing. */
  readonly bare: Memory;
  readonly cases: readonly Case[];
}

const words: Readonly<Record<Layout, string>> = {
  agent: "an item an agent",
  secret: "an item a secret",
};
const stepWords: Readonly<Record<Step, string>> = {
  cold: "cold start",
  unchanged: "poll, nothing changed",
  changed: "poll, one item changed",
  restart: "restart",
};

/** The report as markdown. */
export function markdown({ machine, rounds, bare, cases }: Report): string {
  const about = Object.entries(machine).map(([key, value]) => `${key} ${value}`);
  return [
    `# Secrets of ${agents} agents, ${secretsEach} each, beside a naive client`,
    "",
    `${about.join(", ")}. Middle of ${rounds} rounds, by turns. CPU: user and system, of the process that asks.`,
    "",
    ...markdownTable(
      [
        ...["items", "each request", "what"],
        ...["requests", "s", "CPU s", "naive requests", "s", "CPU s"],
        ...["requests × naive", "s × naive", "CPU × naive"],
      ],
      cases.flatMap((one) => steps.map((step) => cellsOf(one, step))),
    ),
    "",
    ...markdownTable(
      [
        ...["items", "each request", "start, locked, s", "again, s"],
        ...["locked", "peak of the unlock", "unlocked", "after the polls"],
        ...["naive before", "naive peak", "naive after", "unlocked × bare Node"],
      ],
      cases.map((one) => memoryCells(one, bare)),
    ),
    "",
    `Memory: RSS (PSS) in MiB; the peak is RSS. A bare Node process: ${both(bare)}.`,
  ].join("\n");
}

function cellsOf(one: Case, step: Step): string[] {
  const { naive, store } = one;
  const own = store[step];
  return [
    ...caseCells(one),
    stepWords[step],
    ...figureCells(own),
    ...figureCells(naive),
    ratio(own.requests, naive.requests),
    ratio(own.seconds, naive.seconds),
    ratio(own.cpuSeconds, naive.cpuSeconds),
  ];
}

function memoryCells(one: Case, bare: Memory): string[] {
  const { memory, start, store, naive } = one;
  return [
    ...caseCells(one),
    start.first.toFixed(2),
    start.again.toFixed(2),
    both(memory.locked),
    mebi(store.cold.peak),
    both(memory.unlocked),
    both(memory.polled),
    both(memory.naiveBefore),
    mebi(naive.peak),
    both(memory.naiveAfter),
    ratio(memory.unlocked.rss, bare.rss),
  ];
}

const caseCells = ({ layout, delayMs }: Case) => [words[layout], `${delayMs} ms`];
const figureCells = ({ requests, seconds, cpuSeconds }: Figures) => [
  String(requests),
  seconds.toFixed(2),
  cpuSeconds.toFixed(2),
];
const mebi = (bytes: number) => (bytes / MiB).toFixed(1);
const both = ({ rss, pss }: Memory) => `${mebi(rss)} (${mebi(pss)})`;
const ratio = (own: number, other: number) => (own / other).toFixed(3);
