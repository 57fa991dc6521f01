import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "../wait.ts";

/** Values by environment name. They go into the program's environment and nowhere else. */
export type Secrets = Readonly<Record<string, string>>;

/** Reads the declared secrets. @returns the values, or the names that are not there yet */
async function readSecrets(
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

/**
 * Waits until every declared secret is there, for as long as the signal allows: without them nothing starts.
 * `onMissing` is called once, after `patienceMs`, with the names.
 */
export async function waitForSecrets(
  directory: string,
  names: readonly string[],
  options: {
    readonly patienceMs: number;
    readonly signal: AbortSignal;
    readonly onMissing: (names: readonly string[]) => void;
  },
): Promise<Secrets | undefined> {
  const sayAt = Date.now() + options.patienceMs;
  let said = false;
  let waitMs = 25;
  while (!options.signal.aborted) {
    const read = await readSecrets(directory, names);
    if ("values" in read) return read.values;
    if (!said && Date.now() >= sayAt) {
      said = true;
      options.onMissing(read.missing);
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
