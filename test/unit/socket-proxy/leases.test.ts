import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { createAudit } from "../../../services/socket-proxy/audit.ts";
import { Declarations } from "../../../services/socket-proxy/declarations.ts";
import { Engine } from "../../../services/socket-proxy/engine.ts";
import { Fleet } from "../../../services/socket-proxy/fleet.ts";
import {
  EndedInstances,
  logText,
  showEnded,
} from "../../../services/socket-proxy/instances/ended.ts";
import { Leases } from "../../../services/socket-proxy/instances/leases.ts";
import { agentContainer } from "../../../spec/container.ts";
import { instanceContainer } from "../../../spec/instance.ts";
import { Label } from "../../../spec/names.ts";
import { declared, mutationsOf, removedOf, templateOf, turnsUntil } from "./creating.ts";
import { type DoubleContainer, declarationOf } from "./engine-double.ts";
import { outsideLanguage } from "./language.ts";
import { type Host, startHost } from "./rig.ts";

/** Clocks of the tests, in ms: one that never goes back, and the wall's. */
let now = 0;
let wall = 0;
const started = 1_800_000_000_000;

let host: Host;
let running: Run[];
beforeEach(async () => {
  now = 5_000;
  wall = started;
  running = [];
  host = await startHost();
  host.engine.declare(declarationOf(declared), { name: "declaration" });
  // The pause between two looks is a timer that the tests turn.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(async () => {
  for (const run of running) await run.stop();
  vi.useRealTimers();
  const outside = outsideLanguage(host.engine.recorded);
  await host.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
});

interface Run {
  readonly leases: Leases;
  readonly fleet: Fleet;
  readonly declarations: Declarations;
  readonly ended: EndedInstances;
  readonly audit: Record<string, unknown>[];
  readonly logged: string[];
  readonly ends: [string, string][];
  stop(): Promise<void>;
}

/** Leases as one run of the proxy has them; what there is, is known. */
async function startRun(): Promise<Run> {
  const audit: Record<string, unknown>[] = [];
  const logged: string[] = [];
  const ends: [string, string][] = [];
  const log = createLog("test", (line) => logged.push(line));
  const engine = new Engine(host.socketPath, log);
  const fleet = new Fleet({ engine, stack: "dev", log });
  const declarations = new Declarations({ engine, stack: "dev", log });
  const ended = new EndedInstances(() => now);
  const leases = new Leases({
    engine,
    fleet,
    declarations,
    ended,
    audit: createAudit((line) => audit.push(JSON.parse(line) as Record<string, unknown>)),
    log,
    onEnd: ({ name }, end) => ends.push([name, end]),
    now: () => now,
    wallClock: () => wall,
  });
  const ending = new AbortController();
  const done = leases.follow(ending.signal);
  let isStopped = false;
  const run: Run = {
    leases,
    fleet,
    declarations,
    ended,
    audit,
    logged,
    ends,
    async stop() {
      if (isStopped) return;
      isStopped = true;
      ending.abort();
      await done;
    },
  };
  running.push(run);
  await look(run);
  return run;
}

/** Lets a run see what there is now. */
async function look({ fleet, declarations, leases }: Run): Promise<void> {
  await declarations.refresh();
  await fleet.refresh();
  await turnsUntil(() => {
    try {
      leases.living();
      return true;
    } catch {
      return false;
    }
  });
}

/** Time goes by, for both clocks, and the leases are looked at. */
async function pass(seconds: number): Promise<void> {
  now += seconds * 1000;
  wall += seconds * 1000;
  await vi.advanceTimersByTimeAsync(1_000);
}

let ids = 0;
/** A container of a template at the Engine, as the proxy makes it, with a lease of so many seconds from now. */
function made(
  options: {
    readonly name?: string;
    readonly template?: string;
    readonly seconds?: number;
    readonly client?: string;
    readonly state?: "created" | "running" | "exited";
  } = {},
): DoubleContainer {
  const { name = `x${++ids}`, template = "review", seconds = 300, state = "running" } = options;
  const spec = instanceContainer(templateOf(template), {
    name,
    client: options.client ?? "admin-bridge",
    parameters: template === "review" ? { TASK_ID: "7" } : {},
    leaseEnds: Math.floor(wall / 1000) + seconds,
  });
  const id = (++ids).toString(16).padStart(64, "0");
  const container = host.engine.make(spec, id);
  Object.assign(container.inspect.State as object, { Status: state, Running: state === "running" });
  return container;
}
const removed = (container: DoubleContainer) =>
  removedOf(host.engine).includes(container.inspect.Id);
