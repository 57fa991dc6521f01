import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Alerts, proxyAlerts } from "../../../services/admin-bridge/alerts.ts";
import { Engine } from "../../../services/admin-bridge/engine.ts";
import { createLog } from "../../../services/common/log.ts";
import { declare, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(() => rig.close());

const alert = (id: string, change: object = {}) => ({
  id,
  time: new Date().toISOString(),
  kind: "suspended",
  client: "admin-bridge",
  text: `admin-bridge asked for what is forbidden 20 times (${id})`,
  ...change,
});
/** What @berth has written in its home channel about alerts. */
const told = () => {
  const home = rig.mattermost.channel("town-square").id;
  return rig.mattermost.posts
    .filter((post) => post.channel_id === home && post.message.startsWith(":warning:"))
    .map((post) => post.message);
};

describe("alerts of the socket proxy", () => {
  it("a suspended client is told in the admin channel, as it happens", async () => {
    await rig.start();
    await until("the bridge to listen", () => rig.proxy.alertStreams > 0);
    rig.proxy.alert(alert("r-1"));
    await until("the post", () => told().length > 0);
    expect(told()).toEqual([
      ":warning: The socket proxy has suspended a client: admin-bridge asked for what is forbidden 20 times (r-1). `berth audit tail` shows more.",
    ]);
  });

  it("each is told once: over a broken stream, and over a restart of the bridge", async () => {
    await rig.start();
    await until("the bridge to listen", () => rig.proxy.alertStreams > 0);
    rig.proxy.alert(alert("r-1"));
    await until("the first post", () => told().length === 1);
    rig.proxy.dropAlerts();
    await until("the stream to be gone", () => rig.proxy.alertStreams === 0);
    await until("the bridge to listen again", () => rig.proxy.alertStreams > 0);
    rig.proxy.alert(alert("r-2"));
    await until("the second post", () => told().length === 2);
    await rig.stop();
    await rig.start();
    await until("the new bridge to listen", () => rig.proxy.alertStreams > 0);
    rig.proxy.alert(alert("r-3"));
    await until("the third post", () => told().length === 3);
    expect(told().map((text) => /\((r-\d)\)/.exec(text)?.[1])).toEqual(["r-1", "r-2", "r-3"]);
  });

  it("those from more than a minute before the bridge's start are history; younger ones are told", async () => {
    const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
    rig.proxy.alert(alert("old", { time: ago(90) }));
    rig.proxy.alert(alert("undated", { time: "yesterday" }));
    rig.proxy.alert(alert("young", { time: ago(20) }));
    await rig.start();
    await until("the post", () => told().length > 0);
    rig.proxy.alert(alert("new"));
    await until("the second post", () => told().length > 1);
    expect(told().map((text) => /\((\w+)\)/.exec(text)?.[1])).toEqual(["young", "new"]);
  });

  it("Mattermost's absence delays them", async () => {
    rig.proxy.alert(alert("early"));
    const bridge = rig.start();
    await bridge;
    await until("the post", () => told().length === 1);
  });
});

describe("what an alert may write", () => {
  let now = Date.parse("2026-11-21T12:00:00Z");
  const hear = (...lines: (object | string)[]) => {
    const posts: string[] = [];
    const kept: string[][] = [];
    const alerts = new Alerts({
      source: proxyAlerts,
      tell: (text) => posts.push(text),
      log: createLog("test", () => undefined),
      memory: { read: () => [], write: (ids) => kept.push([...ids]) },
      now: () => now,
    });
    const say = (line: object | string) =>
      alerts.hear(typeof line === "string" ? line : JSON.stringify(line));
    for (const line of lines) say(line);
    return { posts, say, kept };
  };

  it("mentions nobody, has no markup and is one bounded line", () => {
    const { posts } = hear(
      alert("1", {
        text: `@all **now** \u001b[31m\n@channel [x](http://y) ${"long ".repeat(400)}`,
      }),
    );
    expect(posts).toHaveLength(1);
    expect(posts[0]).not.toMatch(/@(all|channel)|\*\*|\n|\[x\]/);
    expect(posts[0]).not.toContain("\u001b");
    expect((posts[0] ?? "").length).toBeLessThan(600);
  });

  it("is nothing where the line is no alert", () => {
    const { posts } = hear(
      "not JSON",
      "null",
      "[]",
      '{"id":1}',
      { id: "x" },
      alert("9".repeat(200)),
    );
    expect(posts).toEqual([]);
  });

  it("says the same about the same client once in ten minutes", () => {
    const same = { text: "berth-t-lal: the container is not as declared", kind: "mismatch" };
    const { posts, say } = hear(
      alert("1", same),
      alert("2", same),
      alert("3", { ...same, text: "x" }),
    );
    expect(posts).toHaveLength(2);
    now += 10 * 60_000;
    say(alert("4", same));
    expect(posts).toHaveLength(3);
    expect(posts[0]).toMatch(/a container that is not as declared: berth-t-lal/);
  });

  it("remembers a bounded number of ids", () => {
    const { kept } = hear(...Array.from({ length: 300 }, (_, i) => alert(`n-${i}`)));
    expect(kept.at(-1)).toHaveLength(200);
    expect(kept.at(-1)?.at(-1)).toBe("n-299");
  });
});

describe("/metrics", () => {
  const text = async () => (await fetch(`http://127.0.0.1:${rig.bridge.port}/metrics`)).text();

  it("holds the socket proxy's own metrics behind the bridge's", async () => {
    await rig.start();
    rig.proxy.metrics =
      "# TYPE berth_socket_proxy_instances gauge\nberth_socket_proxy_instances 3\n";
    const found = await text();
    expect(found).toContain("berth_chat_up 1\n");
    expect(found).toMatch(/\nberth_socket_proxy_instances 3\n$/);
  });

  it("does without them where the proxy does not answer within a second", async () => {
    await rig.start();
    rig.proxy.metrics = undefined;
    const found = await text();
    expect(found).toContain("berth_chat_up 1\n");
    expect(found).not.toContain("berth_socket_proxy");
  });
});

describe("instances", () => {
  it("C6: a further container of an agent's template is not taken for the agent", async () => {
    rig.proxy.declare(declare("lal"), declare("nova"));
    rig.proxy.createInstance("lal", "x1");
    // Whatever it is called: the label decides.
    rig.proxy.createInstance("nova", "x2", "berth-t-nova");
    rig.proxy.remove("nova");
    const engine = new Engine(rig.proxy.endpoint, "t");
    expect((await engine.list()).map(({ name }) => name)).toEqual(["berth-t-lal"]);
    await rig.start();
    await rig.bridge.health();
    expect([rig.state("lal"), rig.state("nova")]).toEqual(["asleep", "asleep"]);
    expect(rig.bridge.status().agents.map(({ name }) => name)).toEqual(["lal", "nova"]);
  });
});
