import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { request } from "../../../services/common/http.ts";
import { declare, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(() => rig.close());

async function mint(agent: string, path = "/tokens") {
  const answer = await request(
    { socketPath: rig.path("tokens.sock") },
    { method: "POST", path, body: { agent } },
  );
  return { status: answer.status, body: JSON.parse(answer.text) };
}

describe("provisioning", () => {
  it("makes team, channels, bots and memberships from the declarations alone", async () => {
    const builds = declare("lal", {
      chat: { channels: ["builds", "town-square"], trigger: "mention", access: { mode: "open" } },
    });
    rig.proxy.declare(builds, declare("data", { driver: "local" }));
    await rig.start();
    for (const name of ["berth", "lal", "data"]) {
      expect(rig.mattermost.byName(name)).toMatchObject({ is_bot: true, delete_at: 0 });
    }
    expect(rig.mattermost.byName("berth")?.roles).toContain("system_admin");
    expect(rig.mattermost.byName("lal")?.roles).toBe("system_user");
    const lal = rig.mattermost.byName("lal")?.id ?? "";
    const berth = rig.mattermost.byName("berth")?.id ?? "";
    expect(rig.mattermost.channel("builds").members).toEqual(new Set([berth, lal]));
    expect(rig.state("data")).toBe("local");
  });

  it("a second run changes nothing but our own tokens", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await rig.stop();
    rig.mattermost.changes.length = 0;
    await rig.start();
    const other = rig.mattermost.changes.filter((c) => !/tokens|PUT bots\/\w+$/.test(c));
    expect(other).toEqual([]);
    expect(rig.mattermost.tokensOf("berth")).toHaveLength(1);
    expect(rig.mattermost.posts.filter((p) => /I am berth/.test(p.message))).toHaveLength(1);
  });

  it("the local-mode socket sees a closed list of calls, and never a DELETE", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await mint("lal");
    await rig.stop();
    const allowed = new Set([
      "GET system/ping",
      "GET users/username/berth",
      "GET users/username/lal",
      "POST users",
      "POST users/{id}/convert_to_bot",
      "PUT users/{id}/roles",
      "GET users/{id}/tokens",
      "POST users/{id}/tokens",
      "POST users/tokens/revoke",
    ]);
    expect([...rig.mattermost.localCalls].filter((call) => !allowed.has(call))).toEqual([]);
  });

  it("A24: a removed agent loses its bot and tokens, is told of once, and is adopted when it comes back", async () => {
    rig.proxy.declare(declare("lal"), declare("data"));
    await rig.start();
    await mint("lal");
    const { id: before } = rig.mattermost.byName("lal") ?? {};
    rig.proxy.remove("lal");
    rig.proxy.declare(declare("data"));
    await until("lal's bot to be disabled", () => rig.mattermost.byName("lal")?.delete_at);
    await until("the notice", () =>
      rig.mattermost.posts.some((p) => /lal is no longer/.test(p.message)),
    );
    expect(rig.mattermost.tokensOf("lal")).toEqual([]);
    expect((await mint("lal")).status).toBe(404);
    expect(rig.mattermost.byName("data")?.delete_at).toBe(0);
    rig.proxy.declare(declare("data"), declare("lal"));
    await until("lal's bot to be back", () => rig.mattermost.byName("lal")?.delete_at === 0);
    expect(rig.mattermost.byName("lal")?.id).toBe(before);
    expect(rig.mattermost.posts.filter((p) => /no longer/.test(p.message))).toHaveLength(1);
  });

  it("A24: an agent that was removed while the bridge was down is retired too, even without its database", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await rig.stop();
    rig.proxy.declare();
    await rig.start({ data: ":memory:" });
    await until("lal's bot to be disabled", () => rig.mattermost.byName("lal")?.delete_at);
  });

  it("a disabled bot is enabled without its old tokens, and an archived channel comes back", async () => {
    rig.proxy.declare(declare("lal", { chat: { ...declare("lal").chat, channels: ["builds"] } }));
    await rig.start();
    await mint("lal");
    await rig.stop();
    const lal = rig.mattermost.byName("lal");
    if (lal) lal.delete_at = 1;
    rig.mattermost.channel("builds").delete_at = 1;
    const [old] = rig.mattermost.tokensOf("lal").filter((t) => t.description.startsWith("t/lal/"));
    await rig.start();
    expect(rig.mattermost.byName("lal")?.delete_at).toBe(0);
    expect(rig.mattermost.channel("builds").delete_at).toBe(0);
    expect(rig.mattermost.tokens.has(old?.id ?? "")).toBe(false);
  });

  it("a person who has an agent's name keeps it: that agent fails with a sentence, the others do not", async () => {
    rig.mattermost.person("lal");
    rig.proxy.declare(declare("lal"), declare("data"));
    await rig.start();
    expect(rig.state("lal")).toBe("failed");
    expect(rig.bridge.status().agents.find((a) => a.name === "lal")?.lastError).toMatch(
      /belongs to a person/,
    );
    expect(rig.mattermost.byName("lal")?.is_bot).toBe(false);
    expect((await mint("data")).status).toBe(200);
  });

  it("an account that was left half-made becomes the bot", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await rig.stop();
    const half = rig.mattermost.byName("lal");
    if (!half) throw new Error("no lal");
    half.is_bot = false;
    await rig.start();
    expect(rig.mattermost.byName("lal")).toMatchObject({ id: half.id, is_bot: true });
  });

  it("an account that only looks like ours is not taken, by its address, its name or as a bot of others", async () => {
    const half = rig.mattermost.person("lal");
    half.email = "lal@bot.berth.invalid";
    const foreign = rig.mattermost.person("data");
    Object.assign(foreign, { is_bot: true, bot_description: "Agent of the berth stack other: x" });
    rig.proxy.declare(declare("lal"), declare("data"));
    await rig.start();
    const trouble = (name: string) =>
      rig.bridge.status().agents.find((agent) => agent.name === name)?.lastError;
    expect(trouble("lal")).toMatch(/belongs to a person/);
    expect(trouble("data")).toMatch(/belongs to a bot that this stack did not make/);
    expect(half.is_bot).toBe(false);
    expect((await mint("data")).status).toBe(503);
    rig.proxy.remove("data");
    rig.proxy.declare(declare("lal"));
    await until("the notice", () =>
      rig.mattermost.posts.some((p) => /data is no longer/.test(p.message)),
    );
    expect(foreign.delete_at).toBe(0);
  });

  it("our bots are found again without the database, and every token from before is revoked", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await mint("lal");
    await rig.stop();
    const add = (name: string) => {
      const user_id = rig.mattermost.byName(name)?.id ?? "";
      rig.mattermost.tokens.set(name, { id: name, token: name, user_id, description: "odd" });
      return user_id;
    };
    const before = [add("lal"), add("berth")];
    await rig.start({ data: ":memory:" });
    expect(["lal", "berth"].map((name) => rig.mattermost.byName(name)?.id)).toEqual(before);
    for (const name of ["lal", "berth"]) {
      expect(rig.mattermost.tokensOf(name).map((t) => t.description)).not.toContain("odd");
    }
    expect(rig.mattermost.tokensOf("lal").some((t) => t.description.startsWith("t/lal/"))).toBe(
      false,
    );
  });
});

