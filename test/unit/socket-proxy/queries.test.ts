import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { route } from "../../../services/socket-proxy/route.ts";

/** How the Engine reads a query (Go): parts with a `;` or a broken escape are dropped, the first of a key counts. */
function engineQuery(raw: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const part of raw.split("&")) {
    if (part === "" || part.includes(";")) continue;
    const [key = "", ...rest] = part.split("=");
    try {
      const decode = (text: string) => decodeURIComponent(text.replaceAll("+", " "));
      const name = decode(key);
      if (!values.has(name)) values.set(name, decode(rest.join("=")));
    } catch {}
  }
  return values;
}

/** How the Engine reads a boolean. */
const engineFlag = (value: string | undefined, otherwise: boolean) =>
  value === undefined
    ? otherwise
    : !["", "0", "no", "false", "none"].includes(value.trim().toLowerCase());

/** Every verb that takes a query or none: method, path, what it cannot do without. */
const targets: readonly (readonly [string, string, string])[] = [
  ["GET", "/_ping", ""],
  ["GET", "/version", ""],
  ["GET", "/containers/json", ""],
  ["GET", "/containers/x/json", ""],
  ["POST", "/containers/create", ""],
  ["POST", "/containers/x/start", ""],
  ["POST", "/containers/x/stop", ""],
  ["POST", "/containers/x/kill", ""],
  ["POST", "/containers/x/wait", ""],
  ["GET", "/containers/x/logs", "stdout=1"],
  ["GET", "/containers/x/stats", "stream=0"],
  ["GET", "/events", ""],
  ["GET", "/images/x/json", ""],
  ["GET", "/networks/x", ""],
  ["POST", "/berth/instances", ""],
  ["GET", "/berth/declarations", ""],
  ["GET", "/berth/alerts", ""],
  ["GET", "/berth/metrics", ""],
  ["GET", "/berth/audit", ""],
];
const denialOf = (method: string, target: string) => {
  const routed = route(method, target);
  return "denial" in routed ? routed.denial : undefined;
};

describe("T3: keys", () => {
  /** Keys of the Engine's that steer it, and that no verb here takes beside the verb in brackets. */
  const foreign = [
    "checkpoint",
    "checkpoint-dir",
    "detachKeys",
    "platform",
    "v",
    "link",
    "force",
    "size",
    "details",
    "path",
    "noOverwriteDirNonDir",
    "fromImage",
    "fromSrc",
    "tag",
    "remote",
    "dockerfile",
    "X",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "",
  ];
  it.each(foreign)("T3: no verb takes %j, however it is written", (key) => {
    for (const [method, path, needs] of targets) {
      // A create may repeat members of its body there, which are read in the body only.
      if (path.endsWith("/create") && /^[A-Z]/.test(key)) continue;
      const escaped = [...key].map((c) => `%${c.charCodeAt(0).toString(16)}`).join("");
      for (const part of [`${key}=1`, key, `${key}=`, `${escaped}=1`, `${key}[]=1`, `${key}.x=1`]) {
        for (const query of [part, `${part}&${needs}`, `${needs}&${part}`]) {
          if (query === "" || query === needs) continue;
          const denial = denialOf(method, `${path}?${query}`);
          expect([method, path, query, denial?.status, denial?.rule]).toEqual([
            method,
            path,
            query,
            400,
            "query-key",
          ]);
        }
      }
    }
  });

  const taken: readonly (readonly [string, string, string, string])[] = [
    ["GET", "/containers/json", "all", "1"],
    ["GET", "/containers/json", "limit", "1"],
    ["GET", "/containers/json", "filters", "{}"],
    ["POST", "/containers/create", "name", "x"],
    ["POST", "/containers/x/stop", "t", "5"],
    ["POST", "/containers/x/kill", "signal", "TERM"],
    ["POST", "/containers/x/wait", "condition", "removed"],
    ["GET", "/containers/x/logs", "stdout", "1"],
    ["GET", "/containers/x/stats", "stream", "0"],
    ["GET", "/events", "filters", "{}"],
    ["GET", "/berth/declarations", "watch", "1"],
  ];
  it.each(taken)("T3: %s %s takes %s once, and in one spelling", (method, path, key, value) => {
    const of = (query: string) => denialOf(method, `${path}?${query}`)?.rule;
    const escaped = `%${key.charCodeAt(0).toString(16)}${key.slice(1)}`;
    expect([
      of(`${key}=${value}`),
      of(`${key}=${value}&${key}=${value}`),
      of(`${key}=&${key}=${value}`),
      of(`${key}&${key}`),
      of(`${escaped}=${value}`),
      of(`${key}=${value}&${escaped}=${value}`),
      of(`${key.replace(/.$/, (last) => last.toUpperCase())}=${value}`),
      of(`+${key}=${value}`),
      of(`${key}+=${value}`),
      of(`${key}=${value};`),
      of(`${key}=${value};x=1`),
      of(`x=1;${key}=${value}`),
      of(`${key}=${value}&`),
      of(`&${key}=${value}`),
      of(`?${key}=${value}`),
      of(`${key}=%`),
      of(`${key}=%zz`),
      of(`${key}=%ff`),
    ]).toEqual([
      undefined,
      ...["query-duplicate", "query-duplicate", "query-duplicate"],
      ...["query-key", "query-key", "query-key", "query-key", "query-key"],
      ...["query-syntax", "query-syntax", "query-syntax"],
      ...["query-key", "query-key", "query-key"],
      ...["query-syntax", "query-syntax", "query-syntax"],
    ]);
  });
});

