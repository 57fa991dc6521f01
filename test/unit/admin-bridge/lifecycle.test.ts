import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Store } from "../../../services/admin-bridge/store.ts";
import { declare, FakeProxy, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(() => rig.close());

const startsOf = (name: string) =>
  rig.proxy.calls.filter((call) => call === `POST /containers/berth-t-${name}/start`).length;
const square = () => rig.mattermost.channel("town-square").id;
const row = (name: string) => {
  const store = new Store(rig.path("bridge.db"));
  try {
    return { agent: store.agent(name), runs: store.runs(name), audits: store.audits() };
  } finally {
    store.close();
  }
};

/** A ready bridge with the operator `oscar` and the user `ada`. */
async function begin() {
  await rig.start();
  const people = {
    oscar: rig.mattermost.byName("oscar") ?? rig.mattermost.person("oscar"),
    ada: rig.mattermost.byName("ada") ?? rig.mattermost.person("ada"),
  };
  const berth = rig.mattermost.byName("berth")?.id ?? "";
  const order = async (text: string) => {
    const channel = rig.mattermost.direct(people.oscar.id, berth);
    return rig.answer(rig.mattermost.say(people.oscar, channel.id, text));
  };
  return { ...people, order };
}

describe("when agents run", () => {
  it("A23: `always` starts by itself, `on-demand` and `manual` do not", async () => {
    rig.proxy.declare(
      declare("data", { activation: "always" }),
      declare("lal"),
      declare("ops", { activation: "manual" }),
      declare("home", { activation: "always", driver: "local" }),
    );
    await begin();
    await until("data to run", () => rig.state("data") === "running");
    expect([rig.state("lal"), rig.state("ops"), rig.state("home")]).toEqual([
      "asleep",
      "stopped",
      "local",
    ]);
    expect([startsOf("lal"), startsOf("ops"), startsOf("home")]).toEqual([0, 0, 0]);
  });

  it("B4: with Mattermost away nothing starts and nobody gives up; when it comes, the agents do", async () => {
    rig.proxy.declare(declare("data", { activation: "always" }));
    const port = rig.mattermost.port;
    await rig.mattermost.close();
    const starting = rig.start();
    await until("an attempt", () => rig.lines.some((line) => /mattermost-awaited/.test(line)));
    expect(startsOf("data")).toBe(0);
    await rig.mattermost.open(rig.path("local.sock"), port);
    await starting;
    await until("data to run", () => rig.state("data") === "running");
  });

  it("B5: a commanded stop stays a stop over a restart of the bridge, and so does a run", async () => {
    rig.proxy.declare(
      declare("data", { activation: "always" }),
      declare("more", { activation: "always" }),
    );
    let { order } = await begin();
    await until(
      "both to run",
      () => rig.state("data") === "running" && rig.state("more") === "running",
    );
    expect(await order("stop data")).toMatch(/data is stopped, and stays so/);
    await rig.stop();
    rig.proxy.calls.length = 0;
    ({ order } = await begin());
    await until("a look", () => rig.state("more") === "running");
    expect(rig.state("data")).toBe("stopped");
    expect(rig.proxy.calls.filter((call) => /start|stop/.test(call))).toEqual([]);
    expect(await order("start data")).toBe("data is running.");
    expect(rig.state("data")).toBe("running");
  });

  it("A9: id, status and exit code in the database follow start, crash, replacement and removal behind its back", async () => {
    rig.proxy.declare(declare("data", { activation: "always" }));
    await begin();
    await until("data to run", () => row("data").agent?.status === "running");
    expect(row("data").agent).toMatchObject({ containerId: rig.proxy.container("data").id });
    rig.proxy.die("data", 137);
    await until("the end to be recorded", () => row("data").agent?.exitCode === 137);
    expect(row("data").runs[0]).toMatchObject({ exitCode: 137 });
    await until("data to run again", () => rig.state("data") === "running");
    rig.proxy.remove("data");
    rig.proxy.create("data");
    const { id } = rig.proxy.container("data");
    await until("the new container to run", () => rig.proxy.container("data").state === "running");
    await until("its row", () => row("data").agent?.containerId === id);
    rig.proxy.remove("data");
    await until("its row", () => row("data").agent?.status === "missing");
    expect(row("data").agent?.containerId).toBeNull();
    expect(row("data").runs.every((run) => run.endedAt !== null)).toBe(true);
  });

  it("an agent that ends again and again is failed, and the home channel hears it once", async () => {
    rig.proxy.declare(declare("lal"));
    const { order } = await begin();
    await order("start lal");
    for (let i = 0; i < 8; i++) {
      rig.proxy.die("lal", 1, "restarting");
      rig.proxy.container("lal").state = "restarting";
    }
    const told = () => rig.mattermost.posts.filter((p) => /^lal ended \d times/.test(p.message));
    await until("the notice", () => told().length > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(told()).toHaveLength(1);
    expect(told()[0]?.message).toMatch(/exit code 1.*`logs lal`/);
  });
});

describe("waking", () => {
  it("B6: a mention starts a sleeping agent within 10 ms, once", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    rig.mattermost.say(ada, square(), "warm up the cache");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(startsOf("lal")).toBe(0);
    const at = performance.now();
    rig.mattermost.say(ada, square(), "@lal fix the build");
    rig.mattermost.say(ada, square(), "@lal please");
    await until("lal to run", () => rig.state("lal") === "running");
    expect(startsOf("lal")).toBe(1);
    const metrics = await (await fetch(`http://127.0.0.1:${rig.bridge.port}/metrics`)).text();
    expect(metrics).toContain('berth_wake_request_seconds_bucket{le="0.01"} 1');
    expect(metrics).toContain('berth_wakes_total{way="mention"} 1');
    expect((rig.proxy.startedAt.get("lal") ?? 0) - at).toBeLessThan(100);
    expect(row("lal").audits).toContainEqual(
      expect.objectContaining({ actor: "ada", verb: "wake", agent: "lal", outcome: "done" }),
    );
  });

  it("a direct message to a sleeping agent's bot starts it", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    const lal = rig.mattermost.byName("lal")?.id ?? "";
    await until("the listener", () => rig.mattermost.socketCount === 2);
    rig.mattermost.say(ada, rig.mattermost.direct(ada.id, lal).id, "good morning");
    await until("lal to run", () => rig.state("lal") === "running");
  });

  for (const [what, message, change] of [
    ["a mention in code", "look: `@lal`", {}],
    ["a system message", "@lal joined the channel", { type: "system_join_channel" }],
    ["a webhook's post", "@lal hello", { props: { from_webhook: "true" } }],
    ["a bot's post", "@lal hello", { props: { from_bot: "true" } }],
    ["another name that begins alike", "@lalita hello", {}],
  ] as const) {
    it(`${what} wakes nobody`, async () => {
      rig.proxy.declare(declare("lal"));
      const { ada } = await begin();
      rig.mattermost.say(ada, square(), message, change);
      await new Promise((resolve) => setTimeout(resolve, 80));
      expect(startsOf("lal")).toBe(0);
    });
  }

  it("who is not on the agent's list wakes nobody, by mention or by direct message", async () => {
    rig.proxy.declare(declare("lal"));
    await begin();
    const eve = rig.mattermost.person("eve");
    rig.mattermost.say(eve, square(), "@lal hello");
    const lal = rig.mattermost.byName("lal")?.id ?? "";
    rig.mattermost.say(eve, rig.mattermost.direct(eve.id, lal).id, "hello");
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(startsOf("lal")).toBe(0);
  });

  it("who takes a listed name later wakes nobody, is told so once, and is on record", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    ada.username = "adele";
    const eve = rig.mattermost.person("eve");
    eve.username = "ada";
    const mention = rig.mattermost.say(eve, square(), "@lal hello");
    expect(await rig.answer(mention)).toMatch(/^The name ada was given to another account/);
    rig.mattermost.say(eve, square(), "@lal hello?");
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(rig.mattermost.answers("berth", mention)).toHaveLength(1);
    expect(startsOf("lal")).toBe(0);
    expect(row("lal").audits).toEqual([
      expect.objectContaining({ actor: "ada", verb: "wake", agent: "lal", outcome: "refused" }),
    ]);
  });

  it("with `trigger: all` any message of a person in its channel wakes it", async () => {
    rig.proxy.declare(
      declare("lal", {
        chat: { channels: ["builds"], trigger: "all", access: { mode: "open" } },
      }),
    );
    const { ada } = await begin();
    rig.mattermost.say(ada, square(), "hello all");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(startsOf("lal")).toBe(0);
    rig.mattermost.say(ada, rig.mattermost.channel("builds").id, "hello builds");
    await until("lal to run", () => rig.state("lal") === "running");
  });

  it("a stopped or manual agent is not woken, and the person is told why once", async () => {
    rig.proxy.declare(declare("lal"), declare("ops", { activation: "manual" }));
    const { ada, order } = await begin();
    await order("stop lal");
    const mention = rig.mattermost.say(ada, square(), "@lal are you there");
    expect(await rig.answer(mention)).toMatch(/lal was stopped by an operator/);
    rig.mattermost.say(ada, square(), "@lal hello?");
    const other = rig.mattermost.say(ada, square(), "@ops hello?");
    expect(await rig.answer(other)).toMatch(/ops runs only when an operator/);
    const said = rig.mattermost.posts.filter((p) => /was stopped by an operator/.test(p.message));
    expect(said).toHaveLength(1);
    expect(said[0]?.root_id).toBe(mention.id);
    expect(startsOf("lal") + startsOf("ops")).toBe(0);
  });

  it("`sleep` lets the next mention wake it again", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada, order } = await begin();
    await order("start lal");
    expect(await order("sleep lal")).toMatch(/lal sleeps until/);
    expect(rig.state("lal")).toBe("asleep");
    rig.mattermost.say(ada, square(), "@lal hello");
    await until("lal to run", () => rig.state("lal") === "running");
  });

  it("a mention while it is being put to sleep wakes it when that is done", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada, order } = await begin();
    await order("start lal");
    rig.proxy.stopMs = 150;
    const asleep = order("sleep lal");
    await new Promise((resolve) => setTimeout(resolve, 60));
    rig.mattermost.say(ada, square(), "@lal wait");
    await asleep;
    await until("lal to run again", () => rig.proxy.container("lal").state === "running");
    expect(startsOf("lal")).toBe(2);
  });

  it("a mention written while the bridge was away wakes the agent when it is back", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    rig.mattermost.say(ada, square(), "a mark");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await rig.stop();
    rig.mattermost.say(ada, square(), "@lal when you can");
    await begin();
    await until("lal to run", () => rig.state("lal") === "running");
  });

  it("E14: a wake that fails is explained in the thread of the message, for a missing image and for a lost socket", async () => {
    rig.proxy.declare(declare("lal"), declare("data"));
    const { ada } = await begin();
    rig.proxy.startFailure = { status: 404, message: "No such image: x" };
    const first = rig.mattermost.say(ada, square(), "@lal hello");
    expect(await rig.answer(first)).toMatch(/The image localhost\/berth\/.*is not on this host/);
    expect(rig.mattermost.answers("berth", first)[0]?.root_id).toBe(first.id);
    await rig.proxy.close();
    const second = rig.mattermost.say(ada, square(), "@data hello");
    await until(
      "the explanation",
      () => rig.mattermost.answers("berth", second).length > 0,
      15_000,
    );
    expect(rig.mattermost.answers("berth", second)[0]?.message).toMatch(
      /the socket proxy does not answer/,
    );
  });

  it("a wake survives a socket proxy that is away for a moment", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    const { port } = rig.proxy;
    await rig.proxy.close();
    rig.mattermost.say(ada, square(), "@lal hello");
    await new Promise((resolve) => setTimeout(resolve, 300));
    const again = await new FakeProxy().open(port);
    again.declare(declare("lal"));
    await until("lal to run", () => again.container("lal").state === "running");
    await again.close();
  });
});

describe("the connection to Mattermost", () => {
  it("a cut WebSocket comes back, and what was written meanwhile is acted on", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    rig.mattermost.say(ada, square(), "a mark");
    rig.mattermost.cut();
    rig.mattermost.say(ada, square(), "@lal in between");
    await until("lal to run", () => rig.state("lal") === "running");
  });

  it("a revoked token of ours is replaced, and the bridge hears again", async () => {
    rig.proxy.declare(declare("lal"));
    const { ada } = await begin();
    const [own] = rig.mattermost.tokensOf("berth");
    rig.mattermost.tokens.delete(own?.id ?? "");
    rig.mattermost.cut();
    await until("a new session", () => rig.mattermost.tokensOf("berth").length === 1);
    await until("the bridge to be ready", () => rig.bridge.ready);
    rig.mattermost.say(ada, square(), "@lal hello");
    await until("lal to run", () => rig.state("lal") === "running");
  });
});
