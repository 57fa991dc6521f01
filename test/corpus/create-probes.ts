import { canonicalJson, type Json } from "../../spec/canonical.ts";
import { alwaysSet, type CreateBody, dangers, keysOf, usualValues } from "./create-dangers.ts";
import {
  createSchema,
  isLeafType,
  type LeafType,
  type SchemaLeaf,
  type Star,
  versionsOf,
} from "./create-schema.ts";

/** A body of a container create that asks for one thing that no template grants. */
export interface Probe {
  /** The leaf that is probed, as in the schema: with `*` for array items and free keys. */
  readonly pointer: string;
  /** API version whose Engines read the leaf. */
  readonly version: string;
  /** The leaf alone, with a value that is not zero; where it needs others to do its worst, those as well. */
  readonly body: CreateBody;
  /** Set where every rendering has the same value: such a body may be taken, for it changes nothing. */
  readonly asRendered?: true;
}

const typeValues: Readonly<Record<LeafType, Json>> = {
  string: "probe",
  boolean: true,
  integer: 7,
  object: {},
};

const hostConfig = "/HostConfig";
const hostPointers: ReadonlySet<string> = new Set(
  createSchema.leaves.map(({ pointer }) => pointer).filter((at) => at.startsWith(hostConfig)),
);

/** What to put before a leaf's pointer to find what is known of it: a HostConfig member at the top is that member. */
function outerOf({ pointer, source }: SchemaLeaf): "" | typeof hostConfig {
  return source === "code" && hostPointers.has(hostConfig + pointer) ? hostConfig : "";
}

/**
 * The probes of a leaf, for each of its API versions: the known dangers of the place, each listed value, else a value
 * of its type. None for a type that is not known: what to try there, somebody has to think about first.
 */
export function probesOf(leaf: SchemaLeaf): Probe[] {
  const outer = outerOf(leaf);
  const place = outer + leaf.pointer;
  const path = leaf.pointer.split("/").slice(1);
  const bodies = [
    ...valuesOf(leaf, place).map((value) => bodyAt(path, leaf.stars ?? [], outer, value)),
    ...(dangers.get(place)?.host ?? []).map((part) => (outer ? part : { HostConfig: part })),
  ];
  return versionsOf(leaf).flatMap((version) =>
    bodies.map((body) => ({
      pointer: leaf.pointer,
      version,
      body,
      ...(alwaysSet.has(leaf.pointer) ? { asRendered: true as const } : {}),
    })),
  );
}

function valuesOf(leaf: SchemaLeaf, place: string): Json[] {
  if (!isLeafType(leaf.type)) return [];
  const usual = usualValues.get(place) ?? [];
  const listed = (leaf.enum ?? []).filter((value) => value !== "" && !usual.includes(value));
  const values = [...new Set([...(dangers.get(place)?.values ?? []), ...listed])];
  return values.length > 0 ? values : [typeValues[leaf.type]];
}

/**
 * A body with nothing but `value` at a path.
 * @param outer what to put before the path to find its keys
 */
function bodyAt(
  path: readonly string[],
  stars: readonly Star[],
  outer: string,
  value: Json,
): CreateBody {
  const body = path.reduceRight<Json>((inner, name, index) => {
    if (name !== "*") return { [name]: inner };
    const here = path.slice(0, index + 1);
    if (stars[starsIn(here) - 1] === "array") return [inner];
    return { [keysOf.get(`${outer}/${here.join("/")}`) ?? "probe"]: inner };
  }, value);
  return body as CreateBody;
}

const starsIn = (path: readonly string[]) => path.filter((name) => name === "*").length;

/**
 * The probes of the arrays and maps above a leaf: an entry that is there and says nothing, which an Engine takes for an
 * entry all the same (`{"EndpointsConfig":{"host":{}}}` joins a network).
 */
function entryProbesOf(leaf: SchemaLeaf): Probe[] {
  const path = leaf.pointer.split("/").slice(1);
  const stars = leaf.stars ?? [];
  return path.flatMap((name, index) => {
    if (name !== "*") return [];
    const here = path.slice(0, index + 1);
    const empty = emptyEntry(leaf, path[index + 1], stars[starsIn(here)]);
    const values = stars[starsIn(here) - 1] === "map" ? [empty, null] : [empty];
    return versionsOf(leaf).flatMap((version) =>
      values.map((value) => ({
        pointer: `/${here.join("/")}`,
        version,
        body: bodyAt(here, stars, outerOf(leaf), value),
      })),
    );
  });
}

/** The value that says nothing, of the kind that an entry has, by what follows it in the pointer. */
function emptyEntry(leaf: SchemaLeaf, next: string | undefined, star: Star | undefined): Json {
  if (next === "*") return star === "array" ? [] : {};
  if (next !== undefined || leaf.type === "object") return {};
  return leaf.type === "string" ? "" : leaf.type === "boolean" ? false : 0;
}

/** Every probe of every version, each once. */
export function allProbes(): Probe[] {
  const probes = createSchema.leaves.flatMap((leaf) => [...probesOf(leaf), ...entryProbesOf(leaf)]);
  const once = new Map<string, Probe>();
  for (const probe of probes) {
    const key = `${probe.version} ${canonicalJson(probe.body)}`;
    if (!once.has(key)) once.set(key, probe);
  }
  return [...once.values()];
}

/** The body with what the probe asks for: objects joined, arrays appended, all else replaced. */
export function merge(base: CreateBody, probe: CreateBody): CreateBody {
  const merged: Record<string, Json> = { ...(base as Record<string, Json>) };
  for (const [name, value] of Object.entries(probe)) {
    const before = Object.hasOwn(merged, name) ? merged[name] : undefined;
    if (Array.isArray(before) && Array.isArray(value)) {
      merged[name] = [...(before as Json[]), ...(value as Json[])];
    } else {
      merged[name] = isObject(before) && isObject(value) ? merge(before, value) : value;
    }
  }
  return merged;
}

function isObject(value: Json | undefined): value is CreateBody {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Whether a refusal that names the pointer `named` names the leaf: the leaf itself, something above it (the member of
 * HostConfig or NetworkingConfig at the least) or something below. A `*` of the leaf stands for any index or key.
 */
export function namesLeaf(named: string, leaf: string): boolean {
  const told = named.split("/").slice(1);
  const asked = leaf.split("/").slice(1);
  const least = Math.min(asked.length, /^\/(HostConfig|NetworkingConfig)\//.test(leaf) ? 2 : 1);
  const shared = Math.min(told.length, asked.length);
  return (
    told.length >= least &&
    asked.slice(0, shared).every((part, index) => part === "*" || part === told[index])
  );
}
