import { type Endpoint, request } from "../common/http.ts";
import { followLines } from "../common/lines.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { pause } from "./engine.ts";
import { inline } from "./sanitise.ts";

/** Between two questions to the secret store. */
const lookEveryMs = 10_000;
/** How long an answer may take. */
const answerMs = 3_000;
/** Longest line of the stream of alerts. */
const maxLineBytes = 64 * 1024;

/**
 * How the secret store stands, in its own words but for `away`: it does not answer. `unreachable` is 1Password.
 * Every one has a sentence below.
 */
export const secretStoreStates = [
  "ready",
  "development",
  "locked",
  "refused",
  "limited",
  "unreachable",
  "away",
] as const;
export type SecretStoreState = (typeof secretStoreStates)[number];

/** A declared secret, config file or endpoint of an agent and how it stands. There is no value in it. */
export interface SecretLine {
  readonly agent: string;
  readonly name: string;
  readonly state: "delivered" | "kept" | "missing";
  readonly reason?: string;
}

/** What the secret store said last. */
export interface SecretsView {
  readonly state: SecretStoreState;
  /** Why it is so, where the store says it. */
  readonly reason?: string;
  readonly secrets: readonly SecretLine[];
}

/** The admin bridge's view of the secret store, by its own socket there: states, reasons and alerts, never a value. */
export class SecretWatch {
  readonly #endpoint: Endpoint;
  readonly #log: Log;
  #view: SecretsView = { state: "away", reason: "not asked yet", secrets: [] };
  #looking: Promise<SecretsView> | undefined;
  #told: SecretStoreState | undefined;

  constructor(endpoint: Endpoint, log: Log) {
    this.#endpoint = endpoint;
    this.#log = log;
  }

  /** What was said last. */
  get view(): SecretsView {
    return this.#view;
  }

  /** Asks now. Never rejects: a store that does not answer is `away`. */
  look(): Promise<SecretsView> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Looks again and again, and hands on the store's alerts, until the signal. */
  async keep(options: {
    readonly signal: AbortSignal;
    readonly onAlert: (line: string) => void;
  }): Promise<void> {
    const { signal } = options;
    const looks = async () => {
      while (!signal.aborted) {
        await this.look();
        await pause(lookEveryMs, signal);
      }
    };
    const alerts = followLines(this.#endpoint, "/alerts", {
      signal,
      log: this.#log,
      lost: "store-alerts-lost",
      maxLineBytes,
      refusedMs: 30_000,
      onOpen: () => void this.look(),
      onLine: (line) => {
        options.onAlert(line);
        void this.look();
      },
    });
    await Promise.all([looks(), alerts]);
  }

  async #look(): Promise<SecretsView> {
    try {
      const answer = await request(this.#endpoint, { path: "/status", timeoutMs: answerMs });
      if (answer.status !== 200) throw new Error(`status ${answer.status}`);
      this.#view = readView(answer.text);
    } catch (error) {
      this.#view = { state: "away", reason: reasonOf(error), secrets: [] };
    }
    const { state, reason } = this.#view;
    if (state !== this.#told) this.#log.info("secret-store", { state, reason: reason ?? null });
    this.#told = state;
    return this.#view;
  }
}

/** One line for people on the store, with the cure where it needs one. */
export function storeInWords({ state, reason, secrets }: SecretsView): string {
  const count = (wanted: SecretLine["state"]) =>
    secrets.filter((secret) => secret.state === wanted).length;
  const troubled = (["kept", "missing"] as const)
    .filter((wanted) => count(wanted) > 0)
    .map((wanted) => `${count(wanted)} ${wanted}`);
  const counted = [`${count("delivered")} delivered`, ...troubled].join(", ");
  const why = reason ? ` (${inline(reason, 200)})` : "";
  const held = `what was delivered stays, ${counted}`;
  switch (state) {
    case "ready":
      return `Secrets: ready, ${counted}.`;
    case "development":
      return `Secrets: ready, from this host and not from 1Password, ${counted}.`;
    case "locked":
      return `Secrets: the store is locked${why}; ${held}. Cure, on the host: \`berth secrets unlock\`.`;
    case "refused":
      return `Secrets: 1Password refuses the store's token${why}; ${held}. Cure, on the host: \`berth secrets seal\` with a good token, then \`berth secrets unlock\`.`;
    case "limited":
      return `Secrets: 1Password lets the store wait, its requests are used up${why}; ${held}. It tries again by itself.`;
    case "unreachable":
      return `Secrets: the store does not reach 1Password${why}; ${held}. It tries again by itself; \`berth secrets check\` on the host tries at once.`;
    case "away":
      return `Secrets: the secret store does not answer${why}; what was delivered stays. Cure: see that its container runs, \`berth logs secret-store\` on the host shows why it does not.`;
  }
}

/** What an agent does not have as declared, a line each; nothing where all is well. */
export function secretsInWords(agent: string, view: SecretsView): readonly [string, string][] {
  if (view.state === "away") return [["secrets", "the secret store does not answer"]];
  return view.secrets
    .filter((secret) => secret.agent === agent && secret.state !== "delivered")
    .map(({ name, state, reason }): [string, string] => [
      `secret ${inline(name, 80)}`,
      `${state === "kept" ? "kept as it was" : "missing"}: ${reason ?? "the secret store has said nothing"}`,
    ]);
}

/** @throws Error where it is no status */
function readView(text: string): SecretsView {
  const value = Object(JSON.parse(text)) as {
    readonly state?: unknown;
    readonly reason?: unknown;
    readonly secrets?: unknown;
  };
  const state = secretStoreStates.find((known) => known === value.state);
  if (!state || !Array.isArray(value.secrets)) throw new Error("its answer is no status");
  return {
    state,
    ...(typeof value.reason === "string" ? { reason: value.reason } : {}),
    secrets: value.secrets.filter(isLine),
  };
}

function isLine(value: unknown): value is SecretLine {
  const { agent, name, state, reason } = Object(value) as Record<string, unknown>;
  return (
    typeof agent === "string" &&
    typeof name === "string" &&
    (state === "delivered" || state === "kept" || state === "missing") &&
    (reason === undefined || typeof reason === "string")
  );
}
