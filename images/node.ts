import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Cache } from "./cache.ts";
import { filesOfTree } from "./debian.ts";
import { entriesOfFolder, type LayerEntry } from "./layer.ts";
import { hashFile, npmTarball, unpackPackage } from "./npm.ts";
import { type Architecture, nodeBinaries, nodePackages, nodeVersion } from "./pins.ts";

/**
 * What Node is linked with, and the CA certificates for what links OpenSSL's own store. A missing library
 * fails the image's build, where Node is run once.
 */
const libraryPatterns = [
  ...[
    "ld-linux-*",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libstdc++.so.6*",
  ].map((name) => `./usr/lib/*-linux-gnu/${name}`),
  "./etc/ssl/certs/ca-certificates.crt",
];

/** Folders with short names in a merged-usr Debian; the binary names its loader in the last of them. */
const shortFolders: Record<Architecture, readonly string[]> = {
  x64: ["lib", "lib64"],
  arm64: ["lib"],
};

/**
 * Node's binary, its libraries out of a Debian tree's archive, and the CA certificates, as entries of a layer.
 * @param folder a folder of this machine that lives until the layer is written
 */
export async function nodeEntries(
  cache: Cache,
  architecture: Architecture,
  tree: string,
  folder: string,
): Promise<LayerEntry[]> {
  const libraries = join(folder, "libraries");
  await mkdir(libraries);
  const loader = `./usr/${shortFolders[architecture].at(-1)}/ld-linux-*`;
  await filesOfTree(tree, libraries, [...libraryPatterns, loader]);
  const binary = await nodeBinary(cache, architecture, folder);
  return [
    { type: "directory", path: "/usr", mode: 0o755 },
    ...shortFolders[architecture].map(
      (name): LayerEntry => ({ type: "link", path: `/${name}`, target: `usr/${name}` }),
    ),
    ...(await entriesOfFolder(libraries, "")),
    { type: "directory", path: "/usr/local", mode: 0o755 },
    { type: "directory", path: "/usr/local/bin", mode: 0o755 },
    { type: "file", path: "/usr/local/bin/node", mode: 0o755, content: { file: binary } },
  ];
}

/** The running Node where its bytes are the pinned ones, else the one of the pinned npm package. */
async function nodeBinary(
  cache: Cache,
  architecture: Architecture,
  folder: string,
): Promise<string> {
  const wanted = nodeBinaries[architecture];
  if (process.version === `v${nodeVersion}` && process.arch === architecture) {
    const running = await realpath(process.execPath);
    if ((await hashFile(running, "sha256")).toString("hex") === wanted) return running;
  }
  const tarball = await npmTarball(cache, nodePackages[architecture]);
  await unpackPackage(tarball, join(folder, "node"), ["bin/node"]);
  return join(folder, "node", "bin", "node");
}
