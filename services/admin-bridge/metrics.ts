/** Counters, gauges and histograms in Prometheus' text format; no dependency. */

type Labels = Readonly<Record<string, string>>;

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The metrics of one process. Names and help texts are given once, at the first use. */
export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #histograms = new Map<string, { counts: number[]; sum: number; count: number }>();
  readonly #gauges = new Map<string, () => readonly (readonly [Labels, number])[]>();
  readonly #help = new Map<string, string>();

  /** Declares a counter, so that it shows with 0 before its first event where it has no labels. */
  counter(name: string, help: string, labelled = false): void {
    this.#help.set(name, help);
    this.#counters.set(name, new Map(labelled ? [] : [["", 0]]));
  }

  /** Declares a gauge that is computed when it is asked for. */
  gauge(name: string, help: string, read: () => readonly (readonly [Labels, number])[]): void {
    this.#help.set(name, help);
    this.#gauges.set(name, read);
  }

  /** Declares a histogram of seconds. */
  histogram(name: string, help: string): void {
    this.#help.set(name, help);
    this.#histograms.set(name, { counts: buckets.map(() => 0), sum: 0, count: 0 });
  }

  /** Adds one to a declared counter. */
  add(name: string, labels: Labels = {}): void {
    const series = this.#counters.get(name);
    if (!series) throw new Error(`no counter ${name}`);
    const key = text(labels);
    series.set(key, (series.get(key) ?? 0) + 1);
  }

  /** Records a duration in seconds. */
  observe(name: string, seconds: number): void {
    const series = this.#histograms.get(name);
    if (!series) throw new Error(`no histogram ${name}`);
    series.count += 1;
    series.sum += seconds;
    for (const [i, limit] of buckets.entries()) {
      if (seconds <= limit) series.counts[i] = (series.counts[i] ?? 0) + 1;
    }
  }

  /** Everything, as `text/plain; version=0.0.4`. */
  render(): string {
    const lines: string[] = [];
    const head = (name: string, type: string) =>
      lines.push(`# HELP ${name} ${this.#help.get(name)}`, `# TYPE ${name} ${type}`);
    for (const [name, series] of this.#counters) {
      head(name, "counter");
      for (const [labels, value] of series) lines.push(`${name}${labels} ${value}`);
    }
    for (const [name, read] of this.#gauges) {
      head(name, "gauge");
      for (const [labels, value] of read()) lines.push(`${name}${text(labels)} ${value}`);
    }
    for (const [name, { counts, sum, count }] of this.#histograms) {
      head(name, "histogram");
      for (const [i, limit] of buckets.entries())
        lines.push(`${name}_bucket{le="${limit}"} ${counts[i]}`);
      lines.push(
        `${name}_bucket{le="+Inf"} ${count}`,
        `${name}_sum ${sum}`,
        `${name}_count ${count}`,
      );
    }
    return `${lines.join("\n")}\n`;
  }
}

function text(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) =>
      `${key}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** The metrics of the admin bridge, declared. */
export function bridgeMetrics(): Metrics {
  const metrics = new Metrics();
  metrics.counter("berth_starts_total", "Agent starts asked of the Engine, by result.", true);
  metrics.counter("berth_wakes_total", "Messages that woke a sleeping agent, by way.", true);
  metrics.counter("berth_commands_total", "Commands in the chat, by verb and outcome.", true);
  metrics.counter("berth_tokens_minted_total", "Bot tokens minted for the egress gateway.");
  metrics.counter(
    "berth_chat_reconnects_total",
    "WebSocket connections to Mattermost after the first.",
  );
  metrics.counter("berth_chat_sessions_total", "Sessions with Mattermost that were established.");
  metrics.counter(
    "berth_provisioning_errors_total",
    "Failed attempts to provision an agent's bot.",
  );
  metrics.histogram(
    "berth_wake_request_seconds",
    "From the message's arrival to the start request.",
  );
  metrics.histogram("berth_wake_seconds", "From the message's arrival to the container's start.");
  metrics.gauge("process_resident_memory_bytes", "Resident memory.", () => [
    [{}, process.memoryUsage.rss()],
  ]);
  return metrics;
}