const stopsOf = ({ inspect }: DoubleContainer) =>
  mutationsOf(host.engine).filter((asked) => asked.includes(`${inspect.Id}/stop`));
const nameOf = ({ inspect }: DoubleContainer) => inspect.Name.slice(1);

describe("a lease's time", () => {
  it("ends it: stopped with its grace, then removed, and the record says why", async () => {
    const container = made({ seconds: 300 });
    const run = await startRun();
    await pass(299);
    expect(mutationsOf(host.engine)).toEqual([]);
    await pass(1);
    await turnsUntil(() => removed(container));
    const { Id } = container.inspect;
    expect(mutationsOf(host.engine)).toEqual([
      `POST /v1.41/containers/${Id}/stop?t=30`,
      `DELETE /v1.41/containers/${Id}?force=1&v=1`,
    ]);
    await turnsUntil(() => run.leases.count === 0);
    expect(run.ends).toEqual([[nameOf(container), "timeout"]]);
    expect(run.audit).toMatchObject([
      { phase: "lease", verb: "remove", rule: "timeout", object: nameOf(container), id: Id },
      { phase: "result", verb: "remove", exitCode: 143, oomKilled: false },
    ]);
    await pass(60);
    expect(run.ends).toHaveLength(1);
  });

  it("is counted on the clock that never goes back: jumps of the wall's clock change nothing", async () => {
    const container = made({ seconds: 300 });
    const run = await startRun();
    for (const jump of [86_400_000, -2 * 86_400_000, 86_400_000 * 3650]) {
      wall += jump;
      await look(run);
      await pass(10);
    }
    expect(mutationsOf(host.engine)).toEqual([]);
    wall = 0;
    await pass(270);
    await turnsUntil(() => removed(container));
  });

  it("that is over when the proxy starts ends at once, and none ends early", async () => {
    const over = made({ seconds: -5 });
    const stands = made({ seconds: 5 });
    await startRun();
    await pass(1);
    await turnsUntil(() => removed(over));
    expect(removed(stands)).toBe(false);
  });

  it("C11: goes on over a restart of the proxy: the labels say how long", async () => {
    const container = made({ seconds: 300 });
    const first = await startRun();
    await pass(200);
    await first.stop();
    expect(mutationsOf(host.engine)).toEqual([]);
    // Another process: its clock begins anew.
    now = 1;
    const second = await startRun();
    expect(second.leases.living()).toEqual([
      {
        name: nameOf(container),
        client: "admin-bridge",
        template: "lal.review",
        memoryBytes: 2 * 1024 ** 3,
        nanoCpus: 2e9,
        pids: expect.any(Number),
      },
    ]);
    await pass(99);
    expect(mutationsOf(host.engine)).toEqual([]);
    await pass(1);
    await turnsUntil(() => removed(container));
  });
});

