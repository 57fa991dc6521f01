import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AgentError, type AgentInput, defineAgent, toDeclaration } from "../../../agents/define.ts";
import { declarationHash, encodeDeclaration } from "../../../spec/declaration.ts";
import { checkDeclaration } from "../../../spec/declaration-check.ts";
import { agentInput } from "../../support/arbitraries.ts";

const lal = { name: "lal", program: { acp: ["demo-agent"] } } as const satisfies AgentInput;
const review = { command: ["python", "-m", "worker"] };
const digest = `registry.example.com/worker@sha256:${"a".repeat(64)}`;
const images = (name: string) => `localhost/berth/${name}:0123456789ab`;
const messageOf = (input: object): string => {
  try {
    defineAgent({ ...lal, ...input } as AgentInput);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
};
/** The problems of one worker. */
const problemsOf = (change: object, agent: object = {}) =>
  messageOf({ ...agent, workers: { review: { ...review, ...change } } })
    .split("\n  - ")
    .slice(1);

describe("workers and sandboxes of an agent", () => {
  it("C6: a worker that says only its command has the agent's image, gateway and workspace, and a worker's limits", () =>
    expect(defineAgent({ ...lal, image: "base", workers: { review } }).templates).toEqual({
      review: {
        preset: "worker",
        image: "base",
        command: ["python", "-m", "worker"],
        env: {},
        parameters: {},
        limits: {
          memoryBytes: 2_147_483_648,
          nanoCpus: 2_000_000_000,
          pids: 256,
          tmpBytes: 268_435_456,
          stopGraceSeconds: 30,
        },
        network: "sealed",
        workspace: "shared",
        instances: { max: 4, timeoutSeconds: 1800 },
      },
    }));

  it("D4–D9: a sandbox has image node, no network, the workspace, 512 MB, 1 CPU and 300 s", () =>
    expect(
      defineAgent({ ...lal, image: "base", sandboxes: { shell: { command: ["sh"] } } }).templates,
    ).toEqual({
      shell: {
        preset: "sandbox",
        image: "node",
        command: ["sh"],
        env: {},
        parameters: {},
        limits: {
          memoryBytes: 536_870_912,
          nanoCpus: 1_000_000_000,
          pids: 128,
          tmpBytes: 67_108_864,
          stopGraceSeconds: 30,
        },
        network: "none",
        workspace: "shared",
        instances: { max: 4, timeoutSeconds: 300 },
      },
    }));

  it("what is written wins over every default", () => {
    const parameters = { TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 } };
    const written = {
      command: ["x"],
      image: digest,
      env: { LOG_LEVEL: "debug" },
      parameters,
      resources: { memory: "1g", cpus: 0.5, stopGraceSeconds: 5 },
      network: "none",
      workspace: "scratch",
      timeout: 60,
      max: 9,
    } as const;
    expect(defineAgent({ ...lal, workers: { review: written } }).templates?.review).toMatchObject({
      image: digest,
      env: { LOG_LEVEL: "debug" },
      parameters,
      limits: {
        memoryBytes: 1_073_741_824,
        nanoCpus: 500_000_000,
        stopGraceSeconds: 5,
        pids: 256,
      },
      network: "none",
      workspace: "scratch",
      instances: { max: 9, timeoutSeconds: 60 },
    });
  });

  it("a worker of an agent without a gateway has none either", () => {
    const agent = defineAgent({
      name: "lal",
      network: "none",
      program: { command: ["serve"] },
      workers: { review },
    });
    expect(agent.templates?.review?.network).toBe("none");
  });

  it("instances: further containers of the agent itself, 4 at a time and 30 minutes unless it says otherwise", () => {
    expect(defineAgent({ ...lal, instances: {} }).instances).toEqual({
      max: 4,
      timeoutSeconds: 1800,
    });
    expect(defineAgent({ ...lal, instances: { max: 2, timeout: 600 } }).instances).toEqual({
      max: 2,
      timeoutSeconds: 600,
    });
  });

  it("an agent that says none of it has the declaration, and the hash, that it had before there was any", () => {
    const plain = toDeclaration(defineAgent(lal), { stack: "dev", images });
    const empty = toDeclaration(defineAgent({ ...lal, workers: {}, sandboxes: {} }), {
      stack: "dev",
      images,
    });
    expect(encodeDeclaration(empty)).toBe(encodeDeclaration(plain));
    expect(encodeDeclaration(plain)).not.toMatch(/templates|instances/);
    expect(declarationHash(plain)).toBe(
      "dd694d0b2a699a350543cac5db61fd4ec8ac7838d260d81b2e4edb199a75bce7",
    );
  });

  it("images are resolved with the agent's own, and a digest is taken as it is", () => {
    const agent = defineAgent({
      ...lal,
      workers: { review, other: { ...review, image: digest } },
      sandboxes: { shell: { command: ["sh"] } },
    });
    const { templates } = toDeclaration(agent, { stack: "dev", images });
    expect(Object.entries(templates ?? {}).map(([name, { image }]) => [name, image])).toEqual([
      ["review", "localhost/berth/agent-node:0123456789ab"],
      ["other", digest],
      ["shell", "localhost/berth/agent-node:0123456789ab"],
    ]);
  });

  it("of any valid agent are frozen and make a valid declaration", () =>
    fc.assert(
      fc.property(agentInput(), (input) => {
        const agent = defineAgent(input);
        expect(checkDeclaration(toDeclaration(agent, { stack: "dev", images }))).toEqual([]);
        for (const template of Object.values(agent.templates ?? {}))
          expect(Object.isFrozen(template) && Object.isFrozen(template.limits)).toBe(true);
      }),
    ));
});

