import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { agentContainer } from "../../../spec/container.ts";
import type { Template } from "../../../spec/declaration.ts";
import {
  creatingGrants,
  declared,
  idOf,
  messageOf,
  mutationsOf,
  otherClient,
  refusalOf,
  removedOf,
} from "./creating.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { type Host, type Rig, startHost, startRig } from "./rig.ts";
import { review } from "./templates.ts";

let host: Host;
let rig: Rig;
/** An instance that was made before each test. */
let id: string;
const name = "berth-dev-lal.review.x1";
const wanted = { template: "lal.review", instance: "x1", parameters: { TASK_ID: "7" } };

beforeEach(async () => {
  host = await startHost();
  const declaration = declarationOf(declared);
  host.engine.declare(declaration, { name: "declaration" });
  host.engine.make(agentContainer(declaration), "a".repeat(64));
  rig = await startRig(host, { grants: creatingGrants() });
  await eventually(
    () => rig.parts.events.stands && rig.parts.fleet.find("berth-dev-lal") !== undefined,
  );
  id = idOf(await rig.ask("/berth/instances", "POST", wanted));
  await eventually(() => rig.parts.fleet.find(id) !== undefined);
  host.engine.recorded.length = 0;
});
afterEach(async () => {
  await rig.stop();
  const outside = outsideLanguage(host.engine.recorded);
  await host.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
});

const post = (verb: string, named = name, client?: string) =>
  rig.ask(`/containers/${named}/${verb}`, "POST", undefined, client);
const show = async (named = name, client?: string) => {
  const answer = await rig.ask(`/containers/${named}/json`, "GET", undefined, client);
  return { status: answer.status, shown: JSON.parse(answer.text) as Shown };
};
interface Shown {
  readonly Id: string;
  readonly State: { readonly Status: string; readonly ExitCode: number };
  readonly Berth?: { readonly lease: string; readonly exitCode: number; readonly lastLog: string };
}
const inspect = () => {
  const container = host.engine.containers.get(id);
  if (!container) throw new Error("gone");
  return container.inspect as unknown as {
    HostConfig: Record<string, unknown>;
    Config: { Labels: Record<string, string>; Env: string[] };
    State: Record<string, unknown>;
  };
};
const startsOf = () => mutationsOf(host.engine).filter((asked) => asked.endsWith("/start"));
const abort = async (of = id) => {
  const own = rig.parts.fleet.find(of);
  if (!own) throw new Error("not known");
  await rig.parts.leases.abort(own);
};
/** Declares template `review` anew, with changes. */
const redeclare = (changes: Partial<Template> | undefined) => {
  const { review: _, ...others } = declared.templates ?? {};
  const templates = changes ? { ...others, review: { ...review, ...changes } } : others;
  host.engine.declare(declarationOf({ ...declared, templates }), {
    name: "declaration-2",
    created: "2027-01-01T00:00:00Z",
  });
};

