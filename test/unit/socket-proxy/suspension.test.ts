import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Denial, isProbe, type Rule, rules } from "../../../services/socket-proxy/denial.ts";
import { ClientLimits } from "../../../services/socket-proxy/limits.ts";
import { verbs } from "../../../spec/grants.ts";
import { unhurriedGrants } from "./clients.ts";
import { exec, head, json, list, say, start } from "./framing-cases.ts";
import { type Harness, lalId, startHarness, testGrants } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { exchange, RawClient, ruleOf } from "./raw.ts";
import { review } from "./templates.ts";

/** Probes that it takes. */
const most = 5;

const plain = (request: string, ...lines: string[]) => `${head(request, ...lines)}\r\n`;
const probes: readonly (readonly [string, string | Buffer])[] = [
  ["verbs that do not exist", plain(exec)],
  ["other spellings", plain("GET //containers/json")],
  ["query keys", plain("POST /containers/berth-dev-lal/start?checkpoint=x")],
  ["API versions", plain("GET /v9.99/_ping")],
  ["verbs that are not granted", plain("POST /containers/berth-dev-lal/kill")],
  ["bodies", say(start, "abc")],
  ["lengths", plain(start, "Content-Length: 1", "Transfer-Encoding: chunked")],
  ["upgrades", plain(list, "Connection: Upgrade", "Upgrade: tcp")],
  ["tunnels", "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["expectations", plain(start, "Expect: 100-continue")],
  ["what is no HTTP", "BREW /\r\n\r\n"],
  ["broken JSON", say("POST /berth/instances", "{", json)],
  ["templates that nobody declared", say("POST /berth/instances", '{"template":"x.y"}', json)],
  [
    "members that no template has",
    say("POST /containers/create?name=lal.review.x1", '{"HostConfig":{"Privileged":true}}', json),
  ],
];

let harness: Harness;
/** Status and rule of the answer to these bytes. */
async function outcome(bytes: string | Uint8Array, client?: string) {
  const target = client === undefined ? harness.port : harness.socketOf(client);
  const { answers } = await exchange(target, bytes, { moreMs: 0 });
  return [answers[0]?.status, ruleOf(answers[0]?.body ?? "")];
}
const suspended = [403, "suspended"];
const probe = async (bytes: string | Uint8Array = plain(exec), times = most) => {
  for (let i = 0; i < times; i++) await outcome(bytes);
};
const isSuspended = async (client?: string) =>
  (await outcome(plain(list), client))[1] === "suspended";
const starts = () => upstream(harness).filter((asked) => asked.endsWith("/start")).length;

describe("T13: a client that keeps asking for what is forbidden is not answered for a while", () => {
  beforeEach(async () => {
    harness = await startHarness({
      grants: unhurriedGrants(
        {
          operator: { verbs: ["metrics", "alerts", "ping"], templates: [] },
          other: { verbs, templates: ["*"] },
          ...Object.fromEntries(
            probes.map((_, i) => [`p${i}`, { verbs: verbs.filter((verb) => verb !== "kill") }]),
          ),
        },
        { denials: most, windowSeconds: 60, seconds: 1 },
      ),
    });
    harness.agent({ templates: { review } });
    await settled(harness);
  });
  afterEach(async () => {
    await checkInvariants(harness, "operator");
    await harness.close();
  });

  it.each(probes.map(([title, bytes], i) => [title, `p${i}`, bytes] as const))(
    "T13: for %s",
    async (_title, client, bytes) => {
      for (let i = 1; i < most; i++) await outcome(bytes, client);
      expect(await isSuspended(client)).toBe(false);
      await outcome(bytes, client);
      expect(await isSuspended(client)).toBe(true);
    },
  );

  it("T13: it ends by itself, and begins anew", async () => {
    await probe();
    for (let tries = 0; (await isSuspended()) && tries < 100; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await outcome(plain(list))).toEqual([200, ""]);
    await probe(plain(exec), most - 1);
    expect(await isSuspended()).toBe(false);
    await probe(plain(exec), 1);
    expect(await isSuspended()).toBe(true);
  });

  it("T13: nothing is carried out for it, in whatever form it asks; it hears why, and for how long", async () => {
    await probe();
    const before = [starts(), upstream(harness).length];
    for (const bytes of [
      plain(start),
      plain(list),
      plain("GET /containers/berth-dev-lal/json"),
      plain("GET /berth/metrics"),
      plain(exec),
      plain(start, "Expect: 100-continue"),
      plain(list, "Connection: Upgrade", "Upgrade: tcp"),
      "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n",
      "BREW /\r\n\r\n",
      say("POST /berth/instances", '{"template":"lal.review"}', json),
    ]) {
      expect([bytes.toString().slice(0, 30), ...(await outcome(bytes))]).toEqual([
        bytes.toString().slice(0, 30),
        ...suspended,
      ]);
    }
    const { answers } = await exchange(harness.port, plain(list));
    expect(answers[0]?.body).toMatch(/answered again in 1 seconds \[suspended\]/);
    expect([starts(), upstream(harness).length]).toEqual(before);
    expect(
      harness.audit.filter(({ rule, phase }) => rule === "suspended" && phase === "decision")
        .length,
    ).toBe(1);
  });

  it("T13: whether the proxy is there, and what people are told, it still hears; others are not touched", async () => {
    const listener = new RawClient(harness.port).send(plain("GET /berth/alerts"));
    await listener.until(() => listener.text.includes("\r\n\r\n"));
    await probe();
    expect(await outcome(plain("GET /_ping"))).toEqual([200, ""]);
    expect(await outcome(plain("GET /_ping?x=1"))).toEqual(suspended);
    expect(await outcome(plain(list), "other")).toEqual([200, ""]);
    expect(await outcome(plain(start), "other")).toEqual([204, ""]);
    const words = `admin-bridge asked for what is forbidden ${most} times within 60 seconds and is not answered for 1 seconds`;
    expect(await listener.until(() => listener.text.includes(words))).toBe(true);
    for (const client of [undefined, "operator"]) {
      const later = new RawClient(client ? harness.socketOf(client) : harness.port);
      later.send(plain("GET /berth/alerts"));
      expect(await later.until(() => later.text.includes(words))).toBe(true);
      const [line = ""] = later.text.match(/^\{.*\}$/m) ?? [];
      expect(JSON.parse(line)).toMatchObject({ kind: "suspended", client: "admin-bridge" });
      later.end();
    }
    listener.end();
    expect(
      harness.audit.filter(({ phase, rule }) => phase === "alert" && rule === "suspended"),
    ).toMatchObject([{ client: "admin-bridge", verb: "suspend" }]);
    const { text } = await harness.ask("/berth/metrics", "GET", "operator");
    expect(text).toContain("berth_socket_proxy_suspended_clients 1\n");
  });

  it("T13: what is not there, is taken, or is too much, is no probe", async () => {
    const body = JSON.stringify({
      template: "lal.review",
      instance: "x1",
      parameters: { TASK_ID: "7" },
    });
    const create = say("POST /berth/instances", body, json);
    const innocent: readonly (readonly [string | Buffer, number])[] = [
      [plain("GET /containers/berth-dev-none/json"), 404],
      [plain("GET /images/none/json"), 404],
      [plain(`GET /containers/${"f".repeat(64)}/json`), 404],
      [create, 201],
      [create, 409],
    ];
    for (const [bytes, status] of innocent) {
      for (let i = 0; i < (status === 201 ? 1 : most * 2); i++) {
        expect((await outcome(bytes))[0]).toBe(status);
      }
    }
    harness.engine.intercept = ({ path }, response) => {
      if (!path.endsWith(`${lalId}/start`)) return false;
      response.writeHead(500);
      response.end();
      return true;
    };
    for (let i = 0; i < most * 2; i++) expect((await outcome(plain(start)))[0]).toBe(500);
    expect(await isSuspended()).toBe(false);
  });
});

describe("T13: what counts", () => {
  /** Refusals that an honest client meets: somebody else was faster, the Engine is down, a quota is used up. */
  const honest: readonly Rule[] = [
    "slow",
    "source",
    "quota",
    "rate",
    "streams",
    "suspended",
    ...(Object.keys(rules) as Rule[]).filter((rule) =>
      ["ownership", "lease", "audit", "engine", "verification"].includes(rules[rule]),
    ),
  ];
  it.each(Object.keys(rules) as Rule[])(
    "T13: a refusal by the rule %s counts, unless an honest client meets it",
    (rule) => {
      expect([rule, isProbe(new Denial(403, rule, "x"))]).toEqual([
        rule,
        // The source is looked at before anything is counted.
        rule === "source" || !honest.includes(rule),
      ]);
    },
  );

  it("T13: only refusals within the window count, and it slides", () => {
    let now = 0;
    const quotas = testGrants().clients["secret-store"]?.quotas;
    if (!quotas) throw new Error("no quotas");
    const limits = new ClientLimits(
      quotas,
      { denials: 3, windowSeconds: 10, seconds: 5 },
      () => now,
    );
    const refused = () => limits.noteRefusal(new Denial(403, "verb", "x"));
    const at = (seconds: number) => {
      now = seconds * 1000;
      return refused();
    };
    expect([at(0), at(6), at(11), limits.isSuspended]).toEqual([false, false, false, false]);
    expect([at(12), limits.isSuspended]).toEqual([true, true]);
    expect(() => limits.checkSuspension("list")).toThrow("answered again in 5 seconds");
    expect(() => limits.checkSuspension("ping")).not.toThrow();
    // What it asks meanwhile does not make it longer.
    expect([at(16.9), limits.isSuspended]).toEqual([false, true]);
    now = 17_000;
    expect(limits.isSuspended).toBe(false);
    expect([at(17), at(17), at(17)]).toEqual([false, false, true]);
  });
});
