import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Verb, verbs } from "../../../spec/grants.ts";
import { Label } from "../../../spec/names.ts";
import { unhurriedGrants } from "./clients.ts";
import { declarationOf } from "./engine-double.ts";
import { head, json, say } from "./framing-cases.ts";
import { type Harness, startHarness } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { exchange, ruleOf } from "./raw.ts";
import { review } from "./templates.ts";

/*
 * T13, as far as it applies. There are no tokens, no certificates and no TLS between the parts of a stack, by design: who a
 * client is follows from the listener that it comes in by and from nothing that it sends. Its socket lies in a directory
 * that only it mounts, and the one port is on a network that only its client is on. So there is nothing here that could
 * expire, be swapped or be replayed; what can be shown is that no name that a client writes changes who it is.
 */

const everything = { verbs, templates: ["*"] };
const lal = {
  templates: { review: { ...review, instances: { max: 64, timeoutSeconds: 300 } }, shell: review },
};
let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({
    grants: unhurriedGrants({
      ...Object.fromEntries(
        verbs.map((verb) => [`only-${verb}`, { verbs: [verb], templates: ["lal.agent"] }]),
      ),
      alpha: { verbs: verbs.filter((verb) => verb !== "logs"), templates: ["lal.review"] },
      beta: { verbs: verbs.filter((verb) => verb !== "metrics"), templates: ["data.*"] },
      all: everything,
    }),
  });
  harness.agent(lal);
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

const message = (text: string) => (JSON.parse(text) as { message: string }).message;
const wanted = (template: string, instance: string) => ({
  template,
  instance,
  parameters: { TASK_ID: "7" },
});
const labelsOf = (name: string) =>
  [...harness.engine.containers.values()].find(({ inspect }) => inspect.Name.endsWith(name))
    ?.inspect.Config as { Labels: Record<string, string> } | undefined;

describe("T13: a client is its listener", () => {
  const claims = [
    "Authorization: Bearer admin-bridge",
    "Authorization: Basic YWRtaW4tYnJpZGdlOng=",
    "Proxy-Authorization: Bearer admin-bridge",
    "Cookie: client=admin-bridge",
    "X-Client: admin-bridge",
    "X-Berth-Client: admin-bridge",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-User: admin-bridge",
    "X-Real-IP: 127.0.0.1",
    "Forwarded: for=127.0.0.1;host=docker-socket-proxy",
    "From: admin-bridge",
    "User-Agent: admin-bridge",
    "X-Registry-Auth: eyJ1c2VybmFtZSI6ImFkbWluLWJyaWRnZSJ9",
    "X-Request-Id: 1",
    "Tailscale-User-Login: admin-bridge",
  ];
  it.each(claims)("T13: %j changes neither who asks nor what the Engine gets", async (claim) => {
    for (const client of ["egress-gateway", "secret-store", "alpha"]) {
      const bytes = `${head("GET /containers/berth-dev-lal/logs?stdout=1", claim)}\r\n`;
      const { answers } = await exchange(harness.socketOf(client), bytes);
      expect([answers[0]?.status, ruleOf(answers[0]?.body ?? "")]).toEqual([403, "grant"]);
      expect(harness.audit.at(-1)).toMatchObject({ client, decision: "deny", rule: "grant" });
    }
    const { answers } = await exchange(harness.socketOf("all"), `${head("GET /_ping", claim)}\r\n`);
    expect(answers[0]?.status).toBe(200);
    const sent = harness.engine.recorded.flatMap(({ headers }) => headers).join("\n");
    expect(sent).not.toContain("admin-bridge");
  });

  it.each([
    "http://admin-bridge/_ping",
    "//admin-bridge/_ping",
    "/_ping?client=admin-bridge",
    "/admin-bridge/_ping",
  ])("T13: neither does the target %j", async (target) => {
    const { answers } = await exchange(harness.socketOf("beta"), `${head(`GET ${target}`)}\r\n`);
    expect([400, 403]).toContain(answers[0]?.status);
    expect(harness.audit.at(-1)).toMatchObject({ client: "beta", decision: "deny" });
  });

  it("T13: a host that is another's name is a host like any other", async () => {
    const bytes = "GET /berth/metrics HTTP/1.1\r\nHost: admin-bridge\r\n\r\n";
    const { answers } = await exchange(harness.socketOf("beta"), bytes);
    expect([answers[0]?.status, ruleOf(answers[0]?.body ?? "")]).toEqual([403, "grant"]);
  });

  it("gate A5: an instance bears the name of the listener that it was asked for on, and no other can be asked for", async () => {
    for (const [label, value] of [
      [Label.client, "admin-bridge"],
      [Label.client, "beta"],
      [Label.agent, "data"],
      [Label.stack, "prod"],
      [Label.lease, "99999999999"],
      ["com.example", "x"],
    ] as const) {
      const body = {
        Labels: { [Label.template]: "lal.review", [label]: value },
        Image: review.image,
        Env: ["TASK_ID=7"],
      };
      const asked = say("POST /containers/create?name=x1", JSON.stringify(body), json);
      const { answers } = await exchange(harness.socketOf("alpha"), asked);
      expect([label, answers[0]?.status, ruleOf(answers[0]?.body ?? "")]).toEqual([
        label,
        403,
        "template-body",
      ]);
    }
    const claim = { ...wanted("lal.review", "x1"), client: "beta" };
    const refused = await harness.ask("/berth/instances", "POST", "alpha", claim);
    expect([refused.status, ruleOf(refused.text)]).toEqual([400, "template"]);
    const made = await harness.ask("/berth/instances", "POST", "alpha", wanted("lal.review", "x1"));
    expect(made.status).toBe(201);
    expect(labelsOf(".x1")?.Labels[Label.client]).toBe("alpha");
  });
});

