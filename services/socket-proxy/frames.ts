import { Transform, type TransformCallback } from "node:stream";

/** Header of a log frame: stream number, three zeros, length. */
const headerBytes = 8;

/**
 * Passes Docker's multiplexed log stream through unchanged, as long as it is one: frames of standard output and error.
 * Anything else - the Engine's own error frames, a raw terminal stream, a broken length - ends the stream with an error.
 */
export class LogFrames extends Transform {
  #header = Buffer.alloc(0);
  #left = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left);
        this.push(chunk.subarray(at, end));
        this.#left -= end - at;
        at = end;
        continue;
      }
      const end = Math.min(chunk.length, at + headerBytes - this.#header.length);
      this.#header = Buffer.concat([this.#header, chunk.subarray(at, end)]);
      at = end;
      if (this.#header.length < headerBytes) break;
      const [stream, ...zeros] = this.#header.subarray(0, 4);
      if ((stream !== 1 && stream !== 2) || zeros.some((byte) => byte !== 0)) {
        done(new Error("the Engine's log stream is no sequence of frames"));
        return;
      }
      this.#left = this.#header.readUInt32BE(4);
      this.push(this.#header);
      this.#header = Buffer.alloc(0);
    }
    done();
  }
}
