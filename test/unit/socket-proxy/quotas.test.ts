import http from "node:http";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Quotas, type Share } from "../../../services/socket-proxy/instances/quotas.ts";
import { ClientLimits } from "../../../services/socket-proxy/limits.ts";
import { agentContainer } from "../../../spec/container.ts";
import type { ClientGrant, InstanceQuotas } from "../../../spec/grants.ts";
import {
  createsOf,
  creatingGrants,
  declared,
  type GrantChanges,
  idOf,
  messageOf,
  otherClient,
  refusalOf,
  removedOf,
  templateOf,
} from "./creating.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { type Host, type Rig, startHost, startRig } from "./rig.ts";

let host: Host;
let rig: Rig | undefined;
beforeEach(async () => {
  host = await startHost();
  const declaration = declarationOf(declared);
  host.engine.declare(declaration, { name: "declaration" });
  host.engine.make(agentContainer(declaration), "a".repeat(64));
});
afterEach(async () => {
  await rig?.stop();
  rig = undefined;
  const outside = outsideLanguage(host.engine.recorded);
  await host.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
});

/** A proxy with these grants, which knows what there is. */
async function startWith(changes: GrantChanges = {}): Promise<Rig> {
  const started = await startRig(host, { grants: creatingGrants(changes) });
  rig = started;
  await eventually(
    () => started.parts.events.stands && started.parts.fleet.find("berth-dev-lal") !== undefined,
  );
  return started;
}
const create = (on: Rig, template = "many", client?: string) =>
  on.ask(
    "/berth/instances",
    "POST",
    {
      template: `lal.${template}`,
      parameters: ["many", "review"].includes(template) ? { TASK_ID: "7" } : {},
    },
    client,
  );
const statuses = (answers: readonly { readonly status: number }[]) =>
  answers.map(({ status }) => status).sort();

/** Lets an instance run to its end, which the proxy sees. */
async function end(on: Rig, id: string): Promise<void> {
  const state = host.engine.containers.get(id)?.inspect.State ?? {};
  Object.assign(state, { Running: true, Status: "running" });
  host.engine.exit(id, 0);
  const name = host.engine.containers.get(id)?.inspect.Name.slice(1);
  await eventually(() => on.parts.fleet.find(id)?.entry.State === "exited");
  expect(on.parts.leases.living().some((share) => share.name === name)).toBe(false);
}

const worker = { memoryBytes: 2 * 1024 ** 3, nanoCpus: 2e9, pids: 256 };

