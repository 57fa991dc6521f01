/** What the first bytes of a connection turned out to be. */
export type HelloVerdict =
  /** A whole, well-formed ClientHello; `serverName` is lower case, undefined where it names none. */
  | { readonly kind: "hello"; readonly serverName: string | undefined }
  /** A good beginning: read on. */
  | { readonly kind: "more" }
  /** Not a TLS ClientHello, or a malformed one. */
  | { readonly kind: "bad"; readonly reason: string };

/** Most bytes that a ClientHello may take, record headers included. Real ones have 200 to 2,000. */
export const maxHelloBytes = 32 * 1024;

const recordHeader = 5;
const maxRecord = 16 * 1024;
/** Some clients split a hello into two or three records; thousands of tiny ones only cost time. */
const maxRecords = 64;

class Malformed extends Error {}

/** Reads lengths and fields in bounds; steps over its end throw {@link Malformed}. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  number(size: 1 | 2 | 3): number {
    return this.take(size).readUIntBE(0, size);
  }

  take(size: number): Buffer {
    if (size > this.left) throw new Malformed("a length goes past its end");
    const part = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return part;
  }

  /** A field with its length before it. */
  vector(lengthSize: 1 | 2, least: number, most: number): Reader {
    const size = this.number(lengthSize);
    if (size < least || size > most)
      throw new Malformed("a field has a length that TLS does not allow");
    return new Reader(this.take(size));
  }
}

/**
 * Reads the TLS ClientHello at the beginning of `bytes`, over as many records as it is split into.
 * Strict: whatever two readers could understand differently is `bad`. Never throws; work is linear in the bytes.
 */
export function readClientHello(bytes: Buffer): HelloVerdict {
  try {
    const message = handshake(bytes);
    return message ? { kind: "hello", serverName: serverName(message) } : more(bytes);
  } catch (error) {
    if (error instanceof Malformed) return { kind: "bad", reason: error.message };
    throw error;
  }
}

function more(bytes: Buffer): HelloVerdict {
  return bytes.length < maxHelloBytes
    ? { kind: "more" }
    : { kind: "bad", reason: "its ClientHello is too long" };
}

/** Joins the records of the first handshake message. @returns its body, or undefined while bytes are missing */
function handshake(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  let have = 0;
  let want: number | undefined;
  for (let at = 0, records = 0; ; records++) {
    if (records === maxRecords) throw new Malformed("its ClientHello is in too many records");
    const head = bytes.subarray(at, at + recordHeader);
    if (head.length > 0 && head[0] !== 22)
      throw new Malformed("it does not begin with a TLS handshake");
    if (head.length > 1 && head[1] !== 3)
      throw new Malformed("its TLS record has an unknown version");
    if (head.length < recordHeader) return undefined;
    const length = head.readUInt16BE(3);
    if (length === 0 || length > maxRecord) throw new Malformed("a TLS record has a wrong length");
    const body = bytes.subarray(at + recordHeader, at + recordHeader + length);
    parts.push(body);
    have += body.length;
    at += recordHeader + length;
    if (want === undefined && have >= 4) {
      const begin = Buffer.concat(parts);
      if (begin[0] !== 1) throw new Malformed("its first TLS message is no ClientHello");
      want = 4 + begin.readUIntBE(1, 3);
      if (want > maxHelloBytes) throw new Malformed("its ClientHello is too long");
    } else if (have >= 1 && parts.find((part) => part.length > 0)?.[0] !== 1) {
      throw new Malformed("its first TLS message is no ClientHello");
    }
    if (body.length < length) return undefined;
    if (want !== undefined && have >= want) {
      // Early data comes in records of its own; inside these records nothing may follow.
      if (have > want) throw new Malformed("bytes follow its ClientHello");
      return Buffer.concat(parts).subarray(4);
    }
  }
}

function serverName(message: Buffer): string | undefined {
  const hello = new Reader(message);
  if (hello.number(2) >> 8 !== 3) throw new Malformed("its ClientHello has an unknown version");
  hello.take(32);
  hello.vector(1, 0, 32);
  if (hello.vector(2, 2, 0xfffe).left % 2 !== 0) throw new Malformed("its cipher list is uneven");
  hello.vector(1, 1, 255);
  if (hello.left === 0) return undefined;
  const extensions = hello.vector(2, 0, 0xffff);
  if (hello.left > 0) throw new Malformed("bytes follow its extensions");
  const seen = new Set<number>();
  let name: string | undefined;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const body = extensions.vector(2, 0, 0xffff);
    if (seen.has(type)) throw new Malformed("it has an extension twice");
    seen.add(type);
    if (type === 0) name = nameOf(body);
  }
  return name;
}

/** Exactly one name, of the only type there is. */
function nameOf(extension: Reader): string {
  const list = extension.vector(2, 1, 0xffff);
  if (extension.left > 0) throw new Malformed("bytes follow its server name");
  if (list.number(1) !== 0) throw new Malformed("its server name is of an unknown type");
  const name = list.vector(2, 1, 255);
  if (list.left > 0) throw new Malformed("it has more than one server name");
  const text = name.take(name.left).toString("latin1");
  if (!/^[A-Za-z0-9._-]+$/.test(text)) throw new Malformed("its server name is no host name");
  return text.toLowerCase();
}
