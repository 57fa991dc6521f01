import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Denial } from "../../../services/socket-proxy/denial.ts";
import {
  parseStrict,
  type StrictJson,
  strictJsonLimits,
} from "../../../services/socket-proxy/strict-json.ts";
import { canonicalJson, type Json } from "../../../spec/canonical.ts";

const read = (text: string) => parseStrict(Buffer.from(text));

/** The rule that refuses the body, or `accepted`. Anything but a Denial 400 fails the test. */
function ruleOf(body: string | Uint8Array): string {
  try {
    parseStrict(typeof body === "string" ? Buffer.from(body) : body);
    return "accepted";
  } catch (error) {
    if (!(error instanceof Denial)) throw error;
    expect(error.status).toBe(400);
    return error.rule;
  }
}

const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));

const refused: Readonly<Record<string, readonly (string | Uint8Array)[]>> = {
  "json-utf8": [
    "\ufeff{}",
    bytes([0xff, 0xfe, 0x7b, 0, 0x7d, 0]),
    bytes('"', [0xed, 0xa0, 0x80], '"'),
    bytes('"', [0xc0, 0xaf], '"'),
    bytes('"', [0xf4, 0x90, 0x80, 0x80], '"'),
    bytes('"', [0xe2, 0x82], '"'),
    bytes('{"', [0x80], '":1}'),
    gzipSync("{}"),
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud800x\\udc00"',
    '"\\udc00\\ud800"',
    '{"\\ud800":1}',
  ],
  "json-syntax": [
    "",
    " ",
    bytes([0x7b, 0, 0x7d, 0]),
    "{",
    "[",
    "[1",
    '"',
    '"a',
    '"\\',
    '"\\u12',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{,}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    '{"a":1]',
    "tru",
    "nul",
    "True",
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "01",
    "-01",
    "00",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "-",
    "--1",
    "0x10",
    "1_000",
    "1-1",
    "{}{}",
    "{} []",
    "1 2",
    "nulls",
    "{}\u0000",
    "{}//",
    "/**/{}",
    "#",
    "\u00a0{}",
    "\u2028{}",
    "{}\u000b",
    "{}\u000c",
    "{\u3000}",
    "[1,\u00852]",
    '"\\x41"',
    '"\\a"',
    '"\\u{41}"',
    '"\\u 041"',
    '"\\U0041"',
    '"\\b"',
    '"\\f"',
    '"\\0"',
    '"a\nb"',
    '"a\tb"',
    '"a\u0000b"',
    '"a\u001fb"',
    '"a\u007fb"',
    '"a\u009bb"',
    '"\\u0000"',
    '"\\u001b"',
    '"\\u007f"',
    '"\\u009B"',
    "username=a&template=b",
  ],
  "json-duplicate": [
    '{"a":1,"a":1}',
    '{"a":{},"a":{}}',
    '{"a":1,"b":2,"A":3}',
    '{"HostConfig":{},"hostconfig":{"Privileged":true}}',
    '{"Ho\\u0073tConfig":{},"HostConfig":{}}',
    '{"HostConfig":{},"Ho\u017ftConfig":{}}',
    '{"HostConfig":{},"Ho\\u017ftConfig":{}}',
    '{"Links":[],"Lin\u212as":[]}',
    '{"k":1,"\u212a":2}',
    '[[{"x":{"y":[{"s":1,"\u017f":2}]}}]]',
    '{"":1,"":2}',
  ],
  "json-depth": [
    "[".repeat(17),
    `${"[".repeat(17)}${"]".repeat(17)}`,
    "[".repeat(10_000),
    '{"a":'.repeat(10_000),
    `${'{"a":['.repeat(9)}`,
  ],
  "json-size": [
    `"${"a".repeat(strictJsonLimits.bytes)}"`,
    " ".repeat(strictJsonLimits.bytes + 1),
    `[${Array(strictJsonLimits.members + 1).fill(1)}]`,
    `{${Array.from({ length: strictJsonLimits.members + 1 }, (_, i) => `"${i}":1`)}}`,
    `[${Array(3).fill(`[${Array(700).fill(0)}]`)}]`,
    `{${Array.from({ length: 1e6 }, (_, i) => `"${i}":1`)}}`,
  ],
  "json-number": [
    "1.5",
    "1.0",
    "0.0",
    "1e3",
    "1E3",
    "1e+3",
    "1e-3",
    "0e0",
    "-0",
    "-0.0",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740992",
    "1e400",
    "9".repeat(400),
    '{"Memory":1e9}',
  ],
  "json-key": [
    '{"__proto__":{}}',
    '{"\\u005f_proto__":{}}',
    '{"constructor":{}}',
    '{"a":{"prototype":1}}',
    '[{"constructor":{"prototype":{"x":1}}}]',
    '{"a\\nb":1}',
    '{"a\\u000ab":1}',
  ],
};

