import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Declaration } from "../../../spec/declaration.ts";
import { deliveryOf } from "../../../spec/secrets.ts";
import { pause } from "../wait.ts";

/** The secret store's own files beside what it delivers; nothing else can have such a name. */
const generationFile = "generation";
const statusFile = "status.json";
/** Most bytes of these that are read: far more than the store writes for a declaration of the largest size. */
const maxAboutBytes = 1024 * 1024;
/** Most characters of a reason that go into the chat. */
const maxReason = 300;

/** Where the secret store delivers to this agent. */
export interface Directories {
  readonly secrets: string;
  readonly config: string;
}

/** What is there for the program. Values stay in memory and go nowhere but to the program. */
export interface Delivered {
  /** Values of the secrets that are environment variables, by name. */
  readonly env: Readonly<Record<string, string>>;
  /** Content of the secrets that the program reads itself, where it is text. */
  readonly files: Readonly<Record<string, string>>;
  /** Content of the rendered config files, by name. */
  readonly config: Readonly<Record<string, string>>;
}

/** What is declared and not there, and why, where the secret store says it. */
export interface Missing {
  readonly kind: "secret" | "config file";
  readonly name: string;
  readonly reason?: string;
}

/**
 * What tells one delivery from another one, as the store wrote it down: a text of each directory that is another one
 * whenever something in it is, and one for each file that stays the same while what it stands for does.
 */
export interface Marks {
  readonly generations: string;
  readonly secrets: ReadonlyMap<string, string>;
  readonly config: ReadonlyMap<string, string>;
}

/** Reads the marks. They must be read before the values that are compared by them. */
export async function readMarks(directories: Directories): Promise<Marks> {
  const [secrets, config] = await Promise.all([
    readAbout(directories.secrets, generationFile),
    readAbout(directories.config, generationFile),
  ]);
  return {
    generations: JSON.stringify([secrets, config]),
    secrets: fingerprints(secrets),
    config: fingerprints(config),
  };
}

/** Reads what is declared; what is not there is named. */
export async function readDelivered(
  directories: Directories,
  { secrets, configFiles = {} }: Pick<Declaration, "secrets" | "configFiles">,
): Promise<{ readonly delivered: Delivered; readonly missing: readonly Missing[] }> {
  const names = Object.keys(secrets).sort();
  const missing: Missing[] = [];
  const read = async (kind: Missing["kind"], directory: string, wanted: readonly string[]) => {
    const contents = await Promise.all(
      wanted.map((name) => readFile(join(directory, name)).catch(() => undefined)),
    );
    return Object.fromEntries(
      wanted.flatMap((name, i) => {
        const content = contents[i];
        if (!content) missing.push({ kind, name });
        return content ? [[name, content.toString("utf8")] as const] : [];
      }),
    );
  };
  const [own, config] = await Promise.all([
    read("secret", directories.secrets, names),
    read("config file", directories.config, Object.keys(configFiles).sort()),
  ]);
  const as = (delivery: string) =>
    Object.fromEntries(
      Object.entries(own).filter(([name]) => deliveryOf(secrets[name] ?? "") === delivery),
    );
  return { delivered: { env: as("env"), files: as("file"), config }, missing };
}

/**
 * Waits until every declared secret and config file is there, for as long as the signal allows: without them nothing starts.
 * Which are declared may change meanwhile.
 * `onMissing` is called after `patienceMs` with what is missing, and again whenever that or its reason changes.
 */
export async function waitForDelivered(
  directories: Directories,
  declaration: () => Declaration,
  options: {
    readonly patienceMs: number;
    readonly signal: AbortSignal;
    readonly onMissing: (missing: readonly Missing[]) => void;
  },
): Promise<{ readonly delivered: Delivered; readonly marks: Marks } | undefined> {
  const sayAt = Date.now() + options.patienceMs;
  let said = "";
  let waitMs = 25;
  while (!options.signal.aborted) {
    const marks = await readMarks(directories);
    const read = await readDelivered(directories, declaration());
    if (read.missing.length === 0) return { delivered: read.delivered, marks };
    if (Date.now() >= sayAt) {
      const missing = await withReasons(directories, read.missing);
      if (JSON.stringify(missing) !== said) options.onMissing(missing);
      said = JSON.stringify(missing);
    }
    await pause(waitMs, options.signal);
    waitMs = Math.min(waitMs * 2, said ? 5_000 : 500);
  }
  return undefined;
}

/** Adds to each why the secret store could not deliver it. */
async function withReasons(
  directories: Directories,
  missing: readonly Missing[],
): Promise<readonly Missing[]> {
  const [secrets, config] = await Promise.all([
    readReasons(directories.secrets),
    readReasons(directories.config),
  ]);
  return missing.map(({ kind, name }) => {
    const reason =
      kind === "secret"
        ? secrets.get(name)
        : (config.get(name) ?? secrets.get(`configFiles.${name}`));
    return reason ? { kind, name, reason } : { kind, name };
  });
}

async function readReasons(directory: string): Promise<ReadonlyMap<unknown, string>> {
  const reasons = new Map<unknown, string>();
  try {
    const status = JSON.parse((await readAbout(directory, statusFile)) ?? "{}") as {
      readonly secrets?: readonly { readonly name?: unknown; readonly reason?: unknown }[];
    };
    for (const { name, reason } of status.secrets ?? []) {
      if (typeof reason === "string") reasons.set(name, shortened(reason));
    }
  } catch {
    // A status that cannot be read only costs the reason.
  }
  return reasons;
}

function shortened(reason: string): string {
  const line = reason.replace(/\s+/g, " ").trim().replace(/\.$/, "");
  return line.length > maxReason ? `${line.slice(0, maxReason - 1)}…` : line;
}

function fingerprints(generation: string | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  try {
    const { files } = Object(JSON.parse(generation ?? "{}")) as { readonly files?: unknown };
    for (const [name, about] of Object.entries(Object(files) as Record<string, unknown>)) {
      const { fingerprint } = Object(about) as { readonly fingerprint?: unknown };
      if (typeof fingerprint === "string") found.set(name, fingerprint);
    }
  } catch {
    // Without them the values alone decide.
  }
  return found;
}

/** One of the store's own files, or nothing where there is none. */
async function readAbout(directory: string, name: string): Promise<string | undefined> {
  try {
    const file = await open(join(directory, name));
    try {
      const { size } = await file.stat();
      const room = Buffer.alloc(Math.min(size, maxAboutBytes));
      const { bytesRead } = await file.read(room, 0, room.length, 0);
      return room.toString("utf8", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}
