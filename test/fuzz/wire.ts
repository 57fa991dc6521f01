import type http from "node:http";
import { Duplex } from "node:stream";

/**
 * The server's end of a connection that exists in memory only, with what Node's HTTP server uses of a socket: it may be
 * half-closed, ends when both halves have, and goes softly with `destroySoon`.
 */
export class Wire extends Duplex {
  readonly remoteAddress = "127.0.0.1";
  readonly #written: Buffer[] = [];
  /** Counts what comes out of it, so that a reader can tell when it is quiet. */
  activity = 0;

  constructor() {
    super({ allowHalfOpen: true, emitClose: true, autoDestroy: true });
  }

  /** Joins it to a server, as a connection that was just made. */
  connect(server: http.Server): this {
    server.emit("connection", this);
    return this;
  }

  /** Sends bytes to the server, as far as its end still takes them. */
  send(bytes: Uint8Array): void {
    if (!this.destroyed && !this.readableEnded) this.push(Buffer.from(bytes));
  }

  /** Half-closes it: nothing more comes from the client. */
  finish(): void {
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  /** All that the server has sent. */
  get answer(): Buffer {
    return Buffer.concat(this.#written);
  }

  /** As on a socket: ends, and is gone once all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  override _read(): void {
    // Bytes come when the client sends them.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.activity += 1;
    this.#written.push(chunk);
    done();
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
