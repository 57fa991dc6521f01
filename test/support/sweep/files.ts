import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { inspect } from "../engine.ts";
import type { Containers } from "./engine-places.ts";
import type { Place } from "./sweep.ts";

/** A larger file is no file of ours; that there is none is said, not passed over. */
const mostBytes = 256 * 1024 * 1024;

/**
 * Every file below a directory, gzip opened; sockets and links are left out. What goes meanwhile is gone.
 * @param kind what the places are called @param without names of entries that are not looked into
 */
export function* files(
  kind: string,
  directory: string,
  without: readonly string[] = [],
): Generator<Place> {
  for (const entry of readEntries(directory)) {
    const path = join(directory, entry.name);
    if (without.includes(entry.name)) continue;
    if (entry.isDirectory()) yield* files(kind, path, without);
    if (!entry.isFile()) continue;
    const bytes = readWhole(path);
    if (!bytes) continue;
    yield { name: `${kind} ${path}`, content: bytes };
    const inside = bytes[0] === 0x1f && bytes[1] === 0x8b ? unzipped(bytes) : undefined;
    if (inside) yield { name: `${kind} ${path} (gzip)`, content: inside };
  }
}

/** Files on containers' own RAM: `/tmp`, `/dev/shm` and whatever else is a tmpfs of one, by their first process's root. */
export async function* ramFiles(containers: Containers): AsyncGenerator<Place> {
  for (const [part, container] of Object.entries(containers)) {
    const { State, HostConfig } = await inspect(container);
    if (!State.Running) continue;
    for (const place of ["/dev/shm", ...Object.keys(HostConfig.Tmpfs ?? {})]) {
      yield* files(`ram of ${part}:`, `/proc/${State.Pid}/root${place}`);
    }
  }
}

function readEntries(directory: string) {
  return orGone(() => readdirSync(directory, { withFileTypes: true })) ?? [];
}

function readWhole(path: string): Buffer | undefined {
  return orGone(() => {
    if (statSync(path).size > mostBytes) throw new Error(`${path} is larger than 256 MiB`);
    return readFileSync(path);
  });
}

function unzipped(bytes: Buffer): Buffer | undefined {
  try {
    return gunzipSync(bytes);
  } catch {
    // Not a whole gzip file: its plain bytes are searched all the same.
    return undefined;
  }
}

function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
