import { join } from "node:path";
import { canonicalJson, hashOf, type Json } from "../../spec/canonical.ts";
import type { Declaration } from "../../spec/declaration.ts";
import { configFileNamePattern, environmentPattern, Path } from "../../spec/names.ts";
import { deliveryOf, type Endpoint, referenceOf } from "../../spec/secrets.ts";
import { Redacted } from "../common/redacted.ts";
import { Delivery, type Wanted } from "./delivery.ts";
import { type Consumer, resolve, type Sources } from "./source.ts";
import {
  type AskValue,
  type Filled,
  referencesInHeaders,
  referencesInTemplate,
  renderFile,
  renderHeaders,
} from "./texts.ts";
import { type Form, type Resolution, wipe } from "./value.ts";

/**
 * How one secret, config file or endpoint of one agent stands.
 * `delivered`: its consumer has, or can have, what it is now. `kept`: the value cannot be had now, the file still holds the
 * one that was delivered for this reference. `missing`: there is no file, and the gateway gets nothing.
 */
export interface SecretState {
  readonly agent: string;
  /** Of a secret its name, of the others their place: `configFiles.config.json`, `endpoints.model`. */
  readonly name: string;
  /** Of a text with several: all of them, by comma. */
  readonly reference: string;
  readonly state: "delivered" | "kept" | "missing";
  /** Why it is not `delivered`, and the cure. Never a value. */
  readonly reason?: string;
}

/** A state, and whether somebody must mend the reference: waiting would not help. */
export interface Outcome extends SecretState {
  readonly wrong: boolean;
}

/** What one agent's things are made from. */
export interface Making {
  readonly declaration: Declaration;
  readonly sources: Sources;
  /** Another agent that names the same item. */
  readonly alsoOf: Consumer["alsoOf"];
}

/** The two directories of an agent's files. */
export interface Deliveries {
  readonly secrets: Delivery;
  readonly config: Delivery;
}

/** @param directory where every agent's directory is */
export function deliveriesOf(directory: string, agent: string, owner?: number): Deliveries {
  const at = (path: string) => path.replace(Path.agentRun, join(directory, agent));
  return {
    secrets: new Delivery(at(Path.agentSecrets), environmentPattern, owner),
    config: new Delivery(at(Path.agentConfig), configFileNamePattern, owner),
  };
}

/** Makes an agent's files as its declaration and the sources say. @returns how everything stands, and what changed */
export async function deliver(
  making: Making,
  { secrets, config }: Deliveries,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly changed: readonly string[] }> {
  const { declaration } = making;
  const { name: agent, configFiles = {}, endpoints = {} } = declaration;
  const closed = declaration.network === "none";
  const own = await put(
    making,
    byName(declaration.secrets).map(([name, secret]) => {
      const reference = referenceOf(secret);
      const find = ask(making, name, deliveryOf(secret));
      return { name, place: name, reference, shown: reference, find: () => find(reference) };
    }),
    secrets,
  );
  const files = await put(
    making,
    byName(configFiles).map(([name, { template }]) => {
      const place = `configFiles.${name}`;
      const find = () => rendered(template, ask(making, place, "text"));
      const reference = `template ${hashOf(template)}`;
      return { name, place, reference, shown: shown(() => referencesInTemplate(template)), find };
    }),
    config,
  );
  const told: Outcome[] = [];
  for (const [name, endpoint] of byName(endpoints)) {
    const references = shown(() => referencesInHeaders(endpoint));
    const found = closed ? nowhere : await headersOf(making, name, endpoint);
    told.push(outcome(agent, `endpoints.${name}`, references, found));
  }
  const outcomes = [...own.outcomes, ...files.outcomes, ...told];
  if (!closed) {
    await secrets.tell(outcomes);
    const inFolder = files.outcomes.map((one) => ({
      ...one,
      name: one.name.replace(/^[^.]*\./, ""),
    }));
    await config.tell(inFolder);
  }
  return { outcomes, changed: [...own.changed, ...files.changed] };
}

