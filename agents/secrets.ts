import { readFileSync, statSync } from "node:fs";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Json } from "../spec/canonical.ts";
import type { Declaration } from "../spec/declaration.ts";
import { fillText, leavesOf, maxTemplateBytes, problemsOfTemplate } from "../spec/json-template.ts";
import { parseReference, problemOfReference } from "../spec/references.ts";
import { isRecord } from "../spec/rules.ts";
import {
  type ConfigFile,
  type DeclaredSecret,
  type Endpoint,
  referencesIn,
  type SecretDelivery,
} from "../spec/secrets.ts";
import { AgentError } from "./error.ts";

/** What an agent's file says of secrets, and how it becomes what the declaration says. */

/** How a secret is delivered, and whether berth makes it. */
export interface SecretOptions {
  /**
   * `env`: an environment variable of the program, which a new value restarts. `file`: the program finds the file's path in
   * `NAME_FILE` and rereads it; the value may be any bytes. @default "env"
   */
  readonly as?: SecretDelivery;
  /** berth may write the field and rotate it: so many random bytes (16 to 1024), base64url. @default it never writes */
  readonly generate?: number;
}

/** The members of an agent's file that hold references. */
export interface SecretsInput {
  /** Environment name → secret reference, never a value: `secret("op://vault/item/field")`, or the text alone. @default none */
  readonly secrets?: Readonly<Record<string, DeclaredSecret>>;
  /** Vaults (`vault`) and items (`vault/item`) that `op://` references may name. @default the item `agents/<name>` */
  readonly vaults?: readonly string[];
  /** JSON files that are rendered for the program, by name: `jsonTemplate(…)`. @default none */
  readonly configFiles?: Readonly<Record<string, ConfigFile>>;
  /** HTTP services for which the gateway adds the credentials, by name. @default none */
  readonly endpoints?: Readonly<
    Record<string, { readonly url: string; readonly headers?: Endpoint["headers"] }>
  >;
}

type SecretMembers = Pick<Declaration, "secrets" | "vaults" | "configFiles" | "endpoints">;

/** A secret of an agent by its reference: `op://vault/item/[section/]field`, `file:/path`, `env:NAME` or `generated:32`. */
export function secret(reference: string, options: SecretOptions = {}): DeclaredSecret {
  const { as = "env", ...rest } = options;
  // What is wrong of it is told by defineAgent, which knows the agent and the name.
  return plain({ from: reference, ...(as === "env" ? {} : { as }), ...rest });
}

/**
 * A JSON file for the agent's program, with references in its strings: `"{{ op://vault/item/field }}"`, or nothing but the
 * reference. `source` is the URL of a file beside the agent's, or the value itself. `reread`: the program rereads the file, so
 * new content restarts nothing.
 * @throws AgentError that names the file and where in it the mistake is, and shows nothing of its content
 */
export function jsonTemplate(
  source: URL | readonly Json[] | { readonly [key: string]: Json | undefined },
  options: { readonly reread?: boolean } = {},
): ConfigFile {
  const { reread = false, ...rest } = options;
  return {
    template: source instanceof URL ? readTemplate(source) : source,
    ...(reread === false ? {} : { reread: reread as true }),
    ...rest,
  };
}

/** The members of the declaration, with defaults. Wrong values are carried along, for the checks to name. */
export function secretsOf(input: SecretsInput & { readonly name: string }): SecretMembers {
  const members = {
    secrets: mapped(input.secrets ?? {}, plain),
    ...(isEmpty(input.configFiles)
      ? {}
      : { configFiles: mapped(input.configFiles, withPlainTemplate) }),
    ...(isEmpty(input.endpoints) ? {} : { endpoints: mapped(input.endpoints, withHeaders) }),
  } as SecretMembers;
  const vaults = input.vaults ?? (namesItems(members) ? [`agents/${input.name}`] : undefined);
  if (vaults === undefined || (Array.isArray(vaults) && vaults.length === 0)) return members;
  return { ...members, vaults: Array.isArray(vaults) ? [...new Set(vaults)].sort() : vaults };
}

/** How well-known tokens and keys look, of a length that examples and other words do not have. */
const live =
  /(?<![A-Za-z0-9])(?:ops_[\w+/=-]{40}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22}|glpat-[\w-]{20}|xox[abeprs]-[\w-]{10}|AKIA[0-9A-Z]{16}|sk-(?=[A-Za-z_-]*[0-9])[\w-]{32})|-----BEGIN [A-Z ]*PRIVATE KEY/;