describe("T11: a quota is checked and taken in one step", () => {
  it.each([
    ["the client's instances", { quotas: { instances: 3 } }, "the client may have 3 instances"],
    ["the stack's instances", { stack: { instances: 3 } }, "instances at a time"],
    [
      "the client's memory",
      { quotas: { memoryBytes: 3 * worker.memoryBytes + 1 } },
      "the client may have 6442450945 bytes of memory",
    ],
    ["the stack's memory", { stack: { memoryBytes: 3 * worker.memoryBytes } }, "bytes of memory"],
    [
      "the client's CPUs",
      { quotas: { nanoCpus: 3 * worker.nanoCpus } },
      "the client may have 6000000000 billionths of a CPU",
    ],
    ["the stack's CPUs", { stack: { nanoCpus: 3 * worker.nanoCpus } }, "billionths of a CPU"],
    [
      "the client's processes",
      { quotas: { pids: 3 * worker.pids + 255 } },
      "the client may have 1023 processes",
    ],
    ["the stack's processes", { stack: { pids: 3 * worker.pids } }, "processes"],
    [
      "the client's creates a minute",
      { quotas: { createsPerMinute: 3 } },
      "the client may create 3 a minute",
    ],
    ["the stack's creates a minute", { stack: { createsPerMinute: 3 } }, "may create 3 a minute"],
  ] as [string, GrantChanges, string][])(
    "T11: %s: of many creates at the same time at the limit minus one, one passes",
    async (_, changes, words) => {
      const on = await startWith(changes);
      idOf(await create(on));
      idOf(await create(on));
      const answers = await Promise.all(Array.from({ length: 6 }, () => create(on)));
      expect(statuses(answers)).toEqual([201, 429, 429, 429, 429, 429]);
      for (const answer of answers.filter(({ status }) => status === 429)) {
        expect(refusalOf(answer)).toEqual([429, "quota"]);
        expect(messageOf(answer)).toContain(words);
      }
      expect(createsOf(host.engine)).toHaveLength(3);
    },
  );

  it("T11: the template's own limit", async () => {
    const on = await startWith();
    idOf(await create(on, "review"));
    const answers = await Promise.all(Array.from({ length: 5 }, () => create(on, "review")));
    expect(statuses(answers)).toEqual([201, 429, 429, 429, 429]);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused && messageOf(refused)).toContain("template lal.review has 2 instances already");
    // Another template of the same agent has its own.
    idOf(await create(on, "box"));
  });

  it.each([
    ["instances", { quotas: { instances: 8 } }],
    ["processes", { stack: { pids: 8 * worker.pids } }],
  ] as [string, GrantChanges][])(
    "T11: as many as the limit of %s allows pass at the same time: none counts twice while it is made",
    async (_, changes) => {
      const on = await startWith(changes);
      const answers = await Promise.all(Array.from({ length: 12 }, () => create(on)));
      expect(statuses(answers)).toEqual([...Array(8).fill(201), ...Array(4).fill(429)]);
    },
  );

  it("T11: what one client has counts for the stack, and not for another client", async () => {
    const on = await startWith({ quotas: { instances: 2 }, stack: { instances: 3 } });
    const own = await Promise.all(Array.from({ length: 3 }, () => create(on)));
    expect(statuses(own)).toEqual([201, 201, 429]);
    const others = await Promise.all(
      Array.from({ length: 3 }, () => create(on, "many", otherClient)),
    );
    expect(statuses(others)).toEqual([201, 429, 429]);
    const refused = others.find(({ status }) => status === 429);
    expect(refused && messageOf(refused)).toContain("the stack may have 3 instances");
  });

  it("an agent's own container and the platform's are no instances and count for none", async () => {
    const on = await startWith({ quotas: { instances: 1 }, stack: { instances: 1 } });
    idOf(await create(on));
  });

  it("A22: a refusal by a quota is no probing: nobody is suspended for it", async () => {
    const grants = creatingGrants({ quotas: { instances: 0 } });
    rig = await startRig(host, {
      grants: { ...grants, suspension: { denials: 2, windowSeconds: 60, seconds: 60 } },
    });
    const on = rig;
    await eventually(() => on.parts.fleet.find("berth-dev-lal") !== undefined);
    for (let i = 0; i < 5; i++) expect(refusalOf(await create(on))).toEqual([429, "quota"]);
  });
});

describe("a share is given back", () => {
  it("when its instance has ended, and not before", async () => {
    const on = await startWith({ quotas: { instances: 1 } });
    const id = idOf(await create(on));
    expect((await create(on)).status).toBe(429);
    await on.ask(`/containers/${id}/start`, "POST");
    await eventually(() => on.parts.fleet.find(id)?.entry.State === "running");
    expect((await create(on)).status).toBe(429);
    await end(on, id);
    idOf(await create(on));
  });

  it("when its lease has ended", async () => {
    const on = await startWith({ quotas: { instances: 1 } });
    const id = idOf(await create(on));
    await eventually(() => on.parts.fleet.find(id) !== undefined);
    const own = on.parts.fleet.find(id);
    if (!own) throw new Error("not known");
    await on.parts.leases.abort(own);
    expect(removedOf(host.engine)).toEqual([id]);
    idOf(await create(on));
  });

  it("when its create fails, however it fails; what it used of the minute is not", async () => {
    const on = await startWith({ quotas: { instances: 1, createsPerMinute: 4 } });
    host.engine.intercept = ({ path }, response) => {
      if (!path.includes("/create?")) return false;
      response.writeHead(500).end("{}");
      return true;
    };
    expect((await create(on)).status).toBe(500);
    host.engine.intercept = undefined;
    host.engine.onCreate = ({ inspect }) => {
      Object.assign(inspect.HostConfig as object, { Privileged: true });
    };
    expect((await create(on)).status).toBe(403);
    expect((await create(on)).status).toBe(403);
    host.engine.onCreate = undefined;
    const id = idOf(await create(on));
    await end(on, id);
    expect(messageOf(await create(on))).toContain("may create 4 a minute");
  });

  it("what is refused before anything is reserved uses nothing", async () => {
    const on = await startWith({ quotas: { createsPerMinute: 1 } });
    for (const body of [{ template: "lal.many" }, { template: "lal.nothing" }, { template: 1 }]) {
      expect((await on.ask("/berth/instances", "POST", body)).status).not.toBe(429);
    }
    idOf(await create(on));
  });
});

