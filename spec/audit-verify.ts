import { type AuditLine, type ChainHead, genesis, readLine } from "./audit-chain.ts";

/** What is known of a chain from elsewhere. */
export interface ChainExpectation {
  /** The first record that has to be there, and the hash before it. */
  readonly first?: { readonly seq: number; readonly prev: string };
  /** Exactly where the chain ends. */
  readonly head?: ChainHead;
  /** Points that it must go through, as they were told to another place when they were its head. */
  readonly anchors?: Iterable<ChainHead>;
}

/** Something about a line (counted from 1), or about the whole chain (line 0). */
export interface ChainRemark {
  readonly line: number;
  readonly problem: string;
}

/** What verifying a chain found. */
export interface ChainReport {
  /** No problem: every record is as it was written, and none is missing between the first and the last. */
  readonly ok: boolean;
  /** Lines that are records. */
  readonly records: number;
  /** 0: there is no record. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Times of the first and the last record. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Number and hash of the last record. */
  readonly head: ChainHead | undefined;
  /** Anchors that the chain goes through. */
  readonly anchors: number;
  readonly problems: readonly ChainRemark[];
  /** What is worth knowing and breaks nothing: lost records, broken-off lines, a clock that went back. */
  readonly notes: readonly ChainRemark[];
}

/** Problems, and notes, that are listed; a file of something else has one a line. */
const maxRemarks = 1_000;

/**
 * Checks lines in order, each with its line end as in the file ({@link linesOf}). A change, removal, move or addition of any line
 * is a problem; one at the very end is found only by `expected.head` or an anchor.
 */
export function verifyChain(lines: Iterable<string>, expected: ChainExpectation = {}): ChainReport {
  const walk = new ChainWalk(expected);
  for (const line of lines) walk.take(line);
  return walk.end();
}

class ChainWalk {
  readonly #expected: ChainExpectation;
  readonly #anchors = new Map<number, string>();
  readonly #problems: ChainRemark[] = [];
  readonly #notes: ChainRemark[] = [];
  #line = 0;
  #records = 0;
  #anchorsMet = 0;
  #first: AuditLine | undefined;
  #last: AuditLine | undefined;
  /** Lines since the last record that are none: what follows cannot be compared with them. */
  #unread = 0;
  #newestTold = 0;

  constructor(expected: ChainExpectation) {
    this.#expected = expected;
    for (const { seq, hash } of expected.anchors ?? []) {
      if ((this.#anchors.get(seq) ?? hash) !== hash) {
        this.#problem(`two different records ${seq} were told: the chain was written anew`, 0);
      }
      this.#anchors.set(seq, hash);
      this.#newestTold = Math.max(this.#newestTold, seq);
    }
  }

  take(line: string): void {
    this.#line += 1;
    if (!line.endsWith("\n")) {
      this.#problem("the last line is broken off");
      this.#unread += 1;
      return;
    }
    let record: AuditLine;
    try {
      record = readLine(line.slice(0, -1));
    } catch (error) {
      this.#problem((error as Error).message);
      this.#unread += 1;
      return;
    }
    if (this.#last) this.#follow(this.#last, record);
    else this.#begin(record);
    this.#meet(record);
    this.#records += 1;
    this.#last = record;
    this.#unread = 0;
  }

  end(): ChainReport {
    const last = this.#last;
    const { head } = this.#expected;
    const newest = Math.max(head?.seq ?? 0, this.#newestTold);
    if (newest > (last?.seq ?? 0)) {
      const where = last ? `record ${last.seq} is the last` : "there is none";
      this.#problem(`the end is missing: record ${newest} was written, ${where}`, 0);
    } else if (head && (head.seq !== last?.seq || head.hash !== last.hash)) {
      this.#problem(`the end is not record ${head.seq} with the hash that it should have`, 0);
    }
    return {
      ok: this.#problems.length === 0,
      records: this.#records,
      firstSeq: this.#first?.seq ?? 0,
      lastSeq: last?.seq ?? 0,
      from: this.#first?.time,
      to: last?.time,
      head: last && { seq: last.seq, hash: last.hash },
      anchors: this.#anchorsMet,
      problems: this.#problems,
      notes: this.#notes,
    };
  }

  #begin(record: AuditLine): void {
    this.#first = record;
    const { first } = this.#expected;
    if (first && record.seq !== first.seq + this.#unread) {
      this.#problem(
        `record ${record.seq} is the first, not ${first.seq}: the beginning is missing`,
      );
    }
    if (first && this.#unread === 0 && record.prev !== first.prev) {
      this.#problem("it does not go on from the record that should be before it");
    }
    if ((record.seq === genesis.seq + 1) !== (record.prev === genesis.hash)) {
      this.#problem("only the first record ever has nothing before it");
    } else if (!first && record.seq > genesis.seq + 1 && this.#unread === 0) {
      this.#note(`${record.seq - 1} older records are not here: its link to them is unchecked`);
    }
  }

  #follow(last: AuditLine, record: AuditLine): void {
    const due = last.seq + 1 + this.#unread;
    if (record.seq < due) this.#problem(`record ${record.seq} stands where ${due} should be`);
    if (record.seq > due) {
      const gap = record.seq - due;
      this.#problem(
        `${gap === 1 ? "a record is" : `${gap} records are`} missing before record ${record.seq}`,
      );
    }
    if (this.#unread === 0 && record.prev !== last.hash) {
      this.#problem(`record ${record.seq} does not go on from the line before it`);
    }
    if (record.time < last.time) this.#note(`the clock went back from ${last.time}`);
  }

  #meet(record: AuditLine): void {
    const told = this.#anchors.get(record.seq);
    if (told === record.hash) this.#anchorsMet += 1;
    else if (told !== undefined) {
      this.#problem(
        `record ${record.seq} is another than the one that was told when it was written`,
      );
    }
    if (record.lost) this.#note(`${record.lost} records before it could not be written`);
    if (record.torn) this.#note(`a broken-off line of ${record.torn} bytes before it was cut`);
  }

  #problem(problem: string, line = this.#line): void {
    add(this.#problems, { line, problem });
  }

  #note(problem: string): void {
    add(this.#notes, { line: this.#line, problem });
  }
}

function add(remarks: ChainRemark[], remark: ChainRemark): void {
  if (remarks.length < maxRemarks) remarks.push(remark);
  else if (remarks.length === maxRemarks) {
    remarks.push({ line: remark.line, problem: "more of the kind, which are not listed" });
  }
}
