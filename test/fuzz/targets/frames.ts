import { LogFrames } from "../../../services/socket-proxy/frames.ts";
import { mutate } from "../mutate.ts";
import type { Target } from "../target.ts";

/** Log frames: whole frames of the two outputs pass byte for byte, wherever they are cut; what is behind a bad head never does. */
export const framesTarget: Target = {
  name: "frames",
  generate(random) {
    const parts: Uint8Array[] = [random.bytes(1)];
    for (let left = random.below(6); left > 0; left--) {
      const length = random.percent(80) ? random.below(20) : random.below(2_000);
      const head = Buffer.from([
        random.percent(95) ? 1 + random.below(2) : random.below(256),
        0,
        0,
        0,
        0,
        0,
        length >> 8,
        length & 255,
      ]);
      parts.push(head, random.bytes(length));
    }
    const bytes = Buffer.concat(parts);
    return random.percent(30) ? mutate(random, bytes) : bytes;
  },
  async check(input) {
    const size = 1 + ((input[0] ?? 0) % 40);
    const bytes = Buffer.from(input.subarray(1));
    const frames = new LogFrames();
    const passed: Buffer[] = [];
    frames.on("data", (part: Buffer) => passed.push(part));
    const failed = new Promise<boolean>((resolve) => {
      frames.on("error", () => resolve(true));
      frames.on("end", () => resolve(false));
    });
    for (let at = 0; at < bytes.length; at += size) frames.write(bytes.subarray(at, at + size));
    frames.end();
    const hasFailed = await failed;
    let good = 0;
    let isWrong = false;
    while (good < bytes.length && !isWrong) {
      const head = bytes.subarray(good, good + 8);
      if (head.length < 8) break;
      isWrong = (head[0] !== 1 && head[0] !== 2) || head.readUIntBE(1, 3) !== 0;
      if (!isWrong) good = Math.min(bytes.length, good + 8 + head.readUInt32BE(4));
    }
    if (hasFailed !== isWrong)
      return hasFailed ? "ends a stream that is right" : "lets a wrong stream go on";
    const got = Buffer.concat(passed);
    // A failing stream drops what it still holds; what has passed is the beginning of what is right.
    if (!bytes.subarray(0, good).subarray(0, got.length).equals(got)) return "passes other bytes";
    return hasFailed || got.length === good ? undefined : "holds bytes back";
  },
};
