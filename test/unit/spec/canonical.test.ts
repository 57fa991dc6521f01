import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, hashOf, type Json } from "../../../spec/canonical.ts";

/** The same value with every object's members in reverse order. */
function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map((item) => reversed(item as Json));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value as Record<string, Json>)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

describe("canonical JSON", () => {
  it("reads back as the value", () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value as Json))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    ));

  it("and its hash do not depend on the order of members", () =>
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(reversed(value as Json))).toBe(canonicalJson(value as Json));
        expect(hashOf(reversed(value as Json))).toBe(hashOf(value as Json));
      }),
    ));

  it("leaves undefined members out and keeps the order of lists", () => {
    expect(canonicalJson({ b: [2, 1], a: undefined, c: null })).toBe('{"b":[2,1],"c":null}');
  });
});
