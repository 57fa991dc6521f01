import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, chown, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** Owner of the seed's file: a user that no container runs as, so that nobody but a holder of CAP_CHOWN gets at it. */
const nobody = 65_534;
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

  /** The generated value of one agent's secret: `size` bytes, 1 to 1024. */
  derive(owner: { readonly agent: string; readonly name: string }, size: number): Buffer {
    const info = JSON.stringify(["generated", owner.agent, owner.name]);
    return Buffer.from(hkdfSync("sha256", this.#key, "berth", info, size));
  }

  /** Tells equal values from different ones, and without the seed nothing else about them. */
  fingerprint(owner: { readonly agent: string; readonly name: string }, value: Buffer): string {
    return createHmac("sha256", this.#key)
      .update(JSON.stringify(["fingerprint", owner.agent, owner.name]))
      .update(value)
      .digest("base64url");
  }
}

/**
 * Reads the seed from `<directory>/.secret-store/seed`, or makes it. The store runs as user 0 without the right to
 * read others' files (CAP_DAC_OVERRIDE) and may give files away (CAP_CHOWN): it takes its file, reads, gives it back.
 * @param keeper who owns the file while nobody reads it; another user only in tests without the right to give away
 * @throws Error where the directory cannot be written
 */
export async function openSeed(directory: string, keeper: number = nobody): Promise<Seed> {
  const place = join(directory, ".secret-store");
  const path = join(place, "seed");
  await mkdir(place, { recursive: true, mode: 0o700 });
  await chmod(place, 0o700);
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
  const own = process.getuid?.() ?? 0;
  try {
    await chown(path, own, own);
    const file = await open(path, O_RDONLY | O_NOFOLLOW);
    try {
      await file.chown(keeper, keeper);
      const key = await file.readFile();
      if (key.length === bytes) return new Seed(key);
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const made = `${path}.new`;
  await rm(made, { force: true });
  const key = randomBytes(bytes);
  const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o400);
  try {
    await file.writeFile(key);
    await file.chown(keeper, keeper);
  } finally {
    await file.close();
  }
  await rename(made, path);
  return new Seed(key);
}
