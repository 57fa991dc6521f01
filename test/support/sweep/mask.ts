/**
 * A text as hex in which no search finds it: for a program that shall write it, and must not hold it in its own text.
 * Undone by `Buffer.from(hex, "hex").map((byte) => byte ^ 0x55).toString()`.
 */
export function mask(text: string): string {
  return Buffer.from(Buffer.from(text).map((byte) => byte ^ 0x55)).toString("hex");
}