describe("other ends of a lease", () => {
  it("an instance that is not started within a minute is removed without a stop", async () => {
    const container = made({ state: "created" });
    const run = await startRun();
    await pass(59);
    expect(mutationsOf(host.engine)).toEqual([]);
    await pass(1);
    await turnsUntil(() => removed(container));
    expect(stopsOf(container)).toEqual([]);
    await turnsUntil(() => run.ends.length === 1);
    expect(run.ends[0]?.[1]).toBe("unstarted");
  });

  it("one that was started in time has its whole lease", async () => {
    const container = made({ state: "created" });
    const run = await startRun();
    await pass(59);
    Object.assign(container.inspect.State as object, { Status: "running", Running: true });
    await look(run);
    await pass(100);
    expect(mutationsOf(host.engine)).toEqual([]);
  });

  it("one that has exited stays ten minutes for its logs, or until its lease ends", async () => {
    const long = made({ seconds: 3_600 });
    const short = made({ seconds: 300 });
    const run = await startRun();
    await pass(60);
    host.engine.exit(long.inspect.Id, 3);
    host.engine.exit(short.inspect.Id, 0);
    await look(run);
    await pass(240);
    await turnsUntil(() => removed(short));
    expect(removed(long)).toBe(false);
    await pass(359);
    await look(run);
    expect(removed(long)).toBe(false);
    await pass(1);
    await turnsUntil(() => run.ends.length === 2);
    expect(run.ends).toEqual([
      [nameOf(short), "timeout"],
      [nameOf(long), "exited"],
    ]);
    expect([stopsOf(long), stopsOf(short)]).toEqual([[], []]);
  });

  it("A23: with its declaration, at once, with a short grace", async () => {
    const container = made();
    const run = await startRun();
    host.engine.volumes.delete("declaration");
    await run.declarations.refresh();
    await turnsUntil(() => removed(container));
    expect(stopsOf(container)).toEqual([`POST /v1.41/containers/${container.inspect.Id}/stop?t=5`]);
    await turnsUntil(() => run.ends.length === 1);
    expect(run.ends[0]?.[1]).toBe("declaration");
  });

  it("A23: with its template, which other templates' instances outlive", async () => {
    const container = made({ template: "review" });
    const other = made({ template: "box" });
    const own = made({ template: "agent" });
    const run = await startRun();
    const { review: _, ...rest } = declared.templates ?? {};
    host.engine.declare(declarationOf({ ...declared, templates: rest }), {
      name: "declaration-2",
      created: "2027-01-01T00:00:00Z",
    });
    await run.declarations.refresh();
    await turnsUntil(() => removed(container));
    expect([removed(other), removed(own)]).toEqual([false, false]);
  });

  it("of a template that only changed stays until its own end", async () => {
    const container = made();
    const run = await startRun();
    const templates = { ...declared.templates };
    templates.review = { ...templates.review, env: { LOG_LEVEL: "debug" } } as never;
    host.engine.declare(declarationOf({ ...declared, templates }), {
      name: "declaration-2",
      created: "2027-01-01T00:00:00Z",
    });
    await run.declarations.refresh();
    await pass(299);
    expect(removed(container)).toBe(false);
    await pass(1);
    await turnsUntil(() => removed(container));
  });

  it.each([
    ["an answer that is a refusal", 500, "{}"],
    ["an answer without a list", 200, "{}"],
    ["an empty answer", 200, ""],
  ])(
    "while the declarations are not known no lease ends for want of one: %s",
    async (_, status, text) => {
      const container = made();
      host.engine.intercept = ({ path }, response) => {
        if (!path.startsWith("/v1.41/volumes?")) return false;
        response.writeHead(status).end(text);
        return true;
      };
      await expect(startRun()).rejects.toThrow("Engine");
      const [run] = running;
      await run?.fleet.refresh();
      await turnsUntil(() => run?.leases.count === 1);
      await pass(10);
      expect(run?.audit).toEqual([]);
      // Known once, they stay what they were.
      host.engine.intercept = undefined;
      await run?.declarations.refresh();
      host.engine.intercept = ({ path }, response) => {
        if (!path.startsWith("/v1.41/volumes?")) return false;
        response.writeHead(status).end(text);
        return true;
      };
      await expect(run?.declarations.refresh()).rejects.toThrow("Engine");
      await pass(10);
      expect([run?.audit, removed(container)]).toEqual([[], false]);
    },
  );

  it("a container that somebody else removed is forgotten; one that is being removed is as good as gone", async () => {
    const gone = made();
    const going = made({ seconds: 20 });
    const run = await startRun();
    host.engine.containers.delete(gone.inspect.Id);
    await look(run);
    expect(run.leases.count).toBe(1);
    host.engine.intercept = ({ method }, response) => {
      if (method !== "DELETE") return false;
      response.writeHead(409, { "content-type": "application/json" });
      response.end('{"message":"removal of container is already in progress"}');
      return true;
    };
    await pass(20);
    await turnsUntil(() => run.leases.count === 0);
    expect(run.ends).toEqual([[nameOf(going), "timeout"]]);
  });
});

