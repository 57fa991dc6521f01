import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LayerEntry } from "./layer.ts";
import type { Ingredient } from "./recipes.ts";
import { SourceTree } from "./sources.ts";

/** Where Node looks for the packages of the programs in `/opt/berth`. */
const modules = "/opt/berth/node_modules";

/**
 * An installed package as entries of a layer. npm has checked its bytes when it was installed; that it is the version of
 * `package-lock.json`, which the image's name covers, is checked here.
 * @throws Error that names what is missing or of another version, and the cure
 */
export function installedEntries(
  root: string,
  { name, files }: Extract<Ingredient, { kind: "installed-package" }>,
): LayerEntry[] {
  const place = `node_modules/${name}`;
  const folder = join(root, place);
  const missing = [...new Set(["package.json", ...files])].filter(
    (file) => !existsSync(join(folder, file)),
  );
  if (missing.length > 0)
    throw new Error(`${place} lacks ${missing.join(", ")}: an image is made of it; run npm ci`);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    version: string;
  };
  const [wanted] = new SourceTree(root).packageHash(place).split(" ");
  if (version !== wanted)
    throw new Error(`${place} is ${version}, package-lock.json says ${wanted}: run npm ci`);
  return [
    ...foldersOf([name, ...files.map((file) => `${name}/${file}`)]),
    ...files.map(
      (file): LayerEntry => ({
        type: "file",
        path: `${modules}/${name}/${file}`,
        mode: 0o444,
        content: { file: join(folder, file) },
      }),
    ),
  ];
}

/** Every folder above these paths, and the package's own, from the top down. */
function foldersOf(paths: readonly string[]): LayerEntry[] {
  const folders = new Set<string>([modules]);
  for (const path of paths)
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder))
      folders.add(`${modules}/${folder}`);
  return [...folders].sort().map((path) => ({ type: "directory", path, mode: 0o755 }));
}
