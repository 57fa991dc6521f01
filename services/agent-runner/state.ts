import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Log, reasonOf } from "../common/log.ts";

/** A message that was taken and is not answered to the end. */
export interface Taken {
  readonly channelId: string;
  readonly rootId: string;
  readonly direct: boolean;
  /** The program has seen it: it is not given to the program again after a restart. */
  readonly started: boolean;
  /** The post in which the answer grows. */
  readonly answerId?: string;
}

interface StateFile {
  version: 1;
  /** The bot that all of this belongs to: another one means another chat server. */
  userId: string;
  greeted: boolean;
  /** When the runner was last known to be connected, in ms. */
  lastOnline: number;
  /** Channel → time of the newest post seen. */
  cursors: Record<string, number>;
  /** Thread → session of the program. In order of last use. */
  sessions: Record<string, string>;
  /** Messages that need nothing more. In order; only the newest are kept. */
  handled: string[];
  taken: Record<string, Taken>;
  /** Name on an access list → user who had it when it was first seen here. */
  persons: Record<string, string>;
}

const maxHandled = 2_000;
const maxSessions = 500;
const maxCursors = 2_000;

/**
 * What the runner must know after a restart, in `<workspace>/.berth/state.json`: written whole and renamed, so it is
 * never half a file. The program can reach it (both have one uid), so nothing in it is trusted beyond chat bookkeeping:
 * a person who is pinned to a name can only be one more reason to refuse.
 */
export class State {
  readonly #directory: string;
  readonly #log: Log;
  #data: StateFile;
  #handled: Set<string>;
  #fresh: boolean;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failed = false;

  private constructor(directory: string, log: Log, data: StateFile) {
    this.#directory = directory;
    this.#log = log;
    this.#data = data;
    this.#handled = new Set(data.handled);
    this.#fresh = data.lastOnline === 0;
  }

