import { constants } from "node:fs";
import { open, rename } from "node:fs/promises";
import type { Redacted } from "../common/redacted.ts";
import { removeFile } from "./socket-file.ts";

/**
 * Writes the token where an agent that talks to Mattermost itself finds it; the file changes at once and whole.
 * The gateway runs with the agents' group (its component says so), so the file is for that group and nobody else.
 */
export async function writeTokenFile(path: string, token: Redacted<string>): Promise<void> {
  const made = `${path}.new`;
  await removeFile(made);
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o440);
  try {
    await file.writeFile(`${token.reveal()}\n`);
    await file.chmod(0o440);
  } finally {
    await file.close();
  }
  await rename(made, path);
}
