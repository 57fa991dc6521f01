import net from "node:net";

/** Where a raw client connects to. */
export type RawTarget = number | string | net.NetConnectOpts;

/** One answer out of the bytes of a connection. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A client that writes exactly the bytes that a test wants, in the pieces that it wants. */
export class RawClient {
  /** All that came, as latin1. */
  text = "";
  /** The proxy has ended the connection, or it broke. */
  closed = false;
  readonly #socket: net.Socket;
  readonly #watchers = new Set<() => void>();

  /** @param target a port of 127.0.0.1, the path of a unix socket, or the options of a connection */
  constructor(target: RawTarget) {
    const options =
      typeof target === "number"
        ? { port: target, host: "127.0.0.1" }
        : typeof target === "string"
          ? { path: target }
          : target;
    this.#socket = net.connect({ allowHalfOpen: true, ...options });
    this.#socket.on("data", (part) => {
      this.text += part.toString("latin1");
      this.#tell();
    });
    const ended = () => {
      this.closed = true;
      this.#tell();
    };
    this.#socket.on("end", ended);
    this.#socket.on("error", ended);
    this.#socket.on("close", ended);
  }

  get answers(): RawAnswer[] {
    return answersOf(this.text);
  }

  get statuses(): number[] {
    return this.answers.map(({ status }) => status);
  }

  send(bytes: string | Uint8Array): this {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    return this;
  }

  /** Ends the sending side only. */
  half(): this {
    this.#socket.end();
    return this;
  }

  /** Breaks the connection with a reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  end(): void {
    this.#socket.destroy();
  }

  /** Waits until it holds. @returns whether it came to hold within the time */
  until(holds: () => boolean, mostMs = 5_000): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (value: boolean) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve(value);
      };
      const look = () => {
        if (holds()) settle(true);
      };
      const timer = setTimeout(() => settle(holds()), mostMs);
      this.#watchers.add(look);
    });
  }

  /** Waits for so many complete answers, or for the end. */
  async answered(count = 1): Promise<RawAnswer[]> {
    await this.until(() => this.closed || this.answers.length >= count);
    return this.answers;
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** What came of bytes that were sent on a connection of their own. */
export interface Exchanged {
  readonly answers: readonly RawAnswer[];
  /** The proxy ended the connection. */
  readonly closed: boolean;
  readonly text: string;
}

/**
 * Sends bytes and waits for so many answers, then a moment longer: whatever the proxy has to say beyond them, it says at
 * once, since the bytes are there already.
 */
export async function exchange(
  target: RawTarget,
  bytes: string | Uint8Array,
  { answers = 1, moreMs = 15 } = {},
): Promise<Exchanged> {
  const client = new RawClient(target).send(bytes);
  await client.answered(answers);
  await client.until(() => client.closed, moreMs);
  const { closed, text } = client;
  client.end();
  return { answers: client.answers, closed, text };
}

/** The complete answers in the bytes of a connection. An answer without a length of its own is complete with its head. */
function answersOf(text: string): RawAnswer[] {
  const found: RawAnswer[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf("\r\n\r\n", at);
    const status = /^HTTP\/1\.1 ([0-9]{3}) /.exec(text.slice(at, at + 13))?.[1];
    if (end < 0 || status === undefined) return found;
    const headers = new Map(
      text
        .slice(at, end)
        .split("\r\n")
        .slice(1)
        .map((line): [string, string] => {
          const colon = line.indexOf(":");
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
        }),
    );
    const length = Number(headers.get("content-length") ?? 0);
    if (text.length < end + 4 + length) return found;
    found.push({ status: Number(status), headers, body: text.slice(end + 4, end + 4 + length) });
    at = end + 4 + length;
  }
}

/** The rule in a refusal's words; empty where there is none. */
export function ruleOf(body: string): string {
  return /\[([a-z0-9-]+)\](?: \(request [0-9a-f]{8}-\d+\))?"\}\n$/.exec(body)?.[1] ?? "";
}
