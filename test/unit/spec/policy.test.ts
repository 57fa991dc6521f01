import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AgentInput, defineAgent, toDeclaration } from "../../../agents/define.ts";
import { canonicalJson, type Json } from "../../../spec/canonical.ts";
import { agentContainer } from "../../../spec/container.ts";
import { createBody } from "../../../spec/create-body.ts";
import { defaultStackQuotas, renderGrants } from "../../../spec/grants.ts";
import { templatesOf } from "../../../spec/instance.ts";
import { grantsHash, type Policy, policyOf, problemsOfQuotas } from "../../../spec/policy.ts";
import { agentInput, agentList } from "../../support/arbitraries.ts";

const declare = (input: AgentInput) =>
  toDeclaration(defineAgent(input), {
    stack: "dev",
    images: (name) => `localhost/berth/${name}:0123456789ab`,
  });
const grants = renderGrants();
const lal = { name: "lal", program: { acp: ["demo-agent"] } } as const;
const data = { ...lal, name: "data" } as const;
const review = { command: ["review"], resources: { memory: "1g" } } as const;

/** Paths of the values that differ. */
function changed(before: unknown, after: unknown, path = ""): string[] {
  if (before === after) return [];
  if (!isObject(before) || !isObject(after)) return [path];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .sort()
    .flatMap((key) => changed(before[key], after[key], path ? `${path}/${key}` : key));
}
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;
const diff = (before: Policy, after: Policy) => changed(before, after);

describe("the policy that a preview shows", () => {
  it("is plain and sorted, whatever the order of agents and of their members", () =>
    fc.assert(
      fc.property(agentList(), (agents) => {
        const declarations = agents.map((agent) =>
          toDeclaration(agent, { stack: "dev", images: (name) => `localhost/berth/${name}:0` }),
        );
        const policy = policyOf(grants, declarations);
        expect(JSON.stringify(policy)).toBe(canonicalJson(policy as unknown as Json));
        expect(JSON.stringify(policyOf(grants, [...declarations].reverse()))).toBe(
          JSON.stringify(policy),
        );
      }),
    ));

  it("shows of each container exactly what the Engine would be sent", () =>
    fc.assert(
      fc.property(agentInput(), (input) => {
        const declaration = declare(input);
        const { templates } = policyOf(grants, [declaration]);
        if (declaration.driver === "docker") {
          const own = agentContainer(declaration);
          expect(templates[`${input.name}.agent`]).toMatchObject({
            hash: own.Labels["berth.config"],
            create: createBody(own),
          });
        }
        for (const { id, container, instances, parameters } of templatesOf(declaration))
          expect(templates[id]).toEqual({
            hash: container.Labels["berth.config"],
            parameters,
            instances,
            create: createBody(container),
          });
      }),
    ));

  it("an agent without further instances says so by leaving the limit out", () => {
    const { templates } = policyOf(grants, [declare(lal), declare({ ...data, instances: {} })]);
    expect(templates["lal.agent"]).not.toHaveProperty("instances");
    expect(templates["data.agent"]?.instances).toEqual({ max: 4, timeoutSeconds: 1800 });
  });

  it("T8: a changed limit of one template changes that template's hash and fields, and nothing else", () => {
    const before = policyOf(grants, [declare(data), declare({ ...lal, workers: { review } })]);
    const after = policyOf(grants, [
      declare(data),
      declare({ ...lal, workers: { review: { ...review, resources: { memory: "768m" } } } }),
    ]);
    expect(diff(before, after)).toEqual([
      "templates/lal.review/create/HostConfig/Memory",
      "templates/lal.review/create/HostConfig/MemorySwap",
      "templates/lal.review/create/Labels/berth.config",
      "templates/lal.review/hash",
    ]);
  });

  it("other rights change the policy's hash, and what is shown of them", () => {
    const before = policyOf(grants, [declare(lal)]);
    const after = policyOf(renderGrants({ stack: { pids: 99 } }), [declare(lal)]);
    expect(diff(before, after)).toEqual([
      "clients/admin-bridge/quotas/pids",
      "policy",
      "stack/pids",
    ]);
    expect(before.policy).toBe(grantsHash(grants));
    expect(before.policy).toMatch(/^[0-9a-f]{64}$/);
  });

  it("A25: no reference and no name of a secret is in it", () => {
    const policy = policyOf(grants, [
      declare({
        ...lal,
        secrets: { CANARY_KEY: "op://canary/item/field" },
        vaults: ["canary"],
        workers: { review },
      }),
    ]);
    expect(JSON.stringify(policy)).not.toMatch(/canary/i);
  });
});

describe("templates and quotas", () => {
  const declarations = [declare({ ...lal, instances: {}, workers: { review } })];

  it("a template that fits into the quotas once is no problem", () => {
    expect(problemsOfQuotas(defaultStackQuotas, declarations)).toEqual([]);
    expect(
      problemsOfQuotas(
        { ...defaultStackQuotas, memoryBytes: 4 * 2 ** 30, nanoCpus: 2e9, pids: 512 },
        declarations,
      ),
    ).toEqual([]);
  });

  it.each([
    ["memory", { memoryBytes: 2 ** 30 - 1 }, ["lal.agent", "lal.review"]],
    ["memory", { memoryBytes: 2 ** 30 }, ["lal.agent"]],
    ["cpus", { nanoCpus: 1e9 }, ["lal.agent", "lal.review"]],
    ["pids", { pids: 256 }, ["lal.agent"]],
  ])("C11: %s below %j leaves no room for %j", (quota, change, wanted) => {
    const found = problemsOfQuotas({ ...defaultStackQuotas, ...change }, declarations);
    expect(found.map(({ template }) => template)).toEqual(wanted);
    for (const { problem } of found) expect(problem).toContain(`berth:instanceQuotas.${quota}`);
  });

  it.each(["instances", "createsPerMinute"] as const)(
    "%s 0 switches them off, which is no problem",
    (quota) =>
      expect(
        problemsOfQuotas({ ...defaultStackQuotas, memoryBytes: 1, [quota]: 0 }, declarations),
      ).toEqual([]),
  );

  it("an agent that has no further instances needs no room: its own container is Pulumi's", () =>
    expect(problemsOfQuotas({ ...defaultStackQuotas, memoryBytes: 1 }, [declare(lal)])).toEqual(
      [],
    ));
});
