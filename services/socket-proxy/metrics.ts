/** Upper bounds of the histogram of answer times, in seconds. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What is true at the moment of asking. */
export interface Gauges {
  readonly instances: number;
  readonly streams: number;
  readonly suspendedClients: number;
  readonly auditWritable: boolean;
  readonly auditSequence: number;
  readonly engineEvents: boolean;
  /** Hash of the grants that are in force. */
  readonly policy: string;
}

/** Counters of the proxy, in Prometheus' text format. Labels hold names of the closed language and of clients only. */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #leases = new Map<string, number>();
  readonly #times = new Map<string, { readonly counts: number[]; sum: number; count: number }>();

  /** Counts an answered request. `rule` is empty for what was carried out. @param seconds from its arrival on */
  request(client: string, verb: string, rule: string, seconds: number): void {
    add(this.#requests, labels({ client, verb, decision: rule === "" ? "allow" : "deny", rule }));
    if (rule !== "") return;
    const key = labels({ verb });
    const times = this.#times.get(key) ?? { counts: buckets.map(() => 0), sum: 0, count: 0 };
    this.#times.set(key, times);
    for (const [i, bound] of buckets.entries()) {
      if (seconds <= bound) times.counts[i] = (times.counts[i] ?? 0) + 1;
    }
    times.sum += seconds;
    times.count += 1;
  }

  /** Counts the end of a lease. */
  leaseEnd(end: string): void {
    add(this.#leases, labels({ end }));
  }

  render(gauges: Gauges): string {
    const lines: string[] = [];
    const family = (name: string, type: string, help: string) =>
      lines.push(`# HELP ${prefix}${name} ${help}`, `# TYPE ${prefix}${name} ${type}`);
    const line = (name: string, key: string, value: number) =>
      lines.push(`${prefix}${name}${key} ${value}`);
    family("requests_total", "counter", "Requests by client, verb and rule.");
    for (const [key, value] of this.#requests) line("requests_total", key, value);
    family("answer_seconds", "histogram", "Time to the end of an answer that was allowed.");
    for (const [key, { counts, sum, count }] of this.#times) {
      const within = (bound: string) => `${key.slice(0, -1)},le="${bound}"}`;
      for (const [i, bound] of buckets.entries()) {
        line("answer_seconds_bucket", within(String(bound)), counts[i] ?? 0);
      }
      line("answer_seconds_bucket", within("+Inf"), count);
      line("answer_seconds_sum", key, sum);
      line("answer_seconds_count", key, count);
    }
    family("leases_ended_total", "counter", "Instances that the proxy removed, by cause.");
    for (const [key, value] of this.#leases) line("leases_ended_total", key, value);
    for (const [name, help, value] of [
      ["instances", "Instances that are leased.", gauges.instances],
      ["streams", "Answers that are open.", gauges.streams],
      ["suspended_clients", "Clients that are not answered.", gauges.suspendedClients],
      ["audit_writable", "1 while audit records can be written.", Number(gauges.auditWritable)],
      ["audit_sequence", "Number of the newest audit record.", gauges.auditSequence],
      ["engine_events", "1 while the Engine's events are received.", Number(gauges.engineEvents)],
      ["resident_memory_bytes", "Memory of the process.", process.memoryUsage.rss()],
    ] as const) {
      family(name, "gauge", help);
      line(name, "", value);
    }
    family("policy_info", "gauge", "The grants in force, by their hash.");
    line("policy_info", labels({ hash: gauges.policy }), 1);
    return `${lines.join("\n")}\n`;
  }
}

const prefix = "berth_socket_proxy_";

function add(counters: Map<string, number>, key: string): void {
  counters.set(key, (counters.get(key) ?? 0) + 1);
}

function labels(values: Readonly<Record<string, string>>): string {
  const parts = Object.entries(values).map(
    ([name, value]) => `${name}="${value.replace(/[^A-Za-z0-9_.-]/g, "?").slice(0, 64)}"`,
  );
  return `{${parts.join(",")}}`;
}