describe("T3: values", () => {
  const flags: readonly (readonly [string, string, string, boolean])[] = [
    ["GET", "/containers/json", "all", false],
    ["GET", "/containers/x/logs?stderr=1&", "stdout", false],
    ["GET", "/containers/x/logs?stdout=1&", "stderr", false],
    ["GET", "/containers/x/logs?stdout=1&", "follow", false],
    ["GET", "/containers/x/logs?stdout=1&", "timestamps", false],
    ["GET", "/containers/x/stats", "stream", true],
    ["GET", "/berth/declarations", "watch", false],
  ];
  const spellings = [
    ...["", "0", "1", "no", "No", "NO", "yes", "true", "True", "TRUE", "tRue", "t", "T", "false"],
    ...["False", "FALSE", "f", "none", "None", "null", "nil", "off", "on", "2", "-1", "00", "01"],
    ...["+", "+0", "%20", "%200", "0%20", "%091", "1%0a", "%31", "%30", "1.0", "0x1", "[]", "{}"],
    ...["%C4%B0", "\u017f", "falſe", "%00", "0%00"],
  ];
  it.each(flags)(
    "T3: %s %s: %s is refused, or means what the Engine takes it for",
    (method, path, key, otherwise) => {
      const asked = (query: string) =>
        route(method, `${path}${path.includes("?") ? "" : "?"}${query}`);
      let accepted = 0;
      for (const written of [...spellings.map((value) => `${key}=${value}`), key]) {
        const routed = asked(written);
        const meant = engineFlag(engineQuery(written).get(key), otherwise);
        // The counters are read once only: what means a stream is refused.
        if ("denial" in routed) continue;
        accepted += 1;
        const intent = JSON.stringify("intent" in routed ? routed.intent : routed.verb);
        const plain = asked(`${key}=${meant ? 1 : 0}`);
        expect([written, intent]).toEqual([
          written,
          JSON.stringify("intent" in plain ? plain.intent : ""),
        ]);
      }
      expect(accepted).toBeGreaterThanOrEqual(key === "stream" ? 5 : 8);
    },
  );

  it.each([
    ...["STOP", "CONT", "USR1", "SIGSTOP", "9", "15", "-9", "0", "kill", "SIGkill", "sigterm"],
    ...["KILL%20", "%20KILL", "TERM,KILL", "SIGSIGKILL", "SIG", "KILL%00", "RTMIN+1", "TERM%0a"],
  ])("T3: the signal %j is none that can be sent", (signal) => {
    expect(denialOf("POST", `/containers/x/kill?signal=${signal}`)?.rule).toBe("query-value");
    expect(denialOf("POST", `/containers/x/stop?signal=${signal}`)?.rule).toBe("query-key");
  });

  it.each([
    ...[
      "not-running,removed",
      "NOT-RUNNING",
      "not_running",
      "healthy",
      "0",
      "true",
      "next-exit%20",
    ],
  ])("T3: the condition %j is none that can be waited for", (condition) => {
    expect(denialOf("POST", `/containers/x/wait?condition=${condition}`)?.rule).toBe("query-value");
  });

  it.each([
    ...["-1", "601", "1e2", "0x10", "5.0", "+5", "%2B5", "%205", "5%20", "Infinity", "NaN", "1_0"],
    ...["9999999999", "٣", "5s", "5,6", "null"],
  ])("T3: the grace %j is no number of seconds", (seconds) => {
    expect(denialOf("POST", `/containers/x/stop?t=${seconds}`)?.status).toSatisfy(
      (status) => status === 400 || status === 403,
    );
  });

  it("T3: whatever query is accepted, the Engine would read the same values out of it", () => {
    const key = fc.constantFrom(
      "t",
      "all",
      "limit",
      "stdout",
      "tail",
      "%74",
      "T",
      "checkpoint",
      "",
    );
    const value = fc.constantFrom(
      "",
      "1",
      "0",
      "5",
      "%35",
      "all",
      "5;t=6",
      "+5",
      "%zz",
      "True",
      "yes",
    );
    const part = fc
      .tuple(key, fc.constantFrom("=", "", "=="), value)
      .map((pieces) => pieces.join(""));
    const query = fc.array(part, { maxLength: 4 }).map((list) => list.join("&"));
    fc.assert(
      fc.property(query, (raw) => {
        const read = engineQuery(raw);
        const stop = route("POST", `/containers/x/stop?${raw}`);
        if ("intent" in stop && stop.intent.verb === "stop") {
          expect(String(stop.intent.graceSeconds ?? "")).toBe(read.get("t") ?? "");
        }
        const list = route("GET", `/containers/json?${raw}`);
        if ("intent" in list && list.intent.verb === "list") {
          expect(list.intent.all).toBe(engineFlag(read.get("all"), false));
          expect(list.intent.limit).toBe(Number(read.get("limit") ?? 0));
        }
      }),
      { numRuns: 20_000 },
    );
  });
});
