import { type Log, reasonOf } from "../../common/log.ts";
import type { Timing } from "../settings.ts";
import { Backoff, pause } from "../wait.ts";
import type { Frame } from "./types.ts";

/** Node's WebSocket takes headers; the browser's type does not know them. */
type NodeWebSocket = new (
  url: string,
  options: { readonly headers: Readonly<Record<string, string>> },
) => WebSocket;

export interface EventSocketOptions {
  /** `ws://host:port` of the server or of the loopback forwarder. */
  readonly url: string;
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly log: Log;
  readonly timing: Timing;
  readonly onEvent: (frame: Frame) => void;
  /** Events may have been missed: a new connection id, or a gap in the sequence. */
  readonly onMissed: () => void;
}

/**
 * Mattermost's event stream: reconnects with growing waits, resumes where it stopped, and asks to re-read
 * where it could not. A server that no longer knows us leaves the socket open and silent; the ping finds that.
 */
export class EventSocket {
  readonly #options: EventSocketOptions;
  #connectionId = "";
  #expected = 0;
  #connected = false;
  #aliveAt = 0;
  #end: ((reason: string) => void) | undefined;

  constructor(options: EventSocketOptions) {
    this.#options = options;
  }

  /** The server has answered on this connection and has not failed since. */
  get connected(): boolean {
    return this.#connected;
  }

  /** When the server was last heard on a connection by which it knows us: nothing was missed until then. Wall clock, in ms. */
  get aliveAt(): number {
    return this.#aliveAt;
  }

  /** Connects anew at once, as somebody whom the server does not know yet: all that was missed is read. */
  reconnect(why: string): void {
    this.#forget();
    this.#end?.(why);
  }

  /** Stays connected until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, timing } = this.#options;
    const backoff = new Backoff(timing.reconnectFirst, timing.reconnectMost);
    let failures = 0;
    while (!signal.aborted) {
      const reason = await this.#connectOnce(signal, () => {
        backoff.reset();
        failures = 0;
      });
      this.#connected = false;
      if (signal.aborted) return;
      // At the start the gateway is often a moment late: one quiet failure is not worth a line.
      failures++;
      const waitMs = backoff.next();
      log.warn("chat-disconnected", { reason, failures, retryMs: Math.round(waitMs) });
      await pause(waitMs, signal);
    }
  }

  /** One connection, until it ends. @returns why it ended */
  async #connectOnce(signal: AbortSignal, onAlive: () => void): Promise<string> {
    const { url, timing, log, onEvent, onMissed } = this.#options;
    let headers: Readonly<Record<string, string>>;
    try {
      headers = await this.#options.headers();
    } catch (error) {
      return reasonOf(error);
    }
    return new Promise((resolve) => {
      const query = `connection_id=${encodeURIComponent(this.#connectionId)}&sequence_number=${this.#expected}`;
      const socket = new (WebSocket as unknown as NodeWebSocket)(
        `${url}/api/v4/websocket?${query}`,
        { headers },
      );
      let sent = 0;
      let unanswered = 0;
      const deadline = () => setTimeout(() => end("no answer in time"), timing.pingPatience);
      let patience = deadline();
      const ticker = setInterval(ping, timing.pingEvery);
      const stop = () => end("stopped");
      signal.addEventListener("abort", stop, { once: true });
      socket.addEventListener("open", ping);
      socket.addEventListener("message", ({ data }) => receive(String(data)));
      socket.addEventListener("error", () => end("connection failed"));
      socket.addEventListener("close", ({ code }) => end(`closed with code ${code}`));

      let ended = false;
      const end = (reason: string) => {
        if (ended) return;
        ended = true;
        this.#end = undefined;
        clearTimeout(patience);
        clearInterval(ticker);
        signal.removeEventListener("abort", stop);
        try {
          socket.close();
        } catch {
          // It was never open.
        }
        resolve(reason);
      };
      this.#end = end;
      function ping(): void {
        if (socket.readyState !== 1) return;
        clearTimeout(patience);
        patience = deadline();
        unanswered = ++sent;
        socket.send(JSON.stringify({ seq: sent, action: "ping" }));
      }
      const alive = () => {
        clearTimeout(patience);
        this.#aliveAt = Date.now();
        if (this.#connected) return;
        this.#connected = true;
        onAlive();
        log.info("chat-connected", {});
      };
      const receive = (text: string) => {
        if (ended) return;
        let frame: Frame;
        try {
          frame = JSON.parse(text) as Frame;
        } catch {
          return end("a frame that is no JSON");
        }
        if (frame.seq_reply !== undefined) {
          if (frame.status === "OK" && frame.seq_reply === unanswered) return alive();
          if (frame.status === "FAIL") {
            // Any reply looks like a pong; this one says that the server no longer knows our token.
            this.#forget();
            return end(`refused: ${frame.error?.id ?? "no reason"}`);
          }
          return;
        }
        if (frame.event === undefined) return;
        if (frame.event === "hello") {
          const id = String(frame.data?.connection_id ?? "");
          const fresh = id !== this.#connectionId;
          this.#connectionId = id;
          this.#expected = (frame.seq ?? 0) + 1;
          alive();
          if (fresh) onMissed();
          return;
        }
        const gap = frame.seq !== undefined && frame.seq > this.#expected;
        if (frame.seq !== undefined && frame.seq >= this.#expected) this.#expected = frame.seq + 1;
        alive();
        if (gap) {
          log.warn("chat-gap", { seq: frame.seq ?? 0 });
          onMissed();
        }
        onEvent(frame);
      };
    });
  }

  /** The next connection takes up none before it. */
  #forget(): void {
    this.#connectionId = "";
    this.#expected = 0;
  }
}
