import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Cache } from "./cache.ts";
import type { PackagePin } from "./pins.ts";
import { run } from "./run.ts";

/**
 * The tarball of a pinned npm package, from the cache or fetched now, through npm's own client and settings.
 * @throws Error where npm cannot fetch it, or its bytes are not the pinned ones
 */
export function npmTarball(cache: Cache, pin: PackagePin): Promise<string> {
  return cache.file(`npm-${pin.name}-${pin.version}.tgz`, (path) =>
    cache.withFolder(async (folder) => {
      const wanted = `${pin.name}@${pin.version}`;
      await run("npm", ["pack", wanted, "--silent", "--pack-destination", folder], { cwd: folder });
      const [file] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
      if (!file) throw new Error(`npm pack ${wanted} gave no file`);
      const got = `sha512-${(await hashFile(join(folder, file), "sha512")).toString("base64")}`;
      if (got !== pin.integrity) {
        throw new Error(
          `${wanted} is not what images/pins.ts expects: ${got} instead of ${pin.integrity}`,
        );
      }
      await rename(join(folder, file), path);
    }),
  );
}

/** Unpacks paths of a package (all of it: none named) into `folder`, without npm's leading `package/`. */
export async function unpackPackage(
  tarball: string,
  folder: string,
  paths: readonly string[] = [],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const inside = paths.map((path) => `package/${path}`);
  await run("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1", ...inside]);
}

/** Hash of a file's bytes. */
export async function hashFile(path: string, algorithm: "sha256" | "sha512"): Promise<Buffer> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path), hash);
  return hash.digest();
}