  /** Reads the state; none or a broken one is a fresh start. */
  static async open(workspace: string, log: Log): Promise<State> {
    const directory = join(workspace, ".berth");
    let data = empty();
    try {
      data = parseState(await readFile(join(directory, "state.json"), "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        log.warn("state-unreadable", { reason: reasonOf(error) });
      }
    }
    return new State(directory, log, data);
  }

  /** Says whose chat this is. What is known of another bot's, on a server that is gone, is dropped. Call it before the rest. */
  belongTo(userId: string): void {
    if (this.#data.userId === userId) return;
    if (this.#data.lastOnline > 0) this.#log.info("state-dropped", { reason: "another chat" });
    this.#data = { ...empty(), userId };
    this.#handled = new Set();
    this.#fresh = true;
    this.#soon(0);
  }

  /** There was no state to read: what was answered before can only be seen in the channels. */
  get fresh(): boolean {
    return this.#fresh;
  }
  get greeted(): boolean {
    return this.#data.greeted;
  }
  get lastOnline(): number {
    return this.#data.lastOnline;
  }

  setGreeted(): void {
    this.#data.greeted = true;
    this.#soon(0);
  }

  online(now: number): void {
    this.#data.lastOnline = now;
    this.#soon(1_000);
  }

  cursor(channelId: string): number | undefined {
    return this.#data.cursors[channelId];
  }

  /** Notes the newest post seen in a channel. */
  advance(channelId: string, time: number): void {
    if (time <= (this.#data.cursors[channelId] ?? 0)) return;
    touch(this.#data.cursors, channelId, time, maxCursors);
    this.#soon(1_000);
  }

  session(thread: string): string | undefined {
    return this.#data.sessions[thread];
  }

  setSession(thread: string, sessionId: string): void {
    touch(this.#data.sessions, thread, sessionId, maxSessions);
    this.#soon(0);
  }

  /** The message was taken or needs nothing more. */
  knows(postId: string): boolean {
    return this.#handled.has(postId) || Object.hasOwn(this.#data.taken, postId);
  }

  /** The message needs nothing more. */
  finish(postId: string): void {
    delete this.#data.taken[postId];
    this.#handled.delete(postId);
    this.#handled.add(postId);
    const oldest = this.#handled.values().next().value;
    if (this.#handled.size > maxHandled && oldest !== undefined) this.#handled.delete(oldest);
    this.#soon(0);
  }

  /** The message will be answered. */
  take(postId: string, taken: Taken): void {
    this.#data.taken[postId] = taken;
    this.#soon(0);
  }

  taken(): readonly (readonly [string, Taken])[] {
    return Object.entries(this.#data.taken);
  }

  /** The user who owns a name on an access list: the first one that was seen with it. */
  ownerOf(name: string, userId: string): string {
    const owner = Object.hasOwn(this.#data.persons, name) ? this.#data.persons[name] : undefined;
    if (owner !== undefined) return owner;
    this.#data.persons[name] = userId;
    this.#soon(0);
    return userId;
  }

  /** Whether the user was once seen with one of these names. */
  owns(userId: string, names: readonly string[]): boolean {
    return Object.entries(this.#data.persons).some(
      ([name, owner]) => owner === userId && names.includes(name),
    );
  }

  /** Forgets who had the names that are on no list any more: putting a name back lets its next owner in. */
  keepPersons(names: readonly string[]): void {
    const dropped = Object.keys(this.#data.persons).filter((name) => !names.includes(name));
    for (const name of dropped) delete this.#data.persons[name];
    if (dropped.length > 0) this.#soon(0);
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#write();
  }

  #soon(milliseconds: number): void {
    if (this.#timer && milliseconds > 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, milliseconds);
  }

  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const path = join(this.#directory, "state.json");
      const data: StateFile = { ...this.#data, handled: [...this.#handled] };
      try {
        await mkdir(this.#directory, { recursive: true, mode: 0o700 });
        await writeFile(`${path}.new`, JSON.stringify(data), { mode: 0o600 });
        await rename(`${path}.new`, path);
        this.#failed = false;
      } catch (error) {
        // A full or read-only workspace must not end the conversation; a restart may then repeat itself.
        if (!this.#failed) this.#log.error("state-not-saved", { reason: reasonOf(error) });
        this.#failed = true;
      }
    });
    return this.#writing;
  }
}

function empty(): StateFile {
  return {
    version: 1,
    userId: "",
    greeted: false,
    lastOnline: 0,
    cursors: {},
    sessions: {},
    handled: [],
    taken: {},
    persons: {},
  };
}

/** Reads what a state file may hold and drops everything else. @throws Error where it is no state at all */
export function parseState(text: string): StateFile {
  const value = JSON.parse(text) as Partial<Record<keyof StateFile, unknown>>;
  if (value === null || typeof value !== "object" || value.version !== 1) {
    throw new Error("it is no state of version 1");
  }
  const isText = (item: unknown): item is string => typeof item === "string";
  const isNumber = (item: unknown): item is number => Number.isFinite(item);
  return {
    version: 1,
    userId: isText(value.userId) ? value.userId : "",
    greeted: value.greeted === true,
    lastOnline: isNumber(value.lastOnline) ? value.lastOnline : 0,
    cursors: pick(value.cursors, isNumber),
    sessions: pick(value.sessions, isText),
    handled: Array.isArray(value.handled) ? value.handled.filter(isText).slice(-maxHandled) : [],
    taken: pick(value.taken, isTaken),
    persons: pick(value.persons, isText),
  };
}

function isTaken(item: unknown): item is Taken {
  const taken = item as Partial<Taken> | null;
  return (
    typeof taken === "object" &&
    typeof taken?.channelId === "string" &&
    typeof taken.rootId === "string" &&
    typeof taken.direct === "boolean" &&
    typeof taken.started === "boolean" &&
    (taken.answerId === undefined || typeof taken.answerId === "string")
  );
}

function pick<T>(value: unknown, is: (item: unknown) => item is T): Record<string, T> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, T] => is(entry[1])),
  );
}

/** Sets a member as the newest and drops the oldest above the limit. */
function touch<T>(record: Record<string, T>, key: string, value: T, most: number): void {
  delete record[key];
  record[key] = value;
  const [oldest] = Object.keys(record);
  if (oldest !== undefined && Object.keys(record).length > most) delete record[oldest];
}