describe("what is wrong with a worker or a sandbox", () => {
  it("is named all at once, in the words of the agent's file", () => {
    const message = messageOf({
      instances: { max: 0, timeout: 1, timeot: 5 },
      workers: {
        review: {
          command: [],
          image: "node:latest",
          env: { TASK_X: "1", lower: "2" },
          parameters: {
            TASK_ID: { pattern: "(a)", maxLength: 0 },
            PATH: { pattern: "a", maxLength: 1 },
          },
          resources: { memory: "4 gigs", cpus: 1e6, pid: 5, stopGraceSeconds: 0 },
          network: "host",
          workspace: "/",
          timeout: "30m",
          max: 0,
          comand: ["x"],
        },
        agent: review,
        "Re View": review,
        broken: 5,
      },
      sandboxes: { review: { command: ["sh"] }, shell: {} },
    });
    expect(message).toMatch(/^Fix agents\/lal\.ts:\n/);
    for (const wanted of [
      "instances.max: must be a whole number from 1 to 100",
      "instances.timeout: must be a whole number from 10 to 604800",
      "instances.timeot: is not known; there are: max, timeout",
      "workers.review.command: must be a list of 1 to 64 items",
      'workers.review.image: "node:latest" may come to mean another image; write a stack image (base, node) or',
      "workers.review.env.TASK_X: must be a name like LOG_LEVEL that berth does not set itself",
      "workers.review.env.lower: must be a name like LOG_LEVEL",
      'workers.review.parameters.TASK_ID.pattern: has "("',
      "workers.review.parameters.TASK_ID.maxLength: must be a whole number from 1 to 4096",
      "workers.review.parameters.PATH: must be a name like TASK_ID",
      'workers.review.resources.memory: "4 gigs" is no memory size',
      "workers.review.resources.cpus (billionths): must be a whole number",
      "workers.review.resources.pid: is not known; there are: cpus, memory",
      "workers.review.resources.stopGraceSeconds: must be a whole number from 1 to 3600",
      'workers.review.network: must be one of "sealed", "none"',
      'workers.review.workspace: must be one of "shared", "read-only", "scratch"',
      "workers.review.timeout: must be a whole number from 10 to 604800",
      "workers.review.max: must be a whole number from 1 to 100",
      "workers.review.comand: is not known; there are: command, image, env",
      "workers.agent: is the agent itself; choose another name",
      "workers.Re View: must be 1 to 31 of a-z, 0-9, -, a letter first",
      'workers.broken: must be an object like { command: ["review"] }',
      "sandboxes.review: workers.review has this name too; choose another",
      "sandboxes.shell.command: must be a list of 1 to 64 items",
    ])
      expect(message).toContain(`  - ${wanted}`);
    expect(message).not.toMatch(/templates|limits|undefined|localhost\/berth/);
  });

  it.each([
    ["workers", { workers: [] }, /workers: must be an object like/],
    ["sandboxes", { sandboxes: "sh" }, /sandboxes: must be an object like/],
    ["instances", { instances: 5 }, /instances: must be an object like \{ max: 2 \}/],
    ["a command as a text", { workers: { review: { command: "x" } } }, /command: must be a list/],
    [
      "resources",
      { workers: { review: { ...review, resources: 1 } } },
      /workers\.review\.resources: must be an object/,
    ],
    ["nothing", { workers: { review: null } }, /workers\.review: must be an object/],
  ])("%s of the wrong kind is refused with the right form", (_, input, wanted) =>
    expect(messageOf(input)).toMatch(wanted),
  );

  it.each([
    ["a privilege", { privileged: true }, "workers.review.privileged: is not known"],
    ["a host path", { binds: ["/:/host"] }, "workers.review.binds: is not known"],
    [
      "a capability",
      { capabilities: ["CAP_SYS_ADMIN"] },
      "workers.review.capabilities: is not known",
    ],
    ["a host namespace", { network: "host" }, "workers.review.network: must be one of"],
    [
      "an image that moves",
      { image: "python:3" },
      'workers.review.image: "python:3" may come to mean',
    ],
    ["no memory limit", { resources: { memory: "0" } }, "workers.review.resources.memory"],
    [
      "too little memory for any program",
      { resources: { memory: "8m", tmp: "1m" } },
      "workers.review.resources.memory (bytes): must be a whole number from 16777216",
    ],
    [
      "unlimited processes",
      { resources: { pids: 0 } },
      "workers.review.resources.pids: must be a whole number from 8",
    ],
    ["no end", { timeout: 0 }, "workers.review.timeout: must be a whole number from 10"],
    [
      "/tmp that ends the program when it fills",
      { resources: { memory: "128m" } },
      "workers.review.resources.tmp: /tmp is in RAM and comes to 256 MiB, more than its memory of 128 MiB",
    ],
    [
      "two of them",
      { resources: { memory: "300m" }, workspace: "scratch" },
      "workers.review.resources.tmp: /tmp and the scratch workspace are in RAM and come to 512 MiB",
    ],
    [
      "a pattern that no value can fit",
      { parameters: { TASK_X: { pattern: "x{9}", maxLength: 8 } } },
      "workers.review.parameters.TASK_X.maxLength: is 8, and the pattern needs at least 9",
    ],
  ])("A30: %s is refused", (_, change, wanted) =>
    expect(problemsOf(change)).toEqual([expect.stringContaining(wanted)]),
  );

  it.each([
    ["env.MODE", { env: { MODE: "op://agents/lal/token" } }, "secret reference"],
    ["env.MODE", { env: { MODE: "{{ op://agents/lal/token }}" } }, "secret reference"],
    ["env.MODE", { env: { MODE: "x op://agents" } }, "secret reference"],
    ["env.MODE", { env: { MODE: "file:/run/x" } }, "secret reference"],
    ["env.MODE", { env: { MODE: "env:TOKEN" } }, "secret reference"],
    ["env.MODE", { env: { MODE: "generated:32" } }, "secret reference"],
    ["command[1]", { command: ["x", "op://agents/lal/token"] }, "secret reference"],
    ["env.MODE", { env: { MODE: "ghp_0123456789abcdef" } }, "secret's value"],
    ["command[1]", { command: ["x", "--key=sk-abcdef0123456789"] }, "secret's value"],
    ["env.MODE", { env: { MODE: "-----BEGIN RSA PRIVATE KEY-----" } }, "secret's value"],
    ["env.API_TOKEN", { env: { API_TOKEN: "abc" } }, "shows in the declaration"],
    ["env.PASSWORD", { env: { PASSWORD: "abc" } }, "shows in the declaration"],
    ["env.OPENAI_API_KEY", { env: { OPENAI_API_KEY: "abc" } }, "shows in the declaration"],
  ])(
    "A25, A30: %s with %j is sent to the agent's secrets, and the value is not shown",
    (path, change, wanted) => {
      const [problem = "", ...more] = problemsOf(change);
      expect(more).toEqual([]);
      expect(problem).toContain(`workers.review.${path}: `);
      expect(problem).toContain(wanted);
      expect(problem).toContain("put a reference under the agent's secrets");
      const value = Object.values("env" in change ? change.env : change.command).at(-1) as string;
      expect(problem).not.toContain(value);
    },
  );

  it.each([
    ["env", { env: { SORT_KEY: "name", TOKENS: "9", MONKEY: "1", PATH_SEPARATOR: ":" } }],
    ["command", { command: ["sh", "-c", "task-runner --file:/x ask-me operate"] }],
  ])("ordinary %s values are taken", (_, change) =>
    expect(
      defineAgent({ ...lal, workers: { review: { ...review, ...change } } }).templates,
    ).toHaveProperty("review"),
  );

  it("A13: a worker needs an image of its own where the agent's may move", () => {
    const moving = {
      image: "ghcr.io/example/bridge:latest",
      allowMovingTag: true,
      program: { command: ["serve"] },
    };
    expect(problemsOf({}, moving)).toEqual([
      expect.stringMatching(/^workers\.review\.image: the agent's own, "ghcr.*", may come to mean/),
    ]);
    expect(
      defineAgent({ ...lal, ...moving, workers: { review: { ...review, image: digest } } })
        .templates?.review?.image,
    ).toBe(digest);
  });

  it("an agent's own bad image is complained of once", () => {
    const problems = problemsOf({}, { image: "no image" });
    expect(problems.filter((problem) => problem.includes("no image"))).toHaveLength(1);
  });

  it("A1: the operator's own agent has no container to have more of, and only scratch workspaces", () => {
    const local = { driver: "local", instances: {} };
    expect(problemsOf({}, local)).toEqual([
      'instances: an agent with driver "local" has no container; leave it out',
      'workers.review.workspace: an agent with driver "local" has no workspace volume; write "scratch"',
    ]);
    expect(
      defineAgent({
        ...lal,
        driver: "local",
        workers: { review: { ...review, workspace: "scratch", network: "sealed" } },
      }).templates,
    ).toHaveProperty("review");
  });

  it("a sealed worker of an agent without a gateway is refused", () =>
    expect(
      problemsOf({ network: "sealed" }, { network: "none", program: { command: ["serve"] } }),
    ).toEqual(['workers.review.network: the agent has no gateway; write "none"']));

  it("together they keep the declaration's size, and the message names it", () => {
    const workers = Object.fromEntries(
      Array.from({ length: 5 }, (_, i) => [`w${i}`, { command: ["x".repeat(4000)] }]),
    );
    expect(messageOf({ workers })).toMatch(/declaration of lal has \d+ bytes; at most 16384/);
  });
});