describe("T11: after a restart of the proxy", () => {
  it("T11: nothing is made until it is known what there is; then it counts", async () => {
    const first = await startWith();
    for (let i = 0; i < 2; i++) idOf(await create(first));
    const ran = idOf(await create(first));
    await end(first, ran);
    await first.stop();

    // The Engine takes its time to say what there is.
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    host.engine.intercept = ({ path }, response) => {
      if (!/[0-9a-f]{64}\/json$/.test(path)) return false;
      void held.then(() => {
        const id = /[0-9a-f]{64}/.exec(path)?.[0] ?? "";
        response.end(JSON.stringify(host.engine.containers.get(id)?.inspect));
      });
      return true;
    };
    rig = await startRig(host, { grants: creatingGrants({ quotas: { instances: 3 } }) });
    const on = rig;
    expect(refusalOf(await create(on))).toEqual([503, "unsettled"]);
    expect(createsOf(host.engine)).toHaveLength(3);
    release();
    host.engine.intercept = undefined;
    await eventually(() => {
      try {
        return on.parts.leases.living().length === 2;
      } catch {
        return false;
      }
    });
    // One of the three has ended: there is room for one.
    const answers = await Promise.all([create(on), create(on), create(on)]);
    expect(statuses(answers)).toEqual([201, 429, 429]);
  });

  it("T11: an instance of an earlier run is not said to have ended before it is looked at", async () => {
    const first = await startWith();
    const id = idOf(await create(first));
    await first.stop();
    host.engine.intercept = ({ path }, response) => {
      if (
        !path.includes(
          "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22berth.stack%3Ddev%22%5D%7D",
        )
      )
        return false;
      response.writeHead(500).end("{}");
      return true;
    };
    rig = await startRig(host);
    const on = rig;
    expect(refusalOf(await on.ask(`/containers/${id}/start`, "POST"))).toEqual([503, "unsettled"]);
    host.engine.intercept = undefined;
    await eventually(() => on.parts.leases.count === 1);
    expect((await on.ask(`/containers/${id}/start`, "POST")).status).toBe(204);
  });
});

