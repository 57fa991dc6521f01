import { parseBytes } from "../spec/units.ts";

/** What the flags of `docker run` and members of `--mount` have in common: how values are written. */

export function push(into: Record<string, unknown>, key: string, value: unknown): void {
  into[key] = [...((into[key] as readonly unknown[] | undefined) ?? []), value];
}

export function put(
  into: Record<string, unknown>,
  key: string,
  entry: string,
  value: unknown,
): void {
  into[key] = { ...(into[key] as object | undefined), [entry]: value };
}

export function split(text: string, by = "="): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + by.length)];
}

export function whole(value: string): number {
  if (!/^-?[0-9]{1,15}$/.test(value)) throw new Error("must be a whole number");
  return Number(value);
}

export function bytes(value: string): number {
  if (value === "-1") return -1;
  try {
    return parseBytes(value.replace(/(?<=[kmg])i?b$/i, ""));
  } catch {
    throw new Error('must be a size like "512m" or "4g"');
  }
}

export function cpus(value: string): number {
  if (!/^[0-9]{1,6}(\.[0-9]{1,9})?$/.test(value)) throw new Error("must be a number like 1.5");
  return Math.round(Number(value) * 1e9);
}

const units: Readonly<Record<string, number>> = { ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** `1m30s`, in the Engine's nanoseconds. */
export function duration(value: string): number {
  const parts = [...value.matchAll(/([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)/g)];
  if (value === "0") return 0;
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== value) {
    throw new Error("must be a duration like 30s or 1m30s");
  }
  return parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0);
}
