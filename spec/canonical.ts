import { createHash } from "node:crypto";

/** A JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/** JSON with sorted keys, no white space and no undefined members: equal values give equal text. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value))
    return `[${value.map((item) => canonicalJson(item as Json)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value as { [key: string]: Json | undefined })
      .filter((entry): entry is [string, Json] => entry[1] !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
    return `{${members.join(",")}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 of the canonical JSON, as 64 hex digits. */
export function hashOf(value: Json): string {
  return createHash("sha256").update(canonicalJson(value)).digest("hex");
}