describe("tokens", () => {
  it("a new token revokes the one before it and nothing else", async () => {
    rig.proxy.declare(declare("lal"), declare("data"));
    await rig.start();
    const first = await mint("lal");
    const data = await mint("data");
    const wake = rig.mattermost
      .tokensOf("lal")
      .filter((t) => t.description.startsWith("t+wake/lal/"));
    expect(wake).toHaveLength(1);
    const second = await mint("lal");
    expect(first.body).toMatchObject({ username: "lal", userId: rig.mattermost.byName("lal")?.id });
    expect(second.body.token).not.toBe(first.body.token);
    const live = [...rig.mattermost.tokens.values()].map((t) => t.token);
    expect(live).not.toContain(first.body.token);
    expect(live).toContain(second.body.token);
    expect(live).toContain(data.body.token);
    expect(live).toContain(wake[0]?.token);
    expect(rig.mattermost.tokensOf("lal").map((t) => t.description)).toContainEqual(
      expect.stringMatching(/^t\/lal\/[0-9]+$/),
    );
  });

  it("two requests at once leave one token", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    const answers = await Promise.all([mint("lal"), mint("lal"), mint("lal")]);
    const live = new Set([...rig.mattermost.tokens.values()].map((t) => t.token));
    expect(answers.filter((a) => live.has(a.body.token))).toHaveLength(1);
  });

  it("a token that is asked for while its bot is being made is minted, and the bot is made once", async () => {
    rig.proxy.declare(...["lal", "data", "ops"].map((name) => declare(name)));
    const starting = rig.start();
    const asked = async (agent: string) =>
      until("a token", async () => {
        const answer = await mint(agent).catch(() => undefined);
        // Before the session there is none; afterwards every request must succeed.
        return (
          answer &&
          (rig.mattermost.byName(agent) === undefined ? answer.status === 200 && answer : answer)
        );
      });
    const answers = await Promise.all(["lal", "data", "ops"].map(asked));
    await starting;
    expect(answers.map((a) => a.status)).toEqual([200, 200, 200]);
    expect(rig.mattermost.changes.filter((c) => c === "POST users")).toHaveLength(4);
    const text = await (await fetch(`http://127.0.0.1:${rig.bridge.port}/metrics`)).text();
    expect(text).toContain("berth_provisioning_errors_total 0");
  });

  it("an agent that is not declared, or has no gateway, gets none", async () => {
    rig.proxy.declare(declare("lal", { network: "none" }));
    await rig.start();
    expect((await mint("stranger")).status).toBe(404);
    expect((await mint("lal")).status).toBe(404);
  });

  it("the gateway is told the agent's channels with its token, and without one where it asks for them only", async () => {
    const chat = { ...declare("lal").chat, channels: ["builds", "town-square"] };
    rig.proxy.declare(declare("lal", { chat }), declare("data", { network: "none" }));
    await rig.start();
    const channelIds = chat.channels.map((name) => rig.mattermost.channel(name).id);
    const userId = rig.mattermost.byName("lal")?.id;
    const { body } = await mint("lal");
    expect(body).toMatchObject({ userId, channelIds });
    const tokens = [...rig.mattermost.tokens.keys()];
    expect(await mint("lal", "/channels")).toEqual({ status: 200, body: { userId, channelIds } });
    expect([...rig.mattermost.tokens.keys()]).toEqual(tokens);
    expect((await mint("data", "/channels")).status).toBe(404);
    expect((await mint("stranger", "/channels")).status).toBe(404);
    rig.proxy.declare(declare("lal"));
    await until("the change", async () => {
      const { body } = await mint("lal", "/channels");
      return body.channelIds.length === 1 && body.channelIds[0] === channelIds[1];
    });
  });

  it("an agent that loses its network loses its tokens, and gets new ones when it has a network again", async () => {
    rig.proxy.declare(declare("lal"), declare("data"));
    await rig.start();
    await mint("lal");
    const { body: data } = await mint("data");
    const working = () =>
      rig.mattermost.tokensOf("lal").filter((t) => t.description.startsWith("t/lal/")).length;
    for (let times = 0; times < 2; times++) {
      rig.proxy.declare(declare("lal", { network: "none" }), declare("data"));
      await until("the tokens to be revoked", () => working() === 0);
      expect((await mint("lal")).status).toBe(404);
      rig.proxy.declare(declare("lal"), declare("data"));
      await until("a new token", async () => (await mint("lal")).status === 200);
      expect(working()).toBe(1);
    }
    expect([...rig.mattermost.tokens.values()].map((t) => t.token)).toContain(data.token);
  });

  it("our own tokens are revoked when we leave; the agents' are not", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    const { body } = await mint("lal");
    await rig.stop();
    expect([...rig.mattermost.tokens.values()].map((t) => t.token)).toEqual([body.token]);
  });

  it("no token and no password is ever in the log", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    const { body } = await mint("lal");
    const secrets = [body.token, ...[...rig.mattermost.tokens.values()].map((t) => t.token)];
    for (const user of rig.mattermost.users.values()) secrets.push(user.password);
    for (const secret of secrets) expect(rig.lines.join("\n")).not.toContain(secret);
  });
});
