import net from "node:net";
import { AnswerReader, type ReadAnswer } from "./engine-answer.ts";
import { EngineError } from "./engine-error.ts";

/** Bounds of one read. */
export interface ReadLimits {
  readonly deadlineMs: number;
  readonly maxBytes: number;
  /** Over a connection of its own. */
  readonly isApart?: boolean;
}

/** Connections at a time; further reads wait for one. */
const maxConnections = 64;
/** A connection that nobody needs is closed after this long. */
const idleMs = 30_000;

/**
 * Reads from the Engine over a few connections that stay open. Small of its own accord: Node's own client costs a
 * multiple of the Engine's whole work for a read. It sends `GET` and nothing else, so that asking twice changes nothing.
 */
export class EngineReads {
  readonly #socketPath: string;
  /** The newest last: those at the beginning time out first. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<(connection: Connection) => void>();
  #count = 0;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * @param path of an EngineCall
   * @throws EngineError
   */
  async get(path: string, limits: ReadLimits): Promise<ReadAnswer> {
    // upstream.ts writes no other; whatever does not fit here would be a second line of the request.
    if (!/^\/[\x21-\x7e]*$/.test(path)) throw new Error("a path that cannot be sent");
    if (limits.isApart) return new Connection(this.#socketPath).get(path, limits);
    const connection = await this.#take(limits.deadlineMs);
    const isUsed = connection.isUsed;
    try {
      return await connection.get(path, limits);
    } catch (error) {
      // One that stayed open may have been closed by the Engine meanwhile: it is asked once more, over a new one.
      if (!isUsed || !(error instanceof BrokenConnection)) throw error;
    }
    return new Connection(this.#socketPath).get(path, limits);
  }

  /** @throws EngineError where none became free in time */
  #take(deadlineMs: number): Connection | Promise<Connection> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#count >= maxConnections) {
      return new Promise((resolve, reject) => {
        const take = (connection: Connection) => {
          clearTimeout(timer);
          resolve(connection);
        };
        const timer = setTimeout(() => {
          this.#waiting.delete(take);
          reject(new EngineError("late", "the Engine did not answer in time"));
        }, deadlineMs);
        this.#waiting.add(take);
      });
    }
    return this.#open();
  }

  #open(): Connection {
    this.#count += 1;
    return new Connection(this.#socketPath, {
      free: (connection) => {
        const next = this.#next();
        if (next) next(connection);
        else this.#idle.push(connection);
      },
      closed: (connection) => {
        this.#count -= 1;
        const at = this.#idle.indexOf(connection);
        if (at >= 0) this.#idle.splice(at, 1);
        const next = this.#next();
        if (next) next(this.#open());
      },
    });
  }

  /** Who has waited longest, taken off the list. */
  #next(): ((connection: Connection) => void) | undefined {
    const [first] = this.#waiting;
    if (first) this.#waiting.delete(first);
    return first;
  }
}

/** A connection that had served before broke before it gave an answer. */
class BrokenConnection extends EngineError {
  constructor() {
    super("down", "the Engine does not answer");
  }
}

interface Pool {
  free(connection: Connection): void;
  closed(connection: Connection): void;
}

interface Pending {
  readonly reader: AnswerReader;
  readonly resolve: (answer: ReadAnswer) => void;
  readonly reject: (error: EngineError) => void;
  readonly timer: NodeJS.Timeout;
  hasBegun: boolean;
}

/** One connection: one read at a time. Without a pool it is closed after its first. */
class Connection {
  isUsed = false;
  readonly #socket: net.Socket;
  readonly #pool: Pool | undefined;
  #pending: Pending | undefined;

  constructor(socketPath: string, pool?: Pool) {
    this.#pool = pool;
    this.#socket = net.connect(socketPath);
    this.#socket.setTimeout(idleMs, () => {
      if (!this.#pending) this.#socket.destroy();
    });
    this.#socket.on("data", (chunk: Buffer) => this.#feed(chunk));
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("close", () => {
      if (this.#pending) this.#fail(brokenOff(this.#pending.hasBegun));
      pool?.closed(this);
    });
  }

  get(path: string, { deadlineMs, maxBytes }: ReadLimits): Promise<ReadAnswer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new EngineError("late", "the Engine did not answer in time"));
        this.#socket.destroy();
      }, deadlineMs);
      const reader = new AnswerReader(maxBytes);
      this.#pending = { reader, resolve, reject, timer, hasBegun: false };
      // Closed already: its "close" has been, and no other comes.
      if (this.#socket.destroyed) {
        this.#fail(brokenOff(false));
        return;
      }
      this.#socket.ref();
      this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: docker\r\n\r\n`, "latin1");
    });
  }

  #feed(chunk: Buffer): void {
    const pending = this.#pending;
    // Nobody has asked.
    if (!pending) {
      this.#socket.destroy();
      return;
    }
    pending.hasBegun = true;
    let answer: ReadAnswer | undefined;
    try {
      answer = pending.reader.feed(chunk);
    } catch (error) {
      this.#fail(error as EngineError);
      this.#socket.destroy();
      return;
    }
    if (!answer) return;
    clearTimeout(pending.timer);
    this.#pending = undefined;
    this.isUsed = true;
    pending.resolve(answer);
    if (!this.#pool || !pending.reader.reusable) {
      this.#socket.destroy();
      return;
    }
    // An idle connection keeps no process alive.
    this.#socket.unref();
    this.#pool.free(this);
  }

  #fail(error: EngineError): void {
    const pending = this.#pending;
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#pending = undefined;
    pending.reject(error);
  }
}

function brokenOff(hasBegun: boolean): EngineError {
  return hasBegun
    ? new EngineError("down", "the Engine broke off its answer")
    : new BrokenConnection();
}
