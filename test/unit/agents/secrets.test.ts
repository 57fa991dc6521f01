import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AgentError,
  type AgentInput,
  defineAgent,
  defineFleet,
  jsonTemplate,
  secret,
} from "../../../agents/define.ts";

const lal = { name: "lal", program: { acp: ["demo-agent"] } } as const satisfies AgentInput;
const messageOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(AgentError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
};
const refused = (change: object) =>
  messageOf(() => defineAgent({ ...lal, ...change } as AgentInput));

describe("an agent's secrets", () => {
  it("B8: become what the declaration says, each in its shortest form", () => {
    const agent = defineAgent({
      ...lal,
      secrets: {
        A: secret("op://agents/lal/a"),
        B: "op://agents/lal/b",
        C: secret("op://agents/lal/c", { as: "file" }),
        D: secret("op://agents/lal/d", { generate: 32 }),
        E: secret("op://agents/lal/e", { as: "env" }),
        F: { from: "op://agents/lal/f" },
      },
      configFiles: {
        "a.json": jsonTemplate({ token: "op://agents/lal/a", none: undefined }),
        "b.json": jsonTemplate([{ n: -0 }], { reread: true }),
        "c.json": jsonTemplate({}, { reread: false }),
      },
      endpoints: {
        model: {
          url: "https://api.example.com",
          headers: { authorization: "Bearer {{ op://agents/lal/key }}" },
        },
        open: { url: "https://open.example.com" },
      },
    });
    expect(agent.secrets).toStrictEqual({
      A: "op://agents/lal/a",
      B: "op://agents/lal/b",
      C: { from: "op://agents/lal/c", as: "file" },
      D: { from: "op://agents/lal/d", generate: 32 },
      E: "op://agents/lal/e",
      F: "op://agents/lal/f",
    });
    expect(agent.configFiles).toStrictEqual({
      "a.json": { template: { token: "op://agents/lal/a" } },
      "b.json": { template: [{ n: 0 }], reread: true },
      "c.json": { template: {} },
    });
    expect(agent.endpoints?.open).toStrictEqual({ url: "https://open.example.com", headers: {} });
  });

  it("the allow-list is the agent's own item where it names one, what is written where it is written, else nothing", () => {
    const op = { A: "op://agents/lal/a" };
    expect(defineAgent({ ...lal, secrets: op }).vaults).toEqual(["agents/lal"]);
    expect(defineAgent({ ...lal, secrets: op, vaults: ["b", "agents/lal", "b"] }).vaults).toEqual([
      "agents/lal",
      "b",
    ]);
    expect(defineAgent({ ...lal, secrets: { A: "env:A" } })).not.toHaveProperty("vaults");
    expect(
      defineAgent({ ...lal, configFiles: { a: jsonTemplate(["x {{ op://agents/lal/a }}"]) } })
        .vaults,
    ).toEqual(["agents/lal"]);
    expect(
      defineAgent({
        ...lal,
        endpoints: { m: { url: "https://x", headers: { authorization: "op://agents/lal/a" } } },
      }).vaults,
    ).toEqual(["agents/lal"]);
    expect(defineAgent({ ...lal, configFiles: {}, endpoints: {}, vaults: [] })).toEqual(
      defineAgent(lal),
    );
  });

  it("A4: another agent's item is refused with file, place and cure, all at once", () =>
    expect(
      refused({
        secrets: { A: secret("op://agents/data/token"), B: "op://other/lal/token" },
        configFiles: { "c.json": jsonTemplate({ bot: ["op://agents/data/token"] }) },
        endpoints: {
          m: { url: "https://x", headers: { authorization: "{{ op://agents/data/k }}" } },
        },
      }).split("\n"),
    ).toEqual([
      "Fix agents/lal.ts:",
      expect.stringMatching(
        /^ {2}- secrets\.A: "op:\/\/agents\/data\/token" is outside of vaults, which allows agents\/lal; add "agents\/data" there/,
      ),
      expect.stringMatching(/^ {2}- secrets\.B: "op:\/\/other\/lal\/token" is outside/),
      expect.stringMatching(
        /^ {2}- configFiles\.c\.json\.bot\[0\]: "op:\/\/agents\/data\/token" is outside/,
      ),
      expect.stringMatching(/^ {2}- endpoints\.m\.headers\.authorization: .* is outside/),
    ]));

  it.each<[string, object, RegExp]>([
    [
      "an unknown option",
      { secrets: { A: secret("env:A", { at: "file" } as object) } },
      /secrets\.A\.at: is not known/,
    ],
    [
      "an unknown way",
      { secrets: { A: secret("env:A", { as: "pipe" } as object) } },
      /secrets\.A\.as: must be one of "file"/,
    ],
    [
      "a made-up value that 1Password does not hold",
      { secrets: { A: secret("env:A", { generate: 32 }) } },
      /secrets\.A\.generate: writes a field of 1Password/,
    ],
    [
      "too few bytes",
      { secrets: { A: secret("op://agents/lal/a", { generate: 8 }) } },
      /secrets\.A\.generate: must be a whole number from 16/,
    ],
    [
      "no reference at all",
      { secrets: { A: undefined } },
      /secrets\.A: must be a secret reference/,
    ],
    [
      "a template's path as a text",
      { configFiles: { "c.json": jsonTemplate("./c.tpl" as never) } },
      /configFiles\.c\.json: must be an object or a list; read a file with jsonTemplate\(new URL/,
    ],
    [
      "a malformed leaf",
      { configFiles: { "c.json": jsonTemplate({ a: ["{{ x"] }) } },
      /configFiles\.c\.json\.a\[0\]: has \{\{ without/,
    ],
    [
      "a key with a reference",
      { configFiles: { "c.json": jsonTemplate({ "{{ env:A }}": 1 }) } },
      /configFiles\.c\.json\["\{\{ env:A \}\}"\]: a key may hold no reference/,
    ],
    [
      "an unknown option of a template",
      { configFiles: { "c.json": jsonTemplate({}, { restart: true } as object) } },
      /configFiles\.c\.json\.restart: is not known/,
    ],
    ["config files that are none", { configFiles: 5 }, /configFiles: must be an object/],
    [
      "an endpoint that is none",
      { endpoints: { m: "https://x" } },
      /endpoints\.m: must be an object/,
    ],
    [
      "an endpoint in clear text",
      { endpoints: { m: { url: "http://api.example.com" } } },
      /endpoints\.m\.url: is http to a name/,
    ],
    ["vaults that are none", { vaults: "agents" }, /vaults: must be a list/],
    [
      "secrets without a gateway",
      { network: "none", program: { command: ["x"] }, secrets: { A: "env:A" } },
      /secrets: nothing is delivered with network "none"/,
    ],
    [
      "config files without a gateway",
      { network: "none", program: { command: ["x"] }, configFiles: { a: jsonTemplate({}) } },
      /configFiles: nothing is delivered/,
    ],
  ])("%s is refused", (_, change, wanted) => expect(refused(change)).toMatch(wanted));

  it("a template from a program that holds itself is refused, and so ends", () => {
    const itself: Record<string, unknown> = {};
    itself.again = [itself];
    expect(refused({ configFiles: { "c.json": jsonTemplate(itself as never) } })).toMatch(
      /configFiles\.c\.json\.again\[0\]: holds itself/,
    );
  });

  it("a declaration that a label cannot hold is refused with its size", () => {
    const big = jsonTemplate({ text: "x".repeat(10_000) });
    expect(refused({ configFiles: { a: big, b: big } })).toMatch(/at most 16384 are allowed/);
  });

  // Put together here, so that no file holds what looks like one.
  it.each([
    ["gh", `p_${"a1".repeat(18)}`],
    ["ops", `_eyJ${"a1B2".repeat(12)}`],
    ["sk", `-ant-api03-${"a1B2".repeat(10)}`],
    ["-----BEGIN", " OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk"],
  ])(
    "B14: a live secret in a template or a header (%s…) is refused by its place and not shown",
    (head, rest) => {
      const pasted = head + rest;
      const message = refused({
        configFiles: { "c.json": jsonTemplate({ bots: [{ token: `Bearer ${pasted}` }] }) },
        endpoints: {
          m: {
            url: "https://api.example.com",
            headers: { "x-custom": pasted.replaceAll("\n", " "), "x-team": "sk-SK" },
          },
        },
      });
      expect(message).toMatch(
        /configFiles\.c\.json\.bots\[0\]\.token: looks like a secret's value/,
      );
      expect(message).toMatch(/endpoints\.m\.headers\.x-custom: looks like a secret's value/);
      expect(message).not.toMatch(/x-team/);
      expect(message).not.toContain(rest.slice(1, 12));
    },
  );

  it("a reference is no live secret, whatever its item is called", () => {
    const name = `sk-ant-api03-${"a1B2".repeat(10)}`;
    const template = { a: `op://agents/lal/${name}`, b: `Bearer {{ op://agents/lal/${name} }}` };
    expect(() =>
      defineAgent({ ...lal, configFiles: { "c.json": jsonTemplate(template) } }),
    ).not.toThrow();
  });

  it("B14: what may be a value is shown by no error, wherever it was pasted", () =>
    fc.assert(
      fc.property(fc.uuid(), (token) => {
        for (const change of [
          { secrets: { A: token } },
          { secrets: { A: secret(`ghp_${token}`, { as: "file" }) } },
          { configFiles: { a: jsonTemplate({ a: `{{ ${token} }}` }) } },
          { endpoints: { m: { url: "https://x", headers: { authorization: token } } } },
          { endpoints: { m: { url: `https://${token}@x` } } },
          { endpoints: { m: { url: `https://x?${token}` } } },
        ])
          expect(refused(change)).not.toContain(token);
      }),
      { numRuns: 20 },
    ));
});

describe("a template in a file", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "berth-template-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (text: string | Buffer, name = "config.json.tpl") => {
    writeFileSync(join(directory, name), text);
    return pathToFileURL(join(directory, name));
  };

  it("B8: is read and parsed when the program runs", () =>
    expect(
      jsonTemplate(file('{\n  "token": "{{ op://agents/lal/token }}",\n  "$schema": "x"\n}\n'), {
        reread: true,
      }),
    ).toStrictEqual({
      template: { token: "{{ op://agents/lal/token }}", $schema: "x" },
      reread: true,
    }));

  it.each<[string, string, RegExp]>([
    [
      "a comma too much",
      '{\n  "a": "hunter2",\n}',
      /config\.json\.tpl:\n {2}- line 3, column 1: is not JSON; references stand inside of strings/,
    ],
    [
      "a reference outside of a string",
      '{ "a": {{ op://v/i/f }} }',
      /line 1, column 9: is not JSON/,
    ],
    ["a text", "hunter2", /config\.json\.tpl:\n {2}- is not JSON/],
    ["nothing", "", /is not JSON/],
    ["no object", '"hunter2"', /- must be an object or a list/],
    [
      "leaves that are wrong, all of them",
      '{"a":"{{ hunter2 }}","b":["{{"]}',
      /- a: has \{\{[^\n]*\n {2}- b\[0\]: has \{\{ without/,
    ],
    ["too much", `["${"hunter2".repeat(10_000)}"]`, /- has 70004 bytes; at most 12288/],
  ])("%s is refused with the file and the place, and nothing of its content", (_, text, wanted) => {
    const message = messageOf(() => jsonTemplate(file(text)));
    expect(message).toMatch(wanted);
    expect(message).not.toContain("hunter2");
  });

  it("a file that is not there, a directory and a web page are refused", () => {
    expect(messageOf(() => jsonTemplate(pathToFileURL(join(directory, "none.tpl"))))).toMatch(
      /none\.tpl:\n {2}- cannot be read \(ENOENT\)/,
    );
    expect(messageOf(() => jsonTemplate(pathToFileURL(directory)))).toMatch(/is no regular file/);
    expect(messageOf(() => jsonTemplate(new URL("https://example.com/x?hunter2")))).not.toMatch(
      /hunter2/,
    );
  });
});

describe("a fleet's secrets", () => {
  const agent = (name: string, change: object) =>
    defineAgent({ ...lal, name, vaults: ["shared"], ...change } as AgentInput);

  it.each<[string, object, object]>([
    ["secrets", { secrets: { A: "op://shared/item/a" } }, { secrets: { B: "op://shared/item/b" } }],
    [
      "spellings",
      { secrets: { A: "op://shared/item/a" } },
      { secrets: { A: "{{ op://Shared/ITEM/a }}" } },
    ],
    [
      "members",
      { configFiles: { a: jsonTemplate({ a: "op://shared/item/a" }) } },
      {
        endpoints: {
          m: { url: "https://x", headers: { authorization: "Bearer {{ op://shared/item/s/k }}" } },
        },
      },
    ],
  ])("A4: two agents that name one item are refused, in different %s, too", (_, one, two) => {
    const list = [agent("one", one), agent("two", two)];
    expect(messageOf(() => defineFleet(list))).toBe(
      'Fix agents/index.ts:\n  - one and two name the same item "shared/item": give each its own, so that each has its own rights and can be rotated alone',
    );
  });

  it("one vault with an item for each, and one item for several members of one agent, are right", () =>
    expect(
      defineFleet([
        agent("one", { secrets: { A: "op://shared/one/a", B: "op://shared/one/b" } }),
        agent("two", { secrets: { A: "op://shared/two/a", B: "env:A" } }),
        agent("three", { vaults: undefined, secrets: { B: "env:A" } }),
      ]),
    ).toHaveLength(3));
});
