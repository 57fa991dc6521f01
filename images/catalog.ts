import { dirname } from "node:path";
import { hashOf, type Json } from "../spec/canonical.ts";
import { builtinTexts, bundleOptions, requireBanner } from "./bundle-options.ts";
import { baseImages, type ImageName, type Ingredient, recipes, stackImages } from "./recipes.ts";
import { SourceTree } from "./sources.ts";

/** Label on every image of ours: its name in the catalog. */
export const imageLabel = "berth.image";

/** Names that {@link imageReference} knows. */
export const imageNames: readonly ImageName[] = [...stackImages, ...baseImages].sort();

/** Names the images of a working copy by what they are made of. */
export interface Catalog {
  /**
   * Full reference of an image: `localhost/berth/<name>:<12 hex digits>`, a hash of all that goes into it and into
   * its bases. Equal sources give equal names on every machine; a name never comes to mean anything else.
   * @throws Error that lists the known names, or names the missing source file
   */
  reference(name: string): string;
}

/** The catalog of the working copy at `root`. Reads files once; make a new one to see changes. */
export function catalogOf(root: string): Catalog {
  const tree = new SourceTree(root);
  const known = new Map<ImageName, string>();
  const reference = (name: string): string => {
    if (!isImageName(name))
      throw new Error(`there is no stack image "${name}"; there are: ${imageNames.join(", ")}`);
    const value = known.get(name) ?? `localhost/berth/${name}:${contentHash(name).slice(0, 12)}`;
    known.set(name, value);
    return value;
  };
  const contentHash = (name: ImageName): string => {
    const { base, ingredients, lines } = recipes[name];
    return hashOf({
      name,
      lines,
      ...(base ? { base: reference(base) } : {}),
      ingredients: ingredients.map((item) => contentOf(tree, item)),
    });
  };
  return { reference };
}

let own: Catalog | undefined;

/** {@link Catalog.reference} of this working copy. */
export function imageReference(name: string): string {
  own ??= catalogOf(dirname(import.meta.dirname));
  return own.reference(name);
}

/** Whether a name stands in the catalog. */
export function isImageName(name: string): name is ImageName {
  return Object.hasOwn(recipes, name);
}

/** An ingredient with the hashes of what it points to. */
function contentOf(tree: SourceTree, item: Ingredient): Json {
  if (item.kind === "file") return { ...item, hash: tree.hash(item.from) };
  if (item.kind === "installed-package")
    return { ...item, package: tree.packageHash(`node_modules/${item.name}`) };
  if (item.kind !== "bundle") return item as unknown as Json;
  const { files, packages } = tree.sourcesOf(item.entry);
  return {
    ...item,
    options: bundleOptions as unknown as Json,
    banner: requireBanner,
    builtins: builtinTexts,
    bundler: tree.packageHash("node_modules/esbuild"),
    files: files.map((file) => [file, tree.hash(file)]),
    packages: packages.map((place) => [place, tree.packageHash(place)]),
  };
}
