import { type BuildOptions, build, type Plugin } from "esbuild";
import { builtinTexts, bundleOptions, requireBanner } from "./bundle-options.ts";
import { packageName, SourceTree } from "./sources.ts";

const builtinNamespace = "berth-builtin";

/** Puts {@link builtinTexts} where the modules of those names are imported; `require` gets Node's own. */
const builtins: Plugin = {
  name: builtinNamespace,
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:node:)?[a-z_]+$/ }, ({ path, kind }) => {
      const name = path.startsWith("node:") ? path : `node:${path}`;
      const isImport = kind === "import-statement" || kind === "dynamic-import";
      if (!isImport || !Object.hasOwn(builtinTexts, name)) return undefined;
      return { path: name, namespace: builtinNamespace };
    });
    onLoad({ filter: /./, namespace: builtinNamespace }, ({ path }) => ({
      contents: builtinTexts[path] ?? "",
    }));
  },
};

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
    plugins: [builtins],
    write: false,
    metafile: true,
  };
  const result = await build(options).catch((error: unknown) => {
    throw new Error(`${entry} cannot be bundled: ${firstMessages(error)}`);
  });
  const covered = new Set([...sources.files, ...sources.packages]);
  for (const input of Object.keys(result.metafile?.inputs ?? {})) {
    if (!input.startsWith(`${builtinNamespace}:`) && !covered.has(ownerOf(input)))
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
