import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AuditRecord,
  type ChainHead,
  fitted,
  genesis,
  linesOf,
  maxLineBytes,
  readLine,
  seal,
} from "../../../spec/audit-chain.ts";
import { type ChainExpectation, verifyChain } from "../../../spec/audit-verify.ts";

const time = "2026-12-01T12:00:00.000Z";
const start: AuditRecord = {
  phase: "decision",
  client: "admin-bridge",
  request: "0a1b2c3d-1",
  verb: "start",
  decision: "allow",
};

/** A chain of these records as the bytes of a file, and its head. */
function chain(records: readonly AuditRecord[], after: ChainHead = genesis) {
  let head = after;
  const lines = records.map((record, i) => {
    const at = new Date(Date.parse(time) + i).toISOString();
    const sealed = seal(record, { seq: head.seq + 1, prev: head.hash, time: at });
    head = sealed.head;
    return `${sealed.line}\n`;
  });
  return { lines, head, bytes: Buffer.from(lines.join(""), "latin1") };
}

const verify = (bytes: Uint8Array, expected?: ChainExpectation) =>
  verifyChain(linesOf(bytes), expected);

const name = fc.string({ unit: fc.constantFrom(..."abcz019-._"), minLength: 1, maxLength: 12 });
const record: fc.Arbitrary<AuditRecord> = fc.record(
  {
    phase: fc.constantFrom("decision", "result", "alert", "lease", "open", "anchor"),
    client: fc.constantFrom("admin-bridge", "egress-gateway"),
    request: name,
    verb: fc.constantFrom("start", "stop", "create"),
    decision: fc.constantFrom("allow", "deny"),
    rule: fc.constantFrom("grant", "verify"),
    status: fc.integer({ min: 100, max: 599 }),
    object: name,
    id: fc.constantFrom("a".repeat(64)),
    template: fc.constantFrom("lal.review", "lal.agent"),
    templateHash: fc.constantFrom("0123456789abcdef"),
    instance: fc.constantFrom("x1", "7"),
    asked: name,
    fields: fc.array(name, { minLength: 1, maxLength: 3 }),
    lost: fc.integer({ min: 1, max: 9 }),
  },
  { requiredKeys: ["phase", "client", "request", "verb"] },
);
const chains = fc.array(record, { minLength: 1, maxLength: 6 }).map((records) => chain(records));

