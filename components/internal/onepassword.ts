import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * Asks 1Password by its Pulumi plugin whether vaults and items are there, in a process of its own (`onepassword-lookup.ts`).
 *
 * Not by Pulumi's engine, for three reasons, each of them tried with Pulumi 3.259: the engine's provider takes the token from
 * the environment into its inputs, and so into the state and the logs; the SDK writes a function's whole answer – every value
 * of the item – as a debug event, in plain text where events are logged; and a plugin that is missing fails the preview.
 */

/** A vault, and the items of it that are asked for; names or ids. */
export interface VaultQuestion {
  readonly vault: string;
  readonly items: readonly string[];
}

/** What was found of one vault, or of one item. `several`: of that name, and nobody can tell which is meant. */
export interface Finding {
  readonly vault: string;
  /** Absent: it is about the vault itself. */
  readonly item?: string;
  readonly state: "found" | "missing" | "several";
}

/** Why not everything could be asked. */
export type Obstacle =
  | "credentials"
  | "plugin"
  | "start"
  | "program"
  | "refused"
  | "limited"
  | "away"
  | "slow";

export interface Inquiry {
  readonly findings: readonly Finding[];
  /** Absent: every question has its finding. */
  readonly obstacle?: Obstacle;
}

/** One line of the lookup's standard input. */
export interface LookupOrder {
  /** Path of the plugin. */
  readonly plugin: string;
  readonly questions: readonly VaultQuestion[];
}

/** One line of the lookup's standard output. */
export type LookupLine = Finding | { readonly obstacle: Obstacle };

/** What the npm package says of its plugin. */
export interface PluginHead {
  readonly version: string;
  /** Where Pulumi downloads it. */
  readonly server: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Longest time without a finding, and of all of them together, in milliseconds. */
const patience = { silence: 30_000, whole: 300_000 };

/** The ways to sign in, by the variables that the plugin reads; it refuses to be given two of them. */
const credentials = {
  connect: ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"],
  service: ["OP_SERVICE_ACCOUNT_TOKEN"],
  account: ["OP_ACCOUNT"],
} as const;

/** Name and version of the plugin that the npm package wants. */
export async function pluginHead(): Promise<PluginHead> {
  const { default: head } = await import("@1password/pulumi-onepassword/package.json", {
    with: { type: "json" },
  });
  return { version: head.version.replace(/^v/, ""), server: head.pulumi.server };
}

/**
 * Asks for vaults and items. It never rejects and never shows a text of 1Password's: what went wrong is an {@link Obstacle}.
 * @param via the way to sign in that is taken where the environment has several
 */
export async function askOnePassword(
  questions: readonly VaultQuestion[],
  via: "sdk" | "connect" | "op",
  env: Environment = process.env,
  limits = patience,
): Promise<Inquiry> {
  const signedIn = withOneCredential(env, via);
  if (!signedIn) return { findings: [], obstacle: "credentials" };
  const plugin = await findPlugin((await pluginHead()).version, env);
  if (!plugin) return { findings: [], obstacle: "plugin" };
  return lookUp({ plugin, questions }, signedIn, limits);
}

/** The environment with one way to sign in, and without what Pulumi tells its children; undefined: no way. */
function withOneCredential(env: Environment, via: string): NodeJS.ProcessEnv | undefined {
  const order = via === "connect" ? (["connect", "service", "account"] as const) : undefined;
  const chosen = (order ?? (["service", "account", "connect"] as const)).find((kind) =>
    credentials[kind].every((name) => env[name]),
  );
  if (!chosen) return undefined;
  const kept: readonly string[] = credentials[chosen];
  const others = Object.values(credentials).flat();
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) =>
        kept.includes(name) || !(name.startsWith("PULUMI_") || others.some((o) => o === name)),
    ),
  );
}

/** Where Pulumi itself would find the plugin: on PATH, else among its own; never downloaded here. */
async function findPlugin(version: string, env: Environment): Promise<string | undefined> {
  const name = "pulumi-resource-onepassword";
  const folders = /^(1|true)$/i.test(env.PULUMI_IGNORE_AMBIENT_PLUGINS ?? "")
    ? []
    : (env.PATH ?? "").split(":").filter(Boolean);
  const home = env.PULUMI_HOME || join(homedir(), ".pulumi");
  for (const folder of [...folders, join(home, "plugins", `resource-onepassword-v${version}`)]) {
    const path = join(folder, name);
    if (await isProgram(path)) return path;
  }
  return undefined;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function lookUp(
  order: LookupOrder,
  env: NodeJS.ProcessEnv,
  limits: typeof patience,
): Promise<Inquiry> {
  return new Promise((resolve) => {
    const program = fileURLToPath(new URL("onepassword-lookup.ts", import.meta.url));
    const child = spawn(process.execPath, [program], { env, stdio: ["pipe", "pipe", "ignore"] });
    const findings: Finding[] = [];
    let obstacle: Obstacle | undefined;
    // The lookup ends when its standard input does, and takes the plugin with it.
    const giveUp = () => {
      obstacle ??= "slow";
      child.stdin.destroy();
      setTimeout(() => child.kill("SIGKILL"), 2000).unref();
    };
    const whole = setTimeout(giveUp, limits.whole);
    const silence = setTimeout(giveUp, limits.silence);
    createInterface(child.stdout).on("line", (text) => {
      silence.refresh();
      const line = lineOf(text);
      if ("obstacle" in line) obstacle ??= line.obstacle;
      else findings.push(line);
    });
    child.on("error", () => {
      obstacle ??= "start";
    });
    child.stdin.on("error", () => {}); // it ended before it had read its order: "close" tells
    child.on("close", (code) => {
      clearTimeout(whole);
      clearTimeout(silence);
      if (code !== 0) obstacle ??= "start";
      resolve(obstacle ? { findings, obstacle } : { findings });
    });
    child.stdin.write(`${JSON.stringify(order)}\n`);
  });
}

/** Its own lines are the only ones that are expected; any other means that something is wrong with it. */
function lineOf(text: string): LookupLine {
  try {
    return JSON.parse(text) as LookupLine;
  } catch {
    return { obstacle: "start" };
  }
}
