import { EngineError } from "./engine-error.ts";

/** A complete answer. */
export interface ReadAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** Largest head that is read, and most interim heads before it. */
const maxHeadBytes = 16 * 1024;
const maxInterim = 8;
/** Longest line that says the size of a chunk. */
const maxSizeLine = 16;
const endOfHead = Buffer.from("\r\n\r\n");

const statusPattern = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: [^\0\r\n]*)?$/;
const headerPattern = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*?)[ \t]*$/;

/** How the body of an answer is framed. */
type Framing = { readonly length: number } | "chunked";

/**
 * Reads one answer of HTTP/1.1, strictly: what is not exactly as the Engine writes it is no answer. A body has either a
 * length or chunks, never neither.
 */
export class AnswerReader {
  /** Whether the connection can be used again once the answer is complete. */
  reusable = true;
  readonly #maxBytes: number;
  #data: Buffer = Buffer.alloc(0);
  #status = 0;
  #interim = 0;
  #framing: Framing | undefined;
  readonly #parts: Buffer[] = [];
  #size = 0;
  /** Of a chunked body: the chunk under way, and how much of it is still to come. */
  #chunk: { left: number; readonly isLast: boolean } | undefined;

  /** @param maxBytes largest body */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes what has come. @returns the answer once it is complete @throws EngineError */
  feed(chunk: Buffer): ReadAnswer | undefined {
    this.#data = this.#data.length === 0 ? chunk : Buffer.concat([this.#data, chunk]);
    while (this.#framing === undefined) {
      if (!this.#readHead()) return undefined;
    }
    const isComplete =
      this.#framing === "chunked" ? this.#readChunks() : this.#readLength(this.#framing.length);
    if (!isComplete) return undefined;
    // Nobody has asked for what follows.
    if (this.#data.length > 0) this.reusable = false;
    const [only, ...more] = this.#parts;
    const body = only && more.length === 0 ? only : Buffer.concat(this.#parts);
    return { status: this.#status, body };
  }

  /** @returns whether a head was read; interim ones are left out */
  #readHead(): boolean {
    const end = this.#data.indexOf(endOfHead);
    if (end > maxHeadBytes || (end < 0 && this.#data.length > maxHeadBytes)) {
      throw unusable("the Engine's headers are too large");
    }
    if (end < 0) return false;
    const [first = "", ...lines] = this.#data.toString("latin1", 0, end).split("\r\n");
    this.#data = this.#data.subarray(end + endOfHead.length);
    const status = Number(statusPattern.exec(first)?.[1] ?? 0);
    if (status === 0) throw malformed();
    if (status === 101) throw unusable("the Engine wanted to switch protocols");
    if (status < 200) {
      this.#interim += 1;
      if (this.#interim > maxInterim) throw malformed();
      return true;
    }
    this.#status = status;
    this.#framing = this.#readFraming(status, lines);
    return true;
  }

  #readFraming(status: number, lines: readonly string[]): Framing {
    const lengths: string[] = [];
    const codings: string[] = [];
    for (const line of lines) {
      const [, name = "", value = ""] = headerPattern.exec(line) ?? [];
      if (name === "") throw malformed();
      const lower = name.toLowerCase();
      if (lower === "content-length") lengths.push(value);
      if (lower === "transfer-encoding") codings.push(value.toLowerCase());
      if (lower === "connection" && value.toLowerCase() === "close") this.reusable = false;
      if (lower === "content-encoding") throw unusable("the Engine's answer is encoded");
    }
    const [length] = lengths;
    if (lengths.length + codings.length > 1) throw malformed();
    if (codings[0] === "chunked") return "chunked";
    if (length !== undefined && /^[0-9]{1,15}$/.test(length)) {
      if (Number(length) > this.#maxBytes) throw this.#tooLarge();
      return { length: Number(length) };
    }
    if ((status === 204 || status === 304) && lengths.length + codings.length === 0) {
      return { length: 0 };
    }
    throw malformed();
  }

  #readLength(length: number): boolean {
    const part = this.#data.subarray(0, length - this.#size);
    this.#data = this.#data.subarray(part.length);
    this.#take(part);
    return this.#size === length;
  }

  /** @returns whether the last chunk has come */
  #readChunks(): boolean {
    for (;;) {
      this.#chunk ??= this.#readSize();
      if (!this.#chunk) return false;
      const part = this.#data.subarray(0, this.#chunk.left);
      this.#data = this.#data.subarray(part.length);
      this.#take(part);
      this.#chunk.left -= part.length;
      if (this.#chunk.left > 0 || this.#data.length < 2) return false;
      if (this.#data[0] !== 13 || this.#data[1] !== 10) throw malformed();
      this.#data = this.#data.subarray(2);
      const { isLast } = this.#chunk;
      this.#chunk = undefined;
      if (isLast) return true;
    }
  }

  /** The line with the size of the next chunk; undefined: it has not come yet. */
  #readSize(): { left: number; readonly isLast: boolean } | undefined {
    const end = this.#data.indexOf("\r\n");
    if (end > maxSizeLine || (end < 0 && this.#data.length > maxSizeLine)) throw malformed();
    if (end < 0) return undefined;
    const line = this.#data.toString("latin1", 0, end);
    if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) throw malformed();
    const left = Number.parseInt(line, 16);
    if (this.#size + left > this.#maxBytes) throw this.#tooLarge();
    this.#data = this.#data.subarray(end + 2);
    return { left, isLast: left === 0 };
  }

  #take(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#size += part.length;
  }

  #tooLarge(): EngineError {
    return unusable(`the Engine's answer is over ${this.#maxBytes} bytes`);
  }
}

function unusable(message: string): EngineError {
  return new EngineError("unusable", message);
}

function malformed(): EngineError {
  return unusable("the Engine's answer is no well-formed HTTP");
}
