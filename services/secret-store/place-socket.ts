import { chmod, chown, lstat, mkdir, rename, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { dirname, join } from "node:path";

/** Name of the socket while it is made. */
const madeName = ".store.sock.new";

/**
 * Listens on a unix socket that one user may connect to: made under another name and moved into place with its rights set.
 * Its directory is made where it is missing and never replaced: the client has it mounted.
 * @param owner user that may connect, and nobody else but root
 * @throws Error where the directory is anything but one: what stands there may have been planted
 */
export async function placeSocket(server: Server, path: string, owner: number): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  if (!(await lstat(directory)).isDirectory())
    throw new Error(`${directory} is no directory: remove it`);
  await chmod(directory, 0o755);
  const made = join(directory, madeName);
  await unlink(made).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(made, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(made, 0o600);
  const own = process.getuid?.();
  // Afterwards it is no longer ours to change.
  if (owner !== own) await chown(made, owner, owner);
  await rename(made, path);
}
