import { type Question, Turn, type TurnTools } from "./turn.ts";

/** Messages that may wait in one thread. */
const maxWaiting = 10;
/** Turns that run at the same time, over all threads. */
const maxRunning = 8;

/**
 * Runs turns: one at a time in each thread, in order, threads beside each other.
 * What cannot run at once waits; what is too much is refused by {@link add}.
 */
export class Conversations {
  readonly #tools: TurnTools;
  readonly #waiting = new Map<string, Question[]>();
  readonly #running = new Map<string, Turn>();
  readonly #ended = new Map<string, Promise<void>>();
  #stopping = false;

  constructor(tools: TurnTools) {
    this.#tools = tools;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Takes a question. @returns false where its thread has too many waiting */
  add(question: Question): boolean {
    const queue = this.#waiting.get(question.thread) ?? [];
    if (queue.length >= maxWaiting) return false;
    queue.push(question);
    this.#waiting.set(question.thread, queue);
    this.#next();
    return true;
  }

  /**
   * Starts nothing more, lets running turns end until `softMs`, cancels the rest, and waits for these until `hardMs`.
   * Questions that wait stay in the state and are answered after the next start.
   */
  async drain(softMs: number, hardMs: number): Promise<void> {
    this.#stopping = true;
    this.#waiting.clear();
    await this.#allEnded(softMs - Date.now());
    for (const turn of this.#running.values()) turn.stop(Math.max(500, hardMs - Date.now()));
    await this.#allEnded(hardMs - Date.now());
  }

  async #allEnded(milliseconds: number): Promise<void> {
    if (this.#ended.size === 0 || milliseconds <= 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([Promise.all(this.#ended.values()), late]);
    clearTimeout(timer);
  }

  #next(): void {
    if (this.#stopping) return;
    for (const [thread, queue] of this.#waiting) {
      if (this.#running.size >= maxRunning) return;
      if (this.#running.has(thread)) continue;
      const question = queue.shift();
      if (queue.length === 0) this.#waiting.delete(thread);
      if (question) this.#start(thread, question);
    }
  }

  #start(thread: string, question: Question): void {
    const turn = new Turn(question, this.#tools);
    this.#running.set(thread, turn);
    const ended = turn.run().finally(() => {
      this.#running.delete(thread);
      this.#ended.delete(thread);
      this.#next();
    });
    this.#ended.set(thread, ended);
  }
}
