import type { Operation, Row, Target } from "./proxy-measure.ts";
import type { Memory } from "./proxy-process.ts";
import type { MemoryPair, StartUp } from "./proxy-subjects.ts";
import { markdownTable } from "./table.ts";

/** All that a run has measured, as it stands in test-results/bench-proxy.json. */
export interface Report {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rows: readonly Row[];
  readonly startUp: StartUp;
  /** At the start, after all load, and with open streams. */
  readonly memory: Readonly<Record<"idle" | "loaded" | "streaming", MemoryPair>>;
  readonly streams: number;
  /** Bytes: the image, and what it adds to the base image that every service shares. */
  readonly image: { readonly size: number; readonly own: number };
}

/** An aim of the project and what came of it. */
export interface Aim {
  readonly aim: string;
  readonly value: number;
  readonly most?: number;
  readonly least?: number;
  readonly unit: string;
  readonly met: boolean;
}

const MiB = 1024 * 1024;

/** The aims that this run can say something about. */
export function aimsOf(report: Report): Aim[] {
  const aims: Aim[] = [];
  const row = (operation: Operation, connections: number) =>
    report.rows.find((each) => each.operation === operation && each.connections === connections)
      ?.figures;
  const most = (aim: string, value: number | undefined, bound: number, unit: string) => {
    if (value !== undefined) aims.push({ aim, value, most: bound, unit, met: value <= bound });
  };
  const one = row("inspect", 1);
  const fifty = row("inspect", 50);
  const steady = row("steady", 50);
  most("inspect p50 at 1 connection, to HAProxy's", one && one.berth.P50 / one.haproxy.P50, 2, "×");
  if (fifty) {
    const value = fifty.berth.PerSecond / fifty.haproxy.PerSecond;
    const aim = "inspect throughput at 50 connections, to HAProxy's";
    aims.push({ aim, value, least: 0.3, unit: "×", met: value >= 0.3 });
  }
  most(
    "inspect p99 above the Engine's, 200 a second over 50 connections",
    steady && (steady.berth.P99 - steady.engine.P99) / 1000,
    3,
    "ms",
  );
  most("refusal p50 at 1 connection", row("refusal", 1)?.berth.P50, 150, "µs");
  const crowd = report.rows.filter(({ connections }) => connections === 200);
  if (crowd.length > 0) {
    const errors = crowd.flatMap(({ figures }) => Object.entries(figures.berth.Statuses));
    const count = errors.reduce((sum, [status, n]) => sum + (Number(status) >= 500 ? n : 0), 0);
    most("answers 5xx at 200 connections", count, 0, "");
  }
  most("memory idle (RSS)", report.memory.idle.berth.rss / MiB, 60, "MiB");
  const made = row("create+start", 1);
  most(
    "create+start p50 at 1 connection, to the Engine's",
    made && made.berth.P50 / made.engine.P50,
    1.15,
    "×",
  );
  return aims;
}

const shown = (value: number) =>
  Math.abs(value) < 10 ? value.toFixed(2) : Math.round(value).toString();

/** The report as markdown. */
export function markdown(report: Report, aims: readonly Aim[]): string {
  const machine = Object.entries(report.machine).map(([key, value]) => `${key} ${value}`);
  const { startUp, image } = report;
  return [
    `# Socket proxy beside the Engine itself and HAProxy`,
    "",
    `${machine.join(", ")}. Latencies in µs, middle of several runs, targets by turns.`,
    "",
    ...markdownTable(
      [
        ...["operation", "connections"],
        ...["Engine /s", "p50", "p99", "HAProxy /s", "p50", "p99", "berth /s", "p50", "p99"],
        ...["added p50", "added p99", "p50 × HAProxy", "/s × HAProxy"],
      ],
      report.rows.map(cellsOf),
    ),
    "",
    ...markdownTable(
      ["what", "HAProxy", "berth"],
      [
        ["start-up to the first answer, ms", shown(startUp.haproxy), shown(startUp.berth)],
        ["of it the Engine's start of a container, ms", "–", shown(startUp.startCall)],
        ...memoryRows(report),
        [
          "image, and what it adds to the base of all services, MiB",
          "–",
          `${mebi(image.size)}, ${mebi(image.own)}`,
        ],
      ],
    ),
    "",
    ...markdownTable(
      ["aim", "value", "bound", "met"],
      aims.map(({ aim, value, most, least, unit, met }) => [
        aim,
        `${shown(value)} ${unit}`.trim(),
        `${most === undefined ? `≥ ${least}` : `≤ ${most}`} ${unit}`.trim(),
        met ? "yes" : "NO",
      ]),
    ),
  ].join("\n");
}

const mebi = (bytes: number) => (bytes / MiB).toFixed(1);

function memoryRows({ memory, streams }: Report): string[][] {
  const times = [
    ["idle", memory.idle],
    ["after all load", memory.loaded],
    [`with ${streams} open streams`, memory.streaming],
  ] as const;
  const both = ({ rss, pss }: Memory) => `${mebi(rss)} (${mebi(pss)})`;
  return times.flatMap(([when, { haproxy, berth, cgroup }]) => [
    [`memory ${when}: RSS (PSS), MiB`, both(haproxy), both(berth)],
    [`memory ${when}: by \`docker stats\`, MiB`, "–", mebi(cgroup)],
  ]);
}

function cellsOf({ operation, connections, figures }: Row): string[] {
  const { engine, haproxy, berth } = figures;
  const of = (target: Target) =>
    [figures[target].PerSecond, figures[target].P50, figures[target].P99].map(shown);
  return [
    operation,
    String(connections),
    ...of("engine"),
    ...of("haproxy"),
    ...of("berth"),
    shown(berth.P50 - engine.P50),
    shown(berth.P99 - engine.P99),
    (berth.P50 / haproxy.P50).toFixed(2),
    (berth.PerSecond / haproxy.PerSecond).toFixed(2),
  ];
}
