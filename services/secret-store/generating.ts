import { randomBytes } from "node:crypto";
import type { Declaration } from "../../spec/declaration.ts";
import { type OpReference, parseReference } from "../../spec/references.ts";
import { deliveryOf, referenceOf } from "../../spec/secrets.ts";
import { reasonOf } from "../common/log.ts";
import { Redacted } from "../common/redacted.ts";
import { keyOf } from "./onepassword/held.ts";
import type { Found } from "./onepassword/reading.ts";
import type { Resolver } from "./onepassword/resolver.ts";
import type { Owner } from "./rounds.ts";
import { problemOfItem, problemOfOp, type Sources } from "./source.ts";
import type { SecretStore } from "./store.ts";
import { referencesInHeaders, referencesInTemplate } from "./texts.ts";
import { wipe } from "./value.ts";

/** What was done, by name, and what was not: `NAME: why`. */
export type Answer<Done extends string> = Readonly<Record<Done | "skipped", readonly string[]>>;

interface Parts {
  readonly store: SecretStore;
  readonly sources: Sources;
  readonly resolver: Resolver | undefined;
}

/** What decides whether a value may be made up. */
type Rules = Pick<Parts, "store" | "sources">;

/** How a secret gets a new value: by a new round of its own derivation, by a new text in 1Password, or not by berth. */
type Way =
  | { readonly kind: "round" }
  | { readonly kind: "write"; readonly reference: OpReference; readonly bytes: number }
  | { readonly kind: "none"; readonly reason: string };

/**
 * Gives an agent's generated secrets new values: all of them, or those that are named.
 * @throws Error that lists everything wrong where nothing was rotated
 */
export async function rotateAgent(
  parts: Parts,
  agent: string,
  names: readonly string[],
): Promise<Answer<"rotated">> {
  const { store, resolver, sources } = parts;
  const declaration = store.declarations.find(({ name }) => name === agent);
  if (!declaration) {
    const all = store.declarations.map(({ name }) => name).join(", ");
    throw new Error(`there is no agent "${agent}"; there are: ${all || "none"}`);
  }
  const ways = waysOf(declaration, parts);
  const unknown = names.filter((name) => !ways.has(name));
  if (unknown.length > 0) {
    const all = [...ways.keys()].join(", ");
    throw new Error(`${agent} has no ${unknown.join(", ")}; it has: ${all || "none"}`);
  }
  const rounds: Owner[] = [];
  const rotated: string[] = [];
  const skipped: string[] = [];
  for (const name of names.length > 0 ? new Set(names) : ways.keys()) {
    const way = ways.get(name) ?? { kind: "none", reason: "it is not declared" };
    if (way.kind === "round") rounds.push({ agent, name });
    else if (way.kind === "none") skipped.push(`${name}: ${way.reason}`);
    else {
      const failed = await write(resolver, way.reference, way.bytes);
      if (failed === undefined) rotated.push(name);
      else skipped.push(`${name}: ${failed}`);
    }
  }
  await sources.rounds.next(rounds);
  rotated.push(...rounds.map(({ name }) => name));
  if (rotated.length === 0)
    throw new Error(`nothing was rotated: ${skipped.join("; ") || `${agent} has no secrets`}`);
  if (rounds.length < rotated.length) await resolver?.refresh();
  await store.refresh();
  return { rotated: rotated.sort(), skipped };
}

/** Everything of an agent that has a value, by name, and how it gets a new one. */
function waysOf(declaration: Declaration, parts: Rules): Map<string, Way> {
  const ways = new Map<string, Way>();
  for (const [name, secret] of Object.entries(declaration.secrets)) {
    const bytes = typeof secret === "string" ? undefined : secret.generate;
    ways.set(name, wayOf(declaration, referenceOf(secret), deliveryOf(secret), bytes, parts));
  }
  // A config file or an endpoint has one round for all that is generated in it.
  for (const [name, references] of textsOf(declaration)) {
    const found = references.map((reference) =>
      wayOf(declaration, reference, "text", undefined, parts),
    );
    const way = found.find(({ kind }) => kind === "round") ?? found[0];
    if (way) ways.set(name, way);
  }
  return ways;
}

