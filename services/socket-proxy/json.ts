/** An object out of the Engine's JSON. Members are read by name only, each with its type checked. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The value as an object; anything else is an empty one. */
export function asObject(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : {};
}

/** The value as a list; anything else is an empty one. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value as a text of at most `most` characters that fits `pattern` (else: no control characters); anything else is empty. */
export function asText(value: unknown, pattern = /^\P{Cc}*$/u, most = 512): string {
  return typeof value === "string" && value.length <= most && pattern.test(value) ? value : "";
}

/** The value as a finite number; anything else is 0. */
export function asNumber(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

/** The texts among an object's members, own ones only. */
export function asTexts(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(asObject(value)).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    ),
  );
}