/** What templates and headers hold beside their references and looks like a live secret: it would stand in git and in the state. */
export function pastedSecrets({ configFiles = {}, endpoints = {} }: SecretMembers): string[] {
  const texts = [
    ...Object.entries(configFiles).flatMap(([name, { template }]) =>
      leavesOf(template).map(({ path, text }) => ({ place: `configFiles.${name}${path}`, text })),
    ),
    ...Object.entries(endpoints).flatMap(([name, { headers }]) =>
      Object.entries(headers).map(([header, text]) => ({
        place: `endpoints.${name}.headers.${header}`,
        text,
      })),
    ),
  ];
  return texts
    .filter(({ text }) => live.test(fillText(text, () => "")))
    .map(
      ({ place }) =>
        `${place}: looks like a secret's value; write {{ op://vault/item/field }} there`,
    );
}

/** A problem of the declaration, in the words of the agent's file. */
export function secretInInputWords(problem: string): string {
  return problem.replace(/^(configFiles\.[a-z0-9._-]+?)\.template(?=[.[:])/, "$1");
}

/** A secret that says no more than its reference is the reference. */
function plain(declared: DeclaredSecret): DeclaredSecret {
  return isRecord(declared) &&
    Object.keys(declared).length === 1 &&
    typeof declared.from === "string"
    ? declared.from
    : declared;
}

/** As the declaration's label will give it back: without members that JSON does not write. */
function withPlainTemplate(file: ConfigFile): ConfigFile {
  if (!isRecord(file) || problemsOfTemplate(file.template).length > 0) return file;
  return { ...file, template: JSON.parse(JSON.stringify(file.template)) as Json };
}

function withHeaders(endpoint: {
  readonly url: string;
  readonly headers?: Endpoint["headers"];
}): Endpoint {
  return isRecord(endpoint) ? { ...endpoint, headers: endpoint.headers ?? {} } : endpoint;
}

/** Whether a reference names an item of 1Password; wrong members name none. */
function namesItems(members: SecretMembers): boolean {
  try {
    return referencesIn(members).some(
      ({ reference }) =>
        problemOfReference(reference) === undefined && parseReference(reference).scheme === "op",
    );
  } catch {
    return false;
  }
}

function readTemplate(url: URL): Json {
  if (url.protocol !== "file:")
    throw new AgentError("the agent's jsonTemplate", [
      'is no file; write new URL("./name.json.tpl", import.meta.url)',
    ]);
  const path = fileURLToPath(url);
  const shown = relative(dirname(import.meta.dirname), path);
  const wrong = (problem: string) => new AgentError(shown, [problem]);
  let text: string;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw wrong("is no regular file");
    // The template without its white space is smaller, but not by much.
    if (stat.size > 4 * maxTemplateBytes)
      throw wrong(
        `has ${stat.size} bytes; at most ${maxTemplateBytes} are allowed as JSON without white space`,
      );
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof AgentError) throw error;
    throw wrong(`cannot be read (${(error as NodeJS.ErrnoException).code ?? "failed"})`);
  }
  let template: Json;
  try {
    template = JSON.parse(text) as Json;
  } catch (error) {
    // The parser's own message may show a part of the text.
    const [, line, column] = /\(line (\d+) column (\d+)\)/.exec((error as Error).message) ?? [];
    const place = line === undefined ? "" : `line ${line}, column ${column}: `;
    throw wrong(`${place}is not JSON; references stand inside of strings, in double quotes`);
  }
  const problems =
    isRecord(template) || Array.isArray(template)
      ? problemsOfTemplate(template)
      : [": must be an object or a list"];
  if (problems.length > 0)
    throw new AgentError(
      shown,
      problems.map((problem) => problem.replace(/^[.:]\s*/, "")),
    );
  return template;
}

function isEmpty(members: object | undefined): members is undefined {
  return members === undefined || (isRecord(members) && Object.keys(members).length === 0);
}

function mapped<T, U>(
  members: Readonly<Record<string, T>>,
  change: (member: T) => U,
): Record<string, U> {
  if (!isRecord(members)) return members;
  return Object.fromEntries(
    Object.entries(members as Record<string, T>).map(([name, member]) => [name, change(member)]),
  );
}