/** The references of each config file and endpoint, by its place. */
function textsOf({ configFiles = {}, endpoints = {} }: Declaration): [string, readonly string[]][] {
  return [
    ...Object.entries(configFiles).map(([name, { template }]): [string, readonly string[]] => [
      `configFiles.${name}`,
      referencesInTemplate(template),
    ]),
    ...Object.entries(endpoints).map(([name, endpoint]): [string, readonly string[]] => [
      `endpoints.${name}`,
      referencesInHeaders(endpoint),
    ]),
  ];
}

function wayOf(
  declaration: Declaration,
  written: string,
  form: "env" | "file" | "text",
  bytes: number | undefined,
  { store, sources }: Rules,
): Way {
  const { name: agent, vaults = [] } = declaration;
  const reference = parseReference(written);
  if (reference.scheme === "generated")
    return sources.development
      ? { kind: "round" }
      : { kind: "none", reason: "refused in this stack: it is for development" };
  if (reference.scheme === "op" && bytes !== undefined) {
    // Another agent's item is not this one's to write either.
    const refused =
      problemOfOp(reference, { agent, vaults, form }) ??
      problemOfItem(reference, store.makingOf(declaration), sources.op);
    return refused === undefined
      ? { kind: "write", reference, bytes }
      : { kind: "none", reason: refused };
  }
  const where =
    reference.scheme === "op"
      ? "change it in 1Password, or declare it with { generate: 32 }"
      : "change it where it comes from";
  return { kind: "none", reason: `berth does not make up ${written}; ${where}` };
}

/** Writes the declared fields that berth may make up and that are missing. What is there is never overwritten. */
export async function createMissing(
  { store, sources }: Parts,
  resolver: Resolver,
): Promise<Answer<"created">> {
  const wanted = new Map<string, { names: string[]; reference: OpReference; bytes: number }>();
  const skipped: string[] = [];
  for (const declaration of store.declarations) {
    for (const [name, secret] of Object.entries(declaration.secrets)) {
      if (typeof secret === "string" || secret.generate === undefined) continue;
      const way = wayOf(declaration, secret.from, deliveryOf(secret), secret.generate, {
        store,
        sources,
      });
      const called = `${declaration.name}.${name}`;
      if (way.kind === "none") skipped.push(`${called}: ${way.reason}`);
      if (way.kind !== "write") continue;
      const same = wanted.get(keyOf(way.reference));
      if (same) same.names.push(called);
      else wanted.set(keyOf(way.reference), { ...way, names: [called] });
    }
  }
  const found = await resolver.peek(
    new Map([...wanted].map(([key, { reference }]) => [key, reference])),
  );
  const created: string[] = [];
  for (const [key, { names, reference, bytes }] of wanted) {
    const problem = whyNotWritten(found.get(key));
    const failed = problem ?? (await write(resolver, reference, bytes));
    if (failed === undefined) created.push(...names);
    else skipped.push(...names.map((name) => `${name}: ${failed}`));
  }
  if (created.length > 0) {
    await resolver.refresh();
    await store.refresh();
  }
  return { created: created.sort(), skipped };
}

function whyNotWritten(found: Found | undefined): string | undefined {
  if (found && "value" in found) {
    wipe(found.value);
    return "it has a value already";
  }
  if (found?.kind === "gone" && found.missing !== undefined) return undefined;
  return found && "reason" in found ? found.reason : "1Password gave no answer";
}

/** Writes a new random value. @returns why it was not written */
async function write(
  resolver: Resolver | undefined,
  reference: OpReference,
  bytes: number,
): Promise<string | undefined> {
  if (!resolver) return "this stack has no 1Password";
  const random = randomBytes(bytes);
  try {
    await resolver.write(reference, new Redacted(random.toString("base64url"), "new value"));
    return undefined;
  } catch (error) {
    return reasonOf(error);
  } finally {
    random.fill(0);
  }
}
