import { describe, expect, it } from "vitest";
import type { Denial } from "../../../services/socket-proxy/denial.ts";
import type { Intent } from "../../../services/socket-proxy/intent.ts";
import * as table from "../../../services/socket-proxy/route.ts";

const id = "a".repeat(64);

/** What the table says, in one shape. */
function route(method: string, target: string) {
  return table.route(method, target) as {
    readonly verb: string;
    readonly intent?: Intent;
    readonly denial?: Denial;
    readonly read?: (body: Uint8Array) => Intent;
  };
}

describe("the table of intents", () => {
  it.each([
    ["GET", "/_ping", "ping"],
    ["HEAD", "/_ping", "ping"],
    ["GET", "/v1.41/version", "version"],
    ["GET", "/v1.24/containers/json?all=1", "list"],
    ["GET", `/containers/${id}/json`, "inspect"],
    ["POST", "/v1.41/containers/berth-dev-lal/start", "start"],
    ["POST", "/containers/berth-dev-lal/stop?t=600", "stop"],
    ["POST", "/containers/berth-dev-lal/wait?condition=next-exit", "wait"],
    ["GET", "/containers/berth-dev-lal/logs?stdout=1&tail=all&follow=true", "logs"],
    ["GET", "/events", "events"],
    ["GET", "/images/localhost/berth/node:0123456789ab/json", "image"],
    ["GET", `/images/example.com/a@sha256:${id}/json`, "image"],
    ["GET", "/networks/berth-dev-mattermost-net", "network"],
    ["GET", "/berth/declarations?watch=1", "declarations"],
    ["POST", "/containers/berth-dev-lal/kill", "kill"],
    ["POST", "/containers/berth-dev-lal/kill?signal=SIGHUP", "kill"],
    ["GET", "/containers/berth-dev-lal/stats?stream=0", "stats"],
    ["GET", "/containers/berth-dev-lal/stats?stream=false&one-shot=true", "stats"],
    ["GET", "/berth/alerts", "alerts"],
    ["GET", "/berth/metrics", "metrics"],
    ["GET", "/berth/audit", "audit"],
  ])("%s %s is %s", (method, target, verb) => {
    expect(route(method, target).intent?.verb).toBe(verb);
  });

  it.each(["/containers/create?name=x", "/v1.41/containers/create", "/berth/instances"])(
    "POST %s is a create, whose body is still to be read",
    (target) => {
      const { verb, read } = route("POST", target);
      expect(verb).toBe("create");
      expect(read).toBeInstanceOf(Function);
    },
  );

  it.each([
    ["DELETE", "/containers/berth-dev-lal", "delete"],
    ["DELETE", "/v1.41/containers/berth-dev-lal?force=1", "delete"],
    ["POST", "/containers/berth-dev-lal/exec", "exec"],
    ["POST", "/exec/abc/start", "exec"],
    ["PUT", "/containers/berth-dev-lal/archive?path=/", "archive"],
    ["HEAD", "/containers/berth-dev-lal/archive?path=/", "archive"],
    ["GET", "/containers/berth-dev-lal/attach/ws", "attach"],
    ["GET", "/containers/create?name=x", "create"],
    ["PUT", "/berth/instances", "request"],
    ["POST", "/containers/berth-dev-lal/update", "update"],
    ["POST", "/build", "build"],
    ["GET", "/containers/a/b/start", "start"],
    ["GET", "/containers/berth-dev-lal/start", "start"],
    ["POST", "/containers/berth-dev-lal/json", "containers"],
    ["HEAD", "/containers/json", "containers"],
    ["OPTIONS", "/_ping", "request"],
    ["GET", "/berth/other", "request"],
    ["GET", "/images/json", "images"],
    ["POST", "/images/create?fromSrc=x", "create"],
    ["GET", "/info", "info"],
    ["GET", "/swarm/unlockkey", "swarm"],
  ])("%s %s is not in the language: 403, named %s", (method, target, verb) => {
    const { denial, verb: named } = route(method, target);
    expect([denial?.status, denial?.rule, named]).toEqual([403, "verb", verb]);
  });

  it.each([
    "//containers/json",
    "/containers//json",
    "/./containers/json",
    "/containers/../containers/json",
    "/containers/json/",
    "/containers/berth-dev-lal/%65xec",
    "/containers/berth-dev-lal%2fexec",
    "/containers/berth-dev-lal/%252e%252e/json",
    "/containers/berth-dev-lal;x/json",
    "/containers\\berth-dev-lal\\json",
    "/containers/berth-dev-lal/json#x",
    "/Containers/json",
    "/V1.41/containers/json",
    "/v1.41.1/containers/json",
    "/v1/containers/json",
    "/v/containers/json",
    "http://engine/containers/json",
    "//engine/containers/json",
    "/",
    "*",
    "",
    "containers/json",
    "/containers/json?all=1 HTTP/1.1",
    "/containers/\u00e9/json",
    "/containers/json?\u0000",
    `/containers/json?all=1&x=${"y".repeat(2048)}`,
    `/containers/${"a".repeat(300)}/json`,
  ])("the spelling %j is refused with 403, or means what it says", (target) => {
    expect(route("GET", target).denial?.status).toBe(403);
  });

  it.each(["/v1.42/_ping", "/v1.99/_ping", "/v2.0/_ping", "/v0.1/_ping", "/v1.23/_ping"])(
    "the version of %s is refused with 400",
    (target) => {
      expect(route("GET", target).denial).toMatchObject({ status: 400, rule: "api-version" });
    },
  );
});