/** The headers that the gateway is to add for an endpoint. */
export function headersOf(
  making: Making,
  name: string,
  endpoint: Endpoint,
): Promise<Filled<Readonly<Record<string, string>>>> {
  return renderHeaders(endpoint, ask(making, `endpoints.${name}`, "text"));
}

const nowhere = {
  kind: "gone",
  reason: 'an agent with network "none" has no directory to which secrets could be delivered',
} as const;

/** One file that is to stand: what it is made of, and how it is called to whom. */
interface Plan {
  readonly name: string;
  readonly place: string;
  readonly reference: string;
  readonly shown: string;
  readonly find: () => Promise<Resolution>;
}

/** Writes what can be had now; where the agent has no directory, that is nothing. */
async function put(
  { declaration, sources }: Making,
  plans: readonly Plan[],
  delivery: Delivery,
): Promise<{ readonly outcomes: Outcome[]; readonly changed: readonly string[] }> {
  const agent = declaration.name;
  const there = await delivery.delivered();
  const wanted = new Map<string, Wanted>();
  const keep = new Set<string>();
  const outcomes: Outcome[] = [];
  try {
    for (const { name, place, reference, shown: references, find } of plans) {
      const found = declaration.network === "none" ? nowhere : await find();
      const stands = there.get(name);
      const print = (of: Buffer | string) => sources.seed.fingerprint({ agent, name: place }, of);
      if (found.kind === "value") {
        const { value, identity } = found;
        const fingerprint = print(identity ?? value.reveal());
        const fleeting = identity === undefined ? {} : ({ fleeting: true } as const);
        wanted.set(name, { reference, fingerprint, value, ...fleeting });
        outcomes.push(outcome(agent, place, references, { kind: "filled" }));
      } else if (found.kind === "stands") {
        const same =
          stands?.reference === reference && stands.fingerprint === print(found.identity);
        const kept = stands?.reference === reference;
        if (kept) keep.add(name);
        const kind = same
          ? ({ kind: "filled" } as const)
          : ({ kind: "unavailable", reason: "it is read at the next look at 1Password" } as const);
        outcomes.push(outcome(agent, place, references, kind, kept));
      } else {
        const kept = found.kind === "unavailable" && stands?.reference === reference;
        if (kept) keep.add(name);
        outcomes.push(outcome(agent, place, references, found, kept));
      }
    }
    const changed = await delivery.apply(wanted, keep);
    return { outcomes, changed: changed ? [...wanted.keys(), ...keep] : [] };
  } finally {
    for (const { value } of wanted.values()) wipe(value);
  }
}

function outcome(
  agent: string,
  name: string,
  reference: string,
  found: Filled<unknown> | { readonly kind: "filled" },
  kept = false,
): Outcome {
  if (found.kind === "filled") return { agent, name, reference, state: "delivered", wrong: false };
  const wrong = found.kind === "gone" || found.wrong === true;
  return { agent, name, reference, state: kept ? "kept" : "missing", reason: found.reason, wrong };
}

function ask({ declaration, sources, alsoOf }: Making, name: string, form: Form): AskValue {
  const { name: agent, vaults = [] } = declaration;
  return (reference: string) => resolve(reference, { agent, name, vaults, form, alsoOf }, sources);
}

async function rendered(template: Json, find: AskValue): Promise<Resolution> {
  const filled = await renderFile(template, find);
  return filled.kind === "filled"
    ? { kind: "value", value: new Redacted(filled.of, "config file") }
    : filled;
}

/** The references of a template, for people; one that cannot be read has none. */
function shown(references: () => readonly string[]): string {
  try {
    return [...new Set(references())].join(", ");
  } catch {
    return "";
  }
}

function byName<T>(members: Readonly<Record<string, T>>): readonly (readonly [string, T])[] {
  return Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Tells one set of headers from another one, and says nothing about them. */
export function versionOf(
  { sources, declaration }: Making,
  name: string,
  url: string,
  headers: Readonly<Record<string, string>>,
): string {
  const owner = { agent: declaration.name, name: `endpoints.${name}` };
  return sources.seed.fingerprint(owner, canonicalJson({ url, headers }));
}
