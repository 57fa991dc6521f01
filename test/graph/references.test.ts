import { describe, expect, it } from "vitest";
import { type AgentInput, defineAgent, jsonTemplate } from "../../agents/define.ts";
import { graphWith } from "./run.ts";

// Which references a stack accepts is its config's decision; a preview says so before anything is made.

const agent = (name: string, more: Partial<AgentInput>) =>
  defineAgent({ name, program: { acp: ["demo-agent"] }, ...more });
const fleet = [
  agent("vaulted", {
    secrets: { A: "op://agents/vaulted/a" },
    configFiles: { "c.json": jsonTemplate({ bot: ["x {{ op://agents/vaulted/b }}"] }) },
  }),
  agent("local", {
    secrets: { B: "env:B", C: "generated:32" },
    endpoints: { m: { url: "https://x.example.com", headers: { authorization: "{{ file:/k }}" } } },
  }),
];
const refusal = async (secrets: object): Promise<string[]> => {
  const error = await graphWith(fleet, { secrets: { check: false, ...secrets } }).then(
    () => "",
    (thrown: unknown) => (thrown as Error).message,
  );
  return error.split("\n").filter((line) => line.includes("agents/"));
};

describe("the stack's config decides which references have values", () => {
  it("without 1Password every op:// reference is refused, with agent, place and cure", async () =>
    expect(await refusal({})).toEqual([
      '  - agents/vaulted.ts: secrets.A: "op://agents/vaulted/a" needs berth:secrets: { "provider": "onepassword" }',
      '  - agents/vaulted.ts: configFiles.c.json.bot[0]: "op://agents/vaulted/b" needs berth:secrets: { "provider": "onepassword" }',
    ]));

  it("B14: in production every file:, env: and generated: reference is refused, with agent, place and cure", async () =>
    expect(await refusal({ provider: "onepassword" })).toEqual(
      [
        'secrets.B: "env:B"',
        'secrets.C: "generated:32"',
        'endpoints.m.headers.authorization: "file:/k"',
      ].map(
        (place) =>
          `  - agents/local.ts: ${place} is for development only; write op://, or set "development": true in berth:secrets`,
      ),
    ));

  it("both together are accepted where the config says so, and neither where it says that", async () => {
    expect(await refusal({ provider: "onepassword", development: true })).toEqual([]);
    expect(await refusal({ development: false })).toHaveLength(5);
  });
});
