import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { engineStream } from "../engine.ts";
import type { Place } from "./sweep.ts";

/**
 * Writes down every event of the Engine from now on: the Engine itself keeps the last 256 only, which health checks fill
 * within minutes. Begin before the stack. Where the Engine is started anew the record goes on with the new one.
 * @returns ends it
 */
export function recordEvents(file: string): () => Promise<void> {
  writeFileSync(file, "");
  const ending = new AbortController();
  const { signal } = ending;
  let since = Date.now() / 1000;
  const follow = async () => {
    while (!signal.aborted) {
      try {
        const path = `/events?since=${since.toFixed(3)}`;
        for await (const piece of engineStream(path, { signal, pieceBytes: 0 })) {
          appendFileSync(file, piece);
          since = Date.now() / 1000;
        }
      } catch {
        // The Engine is away, or this is the end.
      }
      await sleep(200, undefined, { signal }).catch(() => undefined);
    }
  };
  const done = follow();
  return async () => {
    ending.abort();
    await done;
  };
}

/**
 * The events that were written down, and those that the Engine has kept.
 * @param first what the oldest event of the stack names: the record must begin before it
 * @throws Error for a record that begins too late
 */
export async function* events(file: string, first: string): AsyncGenerator<Place> {
  const record = readFileSync(file);
  if (!record.includes(first)) throw new Error(`the record of events begins after ${first}`);
  yield { name: "events: recorded", content: record };
  const until = Math.ceil(Date.now() / 1000);
  yield { name: "events: kept", content: engineStream(`/events?since=1&until=${until}`) };
}