describe("T13: what a client may is its own grant, to the verb and to the template", () => {
  const requests: Readonly<Record<Verb, readonly [string, string]>> = {
    ping: ["GET", "/_ping"],
    version: ["GET", "/version"],
    list: ["GET", "/containers/json"],
    inspect: ["GET", "/containers/berth-dev-lal/json"],
    create: ["POST", "/berth/instances"],
    start: ["POST", "/containers/berth-dev-lal/start"],
    stop: ["POST", "/containers/berth-dev-lal/stop"],
    kill: ["POST", "/containers/berth-dev-lal/kill"],
    wait: ["POST", "/containers/berth-dev-lal/wait"],
    logs: ["GET", "/containers/berth-dev-lal/logs?stdout=1"],
    stats: ["GET", "/containers/berth-dev-lal/stats?stream=0"],
    events: ["GET", "/events"],
    image: ["GET", "/images/x/json"],
    network: ["GET", "/networks/berth-dev-egress-net"],
    declarations: ["GET", "/berth/declarations"],
    alerts: ["GET", "/berth/alerts"],
    metrics: ["GET", "/berth/metrics"],
    audit: ["GET", "/berth/audit"],
  };

  it.each(verbs)(
    "T13: a client that is granted %s alone has that and nothing else",
    async (verb) => {
      const granted: string[] = [];
      for (const [asked, [method, target]] of Object.entries(requests)) {
        const before = upstream(harness).length;
        const { answers } = await exchange(
          harness.socketOf(`only-${verb}`),
          `${head(`${method} ${target}`)}\r\n`,
        );
        if (ruleOf(answers[0]?.body ?? "") !== "grant") granted.push(asked);
        else expect([answers[0]?.status, upstream(harness).length]).toEqual([403, before]);
      }
      expect(granted).toEqual([verb]);
    },
  );

  it("T13: a template of another's grant is no template, in the words for one that nobody declared", async () => {
    harness.engine.declare({
      ...declarationOf({ ...lal, name: "data" }),
    });
    await settled(harness);
    const ask = async (client: string, template: string) => {
      const body = wanted(template, "y1");
      const { status, text } = await harness.ask("/berth/instances", "POST", client, body);
      return [status, status === 201 ? "" : message(text).replace(/ \(request .*/, "")];
    };
    const none = (client: string) => [
      403,
      `berth: create denied: ${client} has no such template; templates are declared with their agent [template]`,
    ];
    expect(await ask("alpha", "lal.shell")).toEqual(none("alpha"));
    expect(await ask("alpha", "lal.none")).toEqual(none("alpha"));
    expect(await ask("alpha", "data.review")).toEqual(none("alpha"));
    expect(await ask("beta", "lal.review")).toEqual(none("beta"));
    expect(await ask("beta", "none.review")).toEqual(none("beta"));
    expect(await ask("alpha", "lal.review")).toEqual([201, ""]);
    expect(await ask("all", "lal.shell")).toEqual([201, ""]);
  });

  it("T13: what another made does not exist: absent and foreign in the same bytes, for every verb", async () => {
    await harness.ask("/berth/instances", "POST", "alpha", wanted("lal.review", "z1"));
    const name = "berth-dev-lal.review.z1";
    for (const [verb, [method, target]] of Object.entries(requests)) {
      if (!target.includes("berth-dev-lal")) continue;
      const ask = async (client: string, of: string) => {
        const answer = await harness.ask(target.replace("berth-dev-lal", of), method, client);
        return [verb, answer.status, answer.text];
      };
      // One has no template of the agent's, the other has every one.
      for (const stranger of ["beta", "all"]) {
        const foreign = await ask(stranger, name);
        expect(foreign).toEqual(await ask(stranger, "berth-dev-lal.review.no"));
        expect(foreign[1]).toBe(404);
      }
      if (verb === "inspect") expect((await ask("alpha", name))[1]).toBe(200);
    }
    const list = await harness.ask("/containers/json?all=1", "GET", "beta");
    expect(JSON.parse(list.text)).toEqual([]);
  });
});
