import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { stackNamePattern } from "../spec/names.ts";
import { CliError } from "./console.ts";

/** The project's root. */
export const root = dirname(import.meta.dirname);

/** What is built or fetched once for all clones of a user. */
export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth");
}

/** What belongs to this clone's stacks: state and passphrase. */
export const ownDirectory = join(root, ".berth");

/** Folder of the `berth` command for PATH. */
export const shimFolder = join(root, "toolchain/bin");

/** Name of the Pulumi stack: `BERTH_STACK`, or `dev`. @throws CliError for a name that is no stack's */
export function stackName(env: NodeJS.ProcessEnv): string {
  const name = env.BERTH_STACK || "dev";
  if (!stackNamePattern.test(name)) {
    throw new CliError(
      `BERTH_STACK: "${name}" is no stack name: at most 31 of a-z, 0-9 and -, a letter first`,
    );
  }
  return name;
}

/** Config file of a stack. */
export function configFile(stack: string): string {
  return join(root, `Pulumi.${stack}.yaml`);
}

/** Where a program is on PATH; undefined: nowhere. `without` leaves a folder and what is in it out. */
export function onPath(
  program: string,
  env: NodeJS.ProcessEnv,
  isFile: (path: string) => boolean,
  without?: string,
): string | undefined {
  return (env.PATH ?? "")
    .split(":")
    .filter((folder) => folder !== "" && !(without && `${folder}/`.startsWith(`${without}/`)))
    .map((folder) => join(folder, program))
    .find(isFile);
}
