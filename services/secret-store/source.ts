import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { sep } from "node:path";
import { parseReference } from "../../spec/references.ts";
import { Redacted } from "../common/redacted.ts";
import type { PushedValues } from "./pushed.ts";
import type { Seed } from "./seed.ts";

/** Largest secret value, in bytes. */
export const maxValueBytes = 64 * 1024;

/**
 * What became of a reference.
 * `gone`: there is no such value; what stands of it is taken away. `unavailable`: it cannot be told now; what was
 * delivered for this very reference before stays, nothing new is delivered.
 */
export type Resolution =
  | { readonly kind: "value"; readonly value: Redacted<Buffer> }
  | { readonly kind: "gone" | "unavailable"; readonly reason: string };

/** Where values come from. */
export interface Sources {
  /** Directory of the operator's secret files; undefined: `file:` references are off. */
  readonly directory: string | undefined;
  readonly pushed: PushedValues;
  readonly seed: Seed;
}

/** Resolves one agent's reference. Never throws, and never puts a value into a reason. */
export async function resolve(
  reference: string,
  owner: { readonly agent: string; readonly name: string },
  sources: Sources,
): Promise<Resolution> {
  let parsed: ReturnType<typeof parseReference>;
  try {
    parsed = parseReference(reference);
  } catch (error) {
    return { kind: "gone", reason: (error as Error).message };
  }
  switch (parsed.scheme) {
    case "op":
      return {
        kind: "gone",
        reason:
          "not configured: this version has no 1Password resolver. Use file:, env: or generated: until then",
      };
    case "env":
      return sources.pushed.resolve(parsed.name);
    case "file":
      return readSecretFile(parsed.path, sources.directory);
    case "generated":
      return deliverable(
        Buffer.from(sources.seed.derive(owner, parsed.bytes).toString("base64url")),
      );
  }
}

/** A value as it is delivered, or why it cannot be one. */
function deliverable(bytes: Buffer): Resolution {
  const problem = problemOfValue(bytes);
  return problem
    ? { kind: "gone", reason: problem }
    : { kind: "value", value: new Redacted(bytes, "secret") };
}

/** What is wrong with a value; undefined: nothing. Names only its form, never a part of it. */
export function problemOfValue(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return "the value is empty";
  if (bytes.length > maxValueBytes) return `the value has more than ${maxValueBytes} bytes`;
  if (bytes.includes(0)) return "the value holds a zero byte, which no environment can carry";
  return undefined;
}

async function readSecretFile(path: string, directory: string | undefined): Promise<Resolution> {
  if (directory === undefined) {
    return { kind: "gone", reason: "no directory of secret files is configured for this stack" };
  }
  try {
    const [root, real] = await Promise.all([realpath(directory), realpath(path)]);
    if (!real.startsWith(root.endsWith(sep) ? root : root + sep)) {
      return { kind: "gone", reason: `the file does not lie under ${directory}` };
    }
    // Never waits on a pipe and never follows a link that was put there since.
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    const file = await open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) return { kind: "gone", reason: "it is no regular file" };
      const room = Buffer.alloc(maxValueBytes + 3);
      let size = 0;
      for (let read = -1; read !== 0 && size < room.length; size += read)
        read = (await file.read(room, size, room.length - size)).bytesRead;
      return deliverable(withoutLineEnd(room.subarray(0, size)));
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code = "failed" } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP")
      return { kind: "gone", reason: `there is no such file under ${directory}` };
    const cure =
      code === "EACCES"
        ? ": the secret store reads as user 0 without further rights, so the file and its directories must belong to root or be readable by all"
        : "";
    return { kind: "unavailable", reason: `the file cannot be read (${code})${cure}` };
  }
}

/** Editors and `echo` end a file with a line break that is not part of the secret. */
function withoutLineEnd(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 10 ? (bytes.at(-2) === 13 ? 2 : 1) : 0;
  return Buffer.from(bytes.subarray(0, bytes.length - end));
}
