import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, posix, resolve } from "node:path";

/** What one bundle is made of. */
export interface Sources {
  /** Files of this repository, relative to its root, sorted. */
  readonly files: readonly string[];
  /** Places of installed packages as `package-lock.json` names them, sorted. */
  readonly packages: readonly string[];
}

/** The parts of `package-lock.json` that are read. */
interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

interface ReadFile {
  readonly hash: string;
  readonly imports: readonly string[];
}

/** Imports that leave code behind: `import … from "x"`, `export … from "x"`, `import "x"`, `import("x")`. */
const importPattern =
  /(?:^|[\s;}])(?:import|export)\s+(?!type\b)(?:[^"'`;]*?\sfrom\s*)?["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;

/** Reads a working copy: which files and packages a bundle is made of, and their hashes. Reads each file once. */
export class SourceTree {
  readonly root: string;
  readonly #files = new Map<string, ReadFile>();
  #lock: Readonly<Record<string, LockEntry>> | undefined;

  constructor(root: string) {
    this.root = root;
  }

  /** SHA-256 of a file of the repository. @throws Error that names the missing file */
  hash(file: string): string {
    return this.#read(file).hash;
  }

  /** Version and integrity of an installed package, by its place in `package-lock.json`. @throws Error for one not there */
  packageHash(place: string): string {
    const entry = this.#packages()[place];
    if (!entry)
      throw new Error(`${place} is not in package-lock.json: an image is made of it; restore it`);
    return `${entry.version ?? ""} ${entry.integrity ?? ""}`;
  }

  /**
   * Follows the imports of an entry file. Type imports are left out: they leave no code behind.
   * esbuild's own list is held against this one when the bundle is made, so nothing can be missed silently.
   */
  sourcesOf(entry: string): Sources {
    const files = new Set<string>();
    const packages = new Set<string>();
    const waiting = [entry];
    for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
      if (files.has(file)) continue;
      files.add(file);
      for (const wanted of this.#read(file).imports) {
        if (wanted.startsWith("node:")) continue;
        if (wanted.startsWith(".")) {
          const target = posix.join(posix.dirname(file), wanted);
          if (existsSync(resolve(this.root, target))) waiting.push(target);
        } else this.#addPackage(posix.dirname(file), packageName(wanted), packages);
      }
    }
    return { files: [...files].sort(), packages: [...packages].sort() };
  }

  #read(file: string): ReadFile {
    const known = this.#files.get(file);
    if (known) return known;
    let bytes: Buffer;
    try {
      bytes = readFileSync(resolve(this.root, file));
    } catch {
      throw new Error(`${file} is missing: an image is made of it; restore it from git`);
    }
    const imports = file.endsWith(".ts")
      ? [...bytes.toString("utf8").matchAll(importPattern)].map((m) => m[1] ?? m[2] ?? "")
      : [];
    const read = { hash: createHash("sha256").update(bytes).digest("hex"), imports };
    this.#files.set(file, read);
    return read;
  }

  #packages(): Readonly<Record<string, LockEntry>> {
    this.#lock ??= (
      JSON.parse(readFileSync(resolve(this.root, "package-lock.json"), "utf8")) as {
        packages: Record<string, LockEntry>;
      }
    ).packages;
    return this.#lock;
  }

  /** Adds a package and all that it needs, as Node would find them from `from`. */
  #addPackage(from: string, name: string, found: Set<string>): void {
    const place = this.#place(from, name);
    if (place === undefined || found.has(place)) return;
    found.add(place);
    const entry = this.#packages()[place] ?? {};
    const peers = Object.keys(entry.peerDependencies ?? {}).filter(
      (peer) => !entry.peerDependenciesMeta?.[peer]?.optional,
    );
    const needed = { ...entry.dependencies, ...entry.optionalDependencies };
    for (const other of [...Object.keys(needed), ...peers]) this.#addPackage(place, other, found);
  }

  #place(from: string, name: string): string | undefined {
    for (let folder = from; ; folder = dirname(folder)) {
      const place = folder === "." ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
      if (Object.hasOwn(this.#packages(), place)) return place;
      if (folder === ".") return undefined;
    }
  }
}

/** `@scope/name/sub/path` → `@scope/name`. */
export function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}
