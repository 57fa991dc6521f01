import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Uid } from "../../spec/names.ts";
import type { Redacted } from "../common/redacted.ts";

/** Which reference a file was written for, and what tells its value from another one. */
export interface Delivered {
  /** Of a rendered file: what tells its template from another one. */
  readonly reference: string;
  readonly fingerprint: string;
}

/** One agent's file as it should stand. */
export interface Wanted extends Delivered {
  readonly value: Redacted<Buffer>;
  /** The content is of this moment: it is written each time, and is new to nobody where the fingerprint is the same. */
  readonly fleeting?: true;
}

/** Name of the file that says which secrets are there. Its content changes exactly when one of them does. */
const generationFile = "generation";
/** Name of the file that says how each secret stands, for the agent's own people to read. No value is in it. */
const statusFile = "status.json";
/** Most bytes of these that are read back: far more than a declaration of the largest size makes. */
const maxAboutBytes = 1024 * 1024;

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
 * One directory of one agent's files. They change at once and whole, belong to the agent's user and only it can read them –
 * the store itself neither, which is why the generation file remembers what was delivered.
 */
export class Delivery {
  readonly #directory: string;
  readonly #names: RegExp;
  readonly #owner: number;

  /**
   * @param names what the files may be called
   * @param owner user that gets the files; the agents' own unless a test says otherwise
   */
  constructor(directory: string, names: RegExp, owner: number = Uid.agent) {
    this.#directory = directory;
    this.#names = names;
    this.#owner = owner;
  }

  /** What stands there by the generation file; nothing where there is none, or it is damaged. */
  async delivered(): Promise<ReadonlyMap<string, Delivered>> {
    if (!(await this.#isThere())) return new Map();
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
   * @throws Error where the directory is none of the store's own, and of the file system
   */
  async apply(
    wanted: ReadonlyMap<string, Wanted>,
    keep: ReadonlySet<string> = new Set(),
  ): Promise<boolean> {
    if (wanted.size === 0 && (await this.#entries()).length === 0) return false;
    await this.#make();
    const before = await this.#generation();
    const there = await this.delivered();
    const files: Record<string, Delivered> = {};
    let changed = false;
    for (const [name, { reference, fingerprint, value, fleeting }] of wanted) {
      if (!this.#names.test(name)) throw new Error(`"${name}" is no name of a file here`);
      const about = there.get(name);
      const isNew = about?.fingerprint !== fingerprint;
      files[name] = { reference, fingerprint };
      changed ||= isNew || about?.reference !== reference;
      if (isNew || fleeting) await this.#write(name, value.reveal(), 0o400, this.#owner);
    }
    for (const name of keep) {
      const about = there.get(name);
      if (about && !wanted.has(name)) files[name] = about;
    }
    for (const name of await this.#entries()) {
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

  /** Writes how what is declared stands where it is not written yet; nothing declared, no file. */
  async tell(secrets: readonly Status[]): Promise<void> {
    const before = (await this.#isThere()) ? await this.#read(statusFile) : undefined;
    if (secrets.length === 0) {
      if (before !== undefined) await unlink(join(this.#directory, statusFile));
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
    await this.#make();
    await this.#write(statusFile, Buffer.from(text), 0o444);
  }

  /** Takes every file away. @returns true where there were any */
  async withdraw(): Promise<boolean> {
    const names = await this.#entries();
    for (const name of names) await unlink(join(this.#directory, name));
    return names.length > 0;
  }

  async #make(): Promise<void> {
    if (await this.#isThere()) return;
    await mkdir(this.#directory, { recursive: true });
    await chmod(this.#directory, 0o755);
  }

  /**
   * Whether the directory is there. What is written, read and removed in it must be here and not where a link leads to.
   * @throws Error where it, or the agent's directory that it lies in, is anything but a directory
   */
  async #isThere(): Promise<boolean> {
    for (const path of [dirname(this.#directory), this.#directory]) {
      const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      if (found === undefined) return false;
      if (!found.isDirectory()) throw new Error(`${path} is no directory: remove it`);
    }
    return true;
  }

  async #entries(): Promise<string[]> {
    return (await this.#isThere()) ? readdir(this.#directory) : [];
  }

  /** A file that this store delivered and nobody has touched since. */
  async #isOurs(name: string): Promise<boolean> {
    const found = await lstat(join(this.#directory, name)).catch(() => undefined);
    return found?.isFile() === true && found.uid === this.#owner && (found.mode & 0o777) === 0o400;
  }

  async #generation(): Promise<Generation> {
    const none = { generation: 0, files: {} };
    try {
      const text = (await this.#read(generationFile)) ?? "";
      const { generation, files } = Object(JSON.parse(text)) as Partial<Generation>;
      if (!Number.isSafeInteger(generation) || typeof files !== "object") return none;
      const entries = Object.entries(files).filter(
        ([name, about]) =>
          this.#names.test(name) &&
          typeof about?.reference === "string" &&
          typeof about.fingerprint === "string",
      );
      return { generation: generation ?? 0, files: Object.fromEntries(entries) };
    } catch {
      return none;
    }
  }

  /** One of the store's own files; nothing where there is none, or something else under its name. */
  async #read(name: string): Promise<string | undefined> {
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    const path = join(this.#directory, name);
    const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
    if (!file) return undefined;
    try {
      const about = await file.stat();
      return about.isFile() && about.size <= maxAboutBytes
        ? await file.readFile("utf8")
        : undefined;
    } finally {
      await file.close();
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
