import { expect } from "vitest";
import { type Rule, rules } from "../../../services/socket-proxy/denial.ts";
import type { Verb } from "../../../spec/grants.ts";
import { Label } from "../../../spec/names.ts";
import { eventually, type Harness } from "./harness.ts";
import { outsideLanguage } from "./language.ts";

/**
 * Most requests to the Engine for one request of a client, by verb. A create and a start also let the proxy look at the
 * new container of its own accord: its pids limit, its lease.
 */
const fanOut: Readonly<Record<Verb, number>> = {
  ping: 1,
  version: 0,
  list: 0,
  inspect: 3,
  create: 24,
  start: 24,
  stop: 4,
  kill: 4,
  wait: 4,
  logs: 4,
  stats: 4,
  events: 0,
  image: 1,
  network: 1,
  declarations: 0,
  alerts: 0,
  metrics: 0,
  audit: 0,
};
/** What the proxy asks to end a lease, and to put a pids limit in force. */
const ownWork = 6;

/** Refusals that come before anybody is asked what a name means: the Engine hears nothing of them. */
function isBeforeResolution(rule: Rule): boolean {
  const early: readonly string[] = ["transport", "http", "table", "body"];
  return early.includes(rules[rule]) || ["grant", "rate", "suspended", "unsettled"].includes(rule);
}

/** What the proxy asks at any time: events, declarations, its own list, the watchdog's question, the host, once. */
const background =
  /\/events\?|\/volumes\?|limit=1$|\/info$|json\?all=1&filters=%7B%22label%22%3A%5B%22berth\.stack%3Ddev%22%5D%7D$/;

/** Requests that reached the Engine for a client's sake, or because of what a client had made. */
export function upstream(harness: Harness): string[] {
  return harness.engine.recorded
    .filter(({ path }) => !background.test(path))
    .map(({ method, path }) => `${method} ${path}`);
}

/** Waits until the proxy has done what it does of its own accord about the containers that are there. */
export async function settled(harness: Harness): Promise<void> {
  for (const { inspect } of harness.engine.containers.values()) {
    const { Labels = {} } = inspect.Config as { Labels?: Record<string, string> };
    const attributes = { ...Labels, name: inspect.Name.slice(1) };
    const actor = { ID: inspect.Id, Attributes: attributes };
    harness.engine.emit({ Type: "container", Action: "create", Actor: actor });
  }
  await eventually(() =>
    [...harness.engine.containers.values()].every(({ inspect }) => {
      const { Labels = {} } = inspect.Config as { Labels?: Record<string, string> };
      const { PidsLimit } = inspect.HostConfig as { PidsLimit?: number };
      return Labels[Label.pids] === undefined || Labels[Label.pids] === String(PidsLimit);
    }),
  );
  await quiet(harness);
}

/** Waits until the Engine has not been asked anything for a while. */
export async function quiet({ engine }: Harness): Promise<void> {
  for (let before = -1; before !== engine.recorded.length; ) {
    before = engine.recorded.length;
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
}

/**
 * I1 and I2 over all that a harness has seen: every request that the Engine got is in the closed language; there are
 * none beyond what the allowed requests need, none at all for requests that were refused before their names meant
 * anything, and no change without the record that allows it.
 * @param client one that is granted `metrics`, whose counters tell what was answered
 */
export async function checkInvariants(harness: Harness, client?: string): Promise<void> {
  expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
  const { status, text } = await harness.ask("/berth/metrics", "GET", client);
  expect(status).toBe(200);
  const asked = upstream(harness);
  let budget = 0;
  for (const [, verb = "", rule = "", count] of text.matchAll(counter)) {
    if (rule !== "" && isBeforeResolution(rule as Rule)) continue;
    budget += (fanOut[verb as Verb] ?? 0) * Number(count);
  }
  const open = Number(/^berth_socket_proxy_streams (\d+)$/m.exec(text)?.[1]);
  budget += open * 4;
  const of = (matches: (record: Record<string, unknown>) => boolean) =>
    harness.audit.filter(matches).length;
  const leases = of(({ phase }) => phase === "lease");
  const updates = of(({ phase, verb }) => phase === "decision" && verb === "update");
  budget += (leases + updates) * ownWork;
  expect(asked.length, asked.join("\n")).toBeLessThanOrEqual(budget);

  const allowed = (wanted: Verb) =>
    of(
      ({ phase, decision, verb }) =>
        phase === "decision" && decision === "allow" && verb === wanted,
    );
  const sent = (pattern: RegExp) => asked.filter((request) => pattern.test(request)).length;
  const creates = allowed("create");
  for (const [pattern, most] of [
    [/^POST \S+\/create\?/, creates],
    [/^POST \S+\/start$/, allowed("start")],
    [/^POST \S+\/update$/, updates],
    [/^POST \S+\/stop\?/, allowed("stop") + leases],
    [/^POST \S+\/kill\?/, allowed("kill")],
    [/^POST \S+\/wait\?/, allowed("wait")],
    [/^DELETE /, creates + leases],
    [/^(?!GET |POST |DELETE )/, 0],
  ] as const) {
    expect([String(pattern), sent(pattern) <= most]).toEqual([String(pattern), true]);
  }
}

const counter =
  /^berth_socket_proxy_requests_total\{client="[^"]*",verb="([^"]*)",decision="[^"]*",rule="([^"]*)"\} (\d+)$/gm;
