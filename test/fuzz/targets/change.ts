import type { Json } from "../../../spec/canonical.ts";
import type { Random } from "../random.ts";

/** Objects that are changed in one place, and inputs that say where. */

// biome-ignore lint/suspicious/noExplicitAny: answers of the Engine and bodies of clients are spoilt with it
export type Loose = any;

/** An input of an object. */
export const utf8 = (value: unknown) => Buffer.from(JSON.stringify(value));

/** The object of an input; undefined where it is none. */
export const parsed = (input: Uint8Array): Loose => {
  try {
    return JSON.parse(Buffer.from(input).toString("utf8"));
  } catch {
    return undefined;
  }
};

/** Unset, in any spelling. */
export function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === 0 || value === false)
    return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** A single change of a rendering, as a path and a value. */
export interface Change {
  readonly path: readonly string[];
  readonly value?: Json;
}

/** Makes the change. @returns whether it is one: not from one spelling of nothing to another */
export function change(root: Loose, { path, value }: Pick<Change, "path" | "value">): boolean {
  let at = root;
  for (const key of path.slice(0, -1)) {
    if (typeof at !== "object" || at === null) return false;
    at = at[key];
  }
  const last = path.at(-1);
  if (typeof at !== "object" || at === null || last === undefined || last === "__proto__")
    return false;
  const before = at[last];
  if (value === undefined) Array.isArray(at) ? at.splice(Number(last), 1) : delete at[last];
  else at[last] = value;
  const isInList = Array.isArray(at) && value !== undefined;
  return (
    (isInList || !(isNothing(before) && isNothing(value))) &&
    JSON.stringify(before) !== JSON.stringify(value)
  );
}

/** A place within a value, one in ten times one that is not there yet. */
export function placeIn(random: Random, root: Loose): string[] {
  const path: string[] = [];
  for (let at = root; typeof at === "object" && at !== null; ) {
    const keys = Object.keys(at);
    const key =
      keys.length === 0 || random.percent(10)
        ? Array.isArray(at)
          ? String(keys.length)
          : "Future"
        : random.pick(keys);
    path.push(key);
    at = at[key];
    if (path.length > 1 && random.percent(20)) break;
  }
  return path;
}

/** Values to put in a place. */
export const values: readonly Json[] = [
  true,
  false,
  null,
  0,
  1,
  -1,
  "",
  "x",
  "host",
  "/",
  "container:x",
  "rw",
  [],
  ["x"],
  ["ALL"],
  {},
  { x: "y" },
  "none",
  "unconfined",
  9e9,
];
