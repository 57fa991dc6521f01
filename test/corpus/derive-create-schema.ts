/**
 * Derives create-schema.json from the published descriptions of the Engine's API. Run by hand for a new API version:
 *
 *     node test/corpus/derive-create-schema.ts <folder>
 *     npx biome format --write test/corpus/create-schema.json
 *
 * The folder holds one OpenAPI 2 file a version, `v1.41.yaml` and so on. The Go module `github.com/moby/moby/api`
 * (v1.56.1 was used) has them in `docs/`; `go mod download -json github.com/moby/moby/api@v1.56.1` says where it is.
 * Only names, types and versions are kept.
 *
 * What an Engine reads beyond its description (`codeOnly`, `liftedUntil`) was found by listing the JSON fields of its
 * Go types with reflection and comparing them with the description: for a new version, do the same. Used: the create
 * request of `github.com/docker/docker` v20.10.27, v23.0.4, v24.0.9, v25.0.6, v26.1.4, v27.0.3, v28.0.4 and v28.5.2, of
 * `github.com/moby/moby/api` v1.52.0 to v1.56.1, and the decoders of `github.com/moby/moby/v2` v2.0.0-beta.24.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CreateSchema, SchemaLeaf, Star } from "./create-schema.ts";

/** Oldest version that is supported: that of Engine 20.10. */
const oldest = 41;

/** A schema object of an API description, the parts that are read here. */
interface Description {
  readonly $ref?: string;
  readonly allOf?: readonly Description[];
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Description>>;
  readonly additionalProperties?: Description | boolean;
  readonly items?: Description;
  readonly enum?: readonly unknown[];
}

interface ApiDescription {
  readonly definitions: Readonly<Record<string, Description>>;
  readonly paths: Readonly<
    Record<
      string,
      { readonly post?: { readonly parameters: readonly { in: string; schema?: Description }[] } }
    >
  >;
}

/** A leaf as one version describes it. */
type Leaf = Omit<SchemaLeaf, "since" | "until">;

/**
 * All places of the create body of one description where a value can stand.
 * @throws Error where the description has no create, a reference without a definition, or no end
 */
export function leavesOf(api: ApiDescription): Leaf[] {
  const parameters = api.paths["/containers/create"]?.post?.parameters ?? [];
  const body = parameters.find((parameter) => parameter.in === "body")?.schema;
  if (!body) throw new Error("this description has no body for a create of a container");
  const leaves: Leaf[] = [];
  const walk = (description: Description, path: readonly string[], stars: readonly Star[]) => {
    if (path.length > 24) throw new Error(`/${path.join("/")} does not end: is it recursive?`);
    const { $ref, allOf, properties = {}, additionalProperties: free, items } = description;
    if ($ref !== undefined) {
      const meant = api.definitions[$ref.replace(/^#\/definitions\//, "")];
      if (!meant) throw new Error(`${$ref} at /${path.join("/")} is not defined`);
      walk(meant, path, stars);
    } else if (allOf) {
      for (const part of allOf) walk(part, path, stars);
    } else if (items) {
      walk(items, [...path, "*"], [...stars, "array"]);
    } else if (Object.keys(properties).length > 0 || typeof free === "object") {
      for (const [name, member] of Object.entries(properties)) walk(member, [...path, name], stars);
      if (typeof free === "object") walk(free, [...path, "*"], [...stars, "map"]);
    } else {
      leaves.push({
        pointer: `/${path.join("/")}`,
        type: description.type ?? "unknown",
        ...(stars.length > 0 ? { stars } : {}),
        ...textsOf(description.enum ?? []),
      });
    }
  };
  walk(body, [], []);
  return leaves;
}

function textsOf(values: readonly unknown[]): Pick<Leaf, "enum"> {
  const texts = values.filter((value): value is string => typeof value === "string");
  return texts.length > 0 ? { enum: texts } : {};
}

/** Lists of texts that Engines before 29 also take as one text. */
const listsAsText = ["/Cmd", "/Entrypoint", "/Shell", "/HostConfig/CapAdd", "/HostConfig/CapDrop"];

/** What Engines read and no description says. Without `until`: the newest version does, too. */
const codeOnly: readonly (Omit<SchemaLeaf, "until"> & { readonly until?: string })[] = [
  ...listsAsText.map((pointer) => ({ pointer, type: "string", since: "1.41", until: "1.51" })),
  { pointer: "/Cpuset", type: "string", since: "1.41", until: "1.45" },
  { pointer: "/HostConfig/KernelMemory", type: "integer", since: "1.42", until: "1.51" },
  {
    pointer: "/HostConfig/Mounts/*/ClusterOptions",
    type: "object",
    stars: ["array"],
    since: "1.42",
  },
];

/**
 * Version of the last Engine (26) that also reads every member of HostConfig at the top of the body: all of them where
 * there is no HostConfig, and a few beside it. Seen on Engine 26.1: `{"Image":…,"Privileged":true}` is privileged.
 */
const liftedUntil = "1.45";

/**
 * Joins the leaves of all versions, oldest first, into one schema.
 * @throws Error where a leaf goes and comes back: a range cannot say that
 */
export function joinVersions(described: ReadonlyMap<string, readonly Leaf[]>): CreateSchema {
  const versions = [...described.keys()];
  const joined = new Map<string, SchemaLeaf>();
  for (const [at, [version, leaves]] of [...described].entries()) {
    for (const leaf of leaves) {
      const key = `${leaf.pointer} ${leaf.type}`;
      const before = joined.get(key);
      if (before && before.until !== version && before.until !== versions[at - 1]) {
        throw new Error(`${key} is in ${before.until} and in ${version}, but not between`);
      }
      const values = [...new Set([...(before?.enum ?? []), ...(leaf.enum ?? [])])].sort();
      joined.set(key, {
        ...leaf,
        ...(values.length > 0 ? { enum: values } : {}),
        since: before?.since ?? version,
        until: version,
      });
    }
  }
  const known = codeOnly
    .map((leaf): SchemaLeaf => ({ until: versions.at(-1) ?? "", source: "code", ...leaf }))
    .filter(({ since, until }) => versions.includes(since) && versions.includes(until));
  const all = [...joined.values(), ...known];
  const leaves = [...all, ...(versions.includes(liftedUntil) ? lifted(all, versions) : [])];
  return {
    versions,
    leaves: leaves.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0)),
  };
}

