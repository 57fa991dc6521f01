import { Secrets } from "@1password/sdk";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  attributes,
  isWithin,
  itemOf,
  maxReferenceLength,
  maxSegmentLength,
  type OpReference,
  parseReference,
  problemOfReference,
  SecretReferenceError,
} from "../../../spec/references.ts";

const isReference = (text: unknown) => problemOfReference(text) === undefined;

/** The documented grammar once more, as one expression: nothing of it is the parser's. */
const segment = String.raw`(?!\.{1,2}(?:[/?]|$))[A-Za-z0-9_.\-]{1,255}`;
const query = String.raw`\?(?:ssh-format=openssh|attribute=(?:content|id|name|otp|purpose|size|type|value))`;
const grammar = new RegExp(
  [
    `^(?:op://(?:${segment}/){2,3}${segment}(?:${query})?`,
    String.raw`file:/[^\p{Cc}]*`,
    "env:[A-Za-z_][A-Za-z0-9_]*",
    "generated:(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2}|10[01][0-9]|102[0-4]))$",
  ].join("|"),
  "u",
);
const documented = (text: string) => text.length <= 1024 && grammar.test(text);

const letters = [..."abzABZ019_-."];
const name = fc
  .array(fc.constantFrom(...letters), { minLength: 1, maxLength: 12 })
  .map((parts) => parts.join(""))
  .filter((text) => text !== "." && text !== "..");
const opParts = fc.record({
  vault: name,
  item: name,
  section: fc.option(name, { nil: undefined }),
  field: name,
  query: fc.constantFrom("", "?ssh-format=openssh", ...attributes.map((a) => `?attribute=${a}`)),
});
type OpParts = typeof opParts extends fc.Arbitrary<infer T> ? T : never;
const written = ({ vault, item, section, field, query: after }: OpParts) =>
  `op://${vault}/${item}/${section === undefined ? "" : `${section}/`}${field}${after}`;