describe("a chain of records", () => {
  it("T12: every sealed chain verifies, through its head and any of its points", () =>
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), (records) => {
        const { bytes, head, lines } = chain(records);
        const points = lines.map((line) => readLine(line.slice(0, -1)));
        const report = verify(bytes, {
          first: { seq: 1, prev: genesis.hash },
          anchors: points,
          ...(records.length > 0 ? { head } : {}),
        });
        expect(report).toMatchObject({
          ok: true,
          records: records.length,
          lastSeq: records.length,
          anchors: records.length,
          problems: [],
        });
        expect(report.head).toEqual(records.length > 0 ? head : undefined);
      }),
    ));

  it("T12: any change of a single byte of any line is detected", () =>
    fc.assert(
      fc.property(chains, fc.nat(), fc.integer({ min: 1, max: 255 }), ({ bytes }, at, by) => {
        const changed = Buffer.from(bytes);
        const place = at % bytes.length;
        changed[place] = ((bytes[place] ?? 0) + by) % 256;
        expect(verify(changed).ok).toBe(false);
      }),
      { numRuns: 2_000 },
    ));

  it("T12: any byte added or taken away is detected", () =>
    fc.assert(
      fc.property(chains, fc.nat(), fc.option(fc.nat(255)), ({ bytes, head }, at, added) => {
        const place = at % bytes.length;
        const changed = Buffer.concat([
          bytes.subarray(0, place),
          ...(added === null ? [] : [Buffer.of(added)]),
          bytes.subarray(added === null ? place + 1 : place),
        ]);
        expect(verify(changed, { head }).ok).toBe(false);
      }),
      { numRuns: 1_000 },
    ));

  it("T12: the removal of any line is detected where the head is known", () =>
    fc.assert(
      fc.property(chains, fc.nat(), ({ lines, head }, at) => {
        const left = lines.toSpliced(at % lines.length, 1);
        const report = verifyChain(left, { first: { seq: 1, prev: genesis.hash }, head });
        expect(report.ok).toBe(false);
        // One inside is missed by its neighbours alone.
        const place = at % lines.length;
        if (place > 0 && place < lines.length - 1) expect(verifyChain(left).ok).toBe(false);
      }),
    ));

  it("T12: any two lines that change places, and any line that comes twice, are detected", () =>
    fc.assert(
      fc.property(chains, fc.nat(), fc.nat(), ({ lines }, a, b) => {
        const [i, j] = [a % lines.length, b % lines.length];
        const swapped = lines.with(i, lines[j] ?? "").with(j, lines[i] ?? "");
        expect(verifyChain(swapped).ok).toBe(i === j);
        expect(verifyChain(lines.toSpliced(i, 0, lines[j] ?? "")).ok).toBe(false);
      }),
    ));

  it("T12: a truncation at any byte is detected by the head, or by any later point told elsewhere", () =>
    fc.assert(
      fc.property(chains, fc.nat(), ({ bytes, head }, at) => {
        const short = bytes.subarray(0, at % bytes.length);
        expect(verify(short, { head }).ok).toBe(false);
        expect(verify(short, { anchors: [head] }).ok).toBe(false);
      }),
    ));

  it("T12: a chain written anew from any record on is detected by the points that were told before", () =>
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 6 }), fc.nat(), (records, at) => {
        const first = chain(records);
        const place = at % records.length;
        const forged = chain(
          records.map((item, i) => (i === place ? { ...item, request: "forged" } : item)),
        );
        fc.pre(records[place]?.request !== "forged");
        expect(verify(forged.bytes).ok).toBe(true);
        expect(verify(forged.bytes, { anchors: [first.head] }).problems).toMatchObject([
          { problem: expect.stringContaining("is another than the one that was told") },
        ]);
        expect(verify(forged.bytes, { head: first.head }).ok).toBe(false);
        const both = verify(forged.bytes, { anchors: [first.head, forged.head] });
        expect(both.problems[0]?.problem).toContain("two different records");
      }),
    ));

  it("one bad line is one problem, at its line; what follows is still checked", () => {
    const { lines } = chain([start, start, start, start, start]);
    const bad = lines.with(1, lines[1]?.replace("allow", "denyy") ?? "");
    expect(verifyChain(bad).problems).toEqual([
      { line: 2, problem: expect.stringContaining(".decision: must be one of") },
    ]);
    const changed = lines.with(1, lines[1]?.replace("admin-bridge", "admin-bridgf") ?? "");
    expect(verifyChain(changed).problems).toEqual([
      { line: 2, problem: "its hash is not that of its text" },
    ]);
    const more = changed.toSpliced(3, 1);
    expect(verifyChain(more).problems.map(({ line }) => line)).toEqual([2, 4, 4]);
  });

  it("files go on from each other; without the older ones the first link is said to be unchecked", () => {
    const old = chain([start, start]);
    const next = chain([start, start], old.head);
    expect(verify(Buffer.concat([old.bytes, next.bytes])).ok).toBe(true);
    const alone = verify(next.bytes);
    expect([alone.ok, alone.firstSeq, alone.lastSeq]).toEqual([true, 3, 4]);
    expect(alone.notes).toEqual([
      { line: 1, problem: expect.stringContaining("2 older records are not here") },
    ]);
    const first = { seq: 3, prev: old.head.hash };
    expect(verify(next.bytes, { first }).ok).toBe(true);
    expect(verify(next.bytes, { first: { ...first, prev: next.head.hash } }).ok).toBe(false);
    expect(verify(next.bytes, { first: { ...first, seq: 2 } }).ok).toBe(false);
    expect(verify(Buffer.concat([next.bytes, old.bytes])).ok).toBe(false);
  });

  it("T12: a number that stands still, goes back or jumps is a problem, even where the links are right", () => {
    for (const seq of [1, 2, 4, 9]) {
      const { lines, head } = chain([start, start]);
      const next = seal(start, { seq, prev: head.hash, time });
      const report = verifyChain([...lines, `${next.line}\n`]);
      expect(report.problems, String(seq)).toEqual([
        { line: 3, problem: expect.stringMatching(seq < 3 ? /stands where 3/ : /missing before/) },
      ]);
    }
  });

  it("a later record cannot pose as the first ever, nor the first as a later one", () => {
    expect(verify(chain([start], { seq: 4, hash: genesis.hash }).bytes).ok).toBe(false);
    expect(verify(chain([start], { seq: 0, hash: "1".repeat(64) }).bytes).ok).toBe(false);
  });

  it("a clock that goes back, lost records and a cut line are notes, not problems", () => {
    const one = seal(start, { seq: 1, prev: genesis.hash, time: "2026-12-01T12:00:01.000Z" });
    const two = seal(
      { ...start, lost: 3, torn: 17 },
      { seq: 2, prev: one.head.hash, time: "2026-12-01T12:00:00.000Z" },
    );
    const report = verifyChain([`${one.line}\n`, `${two.line}\n`]);
    expect(report.ok).toBe(true);
    expect(report.notes.map(({ line }) => line)).toEqual([2, 2, 2]);
    expect(report.notes.map(({ problem }) => problem).join("\n")).toMatch(
      /clock went back.*\n3 records.*\n.*17 bytes/,
    );
  });

  it("no bytes at all make it throw or pass as a record, and the problems that it lists are bounded", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
        const report = verify(bytes);
        expect([report.ok, report.records]).toEqual([false, 0]);
      }),
    );
    const report = verify(Buffer.from("\n".repeat(50_000)));
    expect(report.problems.length).toBe(1_001);
    const deep = Buffer.from(`${"[".repeat(30_000)}\n${"9".repeat(2 * maxLineBytes)}\n`);
    expect(verify(deep).problems.map(({ line }) => line)).toEqual([1, 2]);
  });
});

