import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AgentInput, defineAgent, toDeclaration } from "../../../agents/define.ts";
import { agentContainer } from "../../../spec/container.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { checkDeclaration } from "../../../spec/declaration-check.ts";
import {
  type Instance,
  instanceContainer,
  type Parameters,
  problemsOfParameters,
  templateHash,
  templatesOf,
} from "../../../spec/instance.ts";
import { agentInput } from "../../support/arbitraries.ts";

const declare = (input: AgentInput): Declaration =>
  toDeclaration(defineAgent(input), {
    stack: "dev",
    images: (name) => `localhost/berth/${name}:0123456789ab`,
  });
const lal = {
  name: "lal",
  program: { acp: ["demo-agent"] },
  instances: { max: 2 },
  workers: {
    review: {
      command: ["python", "-m", "worker"],
      env: { LOG_LEVEL: "debug" },
      parameters: {
        TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 8 },
        TASK_MODE: { pattern: "fast|slow", maxLength: 4, optional: true },
      },
    },
  },
  sandboxes: { shell: { command: ["sh"] } },
} as const satisfies AgentInput;
const template = (id: string, declaration = declare(lal)) => {
  const found = templatesOf(declaration).find((one) => one.id === id);
  if (!found) throw new Error(`no template ${id}`);
  return found;
};
const instance = (change: Partial<Instance> = {}): Instance => ({
  name: "x1",
  client: "admin-bridge",
  parameters: { TASK_ID: "7" },
  leaseEnds: 1_900_000_000,
  ...change,
});
const anyInput = agentInput().filter((input) => templatesOf(declare(input)).length > 0);
const instanceValues = fc.record({
  name: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,30}$/),
  client: fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/),
  leaseEnds: fc.integer({ min: 1, max: 4_000_000_000 }),
  parameters: fc.dictionary(
    fc.constantFrom(
      "TASK_ID",
      "TASK_REF",
      "TASK_MODE",
      "HOME",
      "PATH",
      "LD_PRELOAD",
      "BERTH_AGENT",
    ),
    fc.string(),
  ),
});

describe("the templates of a declaration", () => {
  it("are the agent itself where it allows further containers, and what it declares, sorted", () => {
    expect(templatesOf(declare(lal)).map(({ id }) => id)).toEqual([
      "lal.agent",
      "lal.review",
      "lal.shell",
    ]);
    const { instances: _, ...alone } = lal;
    expect(templatesOf(declare(alone)).map(({ id }) => id)).toEqual(["lal.review", "lal.shell"]);
    expect(templatesOf(declare({ name: "lal", program: lal.program }))).toEqual([]);
  });

  it("law 5: the agent's own template is the container that Pulumi makes", () =>
    fc.assert(
      fc.property(agentInput(), (input) => {
        const declaration = declare(input);
        const own = templatesOf(declaration).find(({ name }) => name === "agent");
        if (input.instances) expect(own?.container).toEqual(agentContainer(declaration));
        else expect(own).toBeUndefined();
      }),
    ));

  it("C5, C6, E3: each renders sealed, whatever it says: no capability, no write, no host path but its agent's, swap equal to memory", () =>
    fc.assert(
      fc.property(anyInput, (input) => {
        for (const { container, name } of templatesOf(declare(input))) {
          const { HostConfig: host, Networks } = container;
          expect([host.CapDrop, host.CapAdd, host.ReadonlyRootfs]).toEqual([["ALL"], [], true]);
          expect(host.SecurityOpt).toEqual(["no-new-privileges:true"]);
          expect(host.MemorySwap).toBe(host.Memory);
          expect(host.PidsLimit).toBeGreaterThan(0);
          expect(container.User).toBe("10100:10100");
          expect(container.Healthcheck).toEqual({ test: ["NONE"] });
          for (const bind of host.Binds)
            expect(bind).toMatch(
              new RegExp(
                `^(berth-dev-${input.name}-workspace:/workspace(:ro)?|/run/berth/dev/agents/${input.name}:/run/berth:ro)$`,
              ),
            );
          if (name === "agent") continue;
          expect([host.NetworkMode, Networks, host.RestartPolicy.Name]).toEqual(["none", {}, "no"]);
        }
      }),
    ));

  it("D4–D9: a sandbox has the preset's values", () => {
    const { container, instances } = template("lal.shell");
    expect(container.Image).toBe("localhost/berth/agent-node:0123456789ab");
    expect(container.HostConfig).toMatchObject({
      Memory: 536_870_912,
      NanoCpus: 1_000_000_000,
      NetworkMode: "none",
      Binds: ["berth-dev-lal-workspace:/workspace"],
    });
    expect([container.WorkingDir, instances.timeoutSeconds]).toEqual(["/workspace", 300]);
  });

  it("C6: a worker has 2 GB, 2 CPUs, the agent's gateway and its workspace", () => {
    const { container } = template("lal.review");
    expect(container.HostConfig).toMatchObject({
      Memory: 2_147_483_648,
      NanoCpus: 2_000_000_000,
      Binds: ["/run/berth/dev/agents/lal:/run/berth:ro", "berth-dev-lal-workspace:/workspace"],
    });
    expect(container.Entrypoint).toEqual(["python", "-m", "worker"]);
  });

  it("workspace: read-only cannot be written, scratch is its own and in RAM", () => {
    const of = (workspace: "read-only" | "scratch") =>
      template(
        "lal.review",
        declare({ ...lal, workers: { review: { ...lal.workers.review, workspace } } }),
      ).container.HostConfig;
    expect(of("read-only").Binds).toContain("berth-dev-lal-workspace:/workspace:ro");
    expect(of("scratch").Binds.join()).not.toContain("workspace");
    expect(of("scratch").Tmpfs["/workspace"]).toMatch(/^rw,noexec,nosuid,nodev,size=268435456/);
  });

  it.each([
    ["memory", { resources: { memory: "1g" } }],
    ["image", { image: "base" }],
    ["command", { command: ["other"] }],
    ["environment", { env: { LOG_LEVEL: "info" } }],
    ["network", { network: "none" as const }],
    ["workspace", { workspace: "scratch" as const }],
  ])("another %s is another hash", (_, change) => {
    const other = declare({ ...lal, workers: { review: { ...lal.workers.review, ...change } } });
    expect(templateHash(template("lal.review", other))).not.toBe(
      templateHash(template("lal.review")),
    );
    expect(templateHash(template("lal.shell", other))).toBe(templateHash(template("lal.shell")));
  });
});

