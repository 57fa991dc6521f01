import { Denial, rules } from "../../../services/socket-proxy/denial.ts";
import { parseStrict, type StrictJson } from "../../../services/socket-proxy/strict-json.ts";
import { mutate } from "../mutate.ts";
import type { Random } from "../random.ts";
import type { Target } from "../target.ts";

const utf8 = (text: string) => Buffer.from(text);

/** The refusal that a function ends in; anything else that it throws goes on. */
function denialOf<T>(read: () => T): { readonly value: T } | { readonly denial: Denial } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof Denial) return { denial: error };
    throw error;
  }
}

const scraps = [
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  '"',
  '"a"',
  '"A"',
  '"\\u0061"',
  '"k"',
  '"\u212a"',
  '"s"',
  '"\u017f"',
  "0",
  "-0",
  "1",
  "-1",
  "1.0",
  "1e2",
  "9007199254740991",
  "9007199254740992",
  "true",
  "false",
  "null",
  " ",
  "\n",
  "\t",
  '"\\n"',
  '"\\ud83d\\ude00"',
  '"\\ud800"',
  '"\\b"',
  '"__proto__"',
  '{"a":1,"b":[null,true]}',
  '[{"x":{}}]',
  "[[[[[[[[",
  "]]]]]]]]",
  "\\",
  "\u0000",
  "\ufeff",
  "01",
  "+1",
  "Infinity",
  "'a'",
  "//",
] as const;

function jsonValue(random: Random, depth: number): string {
  const kind = random.below(depth > 5 ? 5 : 9);
  if (kind < 5) return random.pick(['"x"', "7", "true", "null", '"\\u00e9"', "-3", '""', "0"]);
  const members = Array.from({ length: random.below(4) }, () => jsonValue(random, depth + 1));
  if (kind < 7) return `[${members.join(",")}]`;
  const keys = ["a", "A", "b", "Env", "HostConfig", "hostConfig", "k", "\u212a"];
  return `{${members.map((member) => `${JSON.stringify(random.pick(keys))}:${member}`).join(",")}}`;
}

/** Strict JSON: what it accepts, JSON.parse reads the same, with no key twice; what JSON.parse refuses, it refuses. */
export const jsonTarget: Target = {
  name: "strict-json",
  generate(random) {
    const text = random.percent(60)
      ? jsonValue(random, 0)
      : Array.from({ length: random.below(12) }, () => random.pick(scraps)).join("");
    const bytes = random.percent(3) ? utf8("[".repeat(40) + text + "]".repeat(40)) : utf8(text);
    return random.percent(40) ? mutate(random, bytes) : bytes;
  },
  check(input) {
    const read = denialOf(() => parseStrict(input));
    const text = Buffer.from(input).toString("utf8");
    const isUtf8 = Buffer.from(text).equals(Buffer.from(input));
    let usual: unknown;
    let isJson = isUtf8;
    try {
      usual = JSON.parse(text);
    } catch {
      isJson = false;
    }
    if ("value" in read) {
      if (!isJson) return "reads what is no JSON";
      if (JSON.stringify(read.value) !== JSON.stringify(usual)) return "reads something else";
      return (
        problemOfStrict(read.value, 0) ??
        (countKeys(text) === membersOf(usual) ? undefined : "drops a key")
      );
    }
    const { denial } = read;
    if (denial.status !== 400 || rules[denial.rule] !== "body")
      return `is refused as ${denial.rule}`;
    // What is JSON in the ordinary sense is refused only for a reason that can be seen in it.
    const reasons: Readonly<Record<string, boolean>> = {
      "json-duplicate": countKeys(text) > 1,
      "json-number": /[-.eE]|[0-9]{16}/.test(text),
      "json-key": /__proto__|constructor|prototype|\\/.test(text) || /\p{Cc}/u.test(text),
      "json-depth": (text.match(/[[{]/g) ?? []).length > 16,
      "json-utf8": !isUtf8 || text.startsWith("\ufeff") || /\\u[dD][89a-fA-F]/.test(text),
      "json-syntax": /\\[bfu]/.test(text) || /\p{Cc}/u.test(text),
      "json-size": input.length > 4_000,
    };
    return isJson && !reasons[denial.rule] ? `refuses plain JSON as ${denial.rule}` : undefined;
  },
};

function problemOfStrict(value: StrictJson, depth: number): string | undefined {
  if (depth > 16) return "reads deeper than 16";
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0)))
    return "reads an unsafe number";
  if (
    typeof value === "string" &&
    /\ufffe|[\ud800-\udbff](?![\udc00-\udfff])/.test(value) &&
    !value.isWellFormed()
  ) {
    return "reads half a pair";
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== null) return "has a prototype";
  // As Go folds: by the simple mapping, under which these two are letters of ASCII.
  const keys = Array.isArray(value) ? [] : Object.keys(value);
  const folded = keys.map((key) =>
    key.replaceAll("\u017f", "s").replaceAll("\u212a", "k").toLowerCase(),
  );
  if (new Set(folded).size !== keys.length) return "takes two keys that the Engine takes for one";
  for (const member of Object.values(value)) {
    const problem = problemOfStrict(member as StrictJson, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Keys in a JSON text, those that come twice counted twice. */
function countKeys(text: string): number {
  return (text.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/""\s*:/g) ?? []).length;
}

function membersOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const below = Object.values(value).reduce<number>((sum, member) => sum + membersOf(member), 0);
  return below + (Array.isArray(value) ? 0 : Object.keys(value).length);
}
