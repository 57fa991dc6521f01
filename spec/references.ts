/**
 * Secret references: what stands in git and in declarations instead of a value.
 * Grammar of `op://` after 1Password's secret reference syntax (facts/secrets.md, section 2), its stricter form.
 */

/** A parsed secret reference. */
export type SecretReference =
  | {
      readonly scheme: "op";
      readonly vault: string;
      readonly item: string;
      readonly path: readonly string[];
      readonly query?: string;
    }
  | { readonly scheme: "file"; readonly path: string }
  | { readonly scheme: "env"; readonly name: string }
  | { readonly scheme: "generated"; readonly bytes: number };

const segment = /^[A-Za-z0-9._-][A-Za-z0-9._ -]*$/;

/**
 * Parses `op://vault/item/[section/]field[?attribute=…|?ssh-format=openssh]`, the same inside `{{ … }}`,
 * `file:/absolute/path`, `env:NAME` and `generated:BYTES`.
 * @throws Error that says what is wrong; the reference itself is not secret and may be shown
 */
export function parseReference(written: string): SecretReference {
  const inner = /^\{\{\s*(.*?)\s*\}\}$/.exec(written)?.[1] ?? written;
  if (inner.startsWith("op://")) {
    const [path = "", query, ...more] = inner.slice("op://".length).split("?");
    const parts = path.split("/");
    if (
      parts.length < 3 ||
      parts.length > 4 ||
      !parts.every((p) => segment.test(p)) ||
      more.length > 0
    ) {
      throw new Error(
        `"${written}" is no reference: write op://vault/item/field or op://vault/item/section/field`,
      );
    }
    if (query !== undefined && !/^(attribute=[a-z]+|ssh-format=openssh)$/.test(query)) {
      throw new Error(`"${written}": after ? only attribute=… or ssh-format=openssh`);
    }
    const [vault = "", item = "", ...rest] = parts;
    return { scheme: "op", vault, item, path: rest, ...(query === undefined ? {} : { query }) };
  }
  if (/^file:\/[^\0]*$/.test(inner)) return { scheme: "file", path: inner.slice("file:".length) };
  if (/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(inner))
    return { scheme: "env", name: inner.slice("env:".length) };
  const bytes = Number(/^generated:([0-9]{1,4})$/.exec(inner)?.[1]);
  if (bytes >= 16 && bytes <= 1024) return { scheme: "generated", bytes };
  throw new Error(
    `"${written}" is no secret reference: write op://vault/item/field, file:/path, env:NAME or generated:32`,
  );
}

/** What is wrong with a value that should be a reference; undefined: nothing. */
export function problemOfReference(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > 1024) return "must be a secret reference";
  try {
    parseReference(value);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
