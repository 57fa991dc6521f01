/** What came back over one connection. */
export interface Answers {
  readonly statuses: readonly number[];
  readonly problem?: string;
}

const statusLine = /HTTP\/1\.1 ([1-5][0-9]{2}) [\x20-\x7e]*\r\n/y;
const headerLine = /([!-9;-~]+): ?([\x20-\x7e\t]*)\r\n/y;
const chunkLine = /([0-9a-f]{1,8})\r\n/iy;

/**
 * Reads all bytes of a connection as HTTP answers, one after the other. The last may break off where it is one of no
 * known length, as a stream does that ends with its connection.
 * @param hasHead there may be answers to HEAD, which say a length and have no body
 */
export function readAnswers(bytes: Buffer, hasHead: boolean): Answers {
  const text = bytes.toString("latin1");
  const statuses: number[] = [];
  let at = 0;
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at += match[0].length;
    return match;
  };
  const wrong = (what: string) => ({
    statuses,
    problem: `${what} at byte ${at} of the answer: ${JSON.stringify(text.slice(at, at + 80))}`,
  });
  while (at < text.length) {
    const status = Number(take(statusLine)?.[1] ?? 0);
    if (status < 200) return wrong("no status line");
    statuses.push(status);
    const headers = new Map<string, string>();
    for (let line = take(headerLine); line; line = take(headerLine)) {
      const [, name = "", value = ""] = line;
      if (headers.has(name.toLowerCase())) return wrong(`the header ${name} twice`);
      headers.set(name.toLowerCase(), value);
    }
    if (!text.startsWith("\r\n", at)) return wrong("no end of the headers");
    at += 2;
    if (!/^[0-9a-f]{8}-[0-9]+$/.test(headers.get("x-request-id") ?? "")) {
      return wrong("no request id");
    }
    if (status === 204 || status === 304) continue;
    if (headers.get("transfer-encoding") === "chunked") {
      let size = -1;
      while (size !== 0) {
        const line = take(chunkLine);
        if (!line) return text.length - at < 16 ? { statuses } : wrong("no chunk");
        size = Number.parseInt(line[1] ?? "", 16);
        if (at + size + 2 > text.length) return { statuses };
        if (!text.startsWith("\r\n", at + size)) return wrong("a chunk without its end");
        at += size + 2;
      }
      continue;
    }
    const length = headers.get("content-length") ?? "";
    if (!/^[0-9]+$/.test(length)) return wrong("no length");
    const end = at + Number(length);
    if (hasHead && (at === text.length || text.startsWith("HTTP/1.1 ", at))) continue;
    if (end > text.length) return wrong("half a body");
    if (status >= 400 && !isRefusal(text.slice(at, end))) return wrong("no refusal");
    at = end;
  }
  return { statuses };
}

function isRefusal(body: string): boolean {
  try {
    const { message, ...more } = JSON.parse(body) as Record<string, unknown>;
    return (
      typeof message === "string" &&
      /^berth: .* \[[a-z0-9-]+\]/s.test(message) &&
      Object.keys(more).length === 0
    );
  } catch {
    return false;
  }
}