describe("T4: the strict JSON reader", () => {
  for (const [rule, bodies] of Object.entries(refused)) {
    it(`T4: refuses by rule ${rule} what that rule is for`, () => {
      const wrong = bodies.filter((body) => ruleOf(body) !== rule);
      expect(wrong.map((body) => `${body}`.slice(0, 80))).toEqual([]);
    });
  }

  it("T4: refuses two keys of one object that Go's decoder takes for the same, in every orbit of its case folding", () => {
    // The orbits of more than two characters of Go's unicode package, and plain pairs of several scripts.
    const orbits =
      "Kk\u212a Ss\u017f Åå\u212b Ǆǅǆ Ǉǈǉ Ǌǋǌ Ǳǲǳ \u0345Ιι\u1fbe Ββϐ Εεϵ Θθϑϴ Κκϰ Μμµ Ππϖ Ρρϱ Σσς Φφϕ Ωω\u2126 Ввᲀ Ддᲁ Ооᲂ Ссᲃ Ттᲄᲅ Ъъᲆ Ѣѣᲇ Ṡṡẛ ẞß Ꙋꙋᲈ Aa Éé Ġġ Жж Ბბ Ꭰꭰ Ⓐⓐ Ａａ 𐐀𐐨 𞤀𞤢";
    for (const orbit of orbits.split(" ")) {
      for (const one of orbit) {
        for (const other of orbit) {
          const body = `{"x${one}y":1,"x${other}y":2}`;
          expect([body, ruleOf(body)]).toEqual([body, "json-duplicate"]);
        }
      }
    }
  });

  it("T4: takes the same key in different objects", () => {
    expect(ruleOf('[{"a":{"a":{"A":1}}},{"a":1},{"A":2}]')).toBe("accepted");
  });

  it("T4: refuses a body of keys that cannot be told apart wherever in the body they are", () => {
    const place = fc.array(fc.constantFrom("array", "object"), { maxLength: 14 });
    fc.assert(
      fc.property(place, fc.constantFrom("Binds", "k", "\u017f"), (path, key) => {
        const other = key === "\u017f" ? "S" : key.toUpperCase();
        const body = path.reduce(
          (inner, kind) => (kind === "array" ? `[0,${inner}]` : `{"n":0,"o":${inner},"p":0}`),
          `{"${key}":1,"x":0,"${other}":2}`,
        );
        expect(ruleOf(body)).toBe("json-duplicate");
      }),
    );
  });

  it("T4: takes a body that is exactly at a limit", () => {
    const { depth, members, bytes: most } = strictJsonLimits;
    expect(ruleOf(`${"[".repeat(depth)}1${"]".repeat(depth)}`)).toBe("accepted");
    expect(ruleOf(`[${Array(members).fill(1)}]`)).toBe("accepted");
    expect(ruleOf(`"${"a".repeat(most - 2)}"`)).toBe("accepted");
    expect(ruleOf(`"${"😀".repeat((most - 4) / 4)}"`)).toBe("accepted");
    expect(ruleOf(`"${"\\\\".repeat(most / 2 - 1)}"`)).toBe("accepted");
    expect(read("[9007199254740991,-9007199254740991,0,-1]")).toEqual([
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      0,
      -1,
    ]);
  });

  it("T4: gives what is written, in objects without a prototype", () => {
    const value = read(
      ' {\t"a" : [ null , true,false ,"\\u0041\\n\\r\\t\\"\\\\\\/\\ud83d\\ude00é"]\r,\n"b":{}, "":-12} ',
    );
    expect(JSON.stringify(value)).toBe(
      JSON.stringify({ a: [null, true, false, 'A\n\r\t"\\/😀é'], b: {}, "": -12 }),
    );
    const b = (value as { b: object }).b;
    expect([Object.getPrototypeOf(value), Object.getPrototypeOf(b)]).toEqual([null, null]);
    expect("toString" in b).toBe(false);
  });

  it("a refusal repeats nothing of the body", () => {
    const bodies = Object.values(refused).flat();
    for (const body of bodies) {
      const canary = `{"SECRET-KEY":"SECRET-VALUE","x":${Buffer.from(body).toString("latin1")}`;
      try {
        read(canary);
      } catch (error) {
        expect((error as Denial).message).not.toContain("SECRET");
      }
    }
    expect(() => read('{"SECRET":1,"secret":2}')).toThrow(/^(?!.*SECRET).*$/i);
  });
});

