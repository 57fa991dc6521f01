import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ClientGrant, type GrantsDocument, verbs } from "../../../spec/grants.ts";
import { instanceContainer, templatesOf } from "../../../spec/instance.ts";
import { instanceName } from "../../../spec/names.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually, type Harness, startHarness, testGrants } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { review } from "./templates.ts";

/*
 * T7: two clients and an outside world, in random order. A model says what each client may see; whatever it may not see
 * must be the same as what is not there, to the byte, and must never change by its doing.
 */

const many = { ...review, instances: { max: 100, timeoutSeconds: 300 } };
const agents = {
  lal: declarationOf({ name: "lal", templates: { review: many, shell: many } }),
  data: declarationOf({ name: "data", templates: { review: many } }),
};
/** `lal.review` is granted to both: each sees its own instances of it only. */
const granted: Readonly<Record<string, readonly string[]>> = {
  alpha: ["lal.*"],
  beta: ["lal.review", "data.*"],
};
const clientNames = Object.keys(granted);
const templateIds = ["lal.review", "lal.shell", "data.review"];

function twoClients(): GrantsDocument {
  const base = testGrants();
  const bridge = base.clients["admin-bridge"];
  if (!bridge) throw new Error("no grant");
  const quotas = {
    ...bridge.quotas,
    instances: 10_000,
    createsPerMinute: 100_000,
    memoryBytes: 2 ** 52,
    nanoCpus: 2 ** 52,
    pids: 2 ** 40,
    requestsPerSecond: 100_000,
    requestBurst: 100_000,
  };
  const grant = (templates: readonly string[]): ClientGrant => ({
    listener: "unix",
    verbs,
    templates,
    services: false,
    quotas,
  });
  const clients = Object.fromEntries(
    Object.entries(granted).map(([name, templates]) => [name, grant(templates)]),
  );
  return { ...base, clients, stack: quotas };
}

const covers = (client: string, template: string) =>
  (granted[client] ?? []).some(
    (item) => item === template || (item.endsWith(".*") && template.startsWith(item.slice(0, -1))),
  );

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({ grants: twoClients() });
  for (const [i, declaration] of Object.values(agents).entries()) {
    harness.agent(declaration, `${i + 1}`.repeat(64));
  }
  await eventually(() => harness.engine.asked().length > 0);
});
afterEach(async () => {
  const outside = outsideLanguage(harness.engine.recorded);
  await harness.close();
  expect(outside).toEqual([]);
});

/** A container that stands in the model. */
interface Known {
  readonly id: string;
  /** Its maker; undefined: somebody outside, so that nobody sees it. */
  readonly client: string | undefined;
  readonly template: string;
  name: string;
}

class World {
  readonly known: Known[] = [];
  readonly harness: Harness;
  constructor(used: Harness) {
    this.harness = used;
  }

  sees(client: string, { client: maker, template }: Known): boolean {
    return maker === client && covers(client, template);
  }

  ask(client: string, path: string, method = "GET", body?: unknown) {
    return this.harness.ask(path, method, client, body);
  }

  /** The bytes that a client gets for a name that is certainly not there. */
  async absent(client: string, tail: string, method: string): Promise<string> {
    const answer = await this.ask(
      client,
      `/containers/${randomBytes(32).toString("hex")}${tail}`,
      method,
    );
    return `${answer.status} ${answer.text}`;
  }
}

const client = fc.constantFrom(...clientNames);
const template = fc.constantFrom(...templateIds);
const instance = fc.constantFrom("a1", "b2", "c3");
const pick = fc.nat(1_000);

