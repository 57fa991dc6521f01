import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Forwarder, forward } from "../../../services/common/forwarder.ts";
import { createLog } from "../../../services/common/log.ts";

const directory = mkdtempSync(join(tmpdir(), "berth-forward-"));
const path = join(directory, "gateway.sock");
const log = createLog("test", () => {});
const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const item of open.splice(0)) item.close();
  rmSync(path, { force: true });
});

/** A far side that answers when its caller has finished, like a request without a length. */
async function farSide(answer: (got: string) => string): Promise<void> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let got = "";
    socket.on("error", () => {});
    socket.on("data", (part) => {
      got += part;
    });
    socket.on("end", () => socket.end(answer(got)));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  open.push(server);
}

const forwardFrom = (port: number) =>
  forward({ port, socketPath: path, far: "The gateway of this test", log });

async function forwarder(): Promise<Forwarder> {
  const made = await forwardFrom(0);
  open.push(made);
  return made;
}

function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let got = "";
    socket.on("data", (part) => {
      got += part;
    });
    socket.on("end", () => resolve(got));
    socket.on("error", reject);
    socket.end(text);
  });
}

describe("a forwarder", () => {
  it("carries bytes both ways, each direction closed on its own", async () => {
    await farSide((got) => `got ${got.length}`);
    const { port } = await forwarder();
    expect(await exchange(port, "x".repeat(300_000))).toBe("got 300000");
  });

  it("carries many connections beside each other", async () => {
    await farSide((got) => got.toUpperCase());
    const { port } = await forwarder();
    const texts = Array.from({ length: 50 }, (_, i) => `caller ${i}`);
    expect(await Promise.all(texts.map((text) => exchange(port, text)))).toEqual(
      texts.map((text) => text.toUpperCase()),
    );
  });

  it("answers 503 that names what is away, and works when it is there", async () => {
    const { port } = await forwarder();
    expect(await exchange(port, "GET / HTTP/1.1\r\n\r\n")).toMatch(
      /^HTTP\/1\.1 503 [\s\S]*The gateway of this test is not there/,
    );
    await farSide(() => "hello");
    expect(await exchange(port, "x")).toBe("hello");
  });

  it("listens on loopback only, and says so when its port is taken", async () => {
    const { port } = await forwarder();
    await expect(forwardFrom(port)).rejects.toThrow(/EADDRINUSE/);
  });
});
