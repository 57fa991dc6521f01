import type { Clock } from "../clock.ts";
import { BackendError } from "./backend.ts";

/** Most requests that are under way at a time. */
const maxAtATime = 4;
/** Items of one piece of work that may get no answer before nothing more is asked for. */
const maxLost = 3;
/** Longest that one request may take. */
export const requestMs = 30_000;

/** What the requests of one piece of work go through. `item`: what gets no answer may be that item alone. */
export type Ask = <T>(act: (signal: AbortSignal) => Promise<T>, about?: "item") => Promise<T>;

/** Lets a few requests through at a time, each for so long at most. */
export class Asker {
  readonly #clock: Clock;
  #free = maxAtATime;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param work ends all requests that are made through the result @throws BackendError from the result, and nothing else */
  until(work: AbortSignal): Ask {
    // After an error that is about all of 1Password those that still wait their turn are not asked any more.
    let failed: BackendError | undefined;
    let lost = 0;
    return async (act, about) => {
      if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else this.#free -= 1;
      try {
        if (failed) throw failed;
        return await this.#timed(act, work);
      } catch (error) {
        const known = asBackendError(error);
        const isOne = about === "item" && known.kind === "unreachable" && ++lost <= maxLost;
        if (isAboutAll(known) && !isOne) failed ??= known;
        throw known;
      } finally {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free += 1;
      }
    };
  }

  async #timed<T>(act: (signal: AbortSignal) => Promise<T>, work: AbortSignal): Promise<T> {
    if (work.aborted) throw ended();
    const own = new AbortController();
    const stop = () => own.abort(ended());
    work.addEventListener("abort", stop, { once: true });
    const late = `no answer within ${requestMs / 1000} s`;
    const untime = this.#clock.after(requestMs, () =>
      own.abort(new BackendError("unreachable", late)),
    );
    try {
      // The signal ends the wait even where the back end does not listen to it.
      const aborted = new Promise<never>((_, reject) =>
        own.signal.addEventListener("abort", () => reject(own.signal.reason), { once: true }),
      );
      return await Promise.race([act(own.signal), aborted]);
    } catch (error) {
      throw own.signal.aborted ? own.signal.reason : asBackendError(error);
    } finally {
      untime();
      work.removeEventListener("abort", stop);
    }
  }
}

/** Whether an error is not about the one vault or item that was asked for. */
export function isAboutAll({ kind }: BackendError): boolean {
  return kind === "refused" || kind === "limited" || kind === "unreachable";
}

/** An error of a kind that may be shown. Of anything unforeseen only its class is: its text may hold what an answer held. */
export function asBackendError(error: unknown): BackendError {
  if (error instanceof BackendError) return error;
  const name = error instanceof Error ? error.constructor.name : typeof error;
  return new BackendError("bad-answer", `the way to 1Password failed (${name})`);
}

function ended(): BackendError {
  return new BackendError("unreachable", "the work was ended");
}
