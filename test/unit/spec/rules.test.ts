import { describe, expect, it } from "vitest";
import { list, object, oneOf, type Rule, record, text, whole } from "../../../spec/rules.ts";

const name = text(/^[a-z]+$/, "a name");
const rule = object(
  {
    name,
    size: whole(1, 3),
    mode: oneOf("on", true, 0),
    tags: list(name, 1, 2),
    more: record(/^[A-Z]+$/, "a KEY", object({ size: whole(0, 9) }), 2),
  },
  ["more"],
);
const good = { name: "a", size: 2, mode: 0, tags: ["x"], more: { A: { size: 0 } } };

describe("rules for values from outside", () => {
  it("a right value has no problems, with and without what is optional", () => {
    expect(rule(good)).toEqual([]);
    const { more: _, ...less } = good;
    expect(rule(less)).toEqual([]);
  });

  it("every problem of a value is named at once, each with its path", () =>
    expect(
      rule({
        name: "A",
        size: 0,
        tags: ["x", 1],
        more: { a: { size: 1 }, B: { size: "1", extra: null } },
        surprise: 1,
      }),
    ).toEqual([
      ".surprise: is not known",
      ".name: must be a name",
      ".size: must be a whole number from 1 to 3",
      ".mode: is missing",
      ".tags[1]: must be a name",
      ".more.a: must be a KEY",
      ".more.B.extra: is not known",
      ".more.B.size: must be a whole number from 0 to 9",
    ]));

  it.each([
    ["no object", rule, [undefined, null, 1, "x", [], [good]]],
    ["no whole number within bounds", whole(1, 3), [0, 4, 1.5, "1", Number.NaN, null, 2n, [2]]],
    ["no text that fits", name, ["", "A", "a ", "a\n", 1, null, ["a"], { toString: () => "a" }]],
    ["no list", list(name, 1, 2), [null, "ab", {}, { length: 1, 0: "a" }, [], ["a", "b", "c"]]],
    ["no record", record(/^k$/, "k", name, 1), [null, [], "k", { k: "a", l: "b" }, { l: "b" }]],
    ["none of the values", oneOf("on", 1), ["off", "1", true, null, undefined]],
  ] as [string, Rule, unknown[]][])("%s is refused", (_, one, values) => {
    for (const value of values) expect(one(value), String(value)).not.toEqual([]);
  });

  it("what an object inherits counts for nothing, and __proto__ is a member like any other", () => {
    const inherited = Object.create(good) as object;
    expect(rule(inherited).filter((p) => p.includes("is missing"))).toHaveLength(4);
    expect(rule(JSON.parse('{"__proto__":{"name":"a"}}'))).toContain(".__proto__: is not known");
    expect(object({})(JSON.parse('{"constructor":1}'))).toEqual([".constructor: is not known"]);
    expect(record(/^[a-z]+$/, "a name", name, 5)(JSON.parse('{"__proto__":1}'))).toHaveLength(2);
  });
});
