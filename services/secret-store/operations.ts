import { type OpReference, parseReference } from "../../spec/references.ts";
import { deliveryOf, referencesIn } from "../../spec/secrets.ts";
import { reasonOf } from "../common/log.ts";
import type { Redacted } from "../common/redacted.ts";
import type { SecretState } from "./agent-delivery.ts";
import { type Answer, createMissing, rotateAgent } from "./generating.ts";
import { keyOf } from "./onepassword/held.ts";
import type { Found } from "./onepassword/reading.ts";
import type { Resolver } from "./onepassword/resolver.ts";
import type { ResolverState } from "./onepassword/state.ts";
import { type Consumer, problemOfItem, problemOfOp, resolve, type Sources } from "./source.ts";
import type { SecretStore } from "./store.ts";
import { problemOfValue, wipe } from "./value.ts";

/** What the operator's verbs work with. */
export interface Parts {
  readonly store: SecretStore;
  readonly sources: Sources;
  /** None where the stack has no 1Password. */
  readonly resolver: Resolver | undefined;
  readonly provider: string;
  readonly via: string;
  /** When the store started, in ISO 8601. */
  readonly since: string;
}

/** How the whole store stands. No value is in it. */
export interface StoreStatus {
  readonly provider: string;
  readonly via: string;
  readonly state: ResolverState | "development";
  readonly since: string;
  readonly reason?: string;
  readonly lastRead?: string;
  readonly nextRead?: string;
  readonly requests: number;
  readonly secrets: readonly SecretState[];
}

/** One reference, tried. */
export interface Checked {
  /** `lal.secrets.TOKEN`; empty where the reference was only asked about. */
  readonly place: string;
  readonly reference: string;
  readonly ok: boolean;
  readonly reason?: string;
}

const noOnePassword =
  "this stack has no 1Password: set provider: onepassword in berth:secrets of its config";
/** Longest token; a service account's has about 900 characters. */
const maxTokenBytes = 64 * 1024;

/** The operator's verbs. Each throws an Error, fit to be shown, where it did nothing. */
export class Operations {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  status(): StoreStatus {
    const { store, resolver, provider, via, since } = this.#parts;
    const state = resolver?.status ?? { state: "development" as const, since, requests: 0 };
    return { provider, via, ...state, secrets: store.states };
  }

  async push(values: unknown): Promise<object> {
    const accepted = await this.#parts.store.push(values);
    return { accepted, secrets: this.#parts.store.states };
  }

  async unlock(token: Redacted<string>): Promise<object> {
    const resolver = this.#resolver();
    const text = token.reveal();
    // It becomes a header, an environment variable or an argument of a library.
    if (text.length > maxTokenBytes || !/^[\x21-\x7e]+$/.test(text))
      throw new Error("standard input holds no token: one word of printable ASCII is expected");
    const { state, reason } = await resolver.unlock(token);
    return { state, ...(reason === undefined ? {} : { reason }) };
  }

  async lock(): Promise<object> {
    const resolver = this.#resolver();
    await resolver.lock();
    return { state: resolver.status.state };
  }

  async refresh(): Promise<StoreStatus> {
    await this.#parts.resolver?.refresh();
    await this.#parts.store.refresh();
    return this.status();
  }

  /** Tries references and keeps nothing; without any, all that are declared. */
  async check(given?: readonly string[]): Promise<{ readonly results: readonly Checked[] }> {
    const { sources } = this.#parts;
    const asked = given ? given.map(undeclared) : this.#declared();
    const op = new Map<string, OpReference>();
    for (const { reference } of asked) {
      const parsed = parsedOf(reference);
      if (parsed?.scheme === "op") op.set(keyOf(parsed), parsed);
    }
    const looked = await this.#look(op);
    try {
      const results: Checked[] = [];
      for (const { place, reference, consumer } of asked) {
        const parsed = parsedOf(reference);
        const reason =
          parsed?.scheme === "op"
            ? ((given ? undefined : problemOfOp(parsed, consumer)) ??
              problemOfItem(parsed, consumer, sources.op) ??
              problemOfFound(looked, keyOf(parsed), consumer))
            : await problemOfOther(reference, consumer, sources);
        const ok = reason === undefined;
        results.push({ place, reference, ok, ...(ok ? {} : { reason }) });
      }
      return { results };
    } finally {
      if (looked instanceof Map)
        for (const found of looked.values()) if ("value" in found) wipe(found.value);
    }
  }

  /** Gives generated secrets of an agent new values. */
  async rotate(agent: string, names: readonly string[]): Promise<Answer<"rotated">> {
    return rotateAgent(this.#parts, agent, names);
  }

  /** Writes the values that berth may make up and that 1Password does not have yet. */
  async create(): Promise<Answer<"created">> {
    return createMissing(this.#parts, this.#resolver());
  }

  #resolver(): Resolver {
    const { resolver } = this.#parts;
    if (!resolver) throw new Error(noOnePassword);
    return resolver;
  }

  #declared(): Asked[] {
    return this.#parts.store.declarations.flatMap((declaration) =>
      referencesIn(declaration).map(({ place, reference }) => {
        const { name: agent, vaults = [], secrets } = declaration;
        const secret = /^secrets\.(.*)$/.exec(place)?.[1];
        const delivered = secret === undefined ? undefined : secrets[secret];
        const form = delivered === undefined ? "text" : deliveryOf(delivered);
        const { alsoOf } = this.#parts.store.makingOf(declaration);
        const consumer = { agent, name: secret ?? place, vaults, form, alsoOf } as const;
        return { place: `${agent}.${place}`, reference, consumer };
      }),
    );
  }

  /** What 1Password says, or why it says nothing. */
  async #look(
    references: ReadonlyMap<string, OpReference>,
  ): Promise<ReadonlyMap<string, Found> | string> {
    if (references.size === 0) return new Map();
    try {
      return await this.#resolver().peek(references);
    } catch (error) {
      return reasonOf(error);
    }
  }
}

interface Asked {
  readonly place: string;
  readonly reference: string;
  readonly consumer: Consumer;
}

function undeclared(reference: string): Asked {
  const consumer = {
    agent: "",
    name: "",
    vaults: [],
    form: "file",
    alsoOf: () => undefined,
  } as const;
  return { place: "", reference, consumer };
}

function parsedOf(written: string): ReturnType<typeof parseReference> | undefined {
  try {
    return parseReference(written);
  } catch {
    return undefined;
  }
}

function problemOfFound(
  looked: ReadonlyMap<string, Found> | string,
  key: string,
  { form }: Consumer,
): string | undefined {
  if (typeof looked === "string") return looked;
  const found = looked.get(key);
  if (found?.kind === "gone" || found?.kind === "unavailable") return found.reason;
  return found?.value ? problemOfValue(found.value.reveal(), form) : "1Password gave no answer";
}

async function problemOfOther(
  reference: string,
  consumer: Consumer,
  sources: Sources,
): Promise<string | undefined> {
  const found = await resolve(reference, consumer, sources);
  if (found.kind === "value") wipe(found.value);
  return found.kind === "gone" || found.kind === "unavailable" ? found.reason : undefined;
}
