/** Sizes in bytes and CPU shares in the Engine's billionths, so that no file counts zeros. */

/** One mebibyte, in bytes. */
export const MiB = 1024 * 1024;
/** One gibibyte, in bytes. */
export const GiB = 1024 * MiB;
/** One CPU, in the Engine's `NanoCpus`. */
export const CPU = 1_000_000_000;

const sizes: Record<string, number> = { b: 1, k: 1024, m: MiB, g: GiB };

/**
 * Reads a memory size as Docker writes it: `512m`, `4g`, `1073741824`.
 * @returns bytes
 * @throws RangeError for any other spelling, or a size that is not a positive whole number of bytes
 */
export function parseBytes(text: string): number {
  const match = /^([0-9]{1,15})([bkmg]?)$/i.exec(text);
  const bytes = match
    ? Number(match[1]) * (sizes[match[2]?.toLowerCase() || "b"] ?? 1)
    : Number.NaN;
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new RangeError(`"${text}" is no memory size: write it like "512m" or "4g"`);
  }
  return bytes;
}

/** A duration in Go's own spelling (`1m30s`), which the docker provider reads back without a diff. */
export function goDuration(milliseconds: number): string {
  const hours = Math.floor(milliseconds / 3_600_000);
  const minutes = Math.floor(milliseconds / 60_000) % 60;
  const seconds = (milliseconds % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  if (minutes > 0) return `${minutes}m${seconds}s`;
  return `${seconds}s`;
}