/** Texts without control characters and without halves of surrogate pairs. */
const text = fc
  .string({ unit: "binary", maxLength: 12 })
  .map((value) => value.replaceAll(/[^\P{Cc}\n\r\t]/gu, ""));
const key = text
  .map((value) => value.replaceAll(/\p{Cc}/gu, ""))
  .filter((value) => !["__proto__", "constructor", "prototype"].includes(value));

/** Any value that the reader must take. */
const safeValue = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", maxDepth: 8 },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger().map((value) => value + 0),
    text,
    fc.array(tie("value"), { maxLength: 5 }),
    fc
      .uniqueArray(fc.tuple(key, tie("value")), {
        maxLength: 5,
        selector: ([name]) => name.toLowerCase().toUpperCase(),
      })
      .map((entries) => Object.fromEntries(entries)),
  ),
})).value;

/** Members on objects without a prototype compare equal to those of plain ones. */
const plain = (value: StrictJson) => JSON.parse(JSON.stringify(value)) as Json;

describe("laws of the strict JSON reader", () => {
  it("T4: takes the canonical JSON of every safe value, and gives it back equal", () => {
    fc.assert(
      fc.property(safeValue, (value) => {
        expect(canonicalJson(read(canonicalJson(value)))).toBe(canonicalJson(value));
        expect(plain(read(JSON.stringify(value, null, "\t")))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it("T4: takes nothing that JSON.parse does not take, and nothing with another value than JSON.parse gives", () => {
    const pieces = fc.constantFrom(
      ...'{}[],:"\\ -+.eE0123456789\n\t',
      '"a":',
      '"A":',
      '{"a":1}',
      "null",
      "true",
      "1",
      "\\u0061",
      "\\n",
      '"x"',
      "\u212a",
      "\u0000",
      "\u00a0",
      "\ufeff",
      "é",
    );
    const soup = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(""));
    const broken = fc
      .tuple(safeValue.map(canonicalJson), fc.nat(), fc.nat({ max: 2 }), pieces)
      .map(([json, at, cut, piece]) => {
        const from = at % (json.length + 1);
        // A cut between two halves of a character is not what this law is about.
        return (json.slice(0, from) + piece + json.slice(from + cut)).toWellFormed();
      });
    let taken = 0;
    fc.assert(
      fc.property(fc.oneof(soup, broken), (body) => {
        if (ruleOf(body) !== "accepted") return;
        taken += 1;
        expect(canonicalJson(read(body))).toBe(canonicalJson(JSON.parse(body) as Json));
      }),
      { numRuns: 5_000 },
    );
    expect(taken).toBeGreaterThan(50);
  });

  it("T4: ends every sequence of bytes in a value or in one of its own refusals", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (body) => {
        expect(["accepted", ...Object.keys(refused)]).toContain(ruleOf(body));
      }),
      { numRuns: 2_000 },
    );
  });
});