describe("the sums", () => {
  const template = templateOf("many");
  const noLimits: InstanceQuotas = {
    createsPerMinute: 1_000_000,
    instances: 1_000_000,
    memoryBytes: Number.MAX_SAFE_INTEGER,
    nanoCpus: Number.MAX_SAFE_INTEGER,
    pids: Number.MAX_SAFE_INTEGER,
  };
  const grantOf = (quotas: Partial<InstanceQuotas>): ClientGrant => {
    const grant = creatingGrants().clients["admin-bridge"];
    if (!grant) throw new Error("no grant");
    return { ...grant, quotas: { ...grant.quotas, ...noLimits, ...quotas } };
  };
  const shareOf = (name: string, more: Partial<Share> = {}): Share => ({
    name,
    client: "c",
    template: template.id,
    memoryBytes: 100,
    nanoCpus: 10,
    pids: 5,
    ...more,
  });

  it("A22: creates a minute are those of the last sixty seconds, on a clock that never goes back", () => {
    let now = 0;
    const quotas = new Quotas({ ...noLimits, createsPerMinute: 3 }, () => now);
    const take = (name: string, client = "c") =>
      quotas.reserve(shareOf(name, { client }), template, grantOf({ createsPerMinute: 2 }), []);
    take("1").release();
    now = 30_000;
    take("2").release();
    expect(() => take("3")).toThrow("the client may create 2 a minute");
    take("4", "d").release();
    expect(() => take("5", "d")).toThrow("the stack may create 3 a minute");
    now = 59_999;
    expect(() => take("6")).toThrow("a minute");
    now = 60_000;
    take("7").release();
    expect(() => take("8")).toThrow("a minute");
  });

  it("T11: whatever is taken and given back in whatever order, no sum is ever over its quota, and none refused that fits", () => {
    const limits = { instances: 5, memoryBytes: 1_000, nanoCpus: 100, pids: 40 };
    const own = { instances: 3, memoryBytes: 600, nanoCpus: 70, pids: 30 };
    const steps = fc.array(
      fc.record({
        client: fc.constantFrom("c", "d"),
        memoryBytes: fc.integer({ min: 1, max: 400 }),
        nanoCpus: fc.integer({ min: 1, max: 50 }),
        pids: fc.integer({ min: 1, max: 20 }),
        // What becomes of a share that is there: given back, or a container under its lease.
        next: fc.constantFrom("release", "live", "end"),
        which: fc.nat(),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const quotas = new Quotas({ ...noLimits, ...limits });
        const held: { share: Share; release: () => void }[] = [];
        const living: Share[] = [];
        const all = () => [
          ...new Map(
            [...held.map(({ share }) => share), ...living].map((s) => [s.name, s]),
          ).values(),
        ];
        const sums = (shares: readonly Share[]) => ({
          instances: shares.length,
          memoryBytes: shares.reduce((sum, share) => sum + share.memoryBytes, 0),
          nanoCpus: shares.reduce((sum, share) => sum + share.nanoCpus, 0),
          pids: shares.reduce((sum, share) => sum + share.pids, 0),
        });
        const within = (shares: readonly Share[], most: typeof limits) => {
          const sum = sums(shares);
          return (Object.keys(most) as (keyof typeof most)[]).every((key) => sum[key] <= most[key]);
        };
        for (const [i, { next, which, ...share }] of list.entries()) {
          const wanted = shareOf(`n${i}`, share);
          const after = [...all(), wanted];
          const fits =
            within(after, limits) &&
            within(
              after.filter(({ client }) => client === share.client),
              own,
            );
          let taken: { release(): void } | undefined;
          try {
            taken = quotas.reserve(wanted, template, grantOf(own), living);
          } catch {
            taken = undefined;
          }
          expect(taken !== undefined).toBe(fits);
          if (taken) held.push({ share: wanted, release: () => taken.release() });
          const one = held[which % Math.max(1, held.length)];
          if (!one) continue;
          if (next === "live" && !living.includes(one.share)) living.push(one.share);
          else if (next === "release") {
            one.release();
            one.release();
            held.splice(held.indexOf(one), 1);
          } else if (next === "end" && living.length > 0) living.splice(which % living.length, 1);
          expect(within(all(), limits)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("T11: a template's instances are counted over all clients", () => {
    const quotas = new Quotas(noLimits);
    const living = Array.from({ length: 100 }, (_, i) => shareOf(`n${i}`, { client: `c${i}` }));
    expect(() => quotas.reserve(shareOf("x"), template, grantOf({}), living)).toThrow(
      "template lal.many has 100 instances already",
    );
    const other = living.map((share) => ({ ...share, template: "lal.other" }));
    quotas.reserve(shareOf("x"), template, grantOf({}), other).release();
  });
});

describe("streams", () => {
  /** Opens an answer that stays open. @returns its status, and a way to end it */
  function open(path: string, method = "GET"): Promise<{ status: number; end: () => void }> {
    const name = `${host.directory}/stream.sock`;
    return new Promise((resolve, reject) => {
      const sent = http.request(
        { socketPath: name, path, method, headers: { host: "x" } },
        (answer) => {
          answer.resume();
          answer.on("error", () => undefined);
          resolve({ status: answer.statusCode ?? 0, end: () => sent.destroy() });
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  }

  it("A22: a client has so many open at a time, of whatever kind; one that ends makes room", async () => {
    const { createListener } = await import("../../../services/socket-proxy/transport.ts");
    const { createHandlers } = await import("../../../services/socket-proxy/proxy.ts");
    const on = await startWith();
    const grants = creatingGrants({ quotas: { streams: 2 } });
    const quotas = grants.clients["admin-bridge"]?.quotas;
    if (!quotas) throw new Error("no quotas");
    const limits = new ClientLimits(quotas, grants.suspension);
    const server = createListener(
      "admin-bridge",
      createHandlers(on.parts, () => limits),
    );
    await new Promise<void>((resolve) => server.listen(`${host.directory}/stream.sock`, resolve));
    const first = await open("/events");
    const second = await open("/containers/berth-dev-lal/wait", "POST");
    expect([first.status, second.status, limits.streams]).toEqual([200, 200, 2]);
    const logs = "/containers/berth-dev-lal/logs?stdout=1&follow=1";
    for (const path of ["/events", logs, "/berth/alerts", "/berth/declarations?watch=1"]) {
      expect((await open(path)).status).toBe(429);
    }
    // What is no stream is answered as ever.
    expect((await open("/containers/json")).status).toBe(200);
    expect(on.audit.filter(({ rule }) => rule === "streams")).toHaveLength(4);
    second.end();
    await eventually(() => limits.streams === 1);
    const third = await open("/berth/alerts");
    expect(third.status).toBe(200);
    first.end();
    third.end();
    await eventually(() => limits.streams === 0);
    server.close();
    server.closeAllConnections();
  });

  it("A22: bytes of all its streams together go at the client's speed: a second's worth at once, then in time", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let now = 0;
      const grants = creatingGrants({ quotas: { streamBytesPerSecond: 1_000 } });
      const quotas = grants.clients["admin-bridge"]?.quotas;
      if (!quotas) throw new Error("no quotas");
      const limits = new ClientLimits(quotas, grants.suspension, () => now);
      const pass = (ms: number) => {
        now += ms;
        return vi.advanceTimersByTimeAsync(ms);
      };
      let [first, second] = [0, 0];
      const one = limits.throttle().on("data", (part: Buffer) => {
        first += part.length;
      });
      const two = limits.throttle().on("data", (part: Buffer) => {
        second += part.length;
      });
      now = 10_000;
      one.write(Buffer.alloc(600));
      two.write(Buffer.alloc(400));
      await pass(0);
      expect([first, second]).toEqual([600, 400]);
      one.write(Buffer.alloc(500));
      two.write(Buffer.alloc(500));
      await pass(499);
      expect([first, second]).toEqual([600, 400]);
      await pass(1);
      expect([first, second]).toEqual([1_100, 400]);
      await pass(500);
      expect([first, second]).toEqual([1_100, 900]);
      // A quiet hour saves up a second's worth, and no more.
      await pass(3_600_000);
      one.write(Buffer.alloc(2_000));
      await pass(999);
      expect(first).toBe(1_100);
      await pass(1);
      expect(first).toBe(3_100);
    } finally {
      vi.useRealTimers();
    }
  });

  it("A22: what waits for its turn waits at the Engine: a throttled stream takes no more than a buffer's worth", async () => {
    const grants = creatingGrants({ quotas: { streamBytesPerSecond: 1_024 } });
    const quotas = grants.clients["admin-bridge"]?.quotas;
    if (!quotas) throw new Error("no quotas");
    const throttle = new ClientLimits(quotas, grants.suspension, () => 0).throttle();
    throttle.resume();
    let written = 0;
    while (throttle.write(Buffer.alloc(16 * 1024))) {
      written += 16 * 1024;
      if (written > 1024 * 1024) break;
    }
    expect(written).toBeLessThan(256 * 1024);
    throttle.destroy();
  });
});
