import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** Most bytes of the file that are read: one line for each secret that was ever rotated. */
const maxBytes = 4 * 1024 * 1024;

/** A secret by its agent and name. */
export interface Owner {
  readonly agent: string;
  readonly name: string;
}

/**
 * How often each generated secret was rotated: beside the seed, as what it counts lasts as long. A count is never taken back,
 * also where the agent goes: else its first value would come again.
 */
export class Rounds {
  readonly #path: string;
  readonly #counts: Map<string, number>;

  constructor(path: string, counts: ReadonlyMap<string, number>) {
    this.#path = path;
    this.#counts = new Map(counts);
  }

  of(owner: Owner): number {
    return this.#counts.get(keyOf(owner)) ?? 0;
  }

  /** Counts one more for each. Resolves when that is kept; where it cannot be, nothing has changed. */
  async next(owners: readonly Owner[]): Promise<void> {
    const counts = new Map(this.#counts);
    for (const owner of owners) counts.set(keyOf(owner), this.of(owner) + 1);
    const made = `${this.#path}.${randomBytes(6).toString("hex")}`;
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
    try {
      await file.writeFile(`${JSON.stringify(Object.fromEntries(counts))}\n`);
      await file.close();
      await rename(made, this.#path);
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(made, { force: true });
      throw error;
    }
    for (const [key, count] of counts) this.#counts.set(key, count);
  }
}

/** Reads the counts of a directory; none where there is no such file, or one that is none of ours. */
export async function openRounds(directory: string): Promise<Rounds> {
  const path = join(directory, "rounds.json");
  return new Rounds(path, await readCounts(path));
}

async function readCounts(path: string): Promise<Map<string, number>> {
  try {
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      if ((await file.stat()).size > maxBytes) return new Map();
      const counts = Object(JSON.parse(await file.readFile("utf8"))) as Record<string, unknown>;
      return new Map(
        Object.entries(counts).filter((entry): entry is [string, number] =>
          Number.isSafeInteger(entry[1]),
        ),
      );
    } finally {
      await file.close();
    }
  } catch {
    return new Map();
  }
}

function keyOf({ agent, name }: Owner): string {
  return `${agent}/${name}`;
}
