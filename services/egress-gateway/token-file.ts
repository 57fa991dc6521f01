import { constants } from "node:fs";
import { open, rename } from "node:fs/promises";
import { Uid } from "../../spec/names.ts";
import type { Redacted } from "../common/redacted.ts";
import { removeFile } from "./socket-file.ts";

/**
 * Writes the token where an agent that talks to Mattermost itself finds it; the file changes at once and whole.
 * It belongs to the agent's user and only that user reads it. Without the capability to give files away it is
 * readable by all who have the directory: that is the same agent.
 */
export async function writeTokenFile(path: string, token: Redacted<string>): Promise<void> {
  const made = `${path}.new`;
  await removeFile(made);
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o400);
  try {
    await file.writeFile(`${token.reveal()}\n`);
    await file.chmod(0o400);
    await file.chown(Uid.agent, Uid.agent).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EPERM") throw error;
      return file.chmod(0o444);
    });
  } finally {
    await file.close();
  }
  await rename(made, path);
}
