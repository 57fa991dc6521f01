import { type BuildOptions, build } from "esbuild";
import { bundleOptions, requireBanner } from "./bundle-options.ts";
import { packageName, SourceTree } from "./sources.ts";

/**
 * Bundles one program of the working copy to a single ES module.
 * @throws Error with esbuild's first messages, or naming an input that the image's name does not cover
 */
export async function bundleProgram(root: string, entry: string): Promise<Buffer> {
  const sources = new SourceTree(root).sourcesOf(entry);
  const options: BuildOptions = {
    ...bundleOptions,
    external: [...bundleOptions.external],
    absWorkingDir: root,
    entryPoints: [entry],
    banner: sources.packages.length > 0 ? { js: requireBanner } : {},
    write: false,
    metafile: true,
  };
  const result = await build(options).catch((error: unknown) => {
    throw new Error(`${entry} cannot be bundled: ${firstMessages(error)}`);
  });
  const covered = new Set([...sources.files, ...sources.packages]);
  for (const input of Object.keys(result.metafile?.inputs ?? {})) {
    if (!covered.has(ownerOf(input)))
      throw new Error(
        `${input} goes into the bundle of ${entry} but not into its image's name: import it by a plain import statement`,
      );
  }
  const [output] = result.outputFiles ?? [];
  if (!output) throw new Error(`${entry} cannot be bundled: esbuild gave no output`);
  return Buffer.from(output.contents);
}

/** A file of the repository itself, or the place of the package that it belongs to. */
function ownerOf(input: string): string {
  const at = input.lastIndexOf("node_modules/");
  if (at < 0) return input;
  const inside = at + "node_modules/".length;
  return input.slice(0, inside) + packageName(input.slice(inside));
}

function firstMessages(error: unknown): string {
  const { errors } = error as {
    errors?: { text: string; location?: { file: string; line: number } }[];
  };
  if (!errors || errors.length === 0) return String(error);
  return errors
    .slice(0, 3)
    .map(({ text, location }) => (location ? `${location.file}:${location.line}: ${text}` : text))
    .join("; ");
}
