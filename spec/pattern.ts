/**
 * Patterns of template parameters: always anchored, always matched in linear time. They are a small part of regular
 * expressions - alternatives of sequences of characters, classes and counted repetitions, no groups - run as a state
 * machine, so that no pattern and no text can make a match slow.
 */

/** Largest number of states of a pattern: counted repetitions are written out. */
const maxStates = 512;

/** One step of a sequence. */
interface State {
  /** Whether a code point is taken by this step. */
  readonly takes: (code: number) => boolean;
  /** The step may be left out. */
  readonly isOptional: boolean;
  /** The step may be repeated. */
  readonly isRepeated: boolean;
}

/** A pattern that was read. */
export interface Pattern {
  /** Characters of the shortest text that it matches. */
  readonly shortest: number;
  /**
   * Whether the whole text matches. Time grows with the text's length times the pattern's. Control characters (all but
   * tab and line feed) and halves of surrogate pairs never match, whatever the pattern says.
   */
  matches(text: string): boolean;
}

/** @returns what is wrong with a pattern's text; undefined: nothing */
export function problemOfPattern(source: unknown): string | undefined {
  if (typeof source !== "string" || source.length === 0 || source.length > 256) {
    return "must be a pattern of 1 to 256 characters, like [a-z0-9-]{1,40}";
  }
  try {
    read(source);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Reads a pattern. @throws Error that says what is wrong with it */
export function readPattern(source: string): Pattern {
  const alternatives = read(source);
  return {
    shortest: Math.min(
      ...alternatives.map((states) => states.filter((state) => !state.isOptional).length),
    ),
    matches: (text) => alternatives.some((states) => run(states, text)),
  };
}

function run(states: readonly State[], text: string): boolean {
  const end = states.length;
  // Positions in the sequence that are reached; a position before optional steps reaches those behind them, too.
  let reached = closure(new Set([0]), states);
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (!isText(code)) return false;
    // The steps of one repetition share their class, so a character is looked up in it once.
    const taken = new Map<Takes, boolean>();
    const next = new Set<number>();
    for (const at of reached) {
      const state = states[at];
      if (!state) continue;
      const isTaken = taken.get(state.takes) ?? state.takes(code);
      taken.set(state.takes, isTaken);
      if (!isTaken) continue;
      next.add(at + 1);
      if (state.isRepeated) next.add(at);
    }
    if (next.size === 0) return false;
    reached = closure(next, states);
  }
  return reached.has(end);
}

function closure(reached: Set<number>, states: readonly State[]): Set<number> {
  // A set hands out what is added while it is walked, so each position is looked at once.
  for (const at of reached) if (states[at]?.isOptional) reached.add(at + 1);
  return reached;
}

function read(source: string): State[][] {
  const reader = new Reader(source);
  const alternatives: State[][] = [[]];
  while (!reader.done) {
    if (reader.takes("|")) {
      alternatives.push([]);
      continue;
    }
    const takes = readAtom(reader);
    const { least, most } = readCount(reader);
    const sequence = alternatives.at(-1) ?? [];
    for (let i = 0; i < least; i++) sequence.push({ takes, isOptional: false, isRepeated: false });
    if (most === undefined) sequence.push({ takes, isOptional: true, isRepeated: true });
    for (let i = least; i < (most ?? least); i++) {
      sequence.push({ takes, isOptional: true, isRepeated: false });
    }
    if (alternatives.flat().length > maxStates) {
      throw new Error(
        `is too large: its repetitions come to more than ${maxStates} characters; write + and let maxLength end it`,
      );
    }
  }
  if (alternatives.some((sequence) => sequence.length === 0)) {
    throw new Error("has an empty alternative");
  }
  return alternatives;
}

class Reader {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(source: string) {
    this.#characters = [...source];
  }

  get done(): boolean {
    return this.#at >= this.#characters.length;
  }

  next(): string {
    const character = this.#characters[this.#at];
    if (character === undefined) throw new Error("ends in the middle");
    this.#at += 1;
    return character;
  }

  takes(character: string): boolean {
    if (this.#characters[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

type Takes = State["takes"];

/** Any character but control characters and halves of pairs; tab and line feed are none in this sense. */
const isText: Takes = (code) => {
  if (code < 0x20) return code === 9 || code === 10;
  return (code < 0x7f || code > 0x9f) && (code < 0xd800 || code > 0xdfff);
};
const codeOf = (character: string) => character.codePointAt(0) ?? 0;
const between = (from: string, to: string): Takes => {
  const [least, most] = [codeOf(from), codeOf(to)];
  if (least > most) throw new Error(`has the range ${from}-${to}, which runs backwards`);
  return (code) => code >= least && code <= most;
};
const digit = between("0", "9");
const letters = [between("a", "z"), between("A", "Z"), between("_", "_")];
const word: Takes = (code) => digit(code) || letters.some((takes) => takes(code));

function readAtom(reader: Reader): Takes {
  const character = reader.next();
  if (character === "[") return readClass(reader);
  if (character === "\\") {
    const escaped = readEscape(reader);
    return typeof escaped === "string" ? between(escaped, escaped) : escaped;
  }
  if (character === ".") return isText;
  if ("^$()*+?{}]".includes(character)) {
    throw new Error(
      `has "${character}" where a character stands; it is always anchored and has no groups; write \\${character} for the character itself`,
    );
  }
  return between(character, character);
}

/** What follows a backslash: a class, or a character that stands for itself. */
function readEscape(reader: Reader): Takes | string {
  const character = reader.next();
  if (character === "d") return digit;
  if (character === "w") return word;
  if (/[A-Za-z0-9]/.test(character)) {
    throw new Error(`has \\${character}; known are \\d, \\w and a backslash before punctuation`);
  }
  return character;
}

/** A member of a class, whose first character was read: a class itself, or a character. */
function readMember(reader: Reader, character: string): Takes | string {
  if (character === "[") throw new Error("has a class within a class");
  return character === "\\" ? readEscape(reader) : character;
}

function readClass(reader: Reader): Takes {
  const parts: Takes[] = [];
  for (;;) {
    const character = reader.next();
    if (character === "]") break;
    if (character === "^" && parts.length === 0)
      throw new Error("has a class with ^: name what may stand there");
    const from = readMember(reader, character);
    if (!reader.takes("-")) {
      parts.push(typeof from === "string" ? between(from, from) : from);
      continue;
    }
    if (reader.takes("]")) {
      parts.push(typeof from === "string" ? between(from, from) : from, between("-", "-"));
      break;
    }
    const to = readMember(reader, reader.next());
    if (typeof from !== "string" || typeof to !== "string") {
      throw new Error(
        "has a range from or to a class like \\d; write \\- for the character itself",
      );
    }
    parts.push(between(from, to));
  }
  if (parts.length === 0) throw new Error("has an empty class");
  return (code) => parts.some((takes) => takes(code));
}

function readCount(reader: Reader): { least: number; most: number | undefined } {
  if (reader.takes("?")) return { least: 0, most: 1 };
  if (reader.takes("*")) return { least: 0, most: undefined };
  if (reader.takes("+")) return { least: 1, most: undefined };
  if (!reader.takes("{")) return { least: 1, most: 1 };
  let text = "";
  for (let part = reader.next(); part !== "}"; part = reader.next()) text += part;
  const match = /^([0-9]{1,3})(,([0-9]{1,3})?)?$/.exec(text);
  const least = Number(match?.[1]);
  const most =
    match?.[2] === undefined ? least : match[3] === undefined ? undefined : Number(match[3]);
  if (!match || (most !== undefined && (most < least || most === 0))) {
    throw new Error(`has the repetition {${text}}; write {3}, {1,40} or {2,}`);
  }
  return { least, most };
}
