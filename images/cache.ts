import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** A work folder that is left over from a killed run is removed after this time. */
const staleMs = 24 * 3_600_000;

/** Files kept by content key, and folders to work in, under one directory of this machine. */
export class Cache {
  readonly #directory: string;
  readonly #running = new Map<string, Promise<string>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Path of the file with this key. It is made by `make` where it is missing, beside its place, and moved there when
   * complete, so that a killed run leaves nothing half-made. Callers in one process share one making.
   */
  file(key: string, make: (path: string) => Promise<void>): Promise<string> {
    const running = this.#running.get(key) ?? this.#make(key, make);
    this.#running.set(key, running);
    return running;
  }

  async #make(key: string, make: (path: string) => Promise<void>): Promise<string> {
    const path = join(this.#directory, key);
    if (existsSync(path)) return path;
    await mkdir(this.#directory, { recursive: true, mode: 0o755 });
    const unfinished = `${path}.${randomBytes(4).toString("hex")}.part`;
    try {
      await make(unfinished);
      await rename(unfinished, path);
    } finally {
      await rm(unfinished, { force: true });
    }
    return path;
  }

  /** Runs `work` in a fresh folder, and removes the folder after it. */
  async withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
    await mkdir(this.#directory, { recursive: true, mode: 0o755 });
    await this.#removeStale();
    const folder = await mkdtemp(join(this.#directory, "work-"));
    try {
      return await work(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #removeStale(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      if (!name.startsWith("work-") && !name.endsWith(".part")) continue;
      const path = join(this.#directory, name);
      const age = await stat(path).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      );
      if (age > staleMs) await rm(path, { recursive: true, force: true });
    }
  }
}
