import type { Random } from "./random.ts";

/** Pieces that parsers stumble over. */
const pieces = [
  "\r\n",
  "\n",
  "\r",
  "\r\n\r\n",
  "\0",
  " ",
  "\t",
  ":",
  "%2e%2e",
  "%00",
  "//",
  "/../",
  "?",
  "&",
  ";",
  "=",
  "{}",
  "[]",
  "null",
  '"',
  "\\",
  "\\u0000",
  "\\ud800",
  "\u017f",
  "\u212a",
  "1e3",
  "-0",
  "9007199254740993",
  "__proto__",
  "constructor",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 4\r\n",
  "Connection: Upgrade\r\nUpgrade: tcp\r\n",
  "Expect: 100-continue\r\n",
  "Host: y\r\n",
  "POST /containers/create HTTP/1.1\r\nHost: x\r\n\r\n",
  "DELETE /containers/berth-dev-lal HTTP/1.1\r\nHost: x\r\n\r\n",
].map((piece) => Buffer.from(piece));

/** Changes bytes in one to four places: flips, swaps, cuts, repetitions, insertions, parts of another input. */
export function mutate(random: Random, input: Uint8Array, other: Uint8Array = input): Uint8Array {
  let bytes = Buffer.from(input);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + random.below(random.percent(80) ? 8 : 200));
    switch (random.below(8)) {
      case 0:
        if (bytes.length > 0) {
          const place = at % bytes.length;
          bytes[place] = (bytes[place] ?? 0) ^ (1 << random.below(8));
        }
        break;
      case 1:
        if (bytes.length > 0) bytes[at % bytes.length] = random.below(256);
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
        break;
      case 4:
        bytes = repeatLine(random, bytes);
        break;
      case 5: {
        const from = random.below(other.length + 1);
        const part = other.subarray(from, from + random.below(64));
        bytes = Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
        break;
      }
      case 6:
        bytes = bytes.subarray(0, at);
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), random.pick(pieces), bytes.subarray(at)]);
    }
  }
  return bytes;
}

/** Puts one line, as it stands, before another one. */
function repeatLine(random: Random, bytes: Buffer): Buffer<ArrayBuffer> {
  const lines = bytes.toString("latin1").split("\r\n");
  lines.splice(random.below(lines.length), 0, lines[random.below(lines.length)] ?? "");
  return Buffer.from(lines.join("\r\n"), "latin1");
}
