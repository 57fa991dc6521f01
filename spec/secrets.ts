import type { Json } from "./canonical.ts";
import { leavesOf, referencesInText } from "./json-template.ts";
import { bareReference } from "./references.ts";

/** What an agent's declaration says of its secrets: references and how their values are handed over. */

/** How the program gets a secret: as an environment variable, or as a file that it reads again when it changes. */
export type SecretDelivery = "env" | "file";

/** A secret of an agent. A plain reference is an environment variable of its program. */
export type DeclaredSecret =
  | string
  | {
      /** The reference. */
      readonly from: string;
      /** The program gets the file's path in `NAME_FILE`, and rereads the file: a new value restarts nothing. */
      readonly as?: "file";
      /** berth may write the field and rotate it: this many random bytes, base64url. */
      readonly generate?: number;
    };

/** A JSON file that is rendered for the agent; references stand in the strings of its template. */
export interface ConfigFile {
  readonly template: Json;
  /** The program rereads the file: new content restarts nothing. */
  readonly reread?: true;
}

/** An HTTP service behind the agent's gateway, which adds the headers outside of the agent. */
export interface Endpoint {
  readonly url: string;
  /** By lower-case name; the values are templates. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The members of a declaration that hold references. */
export interface WithReferences {
  readonly secrets: Readonly<Record<string, DeclaredSecret>>;
  readonly configFiles?: Readonly<Record<string, ConfigFile>>;
  readonly endpoints?: Readonly<Record<string, Endpoint>>;
}

/** A reference and where in the declaration it stands. */
export interface PlacedReference {
  /** `secrets.TOKEN`, `configFiles.config.json.bots[0].token`, `endpoints.model.headers.authorization`. */
  readonly place: string;
  /** Without braces. */
  readonly reference: string;
}

/** The reference of a secret, without braces. */
export function referenceOf(secret: DeclaredSecret): string {
  return bareReference(typeof secret === "string" ? secret : secret.from);
}

/** How the program gets a secret. */
export function deliveryOf(secret: DeclaredSecret): SecretDelivery {
  return typeof secret === "string" ? "env" : (secret.as ?? "env");
}

/** Every reference of a declaration with its place, in the order of the names; one place may have several. */
export function referencesIn(declaration: WithReferences): readonly PlacedReference[] {
  const { secrets, configFiles = {}, endpoints = {} } = declaration;
  return [
    ...byName(secrets).map(([name, secret]) => ({
      place: `secrets.${name}`,
      reference: referenceOf(secret),
    })),
    ...byName(configFiles).flatMap(([name, { template }]) =>
      leavesOf(template).flatMap(({ path, text }) => placed(`configFiles.${name}${path}`, text)),
    ),
    ...byName(endpoints).flatMap(([name, { headers }]) =>
      byName(headers).flatMap(([header, text]) =>
        placed(`endpoints.${name}.headers.${header}`, text),
      ),
    ),
  ];
}

function placed(place: string, text: string): PlacedReference[] {
  return referencesInText(text).map((reference) => ({ place, reference }));
}

function byName<T>(members: Readonly<Record<string, T>>): readonly (readonly [string, T])[] {
  return Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1));
}
