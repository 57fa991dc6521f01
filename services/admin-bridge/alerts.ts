import type { Log } from "../common/log.ts";
import { inline } from "./sanitise.ts";

/** Path of the socket proxy's stream of alerts: those that it keeps, then each new one, a JSON object a line. */
export const alertsPath = "/berth/alerts";

/** Alerts from before this start are history, but for those that nobody can have read yet. */
const freshMs = 60_000;
/** The same words about the same client are said once within this. */
const quietMs = 10 * 60_000;
/** Ids that are remembered; the sources themselves keep fewer. */
const maxRemembered = 200;

/** An alert, as it comes over the wire. */
interface Alert {
  readonly id: string;
  readonly time: string;
  readonly kind: string;
  readonly client: string;
  readonly text: string;
}

/** Who raises alerts, and in which words people are told. */
export interface AlertSource {
  /** What people are told first, by kind. */
  readonly openings: ReadonlyMap<string, string>;
  /** The same for a kind that is not known here. */
  readonly opening: string;
  /** What comes after the alert's own text: where to look, or the cure. */
  readonly more: string;
  /** Event of the bridge's log. */
  readonly event: string;
}

export const proxyAlerts: AlertSource = {
  openings: new Map([
    ["suspended", "The socket proxy has suspended a client"],
    ["mismatch", "The socket proxy has found a container that is not as declared"],
    ["audit", "The socket proxy cannot keep its record"],
  ]),
  opening: "The socket proxy raises an alert",
  more: "`berth audit tail` shows more.",
  event: "proxy-alert",
};

export const storeAlerts: AlertSource = {
  openings: new Map([
    ["locked", "The secret store is locked, `berth secrets unlock` on the host opens it"],
    [
      "refused",
      "1Password refuses the secret store's token, `berth secrets seal` and `berth secrets unlock` give it another",
    ],
    ["limited", "1Password lets the secret store wait"],
    ["unreachable", "The secret store does not reach 1Password"],
    ["reference", "A secret cannot be had"],
  ]),
  opening: "The secret store raises an alert",
  more: "`berth secrets status` shows more.",
  event: "store-alert",
};

/** Tells the admin channel what one source raises, each alert once. */
export class Alerts {
  readonly #source: AlertSource;
  readonly #tell: (text: string) => void;
  readonly #log: Log;
  readonly #memory: AlertMemory;
  readonly #startedAt: number;
  readonly #now: () => number;
  #told: readonly string[];
  /** When the same was said last. */
  readonly #saidAt = new Map<string, number>();

  /** @param options.now wall clock, in ms */
  constructor(options: {
    readonly source: AlertSource;
    readonly tell: (text: string) => void;
    readonly log: Log;
    readonly memory: AlertMemory;
    readonly now?: () => number;
  }) {
    this.#source = options.source;
    this.#tell = options.tell;
    this.#log = options.log;
    this.#memory = options.memory;
    this.#now = options.now ?? Date.now;
    this.#startedAt = this.#now();
    this.#told = options.memory.read();
  }

  /** Takes one line of the stream. What is no alert is logged and left. */
  hear(line: string): void {
    const { event, openings, opening, more } = this.#source;
    const alert = readAlert(line);
    if (!alert) {
      this.#log.warn("alert-unread", { from: event });
      return;
    }
    if (this.#told.includes(alert.id)) return;
    this.#told = [...this.#told, alert.id].slice(-maxRemembered);
    this.#memory.write(this.#told);
    if (!(Date.parse(alert.time) >= this.#startedAt - freshMs)) return;
    const { kind, client, text } = alert;
    this.#log.warn(event, { id: alert.id, kind, client });
    const same = JSON.stringify([kind, client, text]);
    const now = this.#now();
    for (const [key, at] of this.#saidAt) if (now - at >= quietMs) this.#saidAt.delete(key);
    if (this.#saidAt.has(same)) return;
    this.#saidAt.set(same, now);
    const first = openings.get(kind) ?? opening;
    this.#tell(`:warning: ${first}: ${inline(text, 400)}. ${more}`);
  }
}

/** Where the ids are kept that were told, so that a restart does not tell them again. */
export interface AlertMemory {
  read(): readonly string[];
  write(ids: readonly string[]): void;
}

/** A memory in the bridge's database. @param key one for each source */
export function alertMemory(
  store: { meta(key: string): string | undefined; setMeta(key: string, value: string): void },
  key: "alerts" | "storeAlerts",
): AlertMemory {
  return {
    read: () => JSON.parse(store.meta(key) ?? "[]") as string[],
    write: (ids) => store.setMeta(key, JSON.stringify(ids)),
  };
}

function readAlert(line: string): Alert | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { id, time, kind, client, text } = value as Record<string, unknown>;
  const isAlert =
    [id, time, kind, client, text].every((member) => typeof member === "string") &&
    String(id).length <= 100;
  return isAlert ? (value as Alert) : undefined;
}
