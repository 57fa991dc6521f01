import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where Pulumi keeps its state, as the variables that say so. */
export interface PulumiState {
  readonly says: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Folder of Pulumi's plugins and logs. */
  readonly home: string;
  /** Berth's own file backend, not one that the user has chosen. */
  readonly own: boolean;
  /** Folder of the own file backend. */
  readonly folder: string;
}

/**
 * Chooses the state: the backend that the user has logged in to or named in the environment, else files and a generated
 * passphrase in the clone's own folder, which are made here (0700, 0600) where they are missing.
 */
export function pulumiState(
  env: NodeJS.ProcessEnv,
  folders: { readonly own: string; readonly cache: string },
): PulumiState {
  const always = {
    PULUMI_SKIP_UPDATE_CHECK: "true",
    // A plugin that is missing fails at once instead of after a download's time limit.
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE || join(folders.cache, "node-compile"),
  };
  const folder = join(folders.own, "state");
  const stateUrl = `file://${folder}`;
  const chosen = chosenBackend(env, stateUrl);
  if (chosen) {
    const home = env.PULUMI_HOME || join(homedir(), ".pulumi");
    return {
      says: `using ${chosen}`,
      variables: { ...always, PULUMI_HOME: home },
      home,
      own: false,
      folder,
    };
  }
  const home = env.PULUMI_HOME || join(folders.cache, "pulumi");
  const passphrase = join(folders.own, "passphrase");
  const made = !existsSync(passphrase);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (made) {
    writeFileSync(passphrase, `${randomBytes(32).toString("base64url")}\n`, {
      mode: 0o600,
      flag: "wx",
    });
  }
  return {
    says: made ? "made a file backend in .berth" : "using the file backend in .berth",
    variables: {
      ...always,
      PULUMI_HOME: home,
      PULUMI_BACKEND_URL: stateUrl,
      PULUMI_CONFIG_PASSPHRASE_FILE: passphrase,
    },
    home,
    own: true,
    folder,
  };
}

/** The backend that the user has chosen, in words; undefined: none. Our own, left in a shell by `make env`, is none. */
function chosenBackend(env: NodeJS.ProcessEnv, ownUrl: string): string | undefined {
  const url = env.PULUMI_BACKEND_URL;
  if (url === ownUrl) return undefined;
  if (url) return "PULUMI_BACKEND_URL";
  if (env.PULUMI_ACCESS_TOKEN) return "Pulumi Cloud (PULUMI_ACCESS_TOKEN)";
  const file = join(
    env.PULUMI_CREDENTIALS_PATH || env.PULUMI_HOME || join(homedir(), ".pulumi"),
    "credentials.json",
  );
  try {
    const { current } = JSON.parse(readFileSync(file, "utf8")) as { current?: unknown };
    return typeof current === "string" && current !== "" && current !== ownUrl
      ? `the backend of your Pulumi login (${current})`
      : undefined;
  } catch {
    return undefined; // never logged in
  }
}

/**
 * Takes a salt that belongs to another passphrase out of a stack's config file. The salt stands there since Pulumi writes it
 * on a stack's first use, and comes along where that file is committed; a new clone's own passphrase cannot match it.
 * @returns the text to write, or undefined where nothing has to change
 * @throws Error where the file has encrypted values, which only the other passphrase can open
 */
export function withoutForeignSalt(text: string, file: string): string | undefined {
  if (!/^encryptionsalt:/m.test(text)) return undefined;
  if (/^\s+secure:/m.test(text)) {
    throw new Error(
      `${file} has values encrypted with another passphrase: put that passphrase into .berth/passphrase, ` +
        "or set the values again in a file without them",
    );
  }
  return text.replace(/^encryptionsalt:.*\n?/m, "");
}
