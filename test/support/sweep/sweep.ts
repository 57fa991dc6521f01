import { type Content, Finder, type Wanted } from "./finder.ts";

/** A secret of a stack. */
export interface Secret extends Wanted {
  /** Places where it may be, by their names. Anywhere else is a leak. */
  readonly belongs: readonly RegExp[];
}

/** One place that is searched. */
export interface Place {
  /** Says where; never what is there. Its first word is the kind of place. */
  readonly name: string;
  readonly content: Content;
}

/** A way to look at all places of one kind. */
export type Search = () => Iterable<Place> | AsyncIterable<Place>;

/** What a sweep has seen. */
export interface Sweep {
  /** `secret in place`, for every secret where it does not belong; sorted. */
  readonly leaks: readonly string[];
  /** The same, where it belongs. */
  readonly known: readonly string[];
  /** The places in which the plant was found. */
  readonly planted: readonly string[];
  /** All places that were searched, in their order. */
  readonly places: readonly string[];
}

/**
 * Searches all places of one kind for the secrets and for a value that was planted in one of them.
 * @throws Error where the plant is not found: such a search proves nothing
 */
export async function sweep(
  search: Search,
  secrets: readonly Secret[],
  plant: string,
): Promise<Sweep> {
  const finder = new Finder([...secrets, { name: plantName, value: plant }]);
  const byName = new Map(secrets.map((secret) => [secret.name, secret]));
  const leaks: string[] = [];
  const known: string[] = [];
  const planted: string[] = [];
  const places: string[] = [];
  for await (const { name: place, content } of search()) {
    places.push(place);
    for (const name of await finder.in(content)) {
      if (name === plantName) planted.push(place);
      else if (byName.get(name)?.belongs.some((pattern) => pattern.test(place)))
        known.push(`${name} in ${place}`);
      else leaks.push(`${name} in ${place}`);
    }
    // A long search in one go would keep the test runner from hearing of this process.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (planted.length === 0) {
    throw new Error(
      `the search does not find what was planted for it; it looked at ${places.length} places: ${places.slice(0, 20).join(", ")}`,
    );
  }
  return { leaks: leaks.sort(), known: known.sort(), planted, places };
}

const plantName = "plant";
