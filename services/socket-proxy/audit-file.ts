import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import {
  type AuditLine,
  type ChainHead,
  genesis,
  maxLineBytes,
  readLine,
} from "../../spec/audit-chain.ts";
import { auditFile, keptFiles, rotatedFile, rotatedNumber } from "../../spec/audit-files.ts";
import { MiB } from "../../spec/units.ts";
import type { AuditSink, Opened } from "./audit.ts";

/** A file is closed before it grows beyond this. */
const maxFileBytes = 16 * MiB;

export interface AuditFileOptions {
  /** @default 16 MiB */
  readonly maxBytes?: number;
  /** @default 8 */
  readonly kept?: number;
  /** Writes to a file; may write less than all. @default write(2) */
  readonly write?: (fd: number, bytes: Uint8Array) => number;
}

/**
 * The audit in a directory that only the socket proxy has: `audit.jsonl`, and closed files by the number of their first
 * record. Every call is done when it returns: the kernel has the line, whatever becomes of this process.
 */
export class AuditFile implements AuditSink {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #kept: number;
  readonly #write: (fd: number, bytes: Uint8Array) => number;
  #fd: number | undefined;
  #inode = 0;
  /** Length of the file: whole lines only. */
  #size = 0;
  /** Number of the file's first record; 0: it has none. */
  #firstSeq = 0;
  /** The file was begun by a rotation, and nothing is in it yet. */
  #rotated = false;

  constructor(directory: string, options: AuditFileOptions = {}) {
    this.#directory = directory;
    this.#maxBytes = options.maxBytes ?? maxFileBytes;
    this.#kept = options.kept ?? keptFiles;
    this.#write = options.write ?? ((fd, bytes) => writeSync(fd, bytes));
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /**
   * Opens the file and finds the chain's head in it. A last line without an end is cut: whoever wrote it never came to
   * act on it.
   * @throws Error where it cannot be opened, or where its first or last line is no record
   */
  open(): Opened {
    this.close();
    const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
    const fd = openSync(this.#path(auditFile), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      const state = fstatSync(fd);
      const { size } = state;
      if (!state.isFile()) throw new Error(`${auditFile} is no ordinary file`);
      const end = endOfLines(fd, size);
      if (end < size) ftruncateSync(fd, end);
      const first = firstLine(fd, end);
      const isEmpty = first === undefined;
      const head = isEmpty ? this.#headOfClosed() : lastRecord(fd, end, auditFile);
      this.#firstSeq = isEmpty ? 0 : recordIn(first, auditFile).seq;
      this.#size = end;
      this.#inode = state.ino;
      this.#fd = fd;
      return { head: { seq: head.seq, hash: head.hash }, torn: size - end };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Appends a line and its end, whole or not at all.
   * @returns whether a new file was begun for it
   * @throws Error where it could not be written; where {@link isOpen} is false then, the file has to be opened again
   */
  append(line: string, seq: number): boolean {
    const bytes = Buffer.from(`${line}\n`, "latin1");
    if (this.#size > 0 && this.#size + bytes.length > this.#maxBytes) this.#rotate();
    const fd = this.#opened();
    const state = statSync(this.#path(auditFile), { throwIfNoEntry: false });
    if (state?.ino !== this.#inode || state.size !== this.#size) {
      this.close();
      throw new Error(`${auditFile} was changed by somebody else`);
    }
    try {
      for (let rest: Uint8Array = bytes; rest.length > 0; ) {
        const written = this.#write(fd, rest);
        if (written < 1) throw Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
        rest = rest.subarray(written);
      }
    } catch (error) {
      this.#rollBack(fd);
      throw error;
    }
    this.#size += bytes.length;
    if (this.#firstSeq === 0) this.#firstSeq = seq;
    const rotated = this.#rotated;
    this.#rotated = false;
    return rotated;
  }

  /** Closes the file, if it is open. */
  close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeSync(fd);
  }

  #opened(): number {
    if (this.#fd === undefined) throw new Error(`${auditFile} is not open`);
    return this.#fd;
  }

  /** Takes the part of a line away that did get written. */
  #rollBack(fd: number): void {
    try {
      if (fstatSync(fd).size > this.#size) ftruncateSync(fd, this.#size);
    } catch {
      // Opening it again cuts what is left.
      this.close();
    }
  }

  /** Sets the file aside and begins a new one. The old one is closed first, so that this needs no further descriptor. */
  #rotate(): void {
    const closed = this.#path(rotatedFile(this.#firstSeq));
    if (existsSync(closed)) {
      throw new Error(`${rotatedFile(this.#firstSeq)} is there already; move it out of the volume`);
    }
    fdatasyncSync(this.#opened());
    this.close();
    renameSync(this.#path(auditFile), closed);
    const { O_RDWR, O_APPEND, O_CREAT, O_EXCL } = constants;
    this.#fd = openSync(this.#path(auditFile), O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0o600);
    this.#inode = fstatSync(this.#fd).ino;
    this.#size = 0;
    this.#firstSeq = 0;
    this.#rotated = true;
    this.#prune();
  }

  #prune(): void {
    try {
      for (const name of this.#closedFiles().slice(0, -this.#kept)) unlinkSync(this.#path(name));
    } catch {
      // One file too many is no reason to refuse anything; the next rotation tries again.
    }
  }

  /** Closed files, oldest first. */
  #closedFiles(): string[] {
    return readdirSync(this.#directory)
      .filter((name) => rotatedNumber(name) !== undefined)
      .sort((a, b) => (rotatedNumber(a) ?? 0) - (rotatedNumber(b) ?? 0));
  }

  #headOfClosed(): ChainHead {
    const newest = this.#closedFiles().at(-1);
    if (newest === undefined) return genesis;
    const fd = openSync(this.#path(newest), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return lastRecord(fd, endOfLines(fd, fstatSync(fd).size), newest);
    } finally {
      closeSync(fd);
    }
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }
}

/** Length of the whole lines in the first `size` bytes. */
function endOfLines(fd: number, size: number): number {
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - maxLineBytes);
    const at = read(fd, start, end).lastIndexOf(0x0a);
    if (at !== -1) return start + at + 1;
    end = start;
  }
  return 0;
}

/** The first line of a file of whole lines, without its end; undefined: it is empty. */
function firstLine(fd: number, end: number): string | undefined {
  if (end === 0) return undefined;
  const bytes = read(fd, 0, Math.min(end, maxLineBytes));
  const at = bytes.indexOf(0x0a);
  return bytes.toString("latin1", 0, at === -1 ? bytes.length : at);
}

function lastRecord(fd: number, end: number, name: string): AuditLine {
  const bytes = read(fd, Math.max(0, end - maxLineBytes), Math.max(0, end - 1));
  return recordIn(bytes.toString("latin1", bytes.lastIndexOf(0x0a) + 1), name);
}

function recordIn(line: string, name: string): AuditLine {
  try {
    return readLine(line);
  } catch (error) {
    throw new Error(
      `${name} begins or ends with a line that is no record of the audit (${(error as Error).message}); ` +
        "move the file out of the volume to begin a new one",
    );
  }
}

/** The bytes from `start` to `end`, fewer where the file ends before. */
function read(fd: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start);
  let length = 0;
  while (length < bytes.length) {
    const got = readSync(fd, bytes, length, bytes.length - length, start + length);
    if (got === 0) break;
    length += got;
  }
  return bytes.subarray(0, length);
}
