import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AgentError,
  type AgentInput,
  agentImages,
  defineAgent,
  defineFleet,
  toDeclaration,
} from "../../../agents/define.ts";
import { agents } from "../../../agents/index.ts";
import { agentInput, agentList } from "../../support/arbitraries.ts";

const lal = { name: "lal", program: { acp: ["demo-agent"] } } as const satisfies AgentInput;
const messageOf = (input: object): string => {
  try {
    defineAgent(input as AgentInput);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
};

describe("defineAgent", () => {
  it("fills in the sealed defaults", () =>
    expect(defineAgent(lal)).toEqual({
      name: "lal",
      driver: "docker",
      image: "node",
      runner: true,
      program: { acp: ["demo-agent"] },
      activation: "on-demand",
      preset: "agent",
      limits: {
        memoryBytes: 4_294_967_296,
        nanoCpus: 2_000_000_000,
        pids: 512,
        tmpBytes: 268_435_456,
        stopGraceSeconds: 30,
      },
      chat: {
        channels: ["town-square"],
        trigger: "mention",
        access: { mode: "allowlist", users: ["operator"] },
      },
      network: "sealed",
      egress: [],
      secrets: {},
      workspace: { retain: true },
    }));

  it("freezes its result to the last member", () => {
    const check = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      expect(Object.isFrozen(value)).toBe(true);
      Object.values(value).forEach(check);
    };
    fc.assert(fc.property(agentInput(), (input) => check(defineAgent(input))));
  });

  it("A1: both drivers parse, and another value is refused with its path", () => {
    expect(defineAgent({ ...lal, driver: "docker" }).driver).toBe("docker");
    expect(defineAgent({ ...lal, driver: "local" }).driver).toBe("local");
    expect(messageOf({ ...lal, driver: "podman" })).toBe(
      'Fix agents/lal.ts:\n  - driver: must be one of "docker", "local"',
    );
  });

  it("lists every problem at once, with the file", () => {
    const message = messageOf({
      ...lal,
      image: "node:latest",
      imagee: 1,
      preset: "huge",
      activation: "sometimes",
      network: "host",
      resources: { memory: "4 gigabytes", cpu: 2, stopGraceSeconds: 1 },
      chat: { channel: [], trigger: "always" },
      egress: ["http://x"],
      secrets: { token: "op://only-vault", KEY: "ghp_plain" },
      workspace: { keep: true },
    });
    expect(message).toMatch(/^Fix agents\/lal\.ts:\n/);
    for (const wanted of [
      /image: "node:latest" may come to mean another image; write a stack image \(base, node\)/,
      /imagee: is not known/,
      /preset: must be one of "agent", "worker", "sandbox"/,
      /activation: must be/,
      /network: must be one of "sealed"/,
      /resources\.memory: "4 gigabytes" is no memory size/,
      /resources\.cpu: is not known; there are: cpus/,
      /resources\.stopGraceSeconds: must be a whole number from 30/,
      /chat\.channel: is not known/,
      /chat\.trigger: must be/,
      /egress\[0\]: must be a host/,
      /secrets\.token: must be a name like API_TOKEN/,
      /secrets\.token: "op:\/\/only-vault" is no reference/,
      /secrets\.KEY: is no secret reference: write op:\/\/vault/,
      /workspace\.keep: is not known/,
    ])
      expect(message).toMatch(wanted);
    // It may be a token, pasted in the wrong place.
    expect(message).not.toContain("ghp_plain");
  });

  it.each([
    [
      "a bad reference",
      { secrets: { TOKEN: "op://only-vault" } },
      /op:\/\/only-vault.*write op:\/\/vault/,
    ],
    ["a name of the platform", { name: "postgres" }, /name of the platform itself/],
    [
      "a name that no container can have",
      { name: "Lal!" },
      /Fix the agent named "Lal!" in agents\/.*\n.*2 to 31/,
    ],
    ["no program", { program: undefined }, /program: must be \{ acp/],
    ["half a MiB", { resources: { memory: "1500k" } }, /no whole number of MiB/],
    ["too many CPUs", { resources: { cpus: 1e6 } }, /resources\.cpus/],
    ["an image that is none", { image: "no image" }, /"no image" is no image/],
    [
      "acp in a foreign image",
      { image: `x@sha256:${"a".repeat(64)}` },
      /needs berth's agent runner/,
    ],
    ["acp without a gateway", { network: "none" }, /acp needs the gateway/],
    [
      "egress without a gateway",
      { network: "none", program: { command: ["x"] }, egress: ["a.example.com"] },
      /egress: nothing is reached/,
    ],
    [
      "a network without a container",
      { driver: "local", network: "mattermost" },
      /has no container/,
    ],
    [
      "nothing at all",
      { chat: null, workspace: null, secrets: 5, egress: "x", resources: 1 },
      /egress: must be a list/,
    ],
  ])("refuses %s", (_, change, wanted) => expect(messageOf({ ...lal, ...change })).toMatch(wanted));

  it("A2: a digest is taken as it is, a moving tag only with allowMovingTag", () => {
    const program = { command: ["serve"] };
    const image = `ghcr.io/chrisromp/copilot-bridge@sha256:${"a".repeat(64)}`;
    expect(defineAgent({ name: "lal", image, program })).toMatchObject({ image, runner: false });
    const moving = "ghcr.io/chrisromp/copilot-bridge:latest";
    expect(messageOf({ name: "lal", image: moving, program })).toMatch(/or allowMovingTag: true/);
    expect(
      defineAgent({ name: "lal", image: moving, allowMovingTag: true, program }),
    ).toMatchObject({
      image: moving,
      allowMovingTag: true,
    });
  });

  it("resources override the preset's limits one by one", () =>
    expect(
      defineAgent({ ...lal, preset: "sandbox", resources: { memory: "1g", cpus: 0.5 } }).limits,
    ).toMatchObject({ memoryBytes: 1_073_741_824, nanoCpus: 500_000_000, pids: 128 }));
});

describe("toDeclaration", () => {
  it("puts in the stack and the image's full reference, and nothing else", () => {
    const agent = defineAgent(lal);
    const images = (name: string) => `localhost/berth/${name}:0123456789ab`;
    expect(toDeclaration(agent, { stack: "prod", images })).toEqual({
      ...agent,
      version: 1,
      stack: "prod",
      image: "localhost/berth/agent-node:0123456789ab",
    });
  });

  it("finds every stack image that an agent can name in this repository's catalog", () => {
    expect(agentImages).toEqual(["base", "node"]);
    for (const image of agentImages) {
      expect(toDeclaration(defineAgent({ ...lal, image }), { stack: "dev" }).image).toMatch(
        new RegExp(`^localhost/berth/agent-${image}:[0-9a-f]{12}$`),
      );
    }
  });
});

describe("defineFleet", () => {
  const talker = (name: string, chat: object) =>
    defineAgent({ ...lal, name, chat: { channels: ["town-square"], trigger: "all", ...chat } });
  const open = { access: { mode: "open" } };

  it("sorts by name, whatever the order", () =>
    fc.assert(
      fc.property(agentList(), (list) => {
        const names = defineFleet(list).map((agent) => agent.name);
        expect(names).toEqual([...names].sort());
        expect(defineFleet([...list].reverse())).toEqual(defineFleet(list));
      }),
    ));

  it("refuses equal names, each once", () =>
    expect(() => defineFleet([defineAgent(lal), defineAgent(lal), defineAgent(lal)])).toThrow(
      /^Fix agents\/index\.ts:\n {2}- two agents are named "lal"[^\n]*$/,
    ));

  it("refuses agents that would answer each other without end, and says how to end it", () => {
    expect(() => defineFleet([talker("one", open), talker("two", open)])).toThrow(
      /one and two would answer each other without end.*trigger "mention"/s,
    );
    const ring = ["one", "two", "three"].map((name, i) =>
      talker(name, { access: { mode: "allowlist", users: [["three", "one", "two"][i]] } }),
    );
    expect(() => defineFleet(ring)).toThrow(/one and three and two/);
  });

  it.each([
    ["one answers mentions only", talker("two", { ...open, trigger: "mention" })],
    ["they share no channel", talker("two", { ...open, channels: ["elsewhere"] })],
    ["one admits people only", talker("two", { access: { mode: "allowlist", users: ["ada"] } })],
    ["one shuts the other out", talker("two", { access: { mode: "blocklist", users: ["one"] } })],
  ])("takes the same agents where %s", (_, two) =>
    expect(defineFleet([talker("one", open), two])).toHaveLength(2),
  );

  it("B1: the project's own agents are lal, asleep, and data, always there", () =>
    expect(agents.map(({ name, activation }) => [name, activation])).toEqual([
      ["data", "always"],
      ["lal", "on-demand"],
    ]));
});