describe("an Engine that fails while a lease ends", () => {
  it.each([
    ["the stop", /\/stop/],
    ["the look at it", /\/[0-9a-f]{64}\/json$/],
    ["the removal", /force=1/],
  ])("%s: tried again after five seconds, until it is gone", async (_, pattern) => {
    const container = made({ seconds: 60 });
    const run = await startRun();
    let failures = 0;
    host.engine.intercept = ({ path }, response) => {
      if (!pattern.test(path) || failures >= 3) return false;
      failures += 1;
      response.writeHead(500).end("{}");
      return true;
    };
    await pass(60);
    for (let again = 1; again <= 3; again++) {
      await turnsUntil(() => failures === again && run.logged.length >= again);
      await turnsUntil(
        () => run.logged.filter((line) => line.includes("lease-end-failed")).length === again,
      );
      // Not before the pause is over.
      await pass(4);
      expect(run.audit.filter(({ phase }) => phase === "lease")).toHaveLength(1);
      await pass(1);
    }
    await turnsUntil(() => run.leases.count === 0);
    expect(removed(container)).toBe(true);
    expect(run.ends).toEqual([[nameOf(container), "timeout"]]);
  });

  it("its last words cannot be read: it is removed all the same, and shown without them", async () => {
    const container = made({ seconds: 60 });
    const run = await startRun();
    host.engine.intercept = ({ path }, response) => {
      if (!path.includes("/logs?")) return false;
      response.writeHead(500).end("{}");
      return true;
    };
    await pass(60);
    await turnsUntil(() => run.leases.count === 0);
    expect(run.ended.find(nameOf(container), "admin-bridge")).toMatchObject({ lastLog: "" });
  });

  it("a lease whose end has begun does not stand any more, whatever comes of it", async () => {
    const container = made();
    const run = await startRun();
    const own = run.fleet.find(nameOf(container));
    if (!own) throw new Error("not known");
    expect(run.leases.stands(own)).toBe(true);
    host.engine.intercept = ({ path }, response) => {
      if (!/\/stop|force=1/.test(path)) return false;
      response.writeHead(500).end("{}");
      return true;
    };
    await expect(run.leases.abort(own)).rejects.toThrow("refused");
    expect(run.leases.stands(own)).toBe(false);
    host.engine.intercept = undefined;
    await pass(5);
    await turnsUntil(() => removed(container));
    await turnsUntil(() => run.ends.length === 1);
    expect(run.ends).toEqual([[nameOf(container), "aborted"]]);
  });

  it("A22: an instance that cannot be looked at after a restart keeps all creates waiting, and is asked for again each second", async () => {
    const container = made();
    let failures = 0;
    host.engine.intercept = ({ path }, response) => {
      if (!path.endsWith(`${container.inspect.Id}/json`) || failures >= 2) return false;
      failures += 1;
      response.writeHead(500).end("{}");
      return true;
    };
    const starting = startRun();
    await turnsUntil(() => failures === 1);
    const run = running[0] as Run;
    await turnsUntil(() => run.logged.some((line) => line.includes("instances-unread")));
    expect(() => run.leases.living()).toThrow("not known yet");
    await pass(1);
    await turnsUntil(() => failures === 2);
    await turnsUntil(
      () => run.logged.filter((line) => line.includes("instances-unread")).length === 2,
    );
    expect(() => run.leases.living()).toThrow("not known yet");
    await pass(1);
    await starting;
    expect(run.leases.living()).toHaveLength(1);
  });
});

