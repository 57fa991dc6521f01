import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Intent } from "../../../services/socket-proxy/intent.ts";
import { type Routed, route } from "../../../services/socket-proxy/route.ts";
import { engineReads, engineRoutes, targetOf } from "./engine-routes.ts";
import { type Harness, lalId, sendRaw, startHarness, statuses } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";

const versions = [
  "/v1.24",
  "/v1.40",
  "/v1.41",
  "/v1.55",
  "/v1",
  "/v0",
  "/v",
  "/v1.55.0.1",
  "/v1.41.1",
  "/V1.41",
  "/v01.41",
  "/v1.041",
  "/v1.41.",
  "/v.41",
  "/v1..41",
  "//v1.41",
  "/%761.41",
  "/v1.41/v1.41",
  "/v2.0",
];

/** Those that are taken. */
const known = ["/v1.24", "/v1.40", "/v1.41", "/v01.41"];

/** Every verb of Docker's in the language: how it is asked for, and the route of the Engine's that means the same. */
const spoken: readonly (readonly [string, string, string, string])[] = [
  ["ping", "GET", "/_ping", "GET /_ping"],
  ["ping", "HEAD", "/_ping", "HEAD /_ping"],
  ["version", "GET", "/version", "GET /version"],
  ["list", "GET", "/containers/json", "GET /containers/json"],
  ["inspect", "GET", "/containers/NAME/json", "GET /containers/{name:.*}/json"],
  ["create", "POST", "/containers/create", "POST /containers/create"],
  ["start", "POST", "/containers/NAME/start", "POST /containers/{name:.*}/start"],
  ["stop", "POST", "/containers/NAME/stop", "POST /containers/{name:.*}/stop"],
  ["kill", "POST", "/containers/NAME/kill", "POST /containers/{name:.*}/kill"],
  ["wait", "POST", "/containers/NAME/wait", "POST /containers/{name:.*}/wait"],
  ["logs", "GET", "/containers/NAME/logs", "GET /containers/{name:.*}/logs"],
  ["stats", "GET", "/containers/NAME/stats", "GET /containers/{name:.*}/stats"],
  ["events", "GET", "/events", "GET /events"],
  ["image", "GET", "/images/NAME/json", "GET /images/{name:.*}/json"],
  ["network", "GET", "/networks/NAME", "GET /networks/{id:.+}"],
];
/** What some verbs need in their query. */
const queries: Readonly<Record<string, string>> = { logs: "?stdout=1", stats: "?stream=0" };
const routeOf = (verb: string, method: string) =>
  spoken.find(([name, by]) => name === verb && by === method)?.[3];

/** Ways to write a path that a router may take for another one. */
const tricks: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => `${path}/`,
  (path) => `/${path}`,
  (path) => `/.${path}`,
  (path) => `/..${path}`,
  (path) => `/x/..${path}`,
  (path) => path.replaceAll("/", "//"),
  (path) => `${path}/.`,
  (path) => `${path}/../${path.split("/").at(-1)}`,
  (path) => `${path}%2f`,
  (path) => `${path}%00`,
  (path) => `${path};x=1`,
  (path) => `${path}#x`,
  (path) => `${path}%3f`,
  (path) => `${path}%20`,
  (path) => path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  (path) => path.replace(/[a-z]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
  (path) => path.replace(/[a-z]/, (letter) => `%25${letter.charCodeAt(0).toString(16)}`),
  (path) => path.replaceAll("/", "%2f"),
  (path) => path.replaceAll("/", "\\"),
  (path) => path.replaceAll("/", "%5c"),
  (path) => path.replace(/[a-z]/, (letter) => letter.toUpperCase()),
  (path) => path.toUpperCase(),
  (path) => path.replace("/", "/%2e/"),
  (path) => path.replace("/", "/%2e%2e/"),
  (path) => path.replace("/", "/%252e%252e/"),
  (path) => path.replace("s", "\u017f"),
  (path) => path.replace(/k|n/, "\u212a"),
  (path) => `${path}\u00e9`,
  (path) => `http://docker${path}`,
  (path) => `//docker${path}`,
  (path) => path.slice(1),
  (path) => `${path}\t`,
];

