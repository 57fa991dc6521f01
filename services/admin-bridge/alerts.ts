import type { Log } from "../common/log.ts";
import { inline } from "./sanitise.ts";

/** Path of the socket proxy's stream of alerts: those that it keeps, then each new one, a JSON object a line. */
export const alertsPath = "/berth/alerts";

/** Alerts from before this start are history, but for those that nobody can have read yet. */
const freshMs = 60_000;
/** The same words about the same client are said once within this. */
const quietMs = 10 * 60_000;
/** Ids that are remembered; the proxy itself keeps fewer. */
const maxRemembered = 200;

/** An alert of the socket proxy, as it comes over the wire. */
interface Alert {
  readonly id: string;
  readonly time: string;
  readonly kind: string;
  readonly client: string;
  readonly text: string;
}

/** What people are told first, by kind. */
const openings: ReadonlyMap<string, string> = new Map([
  ["suspended", "The socket proxy has suspended a client"],
  ["mismatch", "The socket proxy has found a container that is not as declared"],
  ["audit", "The socket proxy cannot keep its record"],
]);

/** Tells the admin channel what the socket proxy raises, each alert once. */
export class ProxyAlerts {
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
    readonly tell: (text: string) => void;
    readonly log: Log;
    readonly memory: AlertMemory;
    readonly now?: () => number;
  }) {
    this.#tell = options.tell;
    this.#log = options.log;
    this.#memory = options.memory;
    this.#now = options.now ?? Date.now;
    this.#startedAt = this.#now();
    this.#told = options.memory.read();
  }

  /** Takes one line of the stream. What is no alert is logged and left. */
  hear(line: string): void {
    const alert = readAlert(line);
    if (!alert) {
      this.#log.warn("alert-unread");
      return;
    }
    if (this.#told.includes(alert.id)) return;
    this.#told = [...this.#told, alert.id].slice(-maxRemembered);
    this.#memory.write(this.#told);
    if (!(Date.parse(alert.time) >= this.#startedAt - freshMs)) return;
    const { kind, client, text } = alert;
    this.#log.warn("proxy-alert", { id: alert.id, kind, client });
    const same = JSON.stringify([kind, client, text]);
    const now = this.#now();
    for (const [key, at] of this.#saidAt) if (now - at >= quietMs) this.#saidAt.delete(key);
    if (this.#saidAt.has(same)) return;
    this.#saidAt.set(same, now);
    const opening = openings.get(kind) ?? "The socket proxy raises an alert";
    this.#tell(`:warning: ${opening}: ${inline(text, 400)}. \`berth audit tail\` shows more.`);
  }
}

/** Where the ids are kept that were told, so that a restart does not tell them again. */
export interface AlertMemory {
  read(): readonly string[];
  write(ids: readonly string[]): void;
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
