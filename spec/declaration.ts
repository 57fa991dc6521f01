import { canonicalJson, hashOf, type Json } from "./canonical.ts";
import { checkDeclaration } from "./declaration-check.ts";
import type { Limits } from "./presets.ts";
import type { ConfigFile, DeclaredSecret, Endpoint } from "./secrets.ts";

/** Largest declaration that is accepted, in bytes of canonical JSON. */
export const maxDeclarationBytes = 16 * 1024;

/** Who runs the agent: berth in its own container, or the operator in a process of his own. */
export type Driver = "docker" | "local";
/** When the admin bridge starts the agent: as soon as it is there, on a mention, or on a word. */
export type Activation = "always" | "on-demand" | "manual";
/** `sealed`: gateway socket only. `mattermost`: also on `mattermost-net`. `none`: not even a gateway. */
export type AgentNetwork = "sealed" | "mattermost" | "none";

/** An Agent Client Protocol program behind the runner, or a program that brings its own bridge. */
export type Program = { readonly acp: readonly string[] } | { readonly command: readonly string[] };

/** Who may talk to the agent. `open` is everybody in its channels. */
export interface Access {
  readonly mode: "allowlist" | "blocklist" | "open";
  readonly users?: readonly string[];
}

export interface Chat {
  /** Channels that the bot joins, by name. */
  readonly channels: readonly string[];
  /** Answer mentions and direct messages only, or every message of a person in its channels. */
  readonly trigger: "mention" | "all";
  readonly access: Access;
}

/** What the instances of a template have of the agent's workspace; `scratch`: nothing, theirs is empty and in RAM. */
export type TemplateWorkspace = "shared" | "read-only" | "scratch";

/** What a client may choose of an instance: the value of one environment variable. Not for secrets: it shows in inspect. */
export interface Parameter {
  /** What the whole value must look like; see spec/pattern.ts. */
  readonly pattern: string;
  /** In characters. */
  readonly maxLength: number;
  /** The parameter may be left out; the variable is then not set. */
  readonly optional?: true;
}

/** How many containers may be made of a template at a time, and for how long each. */
export interface InstanceLimits {
  readonly max: number;
  /** From the create on. The socket proxy then stops and removes the container. */
  readonly timeoutSeconds: number;
}

/** A kind of container that is made on demand, for an agent's work: a worker or a sandbox. */
export interface Template {
  readonly preset: "worker" | "sandbox";
  /** Full image reference, one that never moves. */
  readonly image: string;
  /** Entry point and its arguments, all of it: no client adds to it. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** By environment variable, `TASK_…`. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly limits: Limits;
  /** `sealed`: the agent's own gateway socket and secrets. `none`: nothing. */
  readonly network: "sealed" | "none";
  readonly workspace: TemplateWorkspace;
  readonly instances: InstanceLimits;
}

/**
 * All that the services know of an agent, as it stands in the label of its declaration volume.
 * Complete in itself: the container is rendered from it alone. It holds secret references, never values.
 */
export interface Declaration {
  readonly version: 1;
  readonly stack: string;
  readonly name: string;
  readonly driver: Driver;
  /** Full image reference: a stack image by content hash, or a foreign one by digest. */
  readonly image: string;
  /** The operator accepts that `image` is a name which may come to mean another image. Absent: it never moves. */
  readonly allowMovingTag?: true;
  /** The image holds berth's agent runner as its entry point. */
  readonly runner: boolean;
  readonly program: Program;
  readonly activation: Activation;
  readonly preset: string;
  readonly limits: Limits;
  readonly chat: Chat;
  readonly network: AgentNetwork;
  /** `host`, `*.suffix`, either with `:port`; without a port: 443. Sorted. */
  readonly egress: readonly string[];
  /** Environment name → reference (`op://…`, `file:…`, `env:…`, `generated:…`) and how its value is delivered. */
  readonly secrets: Readonly<Record<string, DeclaredSecret>>;
  /** Vaults (`vault`) and items (`vault/item`) that the `op://` references may name. Sorted. Absent: none. */
  readonly vaults?: readonly string[];
  /** JSON files that are rendered for the agent, by name. Absent: none. */
  readonly configFiles?: Readonly<Record<string, ConfigFile>>;
  /** Services behind the gateway, which adds the credentials, by name. Absent: none. */
  readonly endpoints?: Readonly<Record<string, Endpoint>>;
  readonly workspace: { readonly retain: boolean };
  /** Further containers of the agent itself. Absent: none. */
  readonly instances?: InstanceLimits;
  /** Workers and sandboxes, by name. Absent: none. */
  readonly templates?: Readonly<Record<string, Template>>;
}

/** The text for the label. @throws Error that names the size where it is over {@link maxDeclarationBytes} */
export function encodeDeclaration(declaration: Declaration): string {
  const text = canonicalJson(declaration as unknown as Json);
  const size = Buffer.byteLength(text);
  if (size > maxDeclarationBytes) {
    throw new Error(
      `the declaration of ${declaration.name} has ${size} bytes; at most ${maxDeclarationBytes} are allowed`,
    );
  }
  return text;
}

/**
 * Reads a label's text. Strict: unknown members, wrong types and other versions are refused.
 * @throws Error that lists every problem with its path
 */
export function decodeDeclaration(text: string): Declaration {
  if (Buffer.byteLength(text) > maxDeclarationBytes) {
    throw new Error(`declaration: more than ${maxDeclarationBytes} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("declaration: not JSON");
  }
  const problems = checkDeclaration(value);
  if (problems.length > 0) throw new Error(problems.map((p) => `declaration.${p}`).join("; "));
  return value as Declaration;
}

/** Identity of a declaration's content. */
export function declarationHash(declaration: Declaration): string {
  return hashOf(declaration as unknown as Json);
}
