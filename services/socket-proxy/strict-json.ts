import { type Denial, malformed } from "./denial.ts";

/** A JSON value as `parseStrict` gives it: objects have no prototype, numbers are safe integers. */
export type StrictJson =
  | null
  | boolean
  | number
  | string
  | readonly StrictJson[]
  | { readonly [key: string]: StrictJson };

/** What is read at most; more is a refusal and not a truncation. A string is bounded by the bytes of the whole. */
export const strictJsonLimits = {
  bytes: 64 * 1024,
  /** Objects and arrays within each other. */
  depth: 16,
  /** Keys of all objects and items of all arrays together. */
  members: 2_000,
} as const;

/** Keys that reach into the prototype of a JavaScript object once somebody copies the value carelessly. */
const refusedKeys: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Reads a request's body so that it has one meaning only. Whatever two readers could take differently is refused: keys
 * that the Engine's decoder would take for the same (it folds case), numbers that are no safe integers or could be
 * spelled otherwise, broken text. Takes linear time and a bounded stack.
 * @throws Denial 400 with one of the rules `json-utf8`, `json-syntax`, `json-duplicate`, `json-depth`, `json-size`,
 * `json-number`, `json-key`; its reason says where, and repeats nothing of the body
 */
export function parseStrict(bytes: Uint8Array): StrictJson {
  if (bytes.length > strictJsonLimits.bytes) {
    throw malformed("json-size", `the body has more than ${strictJsonLimits.bytes} bytes`);
  }
  return new Reader(decode(bytes)).readAll();
}

function decode(bytes: Uint8Array): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw malformed("json-utf8", "the body begins with a byte order mark; leave it out");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("json-utf8", "the body is no valid UTF-8");
  }
}

/**
 * Equal for all keys that Go's decoder takes for the same field: those that differ by Unicode's simple case folding
 * (`ſ` is `s`, `K` the sign of the kelvin is `k`). Full case mapping joins a few more, `ß` and `ss` for one.
 */
function foldKey(key: string): string {
  return key.toLowerCase().toUpperCase();
}

const spaces = /[\t\n\r ]*/y;
/** Characters of a string that stand for themselves. */
const plainText = /[^"\\\p{Cc}]*/uy;
const numberText = /[-+.0-9Ee]*/y;
const jsonNumber = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[Ee][+-]?[0-9]+)?$/;
const plainInteger = /^(?:0|-?[1-9][0-9]*)$/;
const literals = [
  ["null", null],
  ["true", true],
  ["false", false],
] as const;
/** What follows the backslash of a short escape. Backspace and form feed are control characters, and not taken. */
const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

class Reader {
  readonly #text: string;
  #at = 0;
  #members = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readAll(): StrictJson {
    this.#match(spaces);
    const value = this.#value(0);
    this.#match(spaces);
    if (this.#at < this.#text.length) throw this.#syntax("something follows the value");
    return value;
  }

  /** @param depth objects and arrays around this value; looked at before any recursion */
  #value(depth: number): StrictJson {
    const next = this.#text[this.#at];
    if (next === "{" || next === "[") {
      if (depth >= strictJsonLimits.depth) {
        throw malformed("json-depth", `the body nests deeper than ${strictJsonLimits.depth}`);
      }
      this.#at += 1;
      return next === "{" ? this.#object(depth + 1) : this.#array(depth + 1);
    }
    if (next === '"') return this.#string();
    for (const [word, value] of literals) if (this.#take(word)) return value;
    return this.#number();
  }

  #object(depth: number): StrictJson {
    const object = Object.create(null) as Record<string, StrictJson>;
    const folded = new Set<string>();
    this.#match(spaces);
    if (this.#take("}")) return object;
    do {
      this.#countMember();
      this.#match(spaces);
      const start = this.#at;
      const key = this.#key();
      const fold = foldKey(key);
      if (folded.has(fold)) {
        throw malformed(
          "json-duplicate",
          `the key at character ${start} is twice in its object, as it stands or in other case`,
        );
      }
      folded.add(fold);
      this.#match(spaces);
      if (!this.#take(":")) throw this.#syntax("a colon is missing");
      this.#match(spaces);
      object[key] = this.#value(depth);
      this.#match(spaces);
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#syntax("an object does not end");
    return object;
  }

  #array(depth: number): StrictJson {
    const array: StrictJson[] = [];
    this.#match(spaces);
    if (this.#take("]")) return array;
    do {
      this.#countMember();
      this.#match(spaces);
      array.push(this.#value(depth));
      this.#match(spaces);
    } while (this.#take(","));
    if (!this.#take("]")) throw this.#syntax("an array does not end");
    return array;
  }

  #countMember(): void {
    this.#members += 1;
    if (this.#members > strictJsonLimits.members) {
      throw malformed(
        "json-size",
        `the body has more than ${strictJsonLimits.members} keys and array items`,
      );
    }
  }

  #key(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#syntax("a key is missing");
    const key = this.#string();
    if (refusedKeys.has(key) || /\p{Cc}/u.test(key)) {
      throw malformed("json-key", `the key at character ${start} is one that no body may have`);
    }
    return key;
  }

  #string(): string {
    const start = this.#at;
    const parts: string[] = [];
    this.#at += 1;
    for (;;) {
      parts.push(this.#match(plainText));
      if (this.#take('"')) break;
      if (!this.#take("\\")) {
        const rest = this.#at < this.#text.length;
        throw this.#syntax(rest ? "a control character is in a string" : "a string does not end");
      }
      parts.push(this.#escape());
    }
    const text = parts.join("");
    if (!text.isWellFormed()) {
      throw malformed("json-utf8", `the string at character ${start} has half a surrogate pair`);
    }
    return text;
  }

  #escape(): string {
    const letter = this.#text[this.#at] ?? "";
    const short = escapes.get(letter);
    if (short !== undefined) {
      this.#at += 1;
      return short;
    }
    const digits = this.#text.slice(this.#at + 1, this.#at + 5);
    if (letter !== "u" || !/^[0-9A-Fa-f]{4}$/.test(digits)) {
      throw this.#syntax("an escape is not one that is taken");
    }
    const unit = String.fromCharCode(Number.parseInt(digits, 16));
    // The same that the short escapes give; every other control character is refused however it is written.
    if (/[^\P{Cc}\t\n\r]/u.test(unit)) throw this.#syntax("a control character is in a string");
    this.#at += 5;
    return unit;
  }

  #number(): number {
    const start = this.#at;
    const text = this.#match(numberText);
    if (!jsonNumber.test(text)) {
      this.#at = start;
      throw this.#syntax("there is no value");
    }
    const value = Number(text);
    if (!plainInteger.test(text) || !Number.isSafeInteger(value)) {
      throw malformed(
        "json-number",
        `the number at character ${start} is no plain integer of at most 53 bits`,
      );
    }
    return value;
  }

  /** What a sticky pattern, which also fits nothing, finds here. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #take(text: string): boolean {
    const here = this.#text.startsWith(text, this.#at);
    if (here) this.#at += text.length;
    return here;
  }

  #syntax(what: string): Denial {
    return malformed("json-syntax", `the body is no JSON: ${what} (at character ${this.#at})`);
  }
}
