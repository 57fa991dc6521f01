import type { Client } from "../grants.ts";
import { asNumber, asObject, asText, type JsonObject } from "../json.ts";

/** Why a lease ended. */
export const leaseEnds = ["timeout", "declaration", "unstarted", "exited", "aborted"] as const;
export type LeaseEnd = (typeof leaseEnds)[number];

/** What is kept of an instance that was removed. */
export interface EndedInstance {
  readonly id: string;
  readonly name: string;
  readonly client: Client;
  /** The inspect answer as clients get to see it, at the end. */
  readonly shown: JsonObject;
  readonly end: LeaseEnd;
  /** The last lines of its output, both streams, as text. */
  readonly lastLog: string;
}

/** This many are kept of each client, the newest. */
const maxKept = 256;
/** This long. */
const keptMs = 60 * 60_000;

/** The ends of instances, for `inspect` after the container is gone. In memory only: a restart of the proxy forgets them. */
export class EndedInstances {
  readonly #kept = new Map<string, { readonly ended: EndedInstance; readonly at: number }>();
  readonly #now: () => number;

  /** @param now a clock that never goes back, in ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(ended: EndedInstance): void {
    // Order of a Map is the order of insertion: the first are the oldest.
    this.#kept.delete(ended.id);
    this.#kept.set(ended.id, { ended, at: this.#now() });
    for (const [id, { at }] of this.#kept) if (this.#now() - at >= keptMs) this.#kept.delete(id);
    const own = [...this.#kept.keys()].filter(
      (id) => this.#kept.get(id)?.ended.client === ended.client,
    );
    for (const id of own.slice(0, -maxKept)) this.#kept.delete(id);
  }

  /** By full id or name (of several the newest), for the client that made it. */
  find(named: string, client: Client): EndedInstance | undefined {
    const found = [...this.#kept.values()].findLast(
      ({ ended, at }) =>
        (ended.id === named || ended.name === named) &&
        ended.client === client &&
        this.#now() - at < keptMs,
    );
    return found?.ended;
  }
}

/** The answer to `inspect` of an instance that is gone: its last state, and how its lease ended. */
export function showEnded({ shown, end, lastLog }: EndedInstance): JsonObject {
  const state = asObject(shown.State);
  return {
    ...shown,
    State: { ...state, Status: "exited", Running: false, Paused: false, Restarting: false, Pid: 0 },
    Berth: {
      lease: end,
      exitCode: asNumber(state.ExitCode),
      oomKilled: state.OOMKilled === true,
      finishedAt: asText(state.FinishedAt),
      lastLog,
    },
  };
}

/** Largest output that is kept, in characters. */
const maxLogCharacters = 16 * 1024;

/** The text in a log answer of the Engine: frames of both streams in their order, without control characters. */
export function logText(bytes: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(parts)
    .toString("utf8")
    .replace(/\p{Cc}/gu, (character) => (character === "\n" || character === "\t" ? character : ""))
    .slice(-maxLogCharacters);
}
