import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Parameter, Template } from "../../../spec/declaration.ts";
import { createsOf, creatingGrants, idOf, messageOf, mutationsOf, refusalOf } from "./creating.ts";
import { type Harness, startHarness } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { review } from "./templates.ts";

/** A template with parameters of many kinds; each optional, so that a test gives only its own. */
const kinds: Record<string, Parameter> = {
  TASK_SLUG: { pattern: "[a-z0-9-]{1,40}", maxLength: 40, optional: true },
  TASK_WORD: { pattern: "review|implement", maxLength: 16, optional: true },
  TASK_TEXT: { pattern: ".*", maxLength: 8, optional: true },
  TASK_HEX: { pattern: "[0-9a-f]+", maxLength: 4096, optional: true },
  TASK_SIX: { pattern: "\\d{6}", maxLength: 6, optional: true },
};
const shaped: Template = {
  ...review,
  parameters: kinds,
  instances: { max: 100, timeoutSeconds: 60 },
};
/** One that must be given. */
const strict: Template = { ...review, instances: { max: 100, timeoutSeconds: 60 } };

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ grants: creatingGrants() });
  harness.agent({ templates: { shaped, strict } });
});
afterAll(() => harness.close());
afterEach(() => {
  expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
  harness.engine.recorded.length = 0;
});

type Form = (template: string, parameters: Record<string, string>) => ReturnType<Harness["ask"]>;
const forms: [string, Form][] = [
  [
    "native",
    (template, parameters) =>
      harness.ask("/berth/instances", "POST", undefined, { template, parameters }),
  ],
  [
    "Docker's",
    (template, parameters) =>
      harness.ask("/containers/create", "POST", undefined, {
        Image: review.image,
        Labels: { "berth.template": template },
        Env: Object.entries(parameters).map((pair) => pair.join("=")),
      }),
  ],
];