const nameOf = (intent: Intent): string => {
  if ("name" in intent) return intent.name;
  return "reference" in intent ? intent.reference : "";
};

/** What the table made of it, without the body of a create. */
function meaning(routed: Routed): string | undefined {
  if ("denial" in routed) return undefined;
  return "intent" in routed ? JSON.stringify(routed.intent) : routed.verb;
}

/** The law of this file: what is accepted here, the Engine's own router would take for the same thing. */
function sameAsEngine(method: string, target: string): void {
  const routed = route(method, target);
  if ("denial" in routed || target.includes("/berth/")) return;
  const name = "intent" in routed ? nameOf(routed.intent) : "";
  const wanted = { route: routeOf(routed.verb, method), name };
  const read = engineReads(method, target);
  if (typeof read === "string" || read.route !== wanted.route || read.name !== wanted.name) {
    expect([method, target, read]).toEqual([method, target, wanted]);
  }
}

describe("T2: the target", () => {
  it.each(spoken)(
    "T2: %s by %s %s: every spelling means the same, or nothing",
    (verb, method, path) => {
      const names = path.includes("NAME")
        ? ["berth-dev-lal", lalId, "a.b", "json", "create", "start", "exec", "v1.41"]
        : [""];
      const accepted = new Set<string>();
      const wanted = new Set<string>();
      const wrong: string[] = [];
      for (const name of names) {
        const plain = path.replace("NAME", name);
        const query = queries[verb] ?? "";
        const expected = meaning(route(method, plain + query));
        expect([plain, expected !== undefined]).toEqual([plain, true]);
        for (const version of ["", ...known]) wanted.add(version + plain);
        for (const version of ["", ...versions]) {
          for (const trick of tricks) {
            for (const target of [trick(version + plain), version + trick(plain)]) {
              const routed = route(method, target + query);
              if ("denial" in routed) {
                if (![400, 403].includes(routed.denial.status)) wrong.push(target);
                continue;
              }
              accepted.add(target);
              if (meaning(routed) !== expected) wrong.push(target);
              sameAsEngine(method, target + query);
            }
          }
        }
      }
      expect([accepted, wrong]).toEqual([wanted, []]);
    },
  );

  it("T2: a version is taken from the oldest that is known to the one that is spoken, and changes nothing", () => {
    const taken = versions.filter((version) => !("denial" in route("GET", `${version}/_ping`)));
    expect(taken).toEqual(known);
    const meanings = taken.map((version) => meaning(route("GET", `${version}/containers/json`)));
    expect(new Set(meanings)).toEqual(new Set([meaning(route("GET", "/containers/json"))]));
  });

  it("T2: of all routes of the Engine's, with any method, only those of the language are in it", () => {
    const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    const taken = new Set<string>();
    for (const one of engineRoutes) {
      for (const method of methods) {
        const target = targetOf(one);
        const query = queries[target.split("/").at(-1) ?? ""] ?? "";
        const routed = route(method, target + query);
        const read = engineReads(method, target);
        if (!("denial" in routed)) taken.add(typeof read === "string" ? read : read.route);
        for (const longer of [target, `${target}/x`, `${target}/start`, `/containers${target}`]) {
          sameAsEngine(method, longer + query);
        }
      }
    }
    expect([...taken].sort()).toEqual(spoken.map(([, , , of]) => of).sort());
  });

  it("T2: whatever this proxy accepts, the Engine's own router takes for the same verb and the same name", () => {
    const words = fc.constantFrom(
      ...["containers", "images", "networks", "exec", "volumes", "json", "start", "stop", "kill"],
      ...["wait", "logs", "stats", "create", "events", "version", "_ping", "attach", "ws", "copy"],
      ...["archive", "update", "rename", "prune", "checkpoints", "lal.review.x", "a@sha256:b"],
      ...["", ".", "..", "%2e%2e", "%2f", "v1.41", "v1.41.1", lalId, "\u00e9", ";x", "A"],
    );
    const target = fc
      .tuple(
        fc.constantFrom("", "/v1.41", "/v1.24", "/v1.41.1", "/"),
        // Mostly about containers: there the verbs are.
        fc.oneof(
          { weight: 3, arbitrary: fc.constant("containers") },
          { weight: 1, arbitrary: words },
        ),
        fc.array(words, { maxLength: 4 }),
        fc.constantFrom("", "?stdout=1", "?stream=0", "?", "/"),
      )
      .map(([version, first, more, tail]) => `${version}/${[first, ...more].join("/")}${tail}`);
    const anything = fc.oneof(
      { weight: 9, arbitrary: target },
      { weight: 1, arbitrary: fc.string() },
    );
    const method = fc.constantFrom("GET", "GET", "POST", "POST", "HEAD", "DELETE", "PUT");
    fc.assert(
      fc.property(method, anything, (by, written) => sameAsEngine(by, written)),
      { numRuns: 30_000 },
    );
  });

  it("T2: the Engine's router, as it is modelled here, is one that tricks do lead astray", () => {
    const start = { route: "POST /containers/{name:.*}/start", name: "x" };
    expect(engineReads("POST", "/containers/x/%73tart")).toEqual(start);
    expect(engineReads("POST", "/v1.99.0.1/containers/x/start")).toEqual(start);
    expect(engineReads("POST", "/containers%2fx/start?a=b")).toEqual(start);
    expect(engineReads("POST", "/containers/a/b/start")).toEqual({ ...start, name: "a/b" });
    expect(engineReads("POST", "/containers/x/exec/start")).toEqual({ ...start, name: "x/exec" });
    expect(engineReads("POST", "/containers/y/../x/start")).toBe("redirect");
    expect(engineReads("POST", "//containers/x/start")).toBe("redirect");
    expect(engineReads("POST", "/containers/x/start/")).toBe("not found");
  });
});

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
  harness.agent();
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

