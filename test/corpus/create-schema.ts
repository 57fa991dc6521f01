import data from "./create-schema.json" with { type: "json" };

/** What a value at the end of a pointer is; `object` is an object without members of its own. */
const leafTypes = ["string", "boolean", "integer", "object"] as const;
export type LeafType = (typeof leafTypes)[number];

/** What a `*` in a pointer stands for: any item of an array, or any key of a map. */
export type Star = "array" | "map";

/** A place of the body of a container create where a value can stand. */
export interface SchemaLeaf {
  /** JSON pointer with `*` for any array item and any free key. */
  readonly pointer: string;
  /** One of `LeafType`; another text is a type that nobody has thought about yet, and a failing test. */
  readonly type: string;
  /** What each `*` of the pointer is, in order. Left out where there is none. */
  readonly stars?: readonly Star[];
  /** The values of any version that the description lists. */
  readonly enum?: readonly string[];
  /** First and last API version that takes it. */
  readonly since: string;
  readonly until: string;
  /** `code`: an Engine of these versions takes it though no description of the API says so. */
  readonly source?: "code";
}

/** The whole of what container creates can say, for a range of API versions. */
export interface CreateSchema {
  /** All API versions looked at, oldest first. */
  readonly versions: readonly string[];
  readonly leaves: readonly SchemaLeaf[];
}

/** The schema that derive-create-schema.ts has derived. */
export const createSchema = data as CreateSchema;

/** Whether a type of the schema is one that probes exist for. */
export function isLeafType(type: string): type is LeafType {
  return leafTypes.some((known) => known === type);
}

/** The API versions that take a leaf. */
export function versionsOf(leaf: SchemaLeaf, schema: CreateSchema = createSchema): string[] {
  const { versions } = schema;
  return versions.slice(versions.indexOf(leaf.since), versions.indexOf(leaf.until) + 1);
}
