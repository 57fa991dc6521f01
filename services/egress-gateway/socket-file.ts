import { chmod, lstat, mkdir, rename, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { dirname } from "node:path";

/** A listening unix socket that stands in its directory under its final name. */
export interface SocketFile {
  /** Is our own socket still the one under that name? */
  inPlace(): Promise<boolean>;
  /** Takes the file away, unless another one stands there by now. */
  remove(): Promise<void>;
}

/**
 * Listens on a unix socket. The socket is made under another name and moved into place: whoever connects finds the
 * old one or the new one with its permissions set, never none. The directory is made where it is missing and never
 * replaced: a container may have it mounted.
 */
export async function placeSocket(server: Server, path: string, mode: number): Promise<SocketFile> {
  const directory = dirname(path);
  if (await mkdir(directory, { recursive: true })) await chmod(directory, 0o755);
  const made = `${path}.new`;
  await removeFile(made);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(made, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(made, mode);
  const { ino, dev } = await lstat(made);
  await rename(made, path);
  const inPlace = async () => {
    const found = await lstat(path).catch(() => undefined);
    return found?.isSocket() === true && found.ino === ino && found.dev === dev;
  };
  return {
    inPlace,
    remove: async () => {
      if (await inPlace()) await removeFile(path);
    },
  };
}

/** Removes a file; none is fine too. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}
