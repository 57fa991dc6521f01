import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type EngineClient, versionOf } from "../cli/engine-api.ts";
import { bundleProgram } from "./bundle.ts";
import { Cache } from "./cache.ts";
import { imageLabel, imageReference, isImageName } from "./catalog.ts";
import { type DebianContext, debianTree } from "./debian.ts";
import { buildImage, hasImage, pruneImage } from "./engine-images.ts";
import { installedEntries } from "./installed.ts";
import { entriesOfFolder, type LayerEntry, tarOf } from "./layer.ts";
import { nodeEntries } from "./node.ts";
import { npmTarball, unpackPackage } from "./npm.ts";
import { type Architecture, npmPackage } from "./pins.ts";
import { agentTree, type ImageName, type Ingredient, recipes, stackImages } from "./recipes.ts";

export interface BuildOptions {
  readonly engine: EngineClient;
  /** Gets one line a step that takes time. */
  readonly log: (line: string) => void;
  /** Where what is fetched or made for images is kept, by content. */
  readonly cacheDirectory: string;
  /** Catalog names. @default every stack image */
  readonly only?: readonly string[];
}

const root = dirname(import.meta.dirname);

/**
 * Makes the Engine have the images of this working copy: what it has is left alone, what it lacks is built with its bases,
 * and earlier versions that no container uses are removed.
 * Reads `BERTH_DEBIAN_MIRROR`: another mirror than debootstrap's default.
 * @returns name → reference of every image asked for
 * @throws Error in one sentence: unknown name, no Engine, a machine that cannot make the base, a failed build
 */
export async function buildImages(options: BuildOptions): Promise<Record<string, string>> {
  const wanted = [...new Set(options.only ?? stackImages)];
  const references = Object.fromEntries(wanted.map((name) => [name, imageReference(name)]));
  const builder = await createBuilder(options);
  const done = await Promise.allSettled(wanted.filter(isImageName).map(builder));
  const failed = done.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return references;
}

/** A function that makes one image and its bases, each once. */
async function createBuilder(options: BuildOptions): Promise<(name: ImageName) => Promise<void>> {
  const { engine, log } = options;
  const context: DebianContext = {
    cache: new Cache(options.cacheDirectory),
    architecture: await architectureOf(engine),
    log,
    mirror: process.env.BERTH_DEBIAN_MIRROR || undefined,
  };
  const running = new Map<ImageName, Promise<void>>();
  const ensure = (name: ImageName): Promise<void> => {
    const image = running.get(name) ?? make(name);
    running.set(name, image);
    return image;
  };
  const make = async (name: ImageName): Promise<void> => {
    const reference = imageReference(name);
    if (await hasImage(engine, reference)) return;
    const { base } = recipes[name];
    if (base) await ensure(base);
    const started = performance.now();
    await buildOne(context, engine, name, reference);
    log(`${reference} built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    for (const old of await pruneImage(engine, name, reference)) log(`${old} removed: unused`);
  };
  return ensure;
}

/** The Engine's machine in Node's words. @throws Error where there is no Engine or no image for its machine */
async function architectureOf(engine: EngineClient): Promise<Architecture> {
  const version = await versionOf(engine);
  if (!version)
    throw new Error("no Engine answers: start Docker, or set DOCKER_HOST to where it is");
  const known: Readonly<Record<string, Architecture>> = { amd64: "x64", arm64: "arm64" };
  const architecture = known[version.Arch];
  if (version.Os !== "linux" || !architecture)
    throw new Error(
      `there are no images for an Engine on ${version.Os}/${version.Arch}: use one on linux/amd64 or linux/arm64`,
    );
  return architecture;
}

/** Builds one image whose base is there: the Dockerfile unpacks archives that carry owners and modes. */
async function buildOne(
  context: DebianContext,
  engine: EngineClient,
  name: ImageName,
  reference: string,
): Promise<void> {
  const { base, ingredients, lines } = recipes[name];
  await context.cache.withFolder(async (folder) => {
    const layers: LayerEntry[] = [];
    const entries: LayerEntry[] = [];
    for (const [index, item] of ingredients.entries()) {
      if (item.kind === "tree") {
        layers.push(archiveEntry(`tree${index}.tar.gz`, await debianTree(context, item.tree)));
      } else {
        const work = join(folder, String(index));
        await mkdir(work);
        entries.push(...(await entriesOf(context, item, work)));
      }
    }
    if (entries.length > 0) {
      const file = join(folder, "layer.tar");
      await pipeline(tarOf(entries), createWriteStream(file));
      layers.push(archiveEntry("layer.tar", file));
    }
    const dockerfile = [
      `FROM ${base ? imageReference(base) : "scratch"}`,
      ...layers.map((layer) => `ADD ${layer.path} /`),
      ...lines,
      "",
    ];
    const head = archiveEntry("Dockerfile", Buffer.from(dockerfile.join("\n")));
    await buildImage(engine, reference, { [imageLabel]: name }, tarOf([head, ...layers]));
  });
}

function archiveEntry(path: string, content: string | Buffer): LayerEntry {
  const held = typeof content === "string" ? { file: content } : content;
  return { type: "file", path, mode: 0o644, content: held };
}

/** An ingredient as entries of the layer. @param folder an empty folder that lives until the layer is written */
async function entriesOf(
  context: DebianContext,
  item: Exclude<Ingredient, { kind: "tree" }>,
  folder: string,
): Promise<LayerEntry[]> {
  const { cache, architecture } = context;
  switch (item.kind) {
    case "directory":
      return [{ type: "directory", path: item.path, mode: item.mode, owner: item.owner }];
    case "text":
      return [{ type: "file", path: item.path, mode: item.mode, content: Buffer.from(item.text) }];
    case "file":
      return [
        {
          type: "file",
          path: item.path,
          mode: item.mode,
          content: { file: join(root, item.from) },
        },
      ];
    case "bundle":
      return [
        {
          type: "file",
          path: item.path,
          mode: 0o444,
          content: await bundleProgram(root, item.entry),
        },
      ];
    case "node":
      return nodeEntries(cache, architecture, await debianTree(context, agentTree), folder);
    case "installed-package":
      return installedEntries(root, item);
    case "npm-package":
      await unpackPackage(await npmTarball(cache, npmPackage), folder);
      return [
        { type: "directory", path: item.path, mode: 0o755 },
        ...(await entriesOfFolder(folder, item.path)),
        ...Object.entries(item.commands).map(
          ([command, script]): LayerEntry => ({
            type: "link",
            path: `/usr/local/bin/${command}`,
            target: `${item.path}/${script}`,
          }),
        ),
      ];
  }
}