describe("start of an instance", () => {
  it("A11: by name and by id, compared first, and again: 304", async () => {
    expect((await post("start")).status).toBe(204);
    expect((await post("start", id)).status).toBe(304);
    expect((await show()).shown.State.Status).toBe("running");
    const looks = host.engine.asked();
    const first = looks.findIndex((asked) => asked.endsWith("/start"));
    for (const needed of ["/images/", "/volumes/", `/containers/${id}/json`]) {
      expect(looks.slice(0, first).some((asked) => asked.includes(needed))).toBe(true);
    }
  });

  it("A11: what differs from its template and its labels is not started, and people are told", async () => {
    const spoils: [string, () => void][] = [
      ["HostConfig.Privileged", () => Object.assign(inspect().HostConfig, { Privileged: true })],
      ["Config.Env", () => inspect().Config.Env.push("LD_PRELOAD=/x")],
      ["Config.Env", () => inspect().Config.Env.splice(0, 1, "TASK_ID=8")],
      ["HostConfig.Memory", () => Object.assign(inspect().HostConfig, { Memory: 2 ** 40 })],
      ["Config.Labels", () => Object.assign(inspect().Config.Labels, { "berth.config": "0" })],
      ["Config.Labels", () => Object.assign(inspect().Config.Labels, { "berth.parameters": "{}" })],
      ["Config.Labels", () => Object.assign(inspect().Config.Labels, { "berth.parameters": "[" })],
      [
        "Config.Labels",
        () => Object.assign(inspect().Config.Labels, { "berth.parameters": '{"PATH":"/x"}' }),
      ],
      ["Config.Labels", () => Object.assign(inspect().Config.Labels, { "com.example": "x" })],
    ];
    for (const [field, spoil] of spoils) {
      const before = structuredClone(inspect());
      spoil();
      const answer = await post("start");
      expect([field, ...refusalOf(answer)]).toEqual([field, 403, "verify"]);
      expect(rig.audit.at(-1)).toMatchObject({ phase: "alert", fields: [field] });
      Object.assign(inspect(), before);
    }
    expect(startsOf()).toEqual([]);
    const told: string[] = [];
    rig.parts.alerts.subscribe(({ kind }) => told.push(kind));
    expect(told).toEqual(Array(spoils.length).fill("mismatch"));
    expect((await post("start")).status).toBe(204);
  });

  it("of a template that changed since: not started, with the sentence why; and it can still be stopped and read", async () => {
    expect((await post("start")).status).toBe(204);
    redeclare({ env: { LOG_LEVEL: "debug" } });
    for (const asked of [
      () => rig.ask(`/containers/${name}/logs?stdout=1`),
      () => rig.ask(`/containers/${name}/stats?stream=0`),
      () => post("stop"),
    ]) {
      expect([200, 204]).toContain((await asked()).status);
    }
    const alerts = rig.audit.filter(({ phase }) => phase === "alert");
    expect(alerts).toEqual([]);
    const other = await rig.ask("/berth/instances", "POST", { ...wanted, instance: "x2" });
    idOf(other);
    redeclare({ env: { LOG_LEVEL: "trace" } });
    const answer = await post("start", "berth-dev-lal.review.x2");
    expect(refusalOf(answer)).toEqual([403, "verify"]);
    expect(messageOf(answer)).toContain("template lal.review is another one now");
  });

  it("of a template that is gone: nothing but a look, until its lease has ended a moment later", async () => {
    redeclare(undefined);
    const answers = await Promise.all([post("start"), post("stop"), post("kill"), post("wait")]);
    for (const answer of answers) expect([403, 404]).toContain(answer.status);
    expect(startsOf()).toEqual([]);
    await eventually(() => removedOf(host.engine).includes(id));
  });

  it("A23: an instance runs once: after its exit it is not started again", async () => {
    await post("start");
    host.engine.exit(id, 0);
    expect(refusalOf(await post("start"))).toEqual([409, "ended"]);
    await eventually(() => rig.parts.fleet.find(id)?.entry.State === "exited");
    expect(refusalOf(await post("start", id))).toEqual([409, "ended"]);
    expect(startsOf()).toHaveLength(1);
    for (const Status of ["paused", "restarting", "dead", "removing", ""]) {
      Object.assign(inspect().State, { Status });
      expect(refusalOf(await post("start"))).toEqual([409, "ended"]);
    }
  });

  it("A23: two starts at the same time of one that ends at once: it has run once", async () => {
    host.engine.intercept = ({ path }, response) => {
      if (!path.endsWith("/start")) return false;
      Object.assign(inspect().State, { Status: "exited", Running: false });
      response.writeHead(204).end();
      return true;
    };
    const answers = await Promise.all([post("start"), post("start", id), post("start")]);
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 304, 304]);
    expect(startsOf()).toHaveLength(1);
  });

  it("a start that the Engine refused can be tried again", async () => {
    let failures = 0;
    host.engine.intercept = ({ path }, response) => {
      if (!path.endsWith("/start") || failures > 0) return false;
      failures += 1;
      response.writeHead(500).end("{}");
      return true;
    };
    expect(refusalOf(await post("start"))).toEqual([500, "engine-refused"]);
    expect((await post("start")).status).toBe(204);
  });

  it("a lease that ends while its container is compared: it is not started any more", async () => {
    host.engine.intercept = ({ path }) => {
      if (path.includes("/volumes/")) {
        host.engine.intercept = undefined;
        void abort();
      }
      return false;
    };
    expect(refusalOf(await post("start"))).toEqual([409, "ended"]);
    expect(startsOf()).toEqual([]);
  });

  it("A24: no record, no start, no stop, no kill; a look at it is answered", async () => {
    rig.sink.fails = true;
    for (const verb of ["start", "stop", "kill"]) {
      expect(refusalOf(await post(verb))).toEqual([503, "audit"]);
    }
    expect(mutationsOf(host.engine)).toEqual([]);
    expect((await show()).status).toBe(200);
  });
});