const commands = [
  fc.tuple(client, template, instance).map(([who, what, name]) => async (world: World) => {
    const answer = await world.ask(who, "/berth/instances", "POST", {
      template: what,
      instance: name,
      parameters: { TASK_ID: "1" },
    });
    const full = instanceName("dev", what, name);
    if (!covers(who, what)) {
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("[template]")]);
    } else if (world.known.some((item) => item.name === full)) {
      expect(answer.status).toBe(409);
    } else {
      expect(answer.status).toBe(201);
      const { Id } = JSON.parse(answer.text) as { Id: string };
      world.known.push({ id: Id, client: who, template: what, name: full });
    }
  }),
  fc
    .tuple(
      client,
      pick,
      fc.boolean(),
      fc.constantFrom(
        ["/json", "GET"],
        ["/start", "POST"],
        ["/stop?t=1", "POST"],
        ["/kill", "POST"],
        ["/logs?stdout=1", "GET"],
        ["/stats?stream=0", "GET"],
      ),
    )
    .map(([who, at, byName, [tail = "", method = ""]]) => async (world: World) => {
      const item = world.known[at % Math.max(1, world.known.length)];
      if (!item) return;
      const changes = world.harness.engine.recorded.length;
      const answer = await world.ask(
        who,
        `/containers/${byName ? item.name : item.id}${tail}`,
        method,
      );
      if (world.sees(who, item)) {
        expect([200, 204, 304, 409]).toContain(answer.status);
        return;
      }
      expect(`${answer.status} ${answer.text}`).toBe(await world.absent(who, tail, method));
      const touched = world.harness.engine.recorded
        .slice(changes)
        .filter((call) => call.method !== "GET" && call.path.includes(item.id));
      expect(touched).toEqual([]);
    }),
  client.map((who) => async (world: World) => {
    const answer = await world.ask(who, "/containers/json?all=1");
    const shown = (JSON.parse(answer.text) as { Id: string }[]).map(({ Id }) => Id).sort();
    const own = who === "alpha" ? ["1".repeat(64)] : ["2".repeat(64)];
    const wanted = world.known.filter((item) => world.sees(who, item)).map(({ id }) => id);
    expect(shown).toEqual([...own, ...wanted].sort());
  }),
  // Somebody outside makes a container of the very labels, under another name; or of a foreign image's labels.
  fc.tuple(template, instance, client).map(([what, name, who]) => async (world: World) => {
    const [agent = ""] = what.split(".");
    const found = templatesOf(agents[agent as keyof typeof agents]).find(({ id }) => id === what);
    if (!found) throw new Error("no template");
    const leaseEnds = Math.floor(Date.now() / 1000) + 300;
    const spec = instanceContainer(found, { name, client: who, parameters: {}, leaseEnds });
    const id = randomBytes(32).toString("hex");
    world.harness.engine.make({ ...spec, name: `foreign-${id.slice(0, 8)}` }, id);
    world.known.push({ id, client: undefined, template: what, name: `foreign-${id.slice(0, 8)}` });
  }),
  // Somebody outside renames a container: it is nobody's then.
  pick.map((at) => async (world: World) => {
    const item = world.known[at % Math.max(1, world.known.length)];
    const container = item && world.harness.engine.containers.get(item.id);
    if (!item || !container) return;
    const renamed = `renamed-${item.id.slice(0, 8)}`;
    container.inspect.Name = `/${renamed}`;
    world.known.splice(world.known.indexOf(item), 1, { ...item, client: undefined, name: renamed });
    world.harness.engine.emit({
      Type: "container",
      Action: "rename",
      Actor: { ID: item.id, Attributes: { "berth.stack": "dev", name: renamed } },
    });
  }),
  // Somebody outside removes a container; its name may come again.
  pick.map((at) => async (world: World) => {
    const item = world.known[at % Math.max(1, world.known.length)];
    if (!item) return;
    world.harness.engine.containers.delete(item.id);
    world.known.splice(world.known.indexOf(item), 1);
    const answer = await world.ask("alpha", `/containers/${item.id}/json`);
    expect(answer.status).toBe(404);
  }),
];

describe("two clients of one proxy", () => {
  it("T7: in any order of doings, each sees and touches its own, and the rest is as if it were not there", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(...commands), { minLength: 5, maxLength: 25 }),
        async (list) => {
          const world = new World(harness);
          for (const command of list) await command(world);
          for (const { id } of world.known) harness.engine.containers.delete(id);
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);

  it("T7: events of the other's containers do not come", async () => {
    const heard: string[] = [];
    const ending = new AbortController();
    const http = await import("node:http");
    const request = http.get(
      { socketPath: harness.socketOf("beta"), path: "/events", signal: ending.signal },
      (answer) =>
        answer
          .on("data", (part: Buffer) => heard.push(part.toString()))
          .on("error", () => undefined),
    );
    request.on("error", () => undefined);
    await new Promise((resolve) => request.on("response", resolve));
    const make = (who: string, what: string) =>
      harness.ask("/berth/instances", "POST", who, {
        template: what,
        instance: who,
        parameters: { TASK_ID: "1" },
      });
    expect((await make("alpha", "lal.review")).status).toBe(201);
    expect((await make("alpha", "lal.shell")).status).toBe(201);
    expect((await make("beta", "lal.review")).status).toBe(201);
    await eventually(() => heard.join("").includes("beta"));
    ending.abort();
    expect(heard.join("")).not.toContain("alpha");
  });

  it("T7: a declaration is shown to those who have one of its templates", async () => {
    const shown = async (who: string) =>
      (
        JSON.parse((await harness.ask("/berth/declarations", "GET", who)).text) as {
          name: string;
        }[]
      ).map(({ name }) => name);
    expect(await shown("alpha")).toEqual(["lal"]);
    expect(await shown("beta")).toEqual(["data", "lal"]);
  });
});
