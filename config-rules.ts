import { z } from "zod";

/** Building blocks of the stack's configuration. */

/** Pulumi hands every value over as text; anything but a text is in it as JSON. */
export const json = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value) as unknown;
    } catch {
      return value;
    }
  }, schema);

/** A text that fits a pattern. */
export const text = (pattern: RegExp, wanted: string) =>
  z.string(`must be ${wanted}`).regex(pattern, `must be ${wanted}`);
/** `true` or `false`; false where the key is not there. */
export const flag = json(z.boolean("must be true or false")).default(false);
/** A whole number within bounds. */
export const whole = (least: number, most: number) => {
  const wanted = `must be a whole number from ${least} to ${most}`;
  return z.int(wanted).min(least, wanted).max(most, wanted);
};
/** A list of texts that fit a pattern. */
export const list = (pattern: RegExp, wanted: string) =>
  json(z.array(text(pattern, wanted), `must be a list, each item ${wanted}`));
