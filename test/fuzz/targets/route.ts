import { Denial, rules } from "../../../services/socket-proxy/denial.ts";
import { route } from "../../../services/socket-proxy/route.ts";
import { mutate } from "../mutate.ts";
import { connectionBytes } from "../requests.ts";
import type { Target } from "../target.ts";

const textOf = (input: Uint8Array) => Buffer.from(input).toString("latin1");
const utf8 = (text: string) => Buffer.from(text);

const name = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}";
/** The whole language of targets, by method and verb, with the query left open. */
const targets: readonly (readonly [verb: string, pattern: RegExp])[] = (
  [
    ["ping", "(GET|HEAD) V/_ping"],
    ["version", "GET V/version"],
    ["list", "GET V/containers/json"],
    ["inspect", `GET V/containers/${name}/json`],
    ["create", "POST V/(containers/create|berth/instances)"],
    ["start", `POST V/containers/${name}/start`],
    ["stop", `POST V/containers/${name}/stop`],
    ["kill", `POST V/containers/${name}/kill`],
    ["wait", `POST V/containers/${name}/wait`],
    ["logs", `GET V/containers/${name}/logs`],
    ["stats", `GET V/containers/${name}/stats`],
    ["events", "GET V/events"],
    ["image", "GET V/images(/[A-Za-z0-9][A-Za-z0-9_.:@-]*)+/json"],
    ["network", `GET V/networks/${name}`],
    ["declarations", "GET V/berth/declarations"],
    ["alerts", "GET V/berth/alerts"],
    ["metrics", "GET V/berth/metrics"],
    ["audit", "GET V/berth/audit"],
  ] as const
).map(([verb, pattern]) => [
  verb,
  new RegExp(`^${pattern.replace("V/", "(/v1\\.(2[4-9]|3[0-9]|4[01]))?/")}(\\?[\\x21-\\x7e]*)?$`),
]);

/** Tokens of queries, and what is no value of them. */
const queryKeys =
  /^(all|limit|filters|name|t|signal|condition|stdout|stderr|follow|timestamps|tail|since|until|stream|one-shot|watch)$/;

/** The table: an intent only for what is in the language, written plainly, with typed values in their bounds. */
export const routeTarget: Target = {
  name: "route",
  generate(random) {
    const bytes = connectionBytes(random, []);
    const line = textOf(bytes).split("\r\n", 1)[0] ?? "";
    const [method = "", target = ""] = line.split(" ");
    const written = utf8(`${method} ${target}`);
    return random.percent(50) ? mutate(random, written) : written;
  },
  check(input) {
    const [method = "", ...rest] = textOf(input).split(" ");
    const target = rest.join(" ");
    const routed = route(method, target);
    if ("denial" in routed) {
      const { status, rule } = routed.denial;
      if (!(routed.denial instanceof Denial)) return `threw ${String(routed.denial)}`;
      return (status === 400 || status === 403) &&
        rules[rule] === "table" &&
        /^[a-z]+$/.test(routed.verb)
        ? undefined
        : `is refused with ${status} ${rule} of ${routed.verb}`;
    }
    const known = targets.find(([verb]) => verb === routed.verb)?.[1];
    if (!known?.test(`${method} ${target}`)) return `is understood as ${routed.verb}`;
    for (const part of (target.split("?", 2)[1] ?? "").split("&")) {
      const key = part.split("=", 1)[0] ?? "";
      // Some clients write the members of a create's body into its query as well.
      const isRepeated = routed.verb === "create" && /^[A-Z][A-Za-z]{0,40}$/.test(key);
      if (part !== "" && !isRepeated && !queryKeys.test(key)) return `has the key ${key}`;
    }
    if (!("intent" in routed)) return undefined;
    const { intent } = routed;
    if ("name" in intent && !target.includes(`/${intent.name}`)) return "names something else";
    if (intent.verb === "stop" && intent.graceSeconds !== undefined) {
      const seconds = intent.graceSeconds;
      if (!Number.isInteger(seconds) || seconds < 0 || seconds > 600) return `waits ${seconds}`;
    }
    if (intent.verb === "logs") {
      const { since = "0", until = "0", tail } = intent.options;
      const isPlain = /^[0-9]+(\.[0-9]+)?$/.test(since) && /^[0-9]+(\.[0-9]+)?$/.test(until);
      if (!isPlain || (tail !== "all" && !(tail >= 0 && tail <= 100_000)))
        return "reads other logs";
    }
    return undefined;
  },
};
