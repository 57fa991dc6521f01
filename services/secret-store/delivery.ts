import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { environmentPattern } from "../../spec/declaration-check.ts";
import { Uid } from "../../spec/names.ts";
import type { Redacted } from "../common/redacted.ts";

/** Which reference a file was written for, and what tells its value from another one. */
export interface Delivered {
  readonly reference: string;
  readonly fingerprint: string;
}

/** One agent's secret as it should stand. */
export interface Wanted extends Delivered {
  readonly value: Redacted<Buffer>;
}

/** Name of the file that says which secrets are there. Its content changes exactly when one of them does. */
const generationFile = "generation";
/** Name of the file that says how each secret stands, for the agent's own people to read. No value is in it. */
const statusFile = "status.json";

/** One secret's line in the status file. */
export interface Status {
  readonly name: string;
  readonly reference: string;
  readonly state: string;
  readonly reason?: string;
}

interface Generation {
  readonly generation: number;
  readonly files: Readonly<Record<string, Delivered>>;
}

/**
 * The secret files of one agent. They change at once and whole, belong to the agent's user and only it can read them –
 * the store itself neither, which is why the generation file remembers what was delivered.
 */
export class Delivery {
  readonly #directory: string;
  readonly #owner: number;

  /** @param owner user that gets the files; the agents' own unless a test says otherwise */
  constructor(directory: string, owner: number = Uid.agent) {
    this.#directory = directory;
    this.#owner = owner;
  }

  /** What stands there by the generation file; nothing where there is none, or it is damaged. */
  async delivered(): Promise<ReadonlyMap<string, Delivered>> {
    const { files } = await this.#generation();
    const present = new Map<string, Delivered>();
    for (const [name, about] of Object.entries(files)) {
      if (await this.#isOurs(name)) present.set(name, about);
    }
    return present;
  }

  /**
   * Makes the files equal to `wanted`; names in `keep` stay as they are, all others go. What is already right is not
   * written. @returns true where anything changed
   */
  async apply(
    wanted: ReadonlyMap<string, Wanted>,
    keep: ReadonlySet<string> = new Set(),
  ): Promise<boolean> {
    const before = await this.#generation();
    const there = await this.delivered();
    if (wanted.size === 0 && (await this.#names()).length === 0) return false;
    await this.#directoryMade();
    const files: Record<string, Delivered> = {};
    let changed = false;
    for (const [name, { reference, fingerprint, value }] of wanted) {
      const about = there.get(name);
      files[name] = { reference, fingerprint };
      if (about?.fingerprint === fingerprint) {
        changed ||= about.reference !== reference;
        continue;
      }
      await this.#write(name, value.reveal(), 0o400, this.#owner);
      changed = true;
    }
    for (const name of keep) {
      const about = there.get(name);
      if (about && !wanted.has(name)) files[name] = about;
    }
    for (const name of await this.#names()) {
      if (name === generationFile || name === statusFile || Object.hasOwn(files, name)) continue;
      await unlink(join(this.#directory, name));
      changed = true;
    }
    changed ||= Object.keys(before.files).some((name) => !Object.hasOwn(files, name));
    if (!changed) return false;
    const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
    const next: Generation = { generation: before.generation + 1, files: sorted };
    await this.#write(generationFile, Buffer.from(`${JSON.stringify(next)}\n`), 0o444);
    return true;
  }

  /** Writes how the declared secrets stand where it is not written yet; no secrets, no file. */
  async tell(secrets: readonly Status[]): Promise<void> {
    const path = join(this.#directory, statusFile);
    const before = await readFile(path, "utf8").catch(() => undefined);
    if (secrets.length === 0) {
      if (before !== undefined) await unlink(path);
      return;
    }
    const lines = secrets.map(({ name, reference, state, reason }) => ({
      name,
      reference,
      state,
      reason,
    }));
    const text = `${JSON.stringify({ secrets: lines }, null, 2)}\n`;
    if (text === before) return;
    await this.#directoryMade();
    await this.#write(statusFile, Buffer.from(text), 0o444);
  }

  /** Takes every file away. @returns true where there were any */
  async withdraw(): Promise<boolean> {
    const names = await this.#names();
    for (const name of names) await unlink(join(this.#directory, name));
    return names.length > 0;
  }

  async #directoryMade(): Promise<void> {
    if (await mkdir(this.#directory, { recursive: true })) await chmod(this.#directory, 0o755);
  }

  async #names(): Promise<string[]> {
    return readdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
  }

  /** A file that this store delivered and nobody has touched since. */
  async #isOurs(name: string): Promise<boolean> {
    const found = await lstat(join(this.#directory, name)).catch(() => undefined);
    return found?.isFile() === true && found.uid === this.#owner && (found.mode & 0o777) === 0o400;
  }

  async #generation(): Promise<Generation> {
    const none = { generation: 0, files: {} };
    try {
      const text = await readFile(join(this.#directory, generationFile), "utf8");
      const { generation, files } = Object(JSON.parse(text)) as Partial<Generation>;
      if (!Number.isSafeInteger(generation) || typeof files !== "object") return none;
      const entries = Object.entries(files).filter(
        ([name, about]) =>
          environmentPattern.test(name) &&
          typeof about?.reference === "string" &&
          typeof about.fingerprint === "string",
      );
      return { generation: generation ?? 0, files: Object.fromEntries(entries) };
    } catch {
      return none;
    }
  }

  async #write(name: string, content: Buffer, mode: number, owner?: number): Promise<void> {
    const made = join(this.#directory, `.${name}.${randomBytes(6).toString("hex")}`);
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const file = await open(made, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o400);
    try {
      await file.writeFile(content);
      await file.chmod(mode);
      // Last: afterwards the file is no longer ours to change.
      if (owner !== undefined) await file.chown(owner, owner);
    } catch (error) {
      await unlink(made).catch(() => undefined);
      throw error;
    } finally {
      await file.close();
    }
    await rename(made, join(this.#directory, name));
  }
}