describe("the schema of a record", () => {
  const place = { seq: 1, prev: genesis.hash, time };
  const sealedWith = (change: object) => seal({ ...start, ...change } as AuditRecord, place);

  it("T12: a member that it does not know, and a value of another shape, cannot be sealed nor read", () => {
    const wrong: Record<string, unknown>[] = [
      { env: "A=1" },
      { value: "secret" },
      { phase: "other" },
      { client: "Admin" },
      { request: "a b" },
      { verb: "" },
      { decision: "maybe" },
      { rule: "a b" },
      { status: 0 },
      { object: "a b" },
      { id: "abc" },
      { agent: "Lal" },
      { template: "lal" },
      { templateHash: "xyz" },
      { instance: "-x" },
      { asked: "" },
      { fields: [] },
      { fields: Array.from({ length: 65 }, () => "a") },
      { lost: 0 },
      { torn: 1.5 },
      { unfit: [""] },
    ];
    const good = sealedWith({}).line;
    for (const change of wrong) {
      expect(() => sealedWith(change), JSON.stringify(change)).toThrow(Object.keys(change)[0]);
      const forged = JSON.stringify({ ...JSON.parse(good), ...change });
      expect(() => readLine(forged), JSON.stringify(change)).toThrow(/^not a record/);
    }
    expect(readLine(good)).toMatchObject(start);
    expect(() => seal({ ...start, client: undefined } as unknown as AuditRecord, place)).toThrow(
      ".client",
    );
  });

  it("T12: the error about a bad value names its member and never shows the value", () => {
    expect(() => sealedWith({ object: "canary value" })).toThrow(/^(?!.*canary).*\.object/);
  });

  it("T12: CR, LF, ANSI, right-to-left marks and look-alikes cannot stand in any text of a record", () => {
    const hostile = [
      "a\nb",
      "a\r",
      "\u001b[31m",
      "\u202eabc",
      "\u2066x",
      "\u200b",
      "\u0441",
      "\u0000",
      "\u007f",
      "\u009b",
    ];
    for (const text of hostile) {
      for (const member of ["client", "request", "verb", "rule", "object", "agent", "asked"])
        expect(() => sealedWith({ [member]: text }), `${member} ${JSON.stringify(text)}`).toThrow();
      expect(() => sealedWith({ fields: [text] })).toThrow(".fields");
      const seen = sealedWith(fitted({ ...start, object: text, asked: text, fields: [text] }));
      expect(seen.line).toMatch(/^[\x20-\x7e]+$/);
    }
  });

  it("T12: whatever texts a client makes up, its refusal can be sealed, on one bounded line", () =>
    fc.assert(
      fc.property(
        fc.record(
          {
            object: fc.string({ unit: "binary", maxLength: 2_000 }),
            asked: fc.string({ unit: "binary", maxLength: 2_000 }),
            fields: fc.array(fc.string({ unit: "binary", maxLength: 300 }), { maxLength: 200 }),
            agent: fc.string(),
            template: fc.string(),
            templateHash: fc.string(),
            instance: fc.string(),
            id: fc.string(),
          },
          { requiredKeys: [] },
        ),
        (texts) => {
          const { line } = sealedWith(fitted({ ...start, decision: "deny", ...texts }));
          expect(line).toMatch(/^[\x20-\x7e]+$/);
          expect(line.length).toBeLessThan(maxLineBytes);
          expect(readLine(line)).toMatchObject({ decision: "deny", seq: 1 });
        },
      ),
    ));

  it("the longest record that the schema allows fits into a line", () => {
    const { line } = sealedWith({
      object: '"'.repeat(512),
      asked: "\\".repeat(256),
      fields: Array.from({ length: 64 }, () => '"'.repeat(128)),
      unfit: Array.from({ length: 16 }, () => "a".repeat(32)),
    });
    expect(line.length).toBeGreaterThan(maxLineBytes / 2);
    expect(line.length + 1).toBeLessThanOrEqual(maxLineBytes);
    expect(readLine(line).unfit).toHaveLength(16);
  });

  it("what was left out as unfit is named", () => {
    expect(fitted({ ...start, template: "UP", id: "x" })).toEqual({
      ...start,
      unfit: ["id", "template"],
    });
    expect(fitted(start)).toEqual(start);
  });

  it("another spelling of the same JSON is not the line that was written", () => {
    const { line } = sealedWith({});
    expect(() => readLine(line.replace(":", ": "))).toThrow("not canonical JSON");
    expect(() => readLine(line.replace('"seq":1', '"seq":1.0'))).toThrow("not canonical JSON");
    expect(() => readLine(line.replace("{", '{"verb":"stop",'))).toThrow("not canonical JSON");
  });
});
