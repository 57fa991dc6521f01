/** Stream of a frame in the Engine's multiplexed output. */
export type FrameStream = "stdout" | "stderr";

/** Most output that is kept of one command; what comes after is dropped. */
const maxBytes = 16 * 1024 * 1024;

/** A piece of output: which stream it is of, and its bytes. */
export interface Frame {
  readonly stream: FrameStream;
  readonly bytes: Buffer;
}

/**
 * Takes the Engine's multiplexed stream apart: frames of an eight byte head (stream number, three zeros, length
 * as big-endian 32 bits) and that many bytes. Parts may be cut anywhere.
 */
export class FrameReader {
  readonly #kept: Frame[] = [];
  readonly #onFrame: ((frame: Frame) => void) | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #size = 0;

  /** @param onFrame gets each frame as it is complete; without it they are kept for {@link text} */
  constructor(onFrame?: (frame: Frame) => void) {
    this.#onFrame = onFrame;
  }

  push(part: Buffer): void {
    this.#rest = this.#rest.length === 0 ? part : Buffer.concat([this.#rest, part]);
    while (this.#rest.length >= 8) {
      const end = 8 + this.#rest.readUInt32BE(4);
      if (this.#rest.length < end) return;
      this.#take({
        stream: this.#rest[0] === 2 ? "stderr" : "stdout",
        bytes: this.#rest.subarray(8, end),
      });
      this.#rest = this.#rest.subarray(end);
    }
  }

  /** All that came on one stream. */
  text(stream: FrameStream): string {
    return Buffer.concat(
      this.#kept.filter((frame) => frame.stream === stream).map((frame) => frame.bytes),
    ).toString("utf8");
  }

  #take(frame: Frame): void {
    if (this.#onFrame) {
      this.#onFrame(frame);
      return;
    }
    this.#size += frame.bytes.length;
    if (this.#size <= maxBytes) this.#kept.push(frame);
  }
}
