import type { Log } from "../common/log.ts";
import type { EnginePort } from "./engine.ts";
import { asNumber, asObject, asText, asTexts } from "./json.ts";
import * as upstream from "./upstream.ts";

/** An event of the Engine, of whatever owner. */
interface EngineEvent {
  readonly type: "container" | "volume";
  readonly action: string;
  /** Container id or volume name. */
  readonly id: string;
  /** For containers: labels, and `name`, `exitCode` and the like. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly time: number;
  readonly timeNano: number;
}

export interface EventListener {
  /** The subscription stands (again): what happened before is not known. */
  connected?(): void;
  /** The subscription is gone. */
  lost?(): void;
  event?(event: EngineEvent): void;
}

/** Longest event line that is read. Container events carry all labels. */
const maxLineBytes = 256 * 1024;

/** One subscription to the Engine's events, shared by all who need them. */
export class EngineEvents {
  readonly #engine: EnginePort;
  readonly #log: Log;
  readonly #listeners = new Set<EventListener>();
  #stands = false;

  constructor(engine: EnginePort, log: Log) {
    this.#engine = engine;
    this.#log = log;
  }

  /** Whether events are being received now. */
  get stands(): boolean {
    return this.#stands;
  }

  /** Adds a listener. @returns removes it */
  listen(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the events until the signal ends it, subscribing again after 100 ms to 5 s. */
  async run(signal: AbortSignal): Promise<void> {
    let waitMs = 100;
    while (!signal.aborted) {
      try {
        const answer = await this.#engine.stream(upstream.events(), signal);
        this.#stands = true;
        waitMs = 100;
        for (const listener of this.#listeners) listener.connected?.();
        await this.#read(answer);
      } catch (error) {
        if (signal.aborted) break;
        this.#log.warn("events-lost", { reason: String(error), retryMs: waitMs });
      }
      if (this.#stands) for (const listener of this.#listeners) listener.lost?.();
      this.#stands = false;
      await sleep(waitMs, signal);
      waitMs = Math.min(waitMs * 2, 5_000);
    }
  }

  async #read(answer: AsyncIterable<Buffer>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const part of answer) {
      rest += decoder.decode(part, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > maxLineBytes) throw new Error("an event is too long");
      for (const line of lines) this.#emit(line);
    }
    throw new Error("the Engine ended the stream");
  }

  #emit(line: string): void {
    const event = parseEvent(line);
    if (event) for (const listener of this.#listeners) listener.event?.(event);
  }
}

/** Reads an event line; undefined where it is none that is understood. */
function parseEvent(line: string): EngineEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const event = asObject(value);
  const actor = asObject(event.Actor);
  if (event.Type !== "container" && event.Type !== "volume") return undefined;
  return {
    type: event.Type,
    action: asText(event.Action),
    id: asText(actor.ID),
    attributes: asTexts(actor.Attributes),
    time: asNumber(event.time),
    timeNano: asNumber(event.timeNano),
  };
}

/** Waits, or returns at once when the signal ends. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
}