describe("A12: no delete, no exec, whatever the spelling", () => {
  const methods = ["DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"];
  const prefixes = [
    "",
    "/v1.24",
    "/v1.41",
    "/v1.45",
    "/v1.41.1",
    "/v1",
    "/V1.41",
    "//v1.41",
    "/%76" + "1.41",
  ];
  const names = [
    "berth-dev-lal",
    lalId,
    lalId.slice(0, 12),
    "berth-dev-l%61l",
    "./berth-dev-lal",
    "x/../berth-dev-lal",
  ];
  const tails = [
    "",
    "/",
    "?force=1",
    "/exec",
    "/exec/",
    "/%65xec",
    "/EXEC",
    "//exec",
    "/exec?x=1",
    "/./exec",
    "/start/../exec",
    "/archive?path=/",
    "/attach",
    "/update",
    "/rename?name=x",
    "/restart",
    "/pause",
    "/resize",
    "/export",
  ];

  it("A12: answers 403 and a record for every one of them, and asks nothing of the Engine", async () => {
    const before = [upstream(harness).length, harness.audit.length];
    const wrong: string[] = [];
    let count = 0;
    for (const prefix of prefixes) {
      for (const name of names) {
        const requests = methods.flatMap((method) =>
          tails.map(
            (tail) =>
              `${method} ${prefix}/containers/${name}${tail} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`,
          ),
        );
        count += requests.length;
        const bytes = requests.map((request) => `${request}\r\n`);
        const answers = await Promise.all(bytes.map((one) => sendRaw(harness.port, one, 2_000)));
        for (const [i, answer] of answers.entries()) {
          if (statuses(answer).join() !== "403")
            wrong.push(`${requests[i]?.split("\r\n")[0]} → ${answer.slice(0, 40)}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    const records = harness.audit.slice(before[1]);
    expect(upstream(harness).length).toBe(before[0]);
    expect([records.length, new Set(records.map(({ decision }) => decision))]).toEqual([
      count,
      new Set(["deny"]),
    ]);
  }, 60_000);
});