describe("stop, kill, wait, logs and stats of an instance", () => {
  it("stop: with its template's grace, or the client's", async () => {
    await post("start");
    expect((await post("stop")).status).toBe(204);
    expect((await post("stop?t=3")).status).toBe(304);
    expect(mutationsOf(host.engine).slice(1)).toEqual([
      `POST /v1.41/containers/${id}/stop?t=30`,
      `POST /v1.41/containers/${id}/stop?t=3`,
    ]);
    expect((await show()).shown.State.ExitCode).toBe(143);
  });

  it("kill: only where it is granted", async () => {
    await post("start");
    expect((await post("kill?signal=TERM")).status).toBe(204);
    expect(mutationsOf(host.engine).at(-1)).toBe(
      `POST /v1.41/containers/${id}/kill?signal=SIGTERM`,
    );
    await rig.stop();
    const { verbs = [] } = rig.parts.grants.clients["admin-bridge"] ?? {};
    const others = verbs.filter((verb) => verb !== "kill");
    rig = await startRig(host, { grants: creatingGrants({ verbs: others }) });
    expect(refusalOf(await post("kill"))).toEqual([403, "grant"]);
  });

  it("wait: answers with the exit code when it has ended", async () => {
    await post("start");
    const waiting = post("wait");
    await eventually(() => host.engine.asked().some((asked) => asked.endsWith("/wait")));
    host.engine.exit(id, 42);
    expect(JSON.parse((await waiting).text)).toEqual({ StatusCode: 42, Error: null });
  });

  it("logs and stats: as of any agent", async () => {
    host.engine.logs.set(id, "a line\n");
    await post("start");
    expect((await rig.ask(`/containers/${name}/logs?stdout=1`)).text).toContain("a line\n");
    const stats = JSON.parse((await rig.ask(`/containers/${id}/stats?stream=0`)).text) as object;
    expect(stats).toMatchObject({ id, name: `/${name}`, pids_stats: { current: 3 } });
  });

  it("is never removed, renamed, joined or executed in for a client", async () => {
    const asked: [string, string][] = [
      ["DELETE", `/containers/${name}`],
      ["DELETE", `/containers/${id}?force=1`],
      ["POST", `/containers/${id}/exec`],
      ["POST", `/containers/${id}/attach`],
      ["POST", `/containers/${id}/update`],
      ["POST", `/containers/${id}/rename?name=x`],
      ["POST", `/containers/${id}/restart`],
      ["DELETE", "/berth/instances/x1"],
    ];
    for (const [method, path] of asked) {
      expect([path, (await rig.ask(path, method)).status]).toEqual([path, 403]);
    }
    expect(mutationsOf(host.engine)).toEqual([]);
  });
});

