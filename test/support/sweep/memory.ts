import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** So much is read at a time. */
const pieceBytes = 4 * 1024 * 1024;
/** A process with more is not searched in part: nobody would know what was left out. */
const mostBytes = 2 * 1024 * 1024 * 1024;

/** A mapping of `/proc/<pid>/smaps` that may hold what no file holds. */
interface Region {
  readonly start: number;
  readonly end: number;
}

/**
 * The resident memory of a process, in pieces, by `/proc/<pid>/mem`: needs its user's rights or root's. Left out: what
 * cannot be read, pages that are not there (reading would make them), and pages that only show a file.
 * A process that ends meanwhile ends the pieces. @throws Error for a process with more than 2 GiB
 */
export function* memoryOf(pid: number): Generator<Buffer> {
  const files: number[] = [];
  const open = (name: string) => {
    const file = openSync(`/proc/${pid}/${name}`, "r");
    files.push(file);
    return file;
  };
  let total = 0;
  try {
    const [memory, pagemap] = [open("mem"), open("pagemap")];
    const smaps = readFileSync(`/proc/${pid}/smaps`, "utf8");
    const pageBytes = pageBytesOf(smaps);
    for (const region of regionsOf(smaps)) {
      for (const { start, end } of residentRuns(pagemap, region, pageBytes)) {
        for (let at = start; at < end; at += pieceBytes) {
          const piece = read(memory, at, Math.min(pieceBytes, end - at));
          total += piece.length;
          if (total > mostBytes) throw new Error(`process ${pid} has more than 2 GiB`);
          yield piece;
        }
      }
    }
  } catch (error) {
    if (!isGone(error)) throw error;
  } finally {
    for (const file of files) closeSync(file);
  }
}

/** The regions of an `smaps` that are worth a look. */
function regionsOf(smaps: string): Region[] {
  const blocks = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter(Boolean);
  return blocks.flatMap((block) => {
    const [, from = "", to = "", mode = "", path = ""] =
      /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ [0-9]+ *(.*)$/m.exec(block) ?? [];
    const kibibytes = (field: string) =>
      Number(new RegExp(`^${field}: +([0-9]+) kB$`, "m").exec(block)?.[1] ?? 0);
    if (!mode.startsWith("r") || kibibytes("Rss") === 0) return [];
    // The kernel's own pages, the same in every process.
    if (/^\[(vvar|vvar_vclock|vdso|vsyscall)\]$/.test(path)) return [];
    // Nothing of it was written: it shows a file, and files are searched as files.
    if (path.startsWith("/") && !mode.includes("w") && kibibytes("Anonymous") === 0) return [];
    return [{ start: Number.parseInt(from, 16), end: Number.parseInt(to, 16) }];
  });
}

/** The kernel's page size: the smallest of any region, since some have huge ones. */
function pageBytesOf(smaps: string): number {
  const sizes = [...smaps.matchAll(/^KernelPageSize: +([0-9]+) kB$/gm)].map(([, size]) =>
    Number(size),
  );
  return 1024 * Math.min(...sizes);
}

/** Runs of pages that are there, or in swap. */
function* residentRuns(
  pagemap: number,
  { start, end }: Region,
  pageBytes: number,
): Generator<Region> {
  const pagesAtOnce = 64 * 1024;
  let run: Region | undefined;
  for (let at = start; at < end; at += pagesAtOnce * pageBytes) {
    const count = Math.min(pagesAtOnce, (end - at) / pageBytes);
    const entries = read(pagemap, (at / pageBytes) * 8, count * 8);
    for (let page = 0; page * 8 + 8 <= entries.length; page++) {
      // Bit 63: present; bit 62: swapped.
      const isThere = ((entries[page * 8 + 7] ?? 0) & 0xc0) !== 0;
      const address = at + page * pageBytes;
      if (isThere && run?.end === address) run = { start: run.start, end: address + pageBytes };
      else if (isThere) {
        if (run) yield run;
        run = { start: address, end: address + pageBytes };
      }
    }
  }
  if (run) yield run;
}

/** So many bytes from a place; none where they are no longer mapped. */
function read(file: number, at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, length, at));
  } catch (error) {
    if (["EIO", "EFAULT"].includes(codeOf(error))) return Buffer.alloc(0);
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ESRCH"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code);
}
