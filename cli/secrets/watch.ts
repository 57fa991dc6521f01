import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { reasonOf } from "../../services/common/log.ts";
import { CliError, type Console } from "../console.ts";
import type { EngineClient } from "../engine-api.ts";
import { NoTokenError } from "./finder.ts";

/** First and longest wait between attempts, in milliseconds. */
const waits = { firstMs: 1_000, mostMs: 60_000 } as const;
/** After so many failures in a row the wait goes on growing: 1Password counts the requests of a whole account by the day. */
const patience = { failures: 10, mostMs: 30 * 60_000 } as const;

/** A store that starts again so soon after it was unlocked may be ending by itself. So many of these are unlocked at once. */
const hurry = { withinMs: 10 * 60_000, free: 3 } as const;

/** Milliseconds to wait after so many failures in a row, the first being 1. */
export function waitAfter(failures: number): number {
  const doubled = (ms: number, times: number, most: number) =>
    Math.min(ms * 2 ** Math.min(times, 20), most);
  return failures <= patience.failures
    ? doubled(waits.firstMs, failures - 1, waits.mostMs)
    : doubled(waits.mostMs, failures - patience.failures, patience.mostMs);
}

/** What watching needs. */
export interface WatchOptions {
  /** Engine name of the secret store's container. */
  readonly container: string;
  /** Finds the Engine. @throws Error where none answers now */
  readonly engine: () => Promise<EngineClient>;
  /** Unlocks the store where it waits for a token. @returns what was done; undefined: nothing was to do */
  readonly unlock: (engine: EngineClient) => Promise<string | undefined>;
  readonly console: Pick<Console, "say">;
  readonly signal: AbortSignal;
  /** Waits; the signal ends it early. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * Unlocks at once and again at every start of the secret store, until the signal ends it. An Engine that goes away is waited
 * for; so is a store that does not take the token.
 * @throws NoTokenError where no place has a token
 */
export async function watchStore(options: WatchOptions): Promise<void> {
  const { console, signal, sleep = sleepFor } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const engine = await options.engine();
      const events = await startEvents(engine, options);
      failures = 0;
      await unlockAtStarts(engine, events, { ...options, sleep });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof NoTokenError) throw error;
      failures += 1;
      const ms = Math.min(waitAfter(failures), waits.mostMs);
      console.say(`${reasonOf(error)}; trying again in ${ms / 1000} s`);
      await sleep(ms, signal);
    }
  }
}

/** The Engine's stream of starts of the container, one JSON object a line. */
async function startEvents(
  engine: EngineClient,
  { container, signal }: WatchOptions,
): Promise<IncomingMessage> {
  const filters = { type: ["container"], event: ["start"], container: [container] };
  const answer = await engine.stream({
    method: "GET",
    path: `/events?filters=${encodeURIComponent(JSON.stringify(filters))}`,
  });
  // A far Engine's host may vanish without a word.
  answer.socket.setKeepAlive(true, waits.mostMs);
  const stop = () => answer.destroy();
  signal.addEventListener("abort", stop);
  answer.once("close", () => signal.removeEventListener("abort", stop));
  if (answer.statusCode === 200 && !signal.aborted) return answer;
  answer.destroy();
  throw new CliError(`the Engine does not tell its events (status ${answer.statusCode})`);
}

/** Unlocks now and at every event. Ends by an error: where the stream does, or where there is no token. */
async function unlockAtStarts(
  engine: EngineClient,
  events: IncomingMessage,
  options: WatchOptions & Required<Pick<WatchOptions, "sleep">>,
): Promise<never> {
  const { console, unlock, sleep } = options;
  const gone = new AbortController();
  // The events were asked for before the first look, so no start falls between the two.
  let isDue = true;
  let wake = () => {};
  const started = () => {
    isDue = true;
    wake();
  };
  const lines = createInterface({ input: events });
  lines.on("line", started);
  lines.on("error", () => gone.abort());
  events.on("error", () => gone.abort());
  events.on("close", () => gone.abort());
  gone.signal.addEventListener("abort", () => wake());
  const untilStart = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
      if (isDue || gone.signal.aborted) resolve();
    });
  try {
    for (let [failures, hurried] = [0, 0]; !gone.signal.aborted; ) {
      isDue = false;
      const triedAt = performance.now();
      try {
        const done = await unlock(engine);
        if (done) console.say(done);
        failures = 0;
        await untilStart();
      } catch (error) {
        if (error instanceof NoTokenError) throw error;
        failures += 1;
        const ms = waitAfter(failures);
        console.say(`${reasonOf(error)}; trying again in ${ms / 1000} s, or when the store starts`);
        await Promise.race([sleep(ms, gone.signal), untilStart()]);
      }
      // Every unlocking reads every item, and the Engine starts a store that ends by itself again without end.
      if (!isDue) continue;
      hurried = performance.now() - triedAt < hurry.withinMs ? hurried + 1 : 0;
      if (hurried <= hurry.free) continue;
      const ms = waitAfter(hurried - hurry.free);
      console.say(
        `the store has started ${hurried} times, each soon after the one before ("berth logs secret-store" may say why); unlocking it in ${ms / 1000} s`,
      );
      await sleep(ms, gone.signal);
    }
    throw new Error("the Engine has closed the stream of its events");
  } finally {
    lines.close();
    events.destroy();
  }
}

function sleepFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
