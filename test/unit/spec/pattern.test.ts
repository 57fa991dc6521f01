import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { problemOfPattern, readPattern } from "../../../spec/pattern.ts";

/** One character of a pattern as both write it, and texts of what it takes. */
const atom = fc.constantFrom(
  "a",
  "b",
  "é",
  "😀",
  "\\.",
  "\\\\",
  "\\+",
  "-",
  ",",
  "\\d",
  "\\w",
  "[ab]",
  "[a-c]",
  "[a-c0-9_]",
  "[a-]",
  "[-a]",
  "[--9]",
  "[\\--9]",
  "[+-\\-]",
  "[\\d.]",
  "[\\w\\]]",
  "[a^]",
  "[é-ü]",
  "[😀-😎]",
  "[ -~]",
);
const count = fc.constantFrom("", "", "?", "*", "+", "{2}", "{0,2}", "{1,3}", "{2,}", "{0,}");
const sequence = fc
  .array(
    fc.tuple(atom, count).map((parts) => parts.join("")),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => parts.join(""));
const pattern = fc
  .array(sequence, { minLength: 1, maxLength: 3 })
  .map((alternatives) => alternatives.join("|"));
const letters = [..."abc019_-.,\\]^+é😀😃 ZA~"];
const text = fc
  .array(fc.constantFrom(...letters), { maxLength: 8 })
  .map((characters) => characters.join(""));

