import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AnswerReader, type ReadAnswer } from "../../../services/socket-proxy/engine-answer.ts";
import { EngineError } from "../../../services/socket-proxy/engine-error.ts";
import { EngineReads } from "../../../services/socket-proxy/engine-reads.ts";

const limits = { deadlineMs: 2_000, maxBytes: 1_000 };

/** Reads pieces as they would come off a connection. */
function read(pieces: readonly (string | Buffer)[], maxBytes = 1_000) {
  const reader = new AnswerReader(maxBytes);
  let answer: ReadAnswer | undefined;
  for (const piece of pieces) {
    answer = reader.feed(Buffer.isBuffer(piece) ? piece : Buffer.from(piece, "latin1")) ?? answer;
  }
  return { answer, reusable: reader.reusable };
}

const ok = "HTTP/1.1 200 OK\r\n";

describe("an answer of the Engine", () => {
  it("is read the same in whatever pieces it comes, by length and in chunks", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 10 }),
        (bytes, isChunked, cuts, sizes) => {
          const body = Buffer.from(bytes);
          const chunks: Buffer[] = [];
          for (let at = 0, i = 0; at < body.length; i++) {
            const part = body.subarray(at, at + (sizes[i] ?? body.length));
            chunks.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"));
            at += part.length;
          }
          const whole = Buffer.concat(
            isChunked
              ? [
                  Buffer.from(`${ok}Transfer-Encoding: chunked\r\n\r\n`),
                  ...chunks,
                  Buffer.from("0\r\n\r\n"),
                ]
              : [Buffer.from(`${ok}Content-Length: ${body.length}\r\n\r\n`), body],
          );
          const pieces: Buffer[] = [];
          for (let at = 0, i = 0; at < whole.length; i++) {
            pieces.push(whole.subarray(at, at + (cuts[i] ?? whole.length)));
            at += pieces.at(-1)?.length ?? 0;
          }
          const { answer, reusable } = read(pieces);
          expect(answer?.status).toBe(200);
          expect(answer?.body.equals(body)).toBe(true);
          expect(reusable).toBe(true);
        },
      ),
    );
  });

  it.each([
    ["a status of 204 without a body", "HTTP/1.1 204 No Content\r\n\r\n", 204],
    ["interim heads before it", `HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 0\r\n\r\n`, 200],
    ["no reason phrase", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404],
  ])("may have %s", (_title, text, status) => {
    expect(read([text]).answer?.status).toBe(status);
  });

  it.each([
    ["another version", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["no status", "HTTP/1.1 OK\r\n\r\n"],
    ["a switch of protocols", "HTTP/1.1 101 Switching\r\nUpgrade: tcp\r\n\r\n"],
    ["interim heads without end", "HTTP/1.1 103 Early\r\n\r\n".repeat(9)],
    ["neither length nor chunks", `${ok}\r\n`],
    ["two lengths", `${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`],
    ["length and chunks", `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx`],
    ["another coding", `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ["an encoded body", `${ok}Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx`],
    ["a length that is no number", `${ok}Content-Length: +1\r\n\r\nx`],
    ["a length over the bound", `${ok}Content-Length: 1001\r\n\r\n`],
    ["a chunk over the bound", `${ok}Transfer-Encoding: chunked\r\n\r\n3e9\r\n`],
    [
      "chunks over the bound",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1f4\r\n${"x".repeat(500)}\r\n1f5\r\n`,
    ],
    ["a chunk's size with an extension", `${ok}Transfer-Encoding: chunked\r\n\r\n1;x=y\r\n`],
    ["a chunk without its end", `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nxyz`],
    ["a folded header", `${ok}X: 1\r\n 2\r\nContent-Length: 0\r\n\r\n`],
    ["a header without a colon", `${ok}Content-Length\r\n\r\n`],
    ["headers without end", `${ok}${"X: y\r\n".repeat(4_000)}`],
    ["a size line without end", `${ok}Transfer-Encoding: chunked\r\n\r\n${"0".repeat(40)}`],
    ["trailers", `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n`],
  ])("with %s is none", (_title, text) => {
    expect(() => read([text])).toThrow(EngineError);
    // A byte at a time as well.
    expect(() => read([...text])).toThrow(EngineError);
  });

  it("no bytes make the reader do anything but wait, answer or refuse", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }),
        fc.boolean(),
        (pieces, isHeaded) => {
          const begin = isHeaded ? [`${ok}Transfer-Encoding: chunked\r\n\r\n`] : [];
          try {
            const { answer } = read([...begin, ...pieces.map((piece) => Buffer.from(piece))]);
            if (answer) expect(answer.body.length).toBeLessThanOrEqual(1_000);
          } catch (error) {
            expect(error).toBeInstanceOf(EngineError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("what follows it ends the use of its connection, and so does the Engine's word", () => {
    expect(read([`${ok}Content-Length: 0\r\n\r\nHTTP/1.1 200 OK`]).reusable).toBe(false);
    expect(read([`${ok}Connection: close\r\nContent-Length: 0\r\n\r\n`]).reusable).toBe(false);
  });
});

describe("reads", () => {
  let directory: string;
  let server: net.Server;
  let connections: net.Socket[];
  /** Answers a request on a connection. */
  let answer: (socket: net.Socket, request: string) => void;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "reads-"));
    connections = [];
    answer = (socket) => socket.write(`${ok}Content-Length: 2\r\n\r\nhi`);
    server = net.createServer((socket) => {
      connections.push(socket);
      socket.on("error", () => undefined);
      socket.on("data", (part) => answer(socket, part.toString()));
    });
    await new Promise<void>((resolve) => server.listen(join(directory, "s"), resolve));
  });
  afterEach(() => {
    for (const socket of connections) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const reads = () => new EngineReads(join(directory, "s"));

  it("use a connection again, and one each at the same time", async () => {
    const used = reads();
    for (let i = 0; i < 5; i++) expect((await used.get("/x", limits)).body.toString()).toBe("hi");
    expect(connections).toHaveLength(1);
    await Promise.all(Array.from({ length: 10 }, () => used.get("/x", limits)));
    expect(connections).toHaveLength(10);
  });

  it("are at most 64 at a time; the others wait and are answered", async () => {
    const used = reads();
    const answers = await Promise.all(Array.from({ length: 300 }, () => used.get("/x", limits)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(connections.length).toBeLessThanOrEqual(64);
  });

  it("are asked once more over a new connection where the old one was closed meanwhile, and only once", async () => {
    const used = reads();
    await used.get("/x", limits);
    connections[0]?.destroy();
    expect((await used.get("/x", limits)).status).toBe(200);
    let asked = 0;
    await used.get("/x", limits);
    answer = (socket) => {
      asked += 1;
      socket.destroy();
    };
    await expect(used.get("/x", limits)).rejects.toMatchObject({ kind: "down" });
    expect(asked).toBe(2);
  });

  it("an answer that was broken off is not asked for again", async () => {
    const used = reads();
    await used.get("/x", limits);
    let asked = 0;
    answer = (socket) => {
      asked += 1;
      socket.end(`${ok}Content-Length: 5\r\n\r\nhi`);
    };
    await expect(used.get("/x", limits)).rejects.toMatchObject({ kind: "down" });
    expect(asked).toBe(1);
  });

  it("late: the connection is given up, and the next read has another", async () => {
    const used = reads();
    answer = () => undefined;
    await expect(used.get("/x", { ...limits, deadlineMs: 50 })).rejects.toMatchObject({
      kind: "late",
    });
    answer = (socket) => socket.write(`${ok}Content-Length: 2\r\n\r\nhi`);
    expect((await used.get("/x", limits)).status).toBe(200);
    expect(connections).toHaveLength(2);
  });

  it("bytes that nobody asked for close the connection and are no answer to the next read", async () => {
    const used = reads();
    await used.get("/x", limits);
    connections[0]?.write(`${ok}Content-Length: 6\r\n\r\nforged`);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect((await used.get("/x", limits)).body.toString()).toBe("hi");
  });

  it("nobody there: down, at once, as often as it is asked", async () => {
    const nobody = new EngineReads(join(directory, "nobody"));
    for (let i = 0; i < 70; i++) {
      await expect(nobody.get("/x", limits)).rejects.toMatchObject({ kind: "down" });
    }
  });

  it("a path that would be more than a path is not sent", async () => {
    await expect(reads().get("/x HTTP/1.1\r\n\r\nPOST /y", limits)).rejects.toThrow(
      "cannot be sent",
    );
    expect(connections).toHaveLength(0);
  });
});