describe("what is kept of an instance", () => {
  it("exit code, end by memory and last words, by name and by id, for its own client only", async () => {
    const container = made({ seconds: 60, client: "bridge-one" });
    const { Id } = container.inspect;
    Object.assign(container.inspect.State as object, { OOMKilled: true });
    host.engine.logs.set(Id, "first\nlast\u001b[31m words\u0007\n");
    const run = await startRun();
    await pass(60);
    await turnsUntil(() => run.leases.count === 0);
    const byName = run.ended.find(nameOf(container), "bridge-one");
    expect(run.ended.find(Id, "bridge-one")).toBe(byName);
    for (const client of ["admin-bridge", "bridge-on", ""]) {
      expect([run.ended.find(Id, client), run.ended.find(nameOf(container), client)]).toEqual([
        undefined,
        undefined,
      ]);
    }
    if (!byName) throw new Error("nothing kept");
    expect(showEnded(byName)).toMatchObject({
      Id,
      Name: `/${nameOf(container)}`,
      State: { Status: "exited", Running: false, ExitCode: 143, OOMKilled: true, Pid: 0 },
      Berth: {
        lease: "timeout",
        exitCode: 143,
        oomKilled: true,
        lastLog: "first\nlast[31m words\n",
        finishedAt: expect.stringMatching(/^20/),
      },
    });
    // Of what the Engine says nothing more than a look at it while it was there.
    expect(JSON.stringify(showEnded(byName))).not.toMatch(/TASK_ID|worker\.mjs|docker\/x\.log/);
  });

  it("the last hundred lines are asked for, and the last 16,384 characters are kept", async () => {
    const container = made({ seconds: 60 });
    host.engine.logs.set(container.inspect.Id, `${"x".repeat(20_000)}end`);
    const run = await startRun();
    await pass(60);
    await turnsUntil(() => run.leases.count === 0);
    const asked = host.engine.recorded.find(({ path }) => path.includes("/logs?"))?.path;
    expect(asked).toMatch(/follow=0&stdout=1&stderr=1&timestamps=0&tail=100$/);
    const lastLog = run.ended.find(nameOf(container), "admin-bridge")?.lastLog ?? "";
    expect([lastLog.length, lastLog.endsWith("xend")]).toEqual([16_384, true]);
  });

  it("broken frames of a log give what can be read of them", () => {
    const frame = (text: string, length = text.length) => {
      const header = Buffer.alloc(8);
      header.writeUInt32BE(length, 4);
      return Buffer.concat([header, Buffer.from(text)]);
    };
    expect(logText(Buffer.concat([frame("a\n"), frame("b")]))).toBe("a\nb");
    expect(logText(Buffer.concat([frame("a"), frame("bc", 99)]))).toBe("abc");
    expect(logText(frame("a").subarray(0, 5))).toBe("");
    expect(logText(Buffer.alloc(0))).toBe("");
  });

  it("for an hour, and the newest 256; a name used again means the newest, an id its own", () => {
    let at = 0;
    const ended = new EndedInstances(() => at);
    const one = (id: string, name: string) => ({
      id,
      name,
      client: "c",
      shown: {},
      end: "exited" as const,
      lastLog: id,
    });
    ended.add(one("1", "same"));
    ended.add(one("2", "same"));
    expect(["1", "2", "same"].map((key) => ended.find(key, "c")?.lastLog)).toEqual(["1", "2", "2"]);
    at = 3_600_000 - 1;
    expect(ended.find("1", "c")).toBeDefined();
    at += 1;
    expect([ended.find("1", "c"), ended.find("same", "c")]).toEqual([undefined, undefined]);
    for (let i = 0; i < 300; i++) ended.add(one(`n${i}`, `name${i}`));
    expect([ended.find("n43", "c"), ended.find("n44", "c")?.lastLog]).toEqual([undefined, "n44"]);
    // One client's use of a name does not hide what another's was.
    ended.add({ ...one("x", "shared"), client: "a" });
    ended.add({ ...one("y", "shared"), client: "b" });
    expect(ended.find("shared", "a")?.id).toBe("x");
  });
});

describe("the proxy's own end", () => {
  it("C11: ends the leases whose declarations are gone, and waits for it; the others stay for the next run", async () => {
    const going = made();
    host.engine.declare(declarationOf({ ...declared, name: "kim" }), { name: "kim" });
    const kim = templateOf("box", declarationOf({ ...declared, name: "kim" }));
    const instance = { name: "y", client: "c", parameters: {}, leaseEnds: wall / 1000 + 300 };
    const staying = host.engine.make(instanceContainer(kim, instance), "e".repeat(64));
    Object.assign(staying.inspect.State as object, { Status: "running", Running: true });
    const run = await startRun();
    // As at the end of a stack: nobody has looked since.
    host.engine.volumes.delete("declaration");
    await run.stop();
    expect(removedOf(host.engine)).toEqual([going.inspect.Id]);
    expect(run.leases.count).toBe(1);
  });

  it("with the Engine away it ends all the same", async () => {
    const container = made();
    const run = await startRun();
    host.engine.intercept = (_, response) => {
      response.writeHead(500).end("{}");
      return true;
    };
    await run.stop();
    expect(removed(container)).toBe(false);
    expect(run.logged.join()).toContain("leases-unread");
  });
});