describe("a parameter's pattern", () => {
  it("A26: matches exactly what the same regular expression matches from begin to end", () => {
    let matched = 0;
    fc.assert(
      fc.property(pattern, fc.array(text, { minLength: 5, maxLength: 20 }), (source, texts) => {
        const [own, other] = [readPattern(source), new RegExp(`^(?:${source})$`, "u")];
        for (const value of texts) {
          const wanted = other.test(value);
          if (wanted) matched += 1;
          expect(own.matches(value), `${source} on ${JSON.stringify(value)}`).toBe(wanted);
        }
      }),
      { numRuns: 2000 },
    );
    expect(matched).toBeGreaterThan(1000);
  });

  it("matches what was made to fit it, and tells the length of the shortest such text", () => {
    const piece = fc.constantFrom(
      ...([
        ["[a-c]", "b"],
        ["\\d", "7"],
        ["x", "x"],
        [".", "😀"],
        ["\\w", "_"],
      ] as const),
    );
    const times = fc.constantFrom(
      ...([
        ["", 1, 1],
        ["?", 0, 1],
        ["*", 0, 9],
        ["+", 1, 9],
        ["{2,4}", 2, 4],
      ] as const),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(piece, times, fc.nat(9)), { minLength: 1, maxLength: 6 }),
        (parts) => {
          const source = parts.map(([[one], [suffix]]) => one + suffix).join("");
          const fitting = parts
            .map(([[, sample], [, least, most], n]) =>
              sample.repeat(least + (n % (most - least + 1))),
            )
            .join("");
          const { matches, shortest } = readPattern(source);
          expect(matches(fitting)).toBe(true);
          expect(shortest).toBe(parts.reduce((sum, [, [, least]]) => sum + least, 0));
        },
      ),
    );
  });

  it("is always anchored", () => {
    const { matches } = readPattern("[a-z]+");
    expect([
      matches("abc"),
      matches("abc1"),
      matches("1abc"),
      matches("abc\n"),
      matches(""),
    ]).toEqual([true, false, false, false, false]);
  });

  it("never matches a control character or half of a pair, whatever it says", () => {
    for (const source of [".+", "[\u0000-\u{10ffff}]+", "[\ud800-\udfff]+", "\u0007"]) {
      const { matches } = readPattern(source);
      for (const bad of ["\0", "\u0007", "\r", "\u001b", "\u007f", "\u0085", "\ud800", "\udc00"])
        expect([bad, matches(bad), matches(`x${bad}`)]).toEqual([bad, false, false]);
    }
    expect(readPattern(".+").matches("one\ttwo\nthree €😀")).toBe(true);
  });

  it("T8: text and pattern made to be slow are looked at once for each character and step", () => {
    // What takes a backtracking matcher longer than the universe has.
    for (const source of [
      "a*".repeat(120),
      `${"a?".repeat(80)}${"a".repeat(80)}`,
      "[a-z]*[a-y]*".repeat(20),
    ]) {
      const { matches } = readPattern(source);
      expect(matches(`${"a".repeat(4095)}!`)).toBe(false);
    }
    const steps = readPattern("[a-c]{1,500}");
    let walked = 0;
    const counted = {
      *[Symbol.iterator]() {
        for (let i = 0; i < 4096; i++) {
          walked += 1;
          yield "a";
        }
      },
    };
    // The text ends where no step is left: after 500 characters, not 4096.
    expect(steps.matches(counted as unknown as string)).toBe(false);
    expect(walked).toBe(501);
  });

  it("A26: looks a character up once in the class of a repetition, however long that is", () => {
    let lookups = 0;
    const code = () => {
      lookups += 1;
      return 98;
    };
    const character = { codePointAt: code } as unknown as string;
    const text = {
      *[Symbol.iterator]() {
        for (let i = 0; i < 100; i++) yield character;
      },
    };
    readPattern("[a-c]{1,500}").matches(text as unknown as string);
    expect(lookups).toBe(100);
  });

  it.each([
    ["", "must be a pattern of 1 to 256 characters"],
    ["a".repeat(257), "must be a pattern of 1 to 256 characters"],
    [7, "must be a pattern of 1 to 256 characters"],
    [undefined, "must be a pattern of 1 to 256 characters"],
    ["^a$", 'has "^" where a character stands; it is always anchored'],
    ["(a|b)", 'has "(" where a character stands'],
    ["a**", 'has "*" where a character stands'],
    ["a+?", 'has "?" where a character stands'],
    ["a++", 'has "+" where a character stands'],
    ["+a", 'has "+" where a character stands'],
    ["a]", 'has "]" where a character stands'],
    ["a}", 'has "}" where a character stands'],
    ["[^a]", "has a class with ^: name what may stand there"],
    ["[]", "has an empty class"],
    ["[a[b]]", "has a class within a class"],
    ["[a-[b]", "has a class within a class"],
    ["[a-\\d]", "has a range from or to a class"],
    ["[\\w-z]", "has a range from or to a class"],
    ["[z-a]", "has the range z-a, which runs backwards"],
    ["[a", "ends in the middle"],
    ["a\\", "ends in the middle"],
    ["a{2", "ends in the middle"],
    ["\\s", "has \\s; known are \\d, \\w"],
    ["\\b", "has \\b; known are"],
    ["\\1", "has \\1; known are"],
    ["[\\n]", "has \\n; known are"],
    ["a{}", "has the repetition {}; write {3}"],
    ["a{3,1}", "has the repetition {3,1}"],
    ["a{0}", "has the repetition {0}"],
    ["a{,3}", "has the repetition {,3}"],
    ["a{1000}", "has the repetition {1000}"],
    ["a{513}", "comes to more than 512"],
    ["[ab]{500}[cd]{500}", "come to more than 512 characters; write + and let maxLength end it"],
    ["a|", "has an empty alternative"],
    ["|a", "has an empty alternative"],
    ["a||b", "has an empty alternative"],
  ])("%j is refused, and says why", (source, wanted) =>
    expect(problemOfPattern(source)).toContain(wanted.replace(/^comes/, "come")),
  );

  it("any text is a pattern or has a problem, and reading it never fails otherwise", () =>
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" }), pattern), (source) => {
        const problem = problemOfPattern(source);
        if (problem === undefined) expect(readPattern(source).shortest).toBeGreaterThanOrEqual(0);
        else expect(problem).toMatch(/^(must|has|is|ends)/);
      }),
    ));
});
