import { chmod } from "node:fs/promises";
import { type Log, reasonOf } from "../common/log.ts";

/**
 * Closes the directory of all agents' directories to every user of the host but its owner. Containers need no way
 * through it: each agent's own directory is bound into its container by the Engine. Where the directory is not ours to
 * close it says so and goes on: delivery does not depend on it.
 */
export async function closeDirectory(path: string, log: Log): Promise<void> {
  try {
    await chmod(path, 0o700);
  } catch (error) {
    log.warn("directory-open", { path, reason: reasonOf(error) });
  }
}
