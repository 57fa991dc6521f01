import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import {
  maxHelloBytes,
  readClientHello,
} from "../../../services/egress-gateway/egress/client-hello.ts";
import { recordHello } from "./support.ts";

let modern: Buffer;
let old: Buffer;
let nameless: Buffer;
let large: Buffer;
/** Where a server name's bytes stand in a hello. */
const at = (hello: Buffer, text: string) => hello.indexOf(text);

beforeAll(async () => {
  modern = await recordHello({ servername: "api.example.com" });
  old = await recordHello({ servername: "API.Example.com", maxVersion: "TLSv1.2" });
  nameless = await recordHello({});
  large = await recordHello({
    servername: `${"a".repeat(60)}.example.com`,
    ALPNProtocols: Array.from({ length: 200 }, (_, i) => `protocol-${i}`),
  });
});

/** The same handshake message, in records of at most `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let from = 0; from < message.length; from += size) {
    const body = message.subarray(from, from + size);
    const head = Buffer.from([22, 3, 1, 0, 0]);
    head.writeUInt16BE(body.length, 3);
    records.push(head, body);
  }
  return Buffer.concat(records);
}

/** A hello made by hand from its extensions. */
function hello(extensions: readonly Buffer[], session = Buffer.alloc(0)): Buffer {
  const list = Buffer.concat(extensions);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 9),
    Buffer.from([session.length]),
    session,
    Buffer.from([0, 2, 0x13, 1]),
    Buffer.from([1, 0]),
    Buffer.from([list.length >> 8, list.length & 255]),
    list,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 255]), body]);
  return Buffer.concat([
    Buffer.from([22, 3, 1, message.length >> 8, message.length & 255]),
    message,
  ]);
}
const extension = (type: number, body: Buffer) =>
  Buffer.concat([Buffer.from([type >> 8, type & 255, body.length >> 8, body.length & 255]), body]);
const names = (...entries: readonly (readonly [number, string])[]) => {
  const list = Buffer.concat(
    entries.map(([type, name]) =>
      Buffer.concat([Buffer.from([type, name.length >> 8, name.length & 255]), Buffer.from(name)]),
    ),
  );
  return extension(0, Buffer.concat([Buffer.from([list.length >> 8, list.length & 255]), list]));
};

describe("TLS ClientHello", () => {
  it("the name of real clients is read, in lower case", () => {
    expect(readClientHello(modern)).toEqual({ kind: "hello", serverName: "api.example.com" });
    expect(readClientHello(old)).toEqual({ kind: "hello", serverName: "api.example.com" });
    expect(readClientHello(nameless)).toEqual({ kind: "hello", serverName: undefined });
    expect(readClientHello(large)).toMatchObject({ kind: "hello" });
    expect(large.length).toBeGreaterThan(2_000);
  });

  it("every beginning of a hello asks for more, and never decides early", () => {
    for (const whole of [modern, old, nameless, large])
      for (let size = 0; size < whole.length; size++)
        expect(readClientHello(whole.subarray(0, size))).toEqual({ kind: "more" });
  });

  it("a hello in several records reads the same", () => {
    for (const size of [40, 64, 100, 512])
      expect(readClientHello(inRecords(modern, size))).toEqual(readClientHello(modern));
  });

  it("a hello in very many records is refused", () => {
    expect(readClientHello(inRecords(modern, 1))).toMatchObject({ kind: "bad" });
  });

  it("early data in records of its own may follow", () => {
    const early = Buffer.concat([modern, Buffer.from([23, 3, 3, 0, 2, 1, 1])]);
    expect(readClientHello(early)).toEqual(readClientHello(modern));
  });

  it.each<[string, () => Buffer]>([
    ["plain HTTP", () => Buffer.from("GET / HTTP/1.1\r\n")],
    ["SSH", () => Buffer.from("SSH-2.0-x\r\n")],
    ["an SSLv2 hello", () => Buffer.from([0x80, 0x2e, 1, 3, 1, 0, 0x15])],
    ["another record type", () => Buffer.from([23, 3, 3, 0, 1, 0])],
    ["another handshake message", () => Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["an empty record", () => Buffer.from([22, 3, 1, 0, 0])],
    ["a record over the limit", () => Buffer.from([22, 3, 1, 0xff, 0xff])],
    ["a message over the limit", () => Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff])],
    ["two names", () => hello([names([0, "a.example"], [0, "b.example"])])],
    ["two name extensions", () => hello([names([0, "a.example"]), names([0, "b.example"])])],
    ["a name of unknown type", () => hello([names([1, "a.example"])])],
    ["an empty name", () => hello([names([0, ""])])],
    ["a name with a zero byte", () => hello([names([0, "a.example\0.evil.test"])])],
    ["a name with a space", () => hello([names([0, "a.example b"])])],
    ["a name list that is empty", () => hello([extension(0, Buffer.from([0, 0]))])],
    ["bytes after the name list", () => hello([extension(0, Buffer.from([0, 4, 0, 0, 1, 97, 9]))])],
    ["an extension past the end", () => hello([Buffer.from([0, 10, 0, 200, 1])])],
    ["a session id too long", () => hello([], Buffer.alloc(33))],
  ])("%s is refused", (_what, bytes) => {
    expect(readClientHello(bytes())).toMatchObject({ kind: "bad" });
  });

  it("the hand-made hello of the cases above is good by itself", () => {
    expect(readClientHello(hello([names([0, "a.example"])]))).toEqual({
      kind: "hello",
      serverName: "a.example",
    });
  });

  it("trailing bytes inside the record of the hello are refused", () => {
    const longer = Buffer.concat([modern, Buffer.from([0])]);
    longer.writeUInt16BE(modern.readUInt16BE(3) + 1, 3);
    expect(readClientHello(longer)).toMatchObject({ kind: "bad" });
  });

  it("a changed byte anywhere but in a value that means nothing here never yields another name", () => {
    const place = at(modern, "api.example.com");
    expect(place).toBeGreaterThan(0);
    fc.assert(
      fc.property(fc.nat(modern.length - 1), fc.nat(255), (where, value) => {
        if (where >= place && where < place + "api.example.com".length) return;
        const changed = Buffer.from(modern);
        changed[where] = value;
        const verdict = readClientHello(changed);
        if (verdict.kind === "hello" && verdict.serverName !== undefined)
          expect("api.example.com").toContain(verdict.serverName);
      }),
      { numRuns: 3_000 },
    );
  });

  it("no bytes make the reader throw, and it never asks for more beyond its limit", () => {
    const prefix = fc.constantFrom(0, 1, 5, 9, 44, 60).map((size) => modern.subarray(0, size));
    fc.assert(
      fc.property(prefix, fc.uint8Array({ maxLength: 300 }), (begin, rest) => {
        const verdict = readClientHello(Buffer.concat([begin, rest]));
        expect(["hello", "more", "bad"]).toContain(verdict.kind);
      }),
      { numRuns: 5_000 },
    );
    const endless = Buffer.alloc(maxHelloBytes, 0);
    Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0xf0]).copy(endless);
    Buffer.from([22, 3, 1, 0x40, 0]).copy(endless, 5 + 0x4000);
    expect(readClientHello(endless)).toMatchObject({ kind: "bad" });
  });
});
