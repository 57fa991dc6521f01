import { spellings } from "../leaks.ts";

/** What a place holds: all of it, or piece by piece. */
export type Content = string | Buffer | Iterable<Buffer> | AsyncIterable<Buffer>;

/** A value to look for. */
export interface Wanted {
  /** What findings call it; never the value. */
  readonly name: string;
  readonly value: string;
}

/** A shorter value would be found by accident in one of its spellings. */
const shortest = 16;

interface Pattern {
  readonly name: string;
  readonly bytes: Buffer;
}

/**
 * Looks for many values in every spelling at once (Wu and Manber's algorithm: it skips most of the bytes, so that the
 * memory of all processes takes seconds). Beside the spellings of {@link spellings} also UTF-16, as engines of JavaScript
 * keep some strings.
 */
export class Finder {
  readonly #patterns: readonly Pattern[];
  /** Length of the shortest pattern: only so many bytes of each decide how far to skip. */
  readonly #window: number;
  readonly #longest: number;
  /** By the last two bytes of a window: how far the window may move on. */
  readonly #shifts: Uint8Array;
  /** Patterns whose window ends in these two bytes. */
  readonly #ending = new Map<number, Pattern[]>();

  /** @throws Error for a value that is too short to be told from chance */
  constructor(wanted: readonly Wanted[]) {
    const short = wanted.filter(({ value }) => value.length < shortest).map(({ name }) => name);
    if (short.length > 0) throw new Error(`too short to look for: ${short.join(", ")}`);
    this.#patterns = wanted.flatMap(({ name, value }) =>
      [...spellings(value).map((text) => Buffer.from(text)), Buffer.from(value, "utf16le")].map(
        (bytes) => ({ name, bytes }),
      ),
    );
    const lengths = this.#patterns.map(({ bytes }) => bytes.length);
    this.#window = Math.min(255, ...lengths);
    this.#longest = Math.max(0, ...lengths);
    this.#shifts = new Uint8Array(65_536).fill(this.#window - 1);
    for (const pattern of this.#patterns) {
      for (let end = 1; end < this.#window; end++) {
        const block = blockAt(pattern.bytes, end);
        const shift = this.#window - 1 - end;
        this.#shifts[block] = Math.min(this.#shifts[block] ?? 0, shift);
        if (shift === 0) this.#ending.set(block, [...(this.#ending.get(block) ?? []), pattern]);
      }
    }
  }

  /** Names of the values that are in these bytes, sorted. */
  inBytes(bytes: Buffer): string[] {
    const found = new Set<string>();
    const shifts = this.#shifts;
    for (let end = this.#window - 1; end < bytes.length; ) {
      const block = blockAt(bytes, end);
      const shift = shifts[block] ?? 1;
      if (shift === 0) {
        const start = end - this.#window + 1;
        for (const { name, bytes: wanted } of this.#ending.get(block) ?? []) {
          if (wanted.equals(bytes.subarray(start, start + wanted.length))) found.add(name);
        }
      }
      end += shift === 0 ? 1 : shift;
    }
    return [...found].sort();
  }

  /** Names of the values that are in a place, also across its pieces; sorted. */
  async in(content: Content): Promise<string[]> {
    if (typeof content === "string") return this.inBytes(Buffer.from(content));
    if (Buffer.isBuffer(content)) return this.inBytes(content);
    const found = new Set<string>();
    let rest = Buffer.alloc(0);
    for await (const piece of content) {
      const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      for (const name of this.inBytes(bytes)) found.add(name);
      // A copy: the piece may be read into again.
      rest = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.#longest + 1)));
    }
    return [...found].sort();
  }
}

/** The two bytes up to a place, as a number. */
function blockAt(bytes: Buffer, end: number): number {
  return ((bytes[end - 1] ?? 0) << 8) | (bytes[end] ?? 0);
}
