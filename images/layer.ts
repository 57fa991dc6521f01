import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";

/** One entry of an image's layer. Paths are absolute inside the image; owner 0:0 unless it says otherwise. */
export type LayerEntry = {
  readonly path: string;
  /** User and group id in one: every user of ours has a group of the same number. */
  readonly owner?: number;
} & (
  | { readonly type: "directory"; readonly mode: number }
  | { readonly type: "file"; readonly mode: number; readonly content: LayerContent }
  | { readonly type: "link"; readonly target: string }
);

/** Bytes at hand, or a file of this machine that is read when it is needed. */
type LayerContent = Buffer | { readonly file: string };

const block = 512;
/** Up to this size a file is read in one go: a stream for each of thousands of files takes longer than the bytes. */
const smallFile = 1024 * 1024;

/**
 * A tar archive of the entries, in the given order. Times are zero, so equal entries give equal bytes.
 * @throws Error for a path that the format cannot hold
 */
export function tarOf(entries: readonly LayerEntry[]): Readable {
  return Readable.from(tarParts(entries), { objectMode: false });
}

/** All that lies in a folder of this machine, as entries under `path` in the image, owned by root, sorted by name. */
export async function entriesOfFolder(folder: string, path: string): Promise<LayerEntry[]> {
  const entries: LayerEntry[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const from = join(folder, name);
    const to = `${path}/${name}`;
    const state = await lstat(from);
    if (state.isDirectory()) {
      entries.push({ type: "directory", path: to, mode: 0o755 });
      entries.push(...(await entriesOfFolder(from, to)));
    } else if (state.isSymbolicLink()) {
      entries.push({ type: "link", path: to, target: await readlink(from) });
    } else {
      const mode = state.mode & 0o111 ? 0o755 : 0o644;
      entries.push({ type: "file", path: to, mode, content: { file: from } });
    }
  }
  return entries;
}

async function* tarParts(entries: readonly LayerEntry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const size = entry.type === "file" ? await sizeOf(entry.content) : 0;
    yield header(entry, size);
    if (entry.type !== "file" || size === 0) continue;
    if (Buffer.isBuffer(entry.content)) yield entry.content;
    else if (size <= smallFile) yield await readFile(entry.content.file);
    else yield* createReadStream(entry.content.file) as AsyncIterable<Buffer>;
    yield Buffer.alloc(padded(size) - size);
  }
  yield Buffer.alloc(2 * block);
}

async function sizeOf(content: LayerContent): Promise<number> {
  return Buffer.isBuffer(content) ? content.length : (await stat(content.file)).size;
}

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

/** One header of the POSIX ustar format. */
function header(entry: LayerEntry, size: number): Buffer {
  const bytes = Buffer.alloc(block);
  const path = entry.path.replace(/^\//, "") + (entry.type === "directory" ? "/" : "");
  const [prefix, name] = splitPath(path);
  const octal = (value: number, at: number, length: number) =>
    bytes.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  bytes.write(name, 0, "utf8");
  octal(entry.type === "link" ? 0o777 : entry.mode, 100, 8);
  octal(entry.owner ?? 0, 108, 8);
  octal(entry.owner ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  bytes.write("        ", 148, "latin1");
  bytes.write({ file: "0", link: "2", directory: "5" }[entry.type], 156, "latin1");
  if (entry.type === "link") {
    if (Buffer.byteLength(entry.target) > 100) throw new Error(`${entry.target}: too long a link`);
    bytes.write(entry.target, 157, "utf8");
  }
  bytes.write("ustar\0" + "00", 257, "latin1");
  bytes.write(prefix, 345, "utf8");
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

/** The format holds 155 bytes before a slash and 100 after it. */
function splitPath(path: string): [string, string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
    const name = path.slice(at + 1);
    if (at <= 155 && name !== "" && Buffer.byteLength(name) <= 100)
      return [path.slice(0, at), name];
  }
  throw new Error(`${path}: too long a path for an image layer`);
}
