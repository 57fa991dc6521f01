import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../../../spec/canonical.ts";
import {
  fillJson,
  fillText,
  leavesOf,
  maxTemplateBytes,
  maxTemplateDepth,
  problemOfText,
  problemsOfTemplate,
  referencesInText,
} from "../../../spec/json-template.ts";

/** Values that break what replaces text: quotes, line ends, references, variables, other scripts, half a character. */
const nasty = fc.oneof(
  fc.constantFrom(
    '"',
    '","admin":true,"x":"',
    "a\nb\r\n\u2028",
    "\\",
    "{{ op://v/i/other }}",
    "op://v/i/other",
    "}}",
    "{{",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: what a shell or `op inject` would expand.
    "$HOME ${x} ${x:-y} $& $1 $$ $`",
    "-----BEGIN KEY-----\nab+/=\n-----END KEY-----\n",
    "Zoë 🔑 \u0000",
    "\ud800",
    "__proto__",
  ),
  fc.string({ unit: "binary" }),
);
const reference = fc.constantFrom(
  "op://v/i/a",
  "op://v/i/s/b?attribute=otp",
  "env:C",
  "file:/d",
  "generated:32",
);
const literal = fc
  .string({ unit: fc.constantFrom(..."ab $\\\"'{}\n:/é") })
  .filter((text) => !/\{\{|\}\}|^\}|\{$/.test(text));

/** A leaf, what is in it by its parts, and what it must become. */
const leaf = fc.oneof(
  literal.map((text) => ({ text, parts: [{ literal: text }] as Part[] })),
  fc
    .constantFrom("op://v/i/a", "op://v/i/b")
    .map((text) => ({ text, parts: [{ reference: text }] as Part[] })),
  fc
    .array(fc.tuple(literal, reference, fc.constantFrom("", " ", "  ")), {
      minLength: 1,
      maxLength: 3,
    })
    .map((steps) => ({
      text: steps.map(([before, ref, gap]) => `${before}{{${gap}${ref}${gap}}}`).join(""),
      parts: steps.flatMap(([before, ref]): Part[] => [{ literal: before }, { reference: ref }]),
    })),
);
type Part = { literal: string } | { reference: string };
type Leaf = { text: string; parts: Part[] };

/** A template by its shape: leaves as above, everything else as JSON has it. */
const shape = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.constantFrom(null, true, false, 0, -1.5, 1e300).map((json) => ({ json })),
    fc.array(tie("node"), { maxLength: 4 }),
    fc
      .dictionary(
        fc.constantFrom("a", "b.c", "$schema", "__proto__", "toString", 'é "', ""),
        tie("node"),
        { maxKeys: 4 },
      )
      .map((members) => ({ members })),
  ),
})).node;

/** Turns a shape into JSON, each leaf by `of`. The test's own walk, not the product's. */
function build(node: unknown, of: (leaf: Leaf) => string): Json {
  if (Array.isArray(node)) return node.map((item) => build(item, of));
  const known = node as { members?: object; json?: Json; text?: string };
  if (known.members !== undefined)
    return Object.fromEntries(Object.entries(known.members).map(([k, v]) => [k, build(v, of)]));
  return known.text === undefined ? (known.json ?? null) : of(node as Leaf);
}