const valid = fc.oneof(
  opParts.map(written),
  fc.constantFrom("file:/srv/secrets/a b", "file:/", "env:GH_TOKEN", "env:_x1"),
  fc.integer({ min: 16, max: 1024 }).map((bytes) => `generated:${bytes}`),
);
/** Characters and pieces that mean something here, or nearly. */
const pieces = [
  "/",
  "//",
  "?",
  "&",
  "=",
  " ",
  ".",
  "..",
  "\n",
  "\0",
  "$",
  "{",
  "}}",
  "#",
  "%2f",
  "ä",
  "é",
  "_",
  "0",
  "a",
];
const words = [
  "op://",
  "OP://",
  "file:",
  "env:",
  "generated:",
  "attribute=",
  "otp",
  "totp",
  "ssh-format=",
  "openssh",
  "?attribute=otp",
  "?x=y",
];
const mutated = fc
  .tuple(
    valid,
    fc.array(
      fc.record({
        at: fc.nat(60),
        remove: fc.nat(3),
        add: fc.constantFrom("", ...pieces, ...words),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([text, changes]) =>
    changes.reduce(
      (now, { at, remove, add }) => now.slice(0, at) + add + now.slice(at + remove),
      text,
    ),
  );
const assembled = fc
  .array(fc.oneof(name, fc.constantFrom(...pieces, ...words)), { maxLength: 9 })
  .map((parts) => parts.join(""));
const anyText = fc.oneof(valid, mutated, assembled, fc.string({ unit: "binary", maxLength: 30 }));
const many = { numRuns: 3000 };

describe("the grammar of references", () => {
  it.each<[string, object]>([
    ["op://agents/lal/token", { scheme: "op", vault: "agents", item: "lal", field: "token" }],
    [
      "op://agents/lal/keys/token?attribute=otp",
      {
        scheme: "op",
        vault: "agents",
        item: "lal",
        section: "keys",
        field: "token",
        attribute: "otp",
      },
    ],
    [
      "op://agents/lal/key?ssh-format=openssh",
      { scheme: "op", vault: "agents", item: "lal", field: "key", sshFormat: "openssh" },
    ],
    [
      "{{ op://Vault/copilot-bridge/lal-token }}",
      { scheme: "op", vault: "Vault", item: "copilot-bridge", field: "lal-token" },
    ],
    ["file:/srv/secrets/a", { scheme: "file", path: "/srv/secrets/a" }],
    ["env:GH_TOKEN", { scheme: "env", name: "GH_TOKEN" }],
    ["{{env:GH_TOKEN}}", { scheme: "env", name: "GH_TOKEN" }],
    ["generated:16", { scheme: "generated", bytes: 16 }],
    ["generated:1024", { scheme: "generated", bytes: 1024 }],
  ])("A4: %s parses", (text, parsed) => expect(parseReference(text)).toEqual(parsed));

  it("B14: exactly the documented texts are references", () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(anyText, (text) => {
        fc.pre(!text.startsWith("{{"));
        expect(isReference(text)).toBe(documented(text));
        if (documented(text)) accepted++;
        else refused++;
      }),
      many,
    );
    // Both kinds were tried, or the law would say nothing.
    expect(accepted).toBeGreaterThan(300);
    expect(refused).toBeGreaterThan(300);
  });

  it("every part comes back as it was written, with braces or without", () =>
    fc.assert(
      fc.property(opParts, fc.constantFrom("", " ", "\t "), (parts, space) => {
        const text = written(parts);
        const parsed = parseReference(text) as OpReference;
        expect([parsed.vault, parsed.item, parsed.section, parsed.field]).toEqual([
          parts.vault,
          parts.item,
          parts.section,
          parts.field,
        ]);
        expect(parsed.sshFormat === undefined ? parsed.attribute : "ssh").toBe(
          parts.query.startsWith("?ssh") ? "ssh" : parts.query.split("=")[1],
        );
        expect(parseReference(`{{${space}${text}${space}}}`)).toEqual(parsed);
      }),
    ));

  it.each<[string, SecretReferenceError["kind"]]>([
    ["op://only-vault", "parts"],
    ["op://a/b", "parts"],
    ["op://a/b/c/d/e", "parts"],
    ["op://a//c", "name"],
    ["op://a/b/c d", "name"],
    ["op://a/../c", "name"],
    ["op://a/./b/c", "name"],
    ["op://a/b/$c", "name"],
    ["op://a/b/c\n", "name"],
    ["op://a/b/c?", "query"],
    ["op://a/b/c?x=y", "query"],
    ["op://a/b/c?attribute=totp", "query"],
    ["op://a/b/c?attribute=OTP", "query"],
    ["op://a/b/c?attribute=otp?attribute=otp", "query"],
    ["op://a/b/c?ssh-format=openssh?attribute=otp", "query"],
    ["op://a/b/c?attribute=otp&ssh-format=openssh", "query"],
    ["file:relative", "name"],
    ["file:/a\nb", "name"],
    ["env:1A", "name"],
    ["env:", "name"],
    ["generated:8", "name"],
    ["generated:15", "name"],
    ["generated:1025", "name"],
    ["generated:4096", "name"],
    ["generated:032", "name"],
  ])("%j is refused with its own text and a cure", (text, kind) => {
    let error: unknown;
    try {
      parseReference(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SecretReferenceError);
    expect((error as SecretReferenceError).kind).toBe(kind);
    expect((error as Error).message).toContain(JSON.stringify(text));
    expect((error as Error).message).toMatch(/write|only|each part/);
  });

  it.each([undefined, null, 5, {}, ["op://a/b/c"]])("%j is no reference", (value) =>
    expect(problemOfReference(value)).toMatch(/^must be a secret reference, like op:\/\//),
  );

  it("B14: a text that begins like no reference, a pasted value perhaps, is never shown", () =>
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.constantFrom("", "ghp_", "ops_", " op://a/b/", "Op://", "{{", "{{ "),
        (secret, before) => {
          for (const text of [before + secret, `${before}${secret}}}`]) {
            const problem = problemOfReference(text);
            expect(problem).toMatch(/^is no secret reference: write op:\/\//);
            expect(problem).not.toContain(secret);
          }
        },
      ),
    ));

  it("nothing is longer than it may be, and the complaint is short", () => {
    const long = "x".repeat(maxSegmentLength);
    expect(isReference(`op://${long}/${long}/${long}`)).toBe(true);
    expect(problemOfReference(`op://v/i/${long}x`)).toMatch(/each part is 1 to 255/);
    expect(isReference(`file:/${"x".repeat(maxReferenceLength - 6)}`)).toBe(true);
    for (const text of [
      `file:/${"x".repeat(maxReferenceLength - 5)}`,
      `file:/${"x".repeat(1e6)}`,
      `op://${"a/".repeat(5e5)}`,
    ]) {
      expect(problemOfReference(text)).toMatch(/more than 1024 characters/);
      expect(problemOfReference(text)?.length).toBeLessThan(300);
    }
  });

  it("a label full of blanks or braces is refused as fast as any other: every service reads labels", () => {
    // What looks at each blank once for every other one takes minutes for these.
    for (const text of [
      "{{",
      `{{${" ".repeat(15_000)}`,
      `{{${" ".repeat(15_000)}x}`,
      "{{}",
      "{{}}",
    ])
      expect(problemOfReference(text)).toMatch(/^is no secret reference/);
    expect(isReference(`{{${" ".repeat(7_000)}env:A${" ".repeat(7_000)}}}`)).toBe(true);
  });
});

describe("1Password's own validator", () => {
  const validated = (text: string): boolean => {
    try {
      Secrets.validateSecretReference(text);
      return true;
    } catch {
      return false;
    }
  };
  /** The SDK knows one-time passwords only; the others are documented for the `op` program, and berth's resolver has them. */
  const ofTheProgramOnly = /\?attribute=(content|id|name|purpose|size|type|value)$/;
  /**
   * Where berth is stricter on purpose: no white space (the documentation itself asks for quotes then), no empty names, none that
   * mean a directory in a path, one spelling of `otp`, and lengths.
   */
  const stricter = (text: string) =>
    / |\/\/.*\/\/|\/$|\/\?|\/\.{1,2}(?:[/?]|$)|\?attribute=totp$/.test(text) ||
    text.startsWith("op:///") ||
    text.length > 255;

  it("B14: takes what berth takes, and berth is stricter only where it means to be", () => {
    let both = 0;
    let ours = 0;
    fc.assert(
      fc.property(fc.oneof(opParts.map(written), mutated, assembled), (text) => {
        fc.pre(!/^(file|env|generated):|^\{\{/.test(text));
        const [mine, theirs] = [isReference(text), validated(text)];
        if (mine && !ofTheProgramOnly.test(text)) expect(theirs).toBe(true);
        if (theirs && !mine) expect([text, stricter(text)]).toEqual([text, true]);
        if (mine && theirs) both++;
        if (!mine && !theirs) ours++;
      }),
      many,
    );
    expect(both).toBeGreaterThan(100);
    expect(ours).toBeGreaterThan(100);
  });

  it.each(["op://v v/i/f", "op://v//f", "op://v/./..", "op://v/i/f?attribute=totp"])(
    "takes %j, which berth refuses",
    (text) => expect([validated(text), isReference(text)]).toEqual([true, false]),
  );
});

describe("the allow-list", () => {
  const at = (vault: string, item: string): OpReference => ({
    scheme: "op",
    vault,
    item,
    field: "f",
  });

  it.each<[string, string, readonly string[], boolean]>([
    ["agents", "lal", ["agents/lal"], true],
    ["Agents", "LAL", ["agents/lal"], true],
    ["agents", "lal", ["AGENTS"], true],
    ["agents", "data", ["agents/lal"], false],
    ["agents", "lal2", ["agents/lal"], false],
    ["agents2", "lal", ["agents"], false],
    ["lal", "agents", ["agents/lal"], false],
    ["agents", "lal", [], false],
    ["agents", "lal", ["other", "agents/lal"], true],
  ])("A4: of %s/%s, %j says %s", (vault, item, vaults, wanted) =>
    expect(isWithin(at(vault, item), vaults)).toBe(wanted),
  );

  it("an entry admits its own item, in any case, and no other", () =>
    fc.assert(
      fc.property(name, name, name, (vault, item, other) => {
        const reference = at(vault, item);
        expect(isWithin(reference, [itemOf(reference)])).toBe(true);
        expect(isWithin(reference, [vault.toUpperCase()])).toBe(true);
        expect(isWithin(reference, [`${vault}/${other}`])).toBe(
          other.toLowerCase() === item.toLowerCase(),
        );
      }),
    ));
});
