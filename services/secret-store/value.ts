import { isUtf8 } from "node:buffer";
import { Redacted } from "../common/redacted.ts";

/** Largest secret value, in bytes. */
export const maxValueBytes = 64 * 1024;

/** Where a value goes, which decides what it may hold: an environment variable, a file of its own, or a longer text. */
export type Form = "env" | "file" | "text";

/**
 * What became of a reference.
 * `value`: a copy of the consumer's own, to be overwritten after use. Where it has an `identity`, that tells one value from
 * the next, not its content. `stands`: nothing new since the value of this identity. `gone`: there is no such value; what
 * stands of it is taken away. `unavailable`: it cannot be told now; what was delivered for this very reference before stays,
 * nothing new is delivered; with `wrong` the reference itself must be mended.
 */
export type Resolution =
  | { readonly kind: "value"; readonly value: Redacted<Buffer>; readonly identity?: string }
  | { readonly kind: "stands"; readonly identity: string }
  | { readonly kind: "gone"; readonly reason: string }
  | { readonly kind: "unavailable"; readonly reason: string; readonly wrong?: true };

/** What is wrong with a value; undefined: nothing. Names only its form, never a part of it. */
export function problemOfValue(bytes: Buffer, form: Form = "env"): string | undefined {
  if (bytes.length === 0) return "the value is empty";
  if (bytes.length > maxValueBytes) return `the value has more than ${maxValueBytes} bytes`;
  if (form === "file") return undefined;
  if (form === "env" && bytes.includes(0))
    return 'the value holds a zero byte, which no environment can carry; write { as: "file" }';
  if (isUtf8(bytes)) return undefined;
  return form === "env"
    ? 'the value is no UTF-8 text, which an environment would change; write { as: "file" }'
    : "the value is no UTF-8 text, so it cannot stand in another text";
}

/** A value as it is delivered, or why it cannot be one. Takes the bytes over. */
export function deliverable(bytes: Buffer, form: Form, identity?: string): Resolution {
  const problem = problemOfValue(bytes, form);
  if (problem === undefined) {
    const value = new Redacted(bytes, "secret");
    return { kind: "value", value, ...(identity === undefined ? {} : { identity }) };
  }
  bytes.fill(0);
  return { kind: "gone", reason: problem };
}

/** A copy that its holder may overwrite. */
export function copyOf(value: Redacted<Buffer>): Buffer {
  return Buffer.from(value.reveal());
}

/** Overwrites a value that is not needed any more, so that no dump of the memory shows it. */
export function wipe(value: Redacted<Buffer> | undefined): void {
  value?.reveal().fill(0);
}
