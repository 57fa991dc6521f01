import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FrameReader } from "../../../cli/frames.ts";

function frame(stream: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

describe("the Engine's multiplexed output", () => {
  it("reads the same wherever the stream is cut", () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.string()), { maxLength: 20 });
    fc.assert(
      fc.property(frames, fc.array(fc.nat(40)), (list, cuts) => {
        const whole = Buffer.concat(list.map(([stream, text]) => frame(stream, text)));
        const reader = new FrameReader();
        let at = 0;
        for (const cut of cuts) {
          reader.push(whole.subarray(at, at + cut));
          at = Math.min(at + cut, whole.length);
        }
        reader.push(whole.subarray(at));
        const text = (stream: number) =>
          Buffer.concat(
            list.filter(([s]) => s === stream).map(([, t]) => Buffer.from(t)),
          ).toString();
        expect(reader.text("stdout")).toBe(text(1));
        expect(reader.text("stderr")).toBe(text(2));
      }),
    );
  });

  it("hands a frame over as soon as it is whole, and keeps none then", () => {
    const seen: string[] = [];
    const reader = new FrameReader(({ stream, bytes }) => seen.push(`${stream} ${bytes}`));
    const bytes = frame(2, "late");
    reader.push(bytes.subarray(0, 10));
    expect(seen).toEqual([]);
    reader.push(bytes.subarray(10));
    expect(seen).toEqual(["stderr late"]);
    expect(reader.text("stderr")).toBe("");
  });
});