function lifted(leaves: readonly SchemaLeaf[], versions: readonly string[]): SchemaLeaf[] {
  const last = versions.indexOf(liftedUntil);
  return leaves
    .filter(({ pointer, since }) => {
      return pointer.startsWith("/HostConfig/") && versions.indexOf(since) <= last;
    })
    .map(
      (leaf): SchemaLeaf => ({
        ...leaf,
        pointer: leaf.pointer.slice("/HostConfig".length),
        until: versions.indexOf(leaf.until) > last ? liftedUntil : leaf.until,
        source: "code",
      }),
    );
}

const keyOf = ({ pointer, type, since }: SchemaLeaf) => `${pointer} ${type} ${since}`;

async function main(folder: string | undefined): Promise<void> {
  if (folder === undefined) throw new Error("name the folder with the files v1.NN.yaml");
  // Comes with other tools of this repository; nothing but this script, which is run by hand, needs it.
  const parser = "yaml";
  const { parse } = (await import(parser)) as { parse: (text: string) => ApiDescription };
  const numbers = readdirSync(folder)
    .map((file) => Number(/^v1\.([0-9]{2})\.yaml$/.exec(file)?.[1] ?? 0))
    .filter((number) => number >= oldest)
    .sort((a, b) => a - b);
  if (numbers.length === 0) throw new Error(`${folder} has no file v1.${oldest}.yaml or later`);
  const read = (number: number) => parse(readFileSync(join(folder, `v1.${number}.yaml`), "utf8"));
  const schema = joinVersions(
    new Map(numbers.map((number) => [`1.${number}`, leavesOf(read(number))])),
  );
  const lines = schema.leaves.map((leaf) => `    ${JSON.stringify(leaf)}`).join(",\n");
  const versions = JSON.stringify(schema.versions);
  const file = new URL("create-schema.json", import.meta.url);
  writeFileSync(file, `{\n  "versions": ${versions},\n  "leaves": [\n${lines}\n  ]\n}\n`);
  console.log(`${schema.leaves.length} leaves of ${schema.versions.length} versions`);
}

if (import.meta.main) await main(process.argv[2]);