describe("an instance", () => {
  it("depends on the template and the typed parameters; who asks changes labels and the name only", () =>
    fc.assert(
      fc.property(anyInput, instanceValues, instanceValues, (input, one, other) => {
        for (const made of templatesOf(declare(input))) {
          const keep = (values: Parameters) =>
            Object.fromEntries(
              Object.entries(values).filter(([key]) => Object.hasOwn(made.parameters, key)),
            );
          const [first, second] = [one, other].map((values) => instanceContainer(made, values));
          const without = (container: typeof first) => {
            if (!container) throw new Error("not rendered");
            const { name: _, Labels: __, Env: ___, ...rest } = container;
            return rest;
          };
          expect(without(first)).toEqual(without(second));
          const { name: _, Labels: __, Env: fixed, ...rest } = made.container;
          expect(without(first)).toEqual(rest);
          expect([...(first?.Env ?? [])].sort()).toEqual(
            [...fixed, ...Object.entries(keep(one.parameters)).map(([k, v]) => `${k}=${v}`)].sort(),
          );
          expect(first?.Labels).toEqual({
            ...made.container.Labels,
            "berth.template": made.id,
            "berth.instance": one.name,
            "berth.client": one.client,
            "berth.parameters": expect.any(String),
            "berth.lease": String(one.leaseEnds),
          });
          expect(JSON.parse(first?.Labels["berth.parameters"] ?? "")).toEqual(keep(one.parameters));
        }
      }),
    ));

  it("A8: is named after stack, template and itself, and no two of a stack have one name", () => {
    expect(instanceContainer(template("lal.review"), instance()).name).toBe(
      "berth-dev-lal.review.x1",
    );
    const part = fc.stringMatching(/^[a-z][a-z0-9-]{1,10}$/);
    const named = ([agent, worker, name]: readonly [string, string, string]) =>
      instanceContainer(
        template(
          `${agent}.${worker}`,
          declare({ name: agent, program: lal.program, workers: { [worker]: { command: ["x"] } } }),
        ),
        instance({ name }),
      ).name;
    const three = fc.tuple(
      part.map((p) => `q${p}`),
      part.map((p) => `w${p}`),
      part,
    );
    fc.assert(
      fc.property(three, three, (a, b) => {
        expect(named(a) === named(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it("carries its template's hash, so a changed template is seen on it", () => {
    const made = template("lal.review");
    expect(instanceContainer(made, instance()).Labels["berth.config"]).toBe(templateHash(made));
  });

  it("A26: a parameter never takes the place of what the template says itself, even unchecked", () => {
    const made = template("lal.review");
    const bad = { TASK_ID: "7", HOME: "/", LOG_LEVEL: "x", LD_PRELOAD: "/evil.so" };
    const { Env, Labels } = instanceContainer(made, instance({ parameters: bad }));
    expect(Env).toContain("HOME=/workspace");
    expect(Env).toContain("LOG_LEVEL=debug");
    expect(Env.join()).not.toContain("evil");
    expect(Labels["berth.parameters"]).toBe('{"TASK_ID":"7"}');
  });
});

describe("the values of parameters", () => {
  const problems = (values: Record<string, unknown>) =>
    problemsOfParameters(template("lal.review"), values as Parameters);

  it.each([
    [{ TASK_ID: "7" }, []],
    [{ TASK_ID: "7", TASK_MODE: "slow" }, []],
    [{}, ["TASK_ID: is missing"]],
    [{ TASK_ID: "" }, ["TASK_ID: does not look like [a-z0-9-]{1,40}"]],
    [{ TASK_ID: "a\nb" }, ["TASK_ID: does not look like [a-z0-9-]{1,40}"]],
    [{ TASK_ID: "a".repeat(9) }, ["TASK_ID: is longer than 8 characters"]],
    [{ TASK_ID: "7", TASK_MODE: "fastslow" }, ["TASK_MODE: is longer than 4 characters"]],
    [{ TASK_ID: "7", TASK_OTHER: "1" }, ["TASK_OTHER: is no parameter of lal.review"]],
    [{ TASK_ID: "7", LD_PRELOAD: "/x.so" }, ["LD_PRELOAD: is no parameter of lal.review"]],
    [{ TASK_ID: "7", "a\u001b[2J": "1" }, ["?: is no parameter of lal.review"]],
  ])("%j: %j", (values, wanted) => expect(problems(values)).toEqual(wanted));

  it("what an object inherits is no value, and no parameter is called after it", () => {
    expect(problems(Object.create({ TASK_ID: "7" }) as Record<string, unknown>)).toEqual([
      "TASK_ID: is missing",
    ]);
    expect(problems(JSON.parse('{"TASK_ID":"7","__proto__":{}}'))).toHaveLength(1);
    expect(problems({ TASK_ID: "7", constructor: "x" })).toEqual([
      "?: is no parameter of lal.review",
    ]);
  });

  it("A25: a problem never shows a value", () =>
    fc.assert(
      fc.property(fc.uuid(), fc.constantFrom("TASK_ID", "TASK_MODE", "OTHER"), (secret, key) => {
        const found = problems({ TASK_ID: "7", [key]: `!${secret}` });
        expect(found.length).toBeGreaterThan(0);
        expect(found.join()).not.toContain(secret);
      }),
    ));
});

describe("templates in a declaration", () => {
  const declaration = declare(lal);
  const review = declaration.templates?.review;
  const check = (change: object) =>
    checkDeclaration({ ...declaration, templates: { review: { ...review, ...change } } });

  it.each([
    [{ command: [] }, "templates.review.command: must be a list of 1 to 64 items"],
    [{ preset: "agent" }, /^templates\.review\.preset: must be one of "worker", "sandbox"/],
    [{ image: "node:latest" }, /^templates\.review\.image: .*never a moving tag/],
    [{ network: "mattermost" }, /^templates\.review\.network: must be one of "sealed", "none"/],
    [{ workspace: "/" }, /^templates\.review\.workspace: must be one of/],
    [{ env: { TASK_X: "1" } }, /^templates\.review\.env\.TASK_X: must be a name/],
    [{ env: { HOME: "/" } }, /^templates\.review\.env\.HOME/],
    [{ env: { HTTPS_PROXY: "http://x" } }, /^templates\.review\.env\.HTTPS_PROXY/],
    [{ env: { BERTH_AGENT: "x" } }, /^templates\.review\.env\.BERTH_AGENT/],
    [{ parameters: { PATH: { pattern: ".+", maxLength: 9 } } }, /parameters\.PATH: must be a name/],
    [
      { parameters: { TASK_X: { pattern: "(a)", maxLength: 9 } } },
      /parameters\.TASK_X\.pattern: has "\("/,
    ],
    [
      { parameters: { TASK_X: { pattern: "\\d{9}", maxLength: 8 } } },
      "templates.review.parameters.TASK_X.maxLength: is 8, and the pattern needs at least 9 characters",
    ],
    [{ privileged: true }, "templates.review.privileged: is not known"],
    [{ instances: { max: 0, timeoutSeconds: 10 } }, /instances\.max: must be a whole number/],
  ])("%j is refused with its path", (change, wanted) =>
    expect(check(change)).toEqual([
      typeof wanted === "string" ? wanted : expect.stringMatching(wanted),
    ]),
  );

  it("names that are taken or that no container can have are refused", () => {
    const named = (name: string) =>
      checkDeclaration({ ...declaration, templates: { [name]: review } });
    expect(named("agent")).toEqual(["templates.agent: is the agent itself; choose another name"]);
    for (const name of ["", "A", "a.b", "1a", "a".repeat(32), "a/b"])
      expect(named(name), name).toHaveLength(1);
  });

  it("no template has more of a network or a workspace than its agent", () => {
    const none = { ...declaration, network: "none" };
    expect(checkDeclaration(none)).toEqual([
      'templates.review.network: the agent has no gateway; write "none"',
    ]);
    const local = { ...declaration, driver: "local" };
    expect(checkDeclaration(local)).toEqual([
      'instances: an agent with driver "local" has no container; leave it out',
      'templates.review.workspace: an agent with driver "local" has no workspace volume; write "scratch"',
      'templates.shell.workspace: an agent with driver "local" has no workspace volume; write "scratch"',
    ]);
  });
});