describe("queries", () => {
  it.each([
    ["/_ping?x=1", "query-key"],
    ["/containers/json?all=1&all=0", "query-duplicate"],
    ["/containers/json?%61ll=1", "query-key"],
    ["/containers/json?All=1", "query-key"],
    ["/containers/json?all=1;limit=2", "query-syntax"],
    ["/containers/json?all=yes", "query-value"],
    ["/containers/json?all=%31%", "query-syntax"],
    ["/containers/json?size=1", "query-key"],
    ["/containers/json?limit=-1", "query-value"],
    ["/containers/json?__proto__=1", "query-key"],
    ["/containers/json?filters=[]", "filter-syntax"],
    ["/containers/json?filters=x", "filter-syntax"],
    ["/containers/json?filters=null", "filter-syntax"],
    ["/containers/json?filters=%7B%22volume%22%3A%5B%22x%22%5D%7D", "filter-key"],
    ["/containers/json?filters=%7B%22__proto__%22%3A%5B%22x%22%5D%7D", "filter-key"],
    ["/containers/json?filters=%7B%22label%22%3A%22x%22%7D", "filter-syntax"],
    ["/containers/json?filters=%7B%22label%22%3A%5B1%5D%7D", "filter-syntax"],
    ["/events?filters=%7B%22type%22%3A%5B%22volume%22%5D%7D", "filter-value"],
    ["/events?since=1", "query-key"],
    ["/containers/x/json?size=1", "query-key"],
    ["/containers/x/logs", "query-value"],
    ["/containers/x/logs?stdout=0&stderr=0", "query-value"],
    ["/containers/x/logs?stdout=1&tail=-1", "query-value"],
    ["/containers/x/logs?stdout=1&tail=1000000", "query-value"],
    ["/containers/x/logs?stdout=1&tail=all%26x=1", "query-value"],
    ["/containers/x/logs?stdout=1&since=1;2", "query-syntax"],
    ["/containers/x/logs?stdout=1&since=2026-01-01", "query-value"],
    ["/berth/declarations?watch=2", "query-value"],
    ["/containers/x/stats", "query-value"],
    ["/containers/x/stats?stream=1", "query-value"],
  ])("GET %s is malformed [%s]", (target, rule) => {
    expect(route("GET", target).denial).toMatchObject({ status: 400, rule });
  });

  it.each([
    ["/containers/x/start?checkpoint=a", "query-key"],
    ["/containers/x/start?checkpoint-dir=/", "query-key"],
    ["/containers/x/start?detachKeys=a", "query-key"],
    ["/containers/x/stop?t=601", "query-value"],
    ["/containers/x/stop?t=-1", "query-value"],
    ["/containers/x/stop?t=1e2", "query-value"],
    ["/containers/x/stop?t=%2B5", "query-value"],
    ["/containers/x/stop?signal=KILL", "query-key"],
    ["/containers/x/wait?condition=never", "query-value"],
    ["/containers/x/kill?signal=STOP", "query-value"],
    ["/containers/x/kill?signal=9", "query-value"],
    ["/containers/x/kill?signal=sigkill", "query-value"],
    ["/containers/create?platform=linux", "query-key"],
    ["/containers/create?name=a&name=b", "query-duplicate"],
    ["/berth/instances?name=x", "query-key"],
  ])("POST %s is malformed [%s]", (target, rule) => {
    expect(route("POST", target).denial).toMatchObject({ status: 400, rule });
  });

  it("filters are read in both of Docker's spellings", () => {
    const of = (filters: unknown) =>
      route("GET", `/containers/json?filters=${encodeURIComponent(JSON.stringify(filters))}`)
        .intent;
    expect(of({ label: ["a=b"] })).toEqual(of({ label: { "a=b": true } }));
    expect(of({ label: ["a=b"] })).toMatchObject({ filters: { labels: ["a=b"] } });
  });
});