describe("T7: another client's instance", () => {
  it("T7: is not there: the same answer for each verb as for one that never was", async () => {
    const bytes = async (path: string, method: string) => {
      const answer = await rig.ask(path, method, undefined, otherClient);
      return [answer.status, answer.text];
    };
    for (const [method, verb] of [
      ["GET", "json"],
      ["POST", "start"],
      ["POST", "stop"],
      ["POST", "kill"],
      ["POST", "wait"],
      ["GET", "logs?stdout=1"],
      ["GET", "stats?stream=0"],
    ] as const) {
      const never = await bytes(`/containers/berth-dev-lal.review.x9/${verb}`, method);
      expect(never[0]).toBe(404);
      for (const named of [name, id]) {
        expect(await bytes(`/containers/${named}/${verb}`, method)).toEqual(never);
      }
    }
    const list = await rig.ask("/containers/json?all=1", "GET", undefined, otherClient);
    expect(list.text).not.toContain("lal.review.x1");
    expect(list.text).toContain("berth-dev-lal");
    expect(mutationsOf(host.engine)).toEqual([]);
  });

  it("T7: nor after its end", async () => {
    await abort();
    expect((await show(name)).status).toBe(200);
    expect((await show(id)).status).toBe(200);
    const never = await show("berth-dev-lal.review.x9", otherClient);
    expect([await show(name, otherClient), await show(id, otherClient)]).toEqual([never, never]);
  });

  it("T7: its events are its client's alone", async () => {
    const events: Record<string, string> = {};
    const { createListener } = await import("../../../services/socket-proxy/transport.ts");
    const { createHandlers } = await import("../../../services/socket-proxy/proxy.ts");
    const { ClientLimits } = await import("../../../services/socket-proxy/limits.ts");
    const { grants } = rig.parts;
    const servers: http.Server[] = [];
    for (const client of ["admin-bridge", otherClient]) {
      const quotas = grants.clients[client]?.quotas;
      if (!quotas) throw new Error("no quotas");
      const limits = new ClientLimits(quotas, grants.suspension);
      const server = createListener(
        client,
        createHandlers(rig.parts, () => limits),
      );
      const socketPath = `${host.directory}/events-${client}.sock`;
      await new Promise<void>((resolve) => server.listen(socketPath, resolve));
      servers.push(server);
      await new Promise<void>((resolve) => {
        http.get({ socketPath, path: "/events", headers: { host: "x" } }, (answer) => {
          answer.on("data", (part: Buffer) => {
            events[client] = (events[client] ?? "") + part.toString();
          });
          answer.on("error", () => undefined);
          resolve();
        });
      });
    }
    await post("start");
    // What both may see comes behind it on the same stream.
    const labels = { "berth.stack": "dev", "berth.component": "agent", "berth.agent": "lal" };
    host.engine.emit({
      Type: "container",
      Action: "start",
      Actor: { ID: "a".repeat(64), Attributes: { ...labels, name: "berth-dev-lal" } },
    });
    await eventually(() =>
      ["admin-bridge", otherClient].every((client) => events[client]?.includes("a".repeat(64))),
    );
    expect(events["admin-bridge"]).toContain(id);
    expect(events[otherClient]).not.toContain(id);
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  });
});

describe("after its end", () => {
  it("C11: inspect by name and by id says how it ended; all else is not there", async () => {
    await post("start");
    host.engine.logs.set(id, "last words\n");
    await eventually(() => rig.parts.fleet.find(id)?.entry.State === "running");
    await abort();
    for (const named of [name, id]) {
      const { status, shown } = await show(named);
      expect([status, shown]).toMatchObject([
        200,
        {
          Id: id,
          State: { Status: "exited", ExitCode: 143 },
          Berth: { lease: "aborted", exitCode: 143, lastLog: "last words\n" },
        },
      ]);
    }
    for (const verb of ["start", "stop", "kill", "wait"]) {
      expect(refusalOf(await post(verb))).toEqual([404, "not-found"]);
    }
    expect((await rig.ask("/containers/json?all=1")).text).not.toContain("lal.review.x1");
  });

  it("C11: a name that is used again means what is there now; the old id what was", async () => {
    await abort();
    const again = idOf(await rig.ask("/berth/instances", "POST", wanted));
    expect(again).not.toBe(id);
    const { shown } = await show(name);
    expect([shown.Id, shown.State.Status, shown.Berth]).toEqual([again, "created", undefined]);
    expect((await show(id)).shown).toMatchObject({ Id: id, Berth: { lease: "aborted" } });
    await eventually(() => rig.parts.fleet.find(again) !== undefined);
    await abort(again);
    expect((await show(name)).shown.Id).toBe(again);
    expect((await show(id)).shown.Id).toBe(id);
  });
});
