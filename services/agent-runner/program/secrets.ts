import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "../wait.ts";

/** The secret store's own files beside the values; no secret can have such a name. */
const generationFile = "generation";
const statusFile = "status.json";
/** Most bytes of these that are read: far more than the store writes for a declaration of the largest size. */
const maxAboutBytes = 256 * 1024;
/** Most characters of a reason that go into the chat. */
const maxReason = 300;

/** Values by environment name. They go into the program's environment and nowhere else. */
export type Secrets = Readonly<Record<string, string>>;

/** A declared secret that is not there, and why, where the secret store says it. */
export interface Missing {
  readonly name: string;
  readonly reason?: string;
}

/** What changes whenever one of the secrets does; nothing where nothing was ever delivered. */
export function readGeneration(directory: string): Promise<string | undefined> {
  return readAbout(directory, generationFile);
}

/** Reads the declared secrets. @returns the values, or the names that are not there yet */
export async function readSecrets(
  directory: string,
  names: readonly string[],
): Promise<{ readonly values: Secrets } | { readonly missing: readonly string[] }> {
  const read = await Promise.all(
    names.map(async (name) => {
      try {
        return [name, await readFile(join(directory, name), "utf8")] as const;
      } catch {
        return [name, undefined] as const;
      }
    }),
  );
  const missing = read.filter(([, value]) => value === undefined).map(([name]) => name);
  return missing.length > 0
    ? { missing }
    : { values: Object.fromEntries(read) as Record<string, string> };
}

/** Adds to each name why the secret store could not deliver it. */
async function withReasons(
  directory: string,
  names: readonly string[],
): Promise<readonly Missing[]> {
  const reasons = new Map<unknown, string>();
  try {
    const status = JSON.parse((await readAbout(directory, statusFile)) ?? "{}") as {
      readonly secrets?: readonly Partial<Missing>[];
    };
    for (const { name, reason } of status.secrets ?? []) {
      if (typeof reason === "string") reasons.set(name, shortened(reason));
    }
  } catch {
    // A status that cannot be read only costs the reason.
  }
  return names.map((name) => {
    const reason = reasons.get(name);
    return reason ? { name, reason } : { name };
  });
}

function shortened(reason: string): string {
  const line = reason.replace(/\s+/g, " ").trim().replace(/\.$/, "");
  return line.length > maxReason ? `${line.slice(0, maxReason - 1)}…` : line;
}

/** One of the store's own files, or nothing where there is none. */
async function readAbout(directory: string, name: string): Promise<string | undefined> {
  try {
    const file = await open(join(directory, name));
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(maxAboutBytes), 0, maxAboutBytes);
      return buffer.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/**
 * Waits until every declared secret is there, for as long as the signal allows: without them nothing starts. Which
 * are declared may change meanwhile.
 * `onMissing` is called after `patienceMs` with what is missing, and again whenever that or its reason changes.
 */
export async function waitForSecrets(
  directory: string,
  names: () => readonly string[],
  options: {
    readonly patienceMs: number;
    readonly signal: AbortSignal;
    readonly onMissing: (missing: readonly Missing[]) => void;
  },
): Promise<Secrets | undefined> {
  const sayAt = Date.now() + options.patienceMs;
  let said = "";
  let waitMs = 25;
  while (!options.signal.aborted) {
    const read = await readSecrets(directory, names());
    if ("values" in read) return read.values;
    if (Date.now() >= sayAt) {
      const missing = await withReasons(directory, read.missing);
      if (JSON.stringify(missing) !== said) options.onMissing(missing);
      said = JSON.stringify(missing);
    }
    await pause(waitMs, options.signal);
    waitMs = Math.min(waitMs * 2, said ? 5_000 : 500);
  }
  return undefined;
}

/** Replaces every secret value in a text that goes to the log. Values under four characters are no secrets. */
export function redact(text: string, secrets: Secrets): string {
  let clean = text;
  for (const [name, value] of Object.entries(secrets)) {
    for (const form of [value, value.trim()]) {
      if (form.length >= 4) clean = clean.replaceAll(form, `[${name}]`);
    }
  }
  return clean;
}
