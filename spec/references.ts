/**
 * Secret references: what stands in git and in declarations instead of a value.
 * Grammar of `op://` after 1Password's secret reference syntax (facts/secrets.md, section 2), its stricter form.
 */

/** A reference to a field, a file or a key of a 1Password item. */
export interface OpReference {
  readonly scheme: "op";
  /** Name or id, as written. Names are compared without regard to case. */
  readonly vault: string;
  readonly item: string;
  readonly section?: string;
  /** A field's label or id, or a file's name or id. */
  readonly field: string;
  /** What of the field is meant, instead of its value: one of {@link attributes}. */
  readonly attribute?: string;
  /** A private key in OpenSSH's own format. */
  readonly sshFormat?: "openssh";
}

/** A parsed secret reference. */
export type SecretReference =
  | OpReference
  | { readonly scheme: "file"; readonly path: string }
  | { readonly scheme: "env"; readonly name: string }
  | { readonly scheme: "generated"; readonly bytes: number };

/** No reference is longer, in characters. */
export const maxReferenceLength = 1024;
/** No part of an `op://` reference is longer, in characters. */
export const maxSegmentLength = 255;
/**
 * What `attribute=` may name: 1Password's own list for fields (`otp`, `type`, `value`, `id`, `purpose`) and for files
 * (`content`, `size`, `name`, besides). https://developer.1password.com/docs/cli/secret-reference-syntax
 */
export const attributes = [
  "content",
  "id",
  "name",
  "otp",
  "purpose",
  "size",
  "type",
  "value",
] as const;
/** Fewest and most bytes of a value that berth makes up. */
export const generatedBytes = { least: 16, most: 1024 } as const;

/** What a text must begin with to be a reference, and to be quoted: any other may be a value, pasted in the wrong place. */
const schemes = /^(op:\/\/|file:|env:|generated:)/;
const form = "op://vault/item/field, file:/path, env:NAME or generated:32";
const segmentPattern = /^[A-Za-z0-9_.-]+$/;

/**
 * What is wrong with a text that is no reference: it begins like none, is too long, has too few or too many parts, a character
 * or name that cannot be, or an unknown query.
 */
export type ReferenceProblem = "scheme" | "length" | "parts" | "name" | "query";

/** A text that is no reference. The message quotes it only where it begins like one. */
export class SecretReferenceError extends Error {
  override readonly name = "SecretReferenceError";
  readonly kind: ReferenceProblem;

  constructor(kind: ReferenceProblem, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The text inside `{{ … }}`, or the text itself. No pattern finds it: on a label of blanks one would look for minutes. */
export function bareReference(written: string): string {
  const inBraces = written.length >= 4 && written.startsWith("{{") && written.endsWith("}}");
  return inBraces ? written.slice(2, -2).trim() : written;
}

/**
 * Parses `op://vault/item/[section/]field[?attribute=…|?ssh-format=openssh]`, the same inside `{{ … }}`,
 * `file:/absolute/path`, `env:NAME` and `generated:BYTES`.
 * @throws SecretReferenceError that says what is wrong and the cure, and never shows a text that may be a value
 */
export function parseReference(written: string): SecretReference {
  const inner = bareReference(written);
  const [scheme] = schemes.exec(inner) ?? [];
  if (scheme === undefined)
    throw new SecretReferenceError("scheme", `is no secret reference: write ${form}`);
  const wrong: Wrong = (kind, problem) =>
    new SecretReferenceError(kind, `${quoted(inner)} is no reference: ${problem}`);
  if (inner.length > maxReferenceLength)
    throw wrong("length", `it has more than ${maxReferenceLength} characters`);
  const rest = inner.slice(scheme.length);
  if (scheme === "op://") return parseOp(rest, wrong);
  if (scheme === "file:") {
    if (!/^\/\P{Cc}*$/u.test(rest))
      throw wrong("name", "write file:/ and an absolute path without control characters");
    return { scheme: "file", path: rest };
  }
  if (scheme === "env:") {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(rest))
      throw wrong("name", "write env: and the name of an environment variable");
    return { scheme: "env", name: rest };
  }
  const bytes = Number(/^[1-9][0-9]{1,3}$/.exec(rest)?.[0]);
  const { least, most } = generatedBytes;
  if (bytes >= least && bytes <= most) return { scheme: "generated", bytes };
  throw wrong("name", `write generated: and a number of bytes from ${least} to ${most}`);
}

type Wrong = (kind: ReferenceProblem, problem: string) => SecretReferenceError;

function parseOp(rest: string, wrong: Wrong): OpReference {
  const [path = "", query, ...more] = rest.split("?");
  const parts = path.split("/");
  if (parts.length < 3 || parts.length > 4) {
    throw wrong("parts", "write op://vault/item/field or op://vault/item/section/field");
  }
  if (!parts.every(isSegment)) {
    throw wrong(
      "name",
      `each part is 1 to ${maxSegmentLength} of letters, digits, _ . and -; for another name write the id that 1Password shows`,
    );
  }
  const [vault = "", item = "", third = "", fourth] = parts;
  const place =
    fourth === undefined
      ? { vault, item, field: third }
      : { vault, item, section: third, field: fourth };
  if (query === undefined) return { scheme: "op", ...place };
  if (more.length === 0 && query === "ssh-format=openssh")
    return { scheme: "op", ...place, sshFormat: "openssh" };
  const attribute = attributes.find((known) => query === `attribute=${known}`);
  if (more.length === 0 && attribute !== undefined) return { scheme: "op", ...place, attribute };
  throw wrong(
    "query",
    `after ? only ssh-format=openssh or attribute= and one of ${attributes.join(", ")}`,
  );
}

/** Whether a text is a name or id as it stands in an `op://` reference; `.` and `..` mean something else in a path. */
export function isSegment(text: string): boolean {
  return (
    text.length <= maxSegmentLength && segmentPattern.test(text) && text !== "." && text !== ".."
  );
}

/** The item of a reference: the same text for all spellings of one name. */
export function itemOf({ vault, item }: Pick<OpReference, "vault" | "item">): string {
  return `${vault}/${item}`.toLowerCase();
}

/**
 * Whether an allow-list of `vault` and `vault/item` has the reference's item. By text, without regard to case: an entry that
 * names a vault by its id admits references by that id only.
 */
export function isWithin(
  reference: Pick<OpReference, "vault" | "item">,
  vaults: readonly string[],
): boolean {
  const item = itemOf(reference);
  const vault = reference.vault.toLowerCase();
  return vaults.some((entry) => entry.toLowerCase() === vault || entry.toLowerCase() === item);
}

/** What is wrong with a value that should be a reference; undefined: nothing. */
export function problemOfReference(value: unknown): string | undefined {
  if (typeof value !== "string") return `must be a secret reference, like ${form}`;
  try {
    parseReference(value);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function quoted(text: string): string {
  const shown = text.length <= 128 ? text : `${text.slice(0, 128)}…`;
  return JSON.stringify(shown);
}