describe.each(forms)("A26: parameters, %s form", (_, create) => {
  const isTaken = async (parameters: Record<string, string>) => {
    harness.engine.recorded.length = 0;
    const id = idOf(await create("lal.shaped", parameters));
    const sent = JSON.parse(createsOf(harness.engine)[0]?.body ?? "") as {
      Env: string[];
      Labels: Record<string, string>;
    };
    const given = Object.entries(parameters).map((pair) => pair.join("="));
    expect(sent.Env.filter((entry) => entry.startsWith("TASK_"))).toEqual(given.sort());
    expect(JSON.parse(sent.Labels["berth.parameters"] ?? "")).toEqual(parameters);
    Object.assign(harness.engine.containers.get(id)?.inspect.State ?? {}, { Running: true });
    harness.engine.exit(id, 0);
  };
  const isRefused = async (parameters: Record<string, string>, words: string) => {
    harness.engine.recorded.length = 0;
    const answer = await create("lal.shaped", parameters);
    expect([parameters, ...refusalOf(answer)]).toEqual([parameters, 400, "parameters"]);
    expect(messageOf(answer)).toContain(words);
    expect(mutationsOf(harness.engine)).toEqual([]);
  };

  it.each([
    ["TASK_SLUG", ["a", "7", "-", "a-b-c", "x".repeat(40)]],
    ["TASK_WORD", ["review", "implement"]],
    ["TASK_TEXT", ["", " ", "a b", "=", "a=b=c", "$(id)`", "ünïcödé", "😀😀😀😀😀😀😀😀", "'\"\\"]],
    ["TASK_HEX", ["0", "f".repeat(4096)]],
    ["TASK_SIX", ["123456"]],
  ])("%s takes what looks like its pattern, and it arrives as it is", async (key, values) => {
    for (const value of values) await isTaken({ [key]: value });
  });

  it.each([
    [
      "TASK_SLUG",
      ["", "A", "a b", "a/b", "a\nb", "a\n", "\na", "ä", "x".repeat(41), "ａ", "a\u0301"],
    ],
    ["TASK_WORD", ["Review", "reviewimplement", "review|implement", "review ", "", "implement\n"]],
    ["TASK_HEX", ["", "0x1", "F", "f".repeat(4097), "٣", "f\u200b"]],
    ["TASK_SIX", ["12345", "1234567", "12345a", "１２３４５６", "-12345", "1e+005"]],
    ["TASK_TEXT", ["123456789", "😀".repeat(9)]],
  ])(
    "%s takes nothing else: it is anchored, counts characters, knows no case",
    async (key, values) => {
      for (const value of values) await isRefused({ [key]: value }, `${key}: `);
    },
  );

  it("no control character but tab and line feed, and no half of a pair, whatever the pattern", async () => {
    const controls = Array.from({ length: 32 }, (_, code) => code)
      .concat(0x7f, 0x80, 0x85, 0x9f)
      .map((code) => String.fromCharCode(code));
    for (const control of controls) {
      harness.engine.recorded.length = 0;
      const value = `a${control}b`;
      if (control === "\t" || control === "\n") await isTaken({ TASK_TEXT: value });
      else {
        // Most are no JSON of ours at all; those that are fit no pattern.
        const answer = await create("lal.shaped", { TASK_TEXT: value });
        expect([control.charCodeAt(0), answer.status]).toEqual([control.charCodeAt(0), 400]);
        expect(mutationsOf(harness.engine)).toEqual([]);
      }
    }
    const half = await create("lal.shaped", { TASK_TEXT: "a\ud800" });
    expect(half.status).toBe(400);
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("one that is left out is not set; one that must be there is asked for by name", async () => {
    await isTaken({});
    harness.engine.recorded.length = 0;
    const answer = await create("lal.strict", { TASK_KIND: "review" });
    expect(refusalOf(answer)).toEqual([400, "parameters"]);
    expect(messageOf(answer)).toContain("TASK_ID: is missing");
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("everything wrong is said at once, by name, and no value", async () => {
    const answer = await create("lal.strict", { TASK_KIND: "canary-seven", TASK_ID: "CANARY" });
    const words = messageOf(answer);
    expect(words).toContain("TASK_ID: does not look like [a-z0-9-]{1,40}");
    expect(words).toContain("TASK_KIND: does not look like review|implement");
    expect(`${words}${JSON.stringify(harness.audit.at(-1))}`).not.toMatch(/canary/i);
    expect(harness.audit.at(-1)).toMatchObject({ fields: ["TASK_ID", "TASK_KIND"] });
  });
});

describe("A26: parameters of the native form only", () => {
  const create = (parameters: unknown) =>
    harness.ask("/berth/instances", "POST", undefined, { template: "lal.shaped", parameters });

  it.each([
    "PATH",
    "LD_PRELOAD",
    "NODE_OPTIONS",
    "TASK_OTHER",
    "task_slug",
    "TASK_SLUG ",
    "",
    "toString",
  ])("%s is no parameter", async (key) => {
    const answer = await create({ [key]: "x" });
    expect(refusalOf(answer)).toEqual([400, "parameters"]);
    expect(messageOf(answer)).toContain(": is no parameter of lal.shaped");
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("values are texts, and together an object", async () => {
    for (const value of [1, null, true, [], ["a"], {}, { a: "b" }]) {
      expect(refusalOf(await create({ TASK_SLUG: value }))).toEqual([400, "parameters"]);
    }
    for (const parameters of [1, "TASK_SLUG=a", true, [], ["TASK_SLUG=a"], [["TASK_SLUG", "a"]]]) {
      expect(refusalOf(await create(parameters))).toEqual([400, "parameters"]);
    }
    for (const nothing of [null, {}, undefined]) idOf(await create(nothing));
    expect(mutationsOf(harness.engine)).toHaveLength(3);
  });

  it("the body has no other members, and each of its own kind", async () => {
    const bodies: [unknown, string][] = [
      [{ template: "lal.shaped", image: "x" }, "template"],
      [{ template: "lal.shaped", Image: "x", HostConfig: { Privileged: true } }, "template"],
      [{ Template: "lal.shaped" }, "template"],
      [{}, "template"],
      [{ template: null }, "template"],
      [{ template: ["lal.shaped"] }, "template"],
      [{ template: "lal.shaped", instance: 1 }, "instance"],
      [{ template: "lal.shaped", instance: null }, "instance"],
      [{ template: "lal.shaped", instance: ["x"] }, "instance"],
      [[{ template: "lal.shaped" }], "json-syntax"],
      ["lal.shaped", "json-syntax"],
      [null, "json-syntax"],
    ];
    for (const [body, rule] of bodies) {
      const answer = await harness.ask("/berth/instances", "POST", undefined, body);
      expect([body, ...refusalOf(answer)]).toEqual([body, 400, rule]);
    }
    expect(mutationsOf(harness.engine)).toEqual([]);
  });
});
