import type { Readable } from "node:stream";

/** Longest line that is kept whole; the rest of a longer one is dropped. In characters. */
export const maxLine = 8_000;

/** Calls `onLine` for every line of a stream, without its end. @returns when the stream has ended */
export function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (part: string) => {
    const lines = (rest + part).split("\n");
    rest = (lines.pop() ?? "").slice(0, maxLine);
    for (const line of lines) onLine(line.slice(0, maxLine));
  });
  return new Promise((resolve) => {
    stream.once("close", () => {
      if (rest !== "") onLine(rest);
      resolve();
    });
  });
}
