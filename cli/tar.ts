const block = 512;

/** An ordinary file in an archive. */
export interface ArchivedFile {
  /** As it stands in the archive: `audit/audit.jsonl`. */
  readonly name: string;
  readonly bytes: Buffer;
}

/**
 * The ordinary files of a tar archive, in its order. Directories, links and extended headers are passed over, and so are names
 * that only an extended header can hold.
 * @throws Error where it is no archive, or breaks off
 */
export function filesInTar(archive: Buffer): ArchivedFile[] {
  const files: ArchivedFile[] = [];
  for (let at = 0; at + block <= archive.length; ) {
    const header = archive.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) return files;
    const size = Number.parseInt(textAt(header, 124, 12).trim() || "0", 8);
    const end = at + block + size;
    if (!Number.isSafeInteger(size) || size < 0 || textAt(header, 257, 5) !== "ustar") {
      throw new Error("what the Engine sent is no tar archive");
    }
    if (end > archive.length) throw new Error("the archive that the Engine sent breaks off");
    const kind = textAt(header, 156, 1);
    if (kind === "" || kind === "0") {
      const prefix = textAt(header, 345, 155);
      const name = textAt(header, 0, 100);
      files.push({
        name: prefix ? `${prefix}/${name}` : name,
        bytes: archive.subarray(at + block, end),
      });
    }
    at = Math.ceil(end / block) * block;
  }
  throw new Error("the archive that the Engine sent breaks off");
}

/** A text field, up to its first zero byte. */
function textAt(header: Buffer, start: number, length: number): string {
  const field = header.toString("latin1", start, start + length);
  const end = field.indexOf("\0");
  return end === -1 ? field : field.slice(0, end);
}