/** Labels as the proxy writes them, and ways in which they are not quite. */
const rightLabels = {
  "berth.stack": "dev",
  "berth.component": "worker",
  "berth.agent": "lal",
  "berth.template": "lal.review",
  "berth.instance": "x1",
  "berth.client": "admin-bridge",
  "berth.lease": "1800000000",
};
const labelValue = fc.constantFrom(
  ...["dev", "prod", "worker", "sandbox", "agent", "postgres", "docker-socket-proxy", "workspace"],
  ...["lal", "kim", "lal.review", "kim.review", "lal.agent", "lal.review.x1", "lal.", ".review"],
  ...["x1", "X1", "-x", "admin-bridge", "Admin", "", "1800000000", "0", "-1", "1e9", " 1", "x"],
);
const containers = fc.array(
  fc.record({
    labels: fc
      .tuple(
        fc.constantFrom(...Object.keys(rightLabels)),
        labelValue,
        fc.constantFrom(0, 1, 2),
        fc.constantFrom(...Object.keys(rightLabels)),
      )
      .map(([key, value, how, other]) => {
        const labels: Record<string, string> = { ...rightLabels };
        if (how > 0) labels[key] = value;
        if (how > 1) delete labels[other];
        return labels;
      }),
    name: fc.oneof(
      { weight: 5, arbitrary: fc.constant(undefined) },
      fc.constantFrom(
        ...["/berth-dev-lal.review.x1", "/berth-dev-lal", "/berth-dev-postgres", "/berth-prod-x"],
        ...["/x/berth-dev-lal.review.x1", "berth-dev-lal.review.x1", "/berth-dev-lal.review.x11"],
      ),
    ),
    state: fc.constantFrom("created", "running", "exited", "dead", "paused", ""),
  }),
  { minLength: 1, maxLength: 6 },
);

/** Written a second time: what the proxy has made itself, by labels and name. */
function isInstance(labels: Record<string, string>, name: string): boolean {
  const {
    "berth.stack": stack,
    "berth.component": component = "",
    "berth.agent": agent = "",
    "berth.template": id = "",
    "berth.instance": instance = "",
    "berth.client": client = "",
    "berth.lease": lease = "",
  } = labels;
  const match = /^([a-z][a-z0-9-]+)\.([a-z][a-z0-9-]*)$/.exec(id);
  return (
    stack === "dev" &&
    match?.[1] === agent &&
    (match[2] === "agent" ? component === "agent" : /^(worker|sandbox)$/.test(component)) &&
    /^[a-z0-9][a-z0-9-]*$/.test(instance) &&
    /^[a-z][a-z0-9-]*$/.test(client) &&
    /^[1-9][0-9]*$/.test(lease) &&
    name === `/berth-dev-${id}.${instance}`
  );
}

describe("nothing but an instance is ever removed", () => {
  it("C11, A5: whatever containers there are, only those with all labels of an instance and its very name", async () => {
    let [kept, ended] = [0, 0];
    await fc.assert(
      fc.asyncProperty(containers, async (list) => {
        host.engine.containers.clear();
        host.engine.recorded.length = 0;
        // No declaration, no time left: all that can end does.
        host.engine.volumes.clear();
        wall = started * 2;
        const spec = agentContainer(declarationOf());
        const expected: string[] = [];
        for (const [i, { labels, name, state }] of list.entries()) {
          const id = i.toString(16).padStart(64, "0");
          const { inspect } = host.engine.make(spec, id);
          inspect.Name = name ?? `/berth-dev-${labels[Label.template]}.${labels[Label.instance]}`;
          (inspect.Config as { Labels: object }).Labels = labels;
          Object.assign(inspect.State as object, { Status: state, Running: state === "running" });
          if (isInstance(labels, inspect.Name)) expected.push(id);
        }
        host.engine.volumes.clear();
        const run = await startRun();
        await pass(1);
        await turnsUntil(() => run.leases.count === 0);
        await run.stop();
        expect(removedOf(host.engine).sort()).toEqual(expected);
        const touched = mutationsOf(host.engine).map((asked) => /[0-9a-f]{64}/.exec(asked)?.[0]);
        expect(touched.every((id) => id !== undefined && expected.includes(id))).toBe(true);
        ended += expected.length;
        kept += list.length - expected.length;
      }),
      { numRuns: 150 },
    );
    expect([ended > 30, kept > 30]).toEqual([true, true]);
  });
});
