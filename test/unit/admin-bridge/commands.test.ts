import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { userAdd } from "../../../services/admin-bridge/operator.ts";
import { Store } from "../../../services/admin-bridge/store.ts";
import { declare, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
  rig.proxy.declare(declare("lal"), declare("home", { driver: "local" }));
  await rig.start();
});
afterEach(() => rig.close());

const person = (name: string) => rig.mattermost.byName(name) ?? rig.mattermost.person(name);
const square = () => rig.mattermost.channel("town-square").id;
const direct = (name: string) =>
  rig.mattermost.direct(person(name).id, rig.mattermost.byName("berth")?.id ?? "").id;
const tell = (name: string, text: string) =>
  rig.answer(rig.mattermost.say(person(name), direct(name), text));
const operatorSocket = () => ({
  socketPath: rig.path("operator.sock"),
  patienceMs: 300,
  out: () => undefined,
  error: () => undefined,
});
const audits = () => {
  const store = new Store(rig.path("bridge.db"));
  try {
    return store.audits();
  } finally {
    store.close();
  }
};

describe("commands", () => {
  it("A18: an operator starts and stops an agent by direct message and by mention, and both are audited", async () => {
    expect(await tell("oscar", "start lal")).toBe("lal is running.");
    expect(rig.proxy.container("lal").state).toBe("running");
    const asked = rig.mattermost.say(person("oscar"), square(), "@berth stop lal");
    expect(await rig.answer(asked)).toMatch(/lal is stopped/);
    expect(rig.mattermost.answers("berth", asked)[0]?.root_id).toBe(asked.id);
    expect(rig.proxy.container("lal").state).toBe("exited");
    expect(audits().map((a) => `${a.actor} ${a.verb} ${a.agent} ${a.outcome}`)).toEqual([
      "oscar stop lal done",
      "oscar stop lal asked",
      "oscar start lal done",
      "oscar start lal asked",
    ]);
  });

  it("A18: a stranger gets one line, nothing is done, and every attempt is audited", async () => {
    expect(await tell("eve", "start lal")).toBe(
      "I take commands from this stack's operators only.",
    );
    rig.mattermost.say(person("eve"), direct("eve"), "start lal");
    rig.mattermost.say(person("eve"), square(), "@berth stop lal");
    await until("the audit", () => audits().length === 3);
    expect(audits().every((a) => a.actor === "eve" && a.outcome === "refused")).toBe(true);
    expect(rig.mattermost.posts.filter((p) => /operators only/.test(p.message))).toHaveLength(1);
    expect(rig.proxy.calls.filter((c) => /start|stop/.test(c))).toEqual([]);
  });

  it("a bot's command is refused, audited and not answered, whatever name it writes under", async () => {
    const lal = rig.mattermost.byName("lal");
    if (!lal) throw new Error("no lal");
    const said = rig.mattermost.say(lal, direct("lal"), "stop lal", { props: {} });
    await until("the audit", () =>
      audits().some((a) => a.actor === "lal" && a.outcome === "refused"),
    );
    expect(rig.mattermost.answers("berth", said)).toEqual([]);
  });

  it("a webhook of an operator gives no commands", async () => {
    rig.mattermost.say(person("oscar"), square(), "@berth start lal", {
      props: { from_webhook: "true", override_username: "oscar" },
    });
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(audits()).toEqual([]);
    expect(rig.proxy.container("lal").state).toBe("created");
  });

  it("`list` and `status` show every agent, `status <agent>` one in full, `help` the commands", async () => {
    expect(await tell("oscar", "list")).toMatch(/\| lal \| asleep \| on-demand \|/);
    expect(await tell("oscar", "status")).toMatch(/Stack t: .*Docker answers, 2 agents/);
    const full = await tell("oscar", "status lal");
    expect(full).toMatch(/- state: asleep/);
    expect(full).toMatch(/- image: localhost\/berth\/agent-node:0123456789ab/);
    expect(await tell("oscar", "help")).toMatch(/`start <agent>`/);
  });

  it("what is not known, not there or not ours to run is said in one line", async () => {
    expect(await tell("oscar", "fire lal")).toMatch(/I do not know that command/);
    expect(await tell("oscar", "start")).toMatch(/Which agent/);
    expect(await tell("oscar", "start @all")).toBe('There is no agent "all"; `list` shows them.');
    expect(await tell("oscar", "start no`@here`")).not.toContain("@here");
    expect(await tell("oscar", "start home")).toMatch(/home is local/);
  });

  it("E14: a start that fails is explained in the answer", async () => {
    rig.proxy.startFailure = { status: 404, message: "No such image: x" };
    expect(await tell("oscar", "start lal")).toMatch(/is not on this host \("No such image"\)/);
    rig.proxy.startFailure = undefined;
    await rig.proxy.close();
    expect(await tell("oscar", "restart lal")).toMatch(/the socket proxy does not answer/);
  });

  it("`logs` shows the end of a log without its tricks, and in a channel only to the operator alone", async () => {
    rig.proxy.log = Buffer.from("\u001b[31mred\u001b[0m ```\n@all @channel done\n");
    const shown = await tell("oscar", "logs lal 7");
    expect(shown).toMatch(/^```text\nred/);
    expect(shown).not.toMatch(/@all|@channel/);
    expect(shown).not.toContain("\u001b");
    expect(rig.proxy.calls).toContain("tail 7");
    const asked = rig.mattermost.say(person("oscar"), square(), "@berth logs lal");
    await until("both posts", () => rig.mattermost.answers("berth", asked).length === 2);
    const [whisper, line] = rig.mattermost.answers("berth", asked);
    expect(whisper?.channel_id).toBe(direct("oscar"));
    expect(line).toMatchObject({ channel_id: square(), root_id: asked.id });
    expect(line?.message).not.toContain("red");
  });

  it("a flood of commands is slowed down, and told so once", async () => {
    const channel = direct("oscar");
    for (let i = 0; i < 40; i++) rig.mattermost.say(person("oscar"), channel, "help");
    await until("the limit", () =>
      rig.mattermost.posts.some((p) => /too much at once/.test(p.message)),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    const answers = rig.mattermost.posts.filter(
      (p) => p.user_id === rig.mattermost.byName("berth")?.id,
    );
    expect(
      answers.filter((p) => /I run the agents of this server\. Say/.test(p.message)),
    ).toHaveLength(20);
    expect(answers.filter((p) => /too much at once/.test(p.message))).toHaveLength(1);
  });

  it("a person who takes an operator's name after the fact is asked of the server, not of memory", async () => {
    const oscar = person("oscar");
    expect(await tell("oscar", "help")).toMatch(/Say to me/);
    const channel = direct("oscar");
    oscar.username = "olaf";
    expect(await rig.answer(rig.mattermost.say(oscar, channel, "start lal"))).toMatch(
      /operators only/,
    );
  });

  it("who takes an operator's name later is refused with a sentence, and that is audited", async () => {
    person("oscar").username = "olaf";
    const eve = person("eve");
    const channel = direct("eve");
    eve.username = "oscar";
    expect(await rig.answer(rig.mattermost.say(eve, channel, "start lal"))).toMatch(
      /^The name oscar was given to another account/,
    );
    expect(audits().map((a) => [a.actor, a.verb, a.outcome, a.detail])).toEqual([
      ["oscar", "start", "refused", `user id ${eve.id}`],
    ]);
    expect(rig.proxy.calls.filter((c) => /start/.test(c))).toEqual([]);
  });

  it("an operator's name that nobody had is not for the first who takes it, but for whom the host names", async () => {
    await rig.stop();
    await rig.start({ operators: ["oscar", "olga"] });
    const olga = person("olga");
    const channel = direct("olga");
    expect(await rig.answer(rig.mattermost.say(olga, channel, "start lal"))).toMatch(
      /`berth user add olga` confirms yours/,
    );
    expect(await userAdd("olga", operatorSocket())).toBe(0);
    expect(await rig.answer(rig.mattermost.say(olga, channel, "start lal"))).toBe(
      "lal is running.",
    );
  });

  it("A17: an agent that is declared while the bridge runs is provisioned and can be started; others are left alone", async () => {
    await tell("oscar", "start lal");
    const before = { ...rig.proxy.container("lal") };
    rig.proxy.declare(...rig.proxy.declarations, declare("new"));
    await until("the bot", () => rig.mattermost.byName("new")?.is_bot);
    expect(await tell("oscar", "start new")).toBe("new is running.");
    expect(rig.proxy.container("lal")).toEqual(before);
  });
});
