import WebSocket from "ws";
import type { Json } from "./api.ts";

/** A frame of the server: an event, or the reply to a request. */
export interface Frame {
  readonly event?: string;
  readonly data?: Json;
  readonly broadcast?: Json;
  readonly seq?: number;
  readonly status?: string;
  readonly seq_reply?: number;
  readonly error?: { readonly id: string; readonly status_code: number };
}

/** A raw WebSocket to the server: every frame is kept, in order. */
export class Stream {
  readonly frames: Frame[] = [];
  readonly socket: WebSocket;
  /** Resolves when the server or we end it. */
  readonly closed: Promise<number>;
  #seq = 0;

  constructor(
    url: string,
    options: { token?: string; query?: string; origin?: string; cookie?: string } = {},
  ) {
    const address = `${url.replace(/^http/, "ws")}/api/v4/websocket${options.query ?? ""}`;
    this.socket = new WebSocket(address, {
      headers: {
        ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
        ...(options.origin ? { origin: options.origin } : {}),
        ...(options.cookie ? { cookie: options.cookie } : {}),
      },
    });
    this.socket.on("message", (data) => this.frames.push(JSON.parse(String(data)) as Frame));
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      const start = Date.now();
      this.socket.once("close", () => resolve(Date.now() - start));
    });
  }

  /** Opens a stream with a token in the upgrade and waits for `hello`. */
  static async open(url: string, token: string, query = ""): Promise<Stream> {
    const stream = new Stream(url, { token, query });
    await stream.event("hello");
    return stream;
  }

  get events(): Frame[] {
    return this.frames.filter((frame) => frame.event !== undefined);
  }

  async opened(): Promise<void> {
    if (this.socket.readyState === WebSocket.OPEN) return;
    await new Promise<void>((resolve, reject) => {
      this.socket.once("open", () => resolve());
      this.socket.once("close", () => reject(new Error("the server refused the WebSocket")));
    });
  }

  /** Sends a request; its number. */
  send(action: string, data?: Json): number {
    const seq = ++this.#seq;
    this.socket.send(JSON.stringify({ seq, action, ...(data ? { data } : {}) }));
    return seq;
  }

  /** Sends a request and waits for its reply. */
  async ask(action: string, data?: Json): Promise<Frame> {
    const seq = this.send(action, data);
    return this.wait(`the reply to ${action}`, (frame) => frame.seq_reply === seq);
  }

  /** Waits for an event. */
  event(name: string, fits: (data: Json) => boolean = () => true): Promise<Frame> {
    return this.wait(name, (frame) => frame.event === name && fits(frame.data ?? {}));
  }

  /** The post inside the event about it, once the event has come. */
  async post(event: string, fits: (post: Json) => boolean): Promise<{ post: Json; frame: Frame }> {
    const read = (data: Json) => JSON.parse(String(data.post)) as Json;
    const frame = await this.event(event, (data) => fits(read(data)));
    return { post: read(frame.data ?? {}), frame };
  }

  async wait(what: string, fits: (frame: Frame) => boolean, timeoutMs = 5_000): Promise<Frame> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = this.frames.find(fits);
      if (found) return found;
      if (Date.now() > end)
        throw new Error(`no ${what} in ${timeoutMs} ms; had ${JSON.stringify(this.frames)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  close(): void {
    this.socket.close();
  }
}

/** Time after which an event that should not come has not come. */
export function quiet(ms = 400): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
