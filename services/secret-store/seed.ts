import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../common/log.ts";

const bytes = 32;

/**
 * The one random value behind all generated secrets: each is derived from it, so it is the same after a restart of
 * the store and another one after a restart of the host, whose RAM it lies in.
 */
export class Seed {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The generated value of one agent's secret: `size` bytes, 1 to 1024. @param round how often it was rotated */
  derive(
    owner: { readonly agent: string; readonly name: string },
    size: number,
    round: number = 0,
  ): Buffer {
    const about = ["generated", owner.agent, owner.name];
    const info = JSON.stringify(round === 0 ? about : [...about, round]);
    return Buffer.from(hkdfSync("sha256", this.#key, "berth", info, size));
  }

  /** Tells equal values from different ones, and without the seed nothing else about them. */
  fingerprint(
    owner: { readonly agent: string; readonly name: string },
    value: Buffer | string,
  ): string {
    return createHmac("sha256", this.#key)
      .update(JSON.stringify(["fingerprint", owner.agent, owner.name]))
      .update(value)
      .digest("base64url");
  }
}

/**
 * Reads the seed from `<directory>/seed`, or makes it. The directory is a mount of the store's own, in the host's RAM:
 * no other container has it, and it is closed to other users of the host.
 * @throws Error that names the directory where it is not there or cannot be written
 */
export async function openSeed(directory: string): Promise<Seed> {
  try {
    await chmod(directory, 0o700);
    const path = join(directory, "seed");
    return new Seed((await readKey(path)) ?? (await makeKey(path)));
  } catch (error) {
    throw new Error(
      `the seed of generated values cannot be kept in ${directory} (${reasonOf(error)}): mount a directory there that belongs to user ${process.getuid?.() ?? 0}`,
    );
  }
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** The key; nothing where there is none, or half of one. */
async function readKey(path: string): Promise<Buffer | undefined> {
  try {
    const file = await open(path, O_RDONLY | O_NOFOLLOW);
    try {
      const key = await file.readFile();
      return key.length === bytes ? key : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

async function makeKey(path: string): Promise<Buffer> {
  const made = `${path}.new`;
  await rm(made, { force: true });
  const key = randomBytes(bytes);
  const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o400);
  try {
    await file.writeFile(key);
  } finally {
    await file.close();
  }
  await rename(made, path);
  return key;
}