describe("templates", () => {
  it("B8: a filled template has exactly the values at exactly the leaves, whatever is in them", () =>
    fc.assert(
      fc.property(shape, fc.array(nasty, { minLength: 5, maxLength: 5 }), (node, values) => {
        const refs = ["op://v/i/a", "op://v/i/b", "op://v/i/s/b?attribute=otp", "env:C", "file:/d"];
        const value = (ref: string) => values[refs.indexOf(ref)] ?? `made up for ${ref}`;
        const template = build(node, ({ text }) => text);
        const wanted = build(node, ({ parts }) =>
          parts.map((part) => ("literal" in part ? part.literal : value(part.reference))).join(""),
        );
        const before = JSON.stringify(template);
        const filled = JSON.parse(JSON.stringify(fillJson(template, value)));
        expect(filled).toStrictEqual(JSON.parse(JSON.stringify(wanted)));
        // The template itself stays a template.
        expect(JSON.stringify(template)).toBe(before);
      }),
      { numRuns: 1000 },
    ));

  it("every reference of a leaf is told in its order, and asked for as often as it stands there", () =>
    fc.assert(
      fc.property(leaf, ({ text, parts }) => {
        const wanted = parts.flatMap((part) => ("reference" in part ? [part.reference] : []));
        expect(referencesInText(text)).toEqual(wanted);
        const asked: string[] = [];
        fillText(text, (ref) => {
          asked.push(ref);
          return "";
        });
        expect(asked).toEqual(wanted);
      }),
    ));

  it("nothing but references is special: variables, single braces and other URLs stay as they are", () => {
    for (const text of [
      // biome-ignore lint/suspicious/noTemplateCurlyInString: as above.
      "$HOME ${x:-y}",
      "a { b } c",
      "https://x/y",
      "file:/not/a/reference",
      "env:A",
      "",
    ])
      expect(fillText(text, () => "wrong")).toBe(text);
    expect(fillText("a{{op://v/i/f}}b{{ env:X }}$&", (ref) => `<${ref}>`)).toBe(
      "a<op://v/i/f>b<env:X>$&",
    );
  });

  it.each([
    ["{{ op://v/i/f", "{{ without }}"],
    ["op", undefined],
    ["a }} b", "}} without {{"],
    ["{{ op://v/i/f }} }}", "}} without {{"],
    ["{{ {{ op://v/i/f }} }}", "is no secret reference"],
    ["{{}}", "is no secret reference"],
    ["{{ user }}", "is no secret reference"],
    ["{{ op://v/i }}", '"op://v/i" is no reference'],
    ["op://v/i", '"op://v/i" is no reference'],
    ["op://v/i/f and more", "is no reference"],
    ["token=op://v/i/f", "write {{ op://vault/item/field }} there"],
    ["{{ env:A }} op://v/i/f", "write {{ op://vault/item/field }} there"],
  ])("%j: %s", (text, wanted) => {
    if (wanted === undefined) expect(problemOfText(text)).toBeUndefined();
    else {
      expect(problemOfText(text)).toContain(wanted);
      expect(() => referencesInText(text)).toThrow(wanted);
      expect(() => fillJson([text], () => "x")).toThrow(wanted);
    }
  });

  it("a text that may be a value is not shown, whatever is wrong with it", () =>
    fc.assert(
      fc.property(fc.uuid(), (secret) => {
        for (const text of [`{{ ${secret} }}`, `{{ ${secret}`, `${secret} }}`, `${secret} op://`])
          expect(problemsOfTemplate({ a: [text] }).join()).not.toContain(secret);
      }),
    ));
});

describe("what cannot be a template", () => {
  const itself: { a: { b?: unknown } } = { a: {} };
  itself.a.b = itself;
  const twice = { token: "op://v/i/f" };

  it.each<[string, unknown, string[]]>([
    ["a key with a reference", { "{{ op://v/i/f }}": 1 }, ["a key may hold no reference"]],
    ["a key that is one", { a: { "op://v/i/f": 1 } }, ["a key may hold no reference"]],
    [
      "malformed leaves, each by its path",
      { a: ["x", "{{ x"], "b c": "}}" },
      [".a[1]: has {{", '["b c"]: has }}'],
    ],
    ["a number without JSON", { a: Number.NaN }, [".a: is a number that JSON does not have"]],
    ["a function", { a: () => 1 }, [".a: is of type function"]],
    ["a hole in a list", { a: [1, undefined] }, [".a[1]: is of type undefined"]],
    ["a date", { a: new Date() }, [".a: is an object of a class"]],
    ["an URL where a template should be", new URL("file:///x"), [": is an object of a class"]],
    ["something that holds itself", itself, [".a.b: holds itself"]],
    ["too much", { a: "x".repeat(maxTemplateBytes) }, ["at most 12288 are allowed"]],
  ])("%s is refused", (_, template, wanted) => {
    const problems = problemsOfTemplate(template);
    expect(problems).toHaveLength(wanted.length);
    for (const [i, part] of wanted.entries()) expect(problems[i]).toContain(part);
  });

  it("deep nesting is refused by its path, as deep as it may be is not", () => {
    const nested = (depth: number): Json => (depth === 0 ? "op://v/i/f" : [nested(depth - 1)]);
    expect(problemsOfTemplate(nested(maxTemplateDepth))).toEqual([]);
    expect(problemsOfTemplate(nested(maxTemplateDepth + 1))).toEqual([
      `${"[0]".repeat(maxTemplateDepth)}: lies deeper than ${maxTemplateDepth} levels`,
    ]);
    expect(problemsOfTemplate(nested(5000))).toHaveLength(1);
  });

  it("the same object in two places is no cycle, and a member without a value is none", () => {
    expect(problemsOfTemplate({ a: twice, b: [twice, twice], c: undefined })).toEqual([]);
    expect(leavesOf({ a: twice, b: [twice], c: undefined })).toEqual([
      { path: ".a.token", text: "op://v/i/f" },
      { path: ".b[0].token", text: "op://v/i/f" },
    ]);
  });
});
