import { mkdtempSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { listenUnix } from "../../../services/common/http.ts";
import { type Following, followLines } from "../../../services/common/lines.ts";

const directory = mkdtempSync(join(tmpdir(), "berth-lines-"));
const servers: http.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Follows what `handler` answers until `done` lines or losses were seen. */
async function follow(
  handler: http.RequestListener,
  done: number,
  change: Partial<Following> = {},
): Promise<{ lines: string[]; lost: Record<string, unknown>[]; opened: number }> {
  const socketPath = join(directory, `${servers.length}-${Date.now()}.sock`);
  const server = http.createServer(handler);
  servers.push(server);
  await listenUnix(server, socketPath, 0o600);
  const stop = new AbortController();
  const seen = { lines: [] as string[], lost: [] as Record<string, unknown>[], opened: 0 };
  const check = () => {
    if (seen.lines.length + seen.lost.length >= done) stop.abort();
  };
  await followLines({ socketPath }, "/stream", {
    signal: stop.signal,
    log: {
      info() {},
      error() {},
      warn: (event, fields) => {
        seen.lost.push({ event, ...fields });
        check();
      },
    },
    lost: "stream-lost",
    maxLineBytes: 100,
    onOpen: () => {
      seen.opened += 1;
    },
    onLine: (line) => {
      seen.lines.push(line);
      check();
    },
    ...change,
  });
  return seen;
}

describe("a stream of lines", () => {
  it("gives each line whole, wherever the parts of it were cut, and no empty one", async () => {
    const bytes = Buffer.from("first\n\nsecönd\nthird\nrest");
    const { lines, opened } = await follow((_q, answer) => {
      answer.writeHead(200);
      for (const byte of bytes) answer.write(Buffer.from([byte]));
    }, 3);
    expect(lines).toEqual(["first", "secönd", "third"]);
    expect(opened).toBe(1);
  });

  it("is opened again after its end, and each loss is logged with its reason", async () => {
    const { lines, lost } = await follow((_q, answer) => {
      answer.writeHead(200);
      answer.end("line\n");
    }, 3);
    expect(lines).toEqual(["line", "line"]);
    expect(lost).toEqual([
      expect.objectContaining({ event: "stream-lost", reason: "the stream ended", retryMs: 200 }),
    ]);
  });

  it("ends with a line that is too long, or that its taker refuses", async () => {
    const long = await follow((_q, answer) => answer.end("x".repeat(101)), 1);
    expect(long.lost[0]?.reason).toBe("a line has more than 100 bytes");
    const bad = await follow((_q, answer) => answer.end("bad\n"), 1, {
      onLine: () => {
        throw new Error("no such thing");
      },
    });
    expect(bad.lost[0]?.reason).toBe("no such thing");
  });

  it("that is refused is left alone for longer where that is said; a failure is none", async () => {
    const status = (code: number) => (_q: unknown, answer: http.ServerResponse) => {
      answer.writeHead(code);
      answer.end();
    };
    const refused = await follow(status(403), 1, { refusedMs: 30_000 });
    expect(refused.lost[0]).toMatchObject({ reason: "status 403", retryMs: 30_000 });
    expect((await follow(status(403), 1)).lost[0]).toMatchObject({ retryMs: 200 });
    const failed = await follow(status(503), 1, { refusedMs: 30_000 });
    expect(failed.lost[0]).toMatchObject({ reason: "status 503", retryMs: 200 });
    expect([refused.opened, failed.opened]).toEqual([0, 0]);
  });
});
