import http from "node:http";
import { describe, type Endpoint } from "./http.ts";
import { type Log, reasonOf } from "./log.ts";
import { pause } from "./pause.ts";

/** First and longest pause before a stream is opened again, in ms. */
const firstWaitMs = 200;
const longestWaitMs = 5_000;

/** How a stream of lines is followed. */
export interface Following {
  readonly signal: AbortSignal;
  readonly log: Log;
  /** The log's event where the stream breaks off or cannot be opened. */
  readonly lost: string;
  /** Longest line that is taken. */
  readonly maxLineBytes: number;
  /** Pause after a refusal (a status from 400 to 499), which may well stay one, in ms. @default as after any failure */
  readonly refusedMs?: number;
  /** Called at each connection: what happened before it is told by the stream itself, or not at all. */
  readonly onOpen?: () => void;
  /** Called with every line that is not empty, one after the other. Where it throws, the stream is opened anew. */
  readonly onLine: (line: string) => void | Promise<void>;
}

/** An answer that is not the stream that was asked for. */
export class StatusError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`status ${status}`);
    this.status = status;
  }
}

/** Follows a stream of lines of one of our own parts until the signal, reconnecting after 200 ms to 5 s. Never rejects. */
export async function followLines(
  endpoint: Endpoint,
  path: string,
  following: Following,
): Promise<void> {
  const { signal, log, refusedMs } = following;
  let waitMs = firstWaitMs;
  while (!signal.aborted) {
    let openedAt = Number.POSITIVE_INFINITY;
    try {
      const stream = await openStream(endpoint, path, signal);
      if (stream.statusCode !== 200) {
        stream.resume();
        throw new StatusError(stream.statusCode ?? 0);
      }
      openedAt = performance.now();
      following.onOpen?.();
      for await (const line of linesOf(stream, following.maxLineBytes)) {
        await following.onLine(line);
        waitMs = firstWaitMs;
      }
      throw new Error("the stream ended");
    } catch (error) {
      if (signal.aborted) return;
      // A quiet stream that lived is as good as one with lines.
      if (performance.now() - openedAt > longestWaitMs) waitMs = firstWaitMs;
      const refused = error instanceof StatusError && error.status >= 400 && error.status < 500;
      if (refused && refusedMs !== undefined) waitMs = refusedMs;
      const reason = reasonOf(error);
      log.warn(following.lost, { from: describe(endpoint), reason, retryMs: waitMs });
    }
    await pause(waitMs, signal);
    waitMs = Math.min(waitMs * 2, longestWaitMs);
  }
}

/** Opens a `GET` whose answer is read as it comes, of whatever status. */
export function openStream(
  endpoint: Endpoint,
  path: string,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...endpoint, path, agent: false, signal, headers: { host: "berth" } }, resolve)
      .on("error", reject);
  });
}

async function* linesOf(
  stream: http.IncomingMessage,
  maxLineBytes: number,
): AsyncGenerator<string> {
  stream.setEncoding("utf8");
  let rest = "";
  for await (const part of stream as AsyncIterable<string>) {
    rest += part;
    if (rest.length > maxLineBytes) throw new Error(`a line has more than ${maxLineBytes} bytes`);
    const complete = rest.split("\n");
    rest = complete.pop() ?? "";
    for (const line of complete) if (line !== "") yield line;
  }
}
