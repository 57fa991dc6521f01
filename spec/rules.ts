/** Rules for checking values that come from outside: small, strict, and they name every problem with its path. */

/** One rule: a value in, its problems out, each with a path relative to the value. */
export type Rule = (value: unknown) => string[];

/** A text that fits a pattern. */
export const text =
  (pattern: RegExp, wanted: string): Rule =>
  (value) =>
    typeof value === "string" && pattern.test(value) ? [] : [`: must be ${wanted}`];
/** One of these values. */
export const oneOf =
  (...allowed: readonly unknown[]): Rule =>
  (value) =>
    allowed.includes(value)
      ? []
      : [`: must be one of ${allowed.map((a) => JSON.stringify(a)).join(", ")}`];
/** A whole number within bounds. */
export const whole =
  (least: number, most: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? []
      : [`: must be a whole number from ${least} to ${most}`];
/** A list whose items all keep a rule. */
export const list =
  (rule: Rule, least = 0, most = 256): Rule =>
  (value) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      return [`: must be a list of ${least} to ${most} items`];
    }
    return value.flatMap((item, i) => rule(item).map((p) => `[${i}]${p}`));
  };
/** Whether a value is an object with members. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** An object with these members and no others. */
export const object =
  (rules: Record<string, Rule>, optional: readonly string[] = []): Rule =>
  (value) => {
    if (!isRecord(value)) return [": must be an object"];
    const unknown = Object.keys(value)
      .filter((key) => !Object.hasOwn(rules, key))
      .map((key) => `.${key}: is not known`);
    const wrong = Object.entries(rules).flatMap(([key, rule]) => {
      if (!Object.hasOwn(value, key)) return optional.includes(key) ? [] : [`.${key}: is missing`];
      return rule(value[key]).map((p) => `.${key}${p}`);
    });
    return [...unknown, ...wrong];
  };

/** An object whose keys fit a pattern and whose members all keep a rule. */
export const record =
  (pattern: RegExp, wanted: string, rule: Rule, most: number): Rule =>
  (value) => {
    if (!isRecord(value) || Object.keys(value).length > most) {
      return [`: must be an object of at most ${most} members`];
    }
    return Object.entries(value).flatMap(([key, member]) => [
      ...(pattern.test(key) ? [] : [`.${key}: must be ${wanted}`]),
      ...rule(member).map((p) => `.${key}${p}`),
    ]);
  };
