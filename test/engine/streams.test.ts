import { createHash } from "node:crypto";
import http from "node:http";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEndpoint } from "../../services/common/http.ts";
import { dockerHost, engine, inspect, until } from "../support/engine.ts";
import {
  createInstance,
  declareAgent,
  startInstance,
  waitingTemplate,
  workerTemplate,
} from "../support/instances.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

const node = "/usr/local/bin/node";
const MB = 1_000_000;
/** Longer than each of the listener's time limits; the longest is 20 s, looked at every 5 s. */
const idleMs = 27_000;
let proxy: RealProxy;
/** Streams that nothing is written to, from the first moment on. */
let idle: { readonly since: number; readonly id: string; readonly open: readonly Idle[] };

interface Idle {
  readonly path: string;
  text: string;
  ended: boolean;
}

const direct = parseEndpoint(dockerHost);
const through = () => ({ host: "127.0.0.1", port: proxy.port });

/** Opens an answer. */
function open(where: http.RequestOptions, path: string, method = "GET") {
  return new Promise<http.IncomingMessage>((resolve, reject) => {
    const sent = http.request({ ...where, path, method, agent: false }, resolve);
    sent.on("error", reject);
    sent.end();
  });
}

/** Length and hash of all that comes. */
async function digest(answer: http.IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    hash.update(part);
    length += part.length;
  }
  return `${length} ${hash.digest("hex")}`;
}

async function openStreams(): Promise<number> {
  const { text } = await proxy.ask("/berth/metrics");
  return Number(/^berth_socket_proxy_streams (\d+)$/m.exec(text)?.[1]);
}

beforeAll(async () => {
  proxy = await startRealProxy("streams");
  const { image } = proxy;
  const chatty = `
    const line = "x".repeat(999) + "\\n";
    let left = 8000;
    const write = () => { while (left-- > 0) if (!(left % 2 ? process.stdout : process.stderr).write(line)) return setTimeout(write, 1); };
    write();`;
  await declareAgent(proxy, "lal", {
    templates: {
      quiet: waitingTemplate(image),
      chatty: workerTemplate(image, { command: [node, "-e", chatty], parameters: {} }),
    },
  });
  const id = await startInstance(proxy, "lal.quiet", "idle");
  await until("its first line", async () =>
    (await proxy.ask(`/containers/${id}/logs?stdout=1`)).text.includes("ready"),
  );
  const calls: readonly [string, string][] = [
    ["GET", `/containers/${id}/logs?stdout=1&follow=1`],
    ["POST", `/containers/${id}/wait`],
    ["GET", `/events?filters={"event":["oom"]}`],
    ["GET", "/berth/alerts"],
    ["GET", "/berth/declarations?watch=1"],
  ];
  const streams = await Promise.all(
    calls.map(async ([method, path]) => {
      const stream: Idle = { path, text: "", ended: false };
      const answer = await open(through(), encodeURI(path), method);
      expect([path, answer.statusCode]).toEqual([path, 200]);
      answer.on("data", (part: Buffer) => {
        stream.text += part.toString("latin1");
      });
      answer.on("error", () => undefined);
      answer.on("close", () => {
        stream.ended = true;
      });
      return stream;
    }),
  );
  idle = { since: Date.now(), id, open: streams };
});
afterAll(() => proxy.close());

describe("T9: streams", () => {
  it("T9: 8 MB of both outputs are the Engine's own bytes, frame by frame", async () => {
    const id = await startInstance(proxy, "lal.chatty", "all");
    const path = `/v1.41/containers/${id}/logs?stdout=1&stderr=1&timestamps=1&follow=1`;
    // Followed while it is written, and read when it is complete.
    const followed = await digest(await open(through(), path));
    expect((await inspect(id)).State.Status).toBe("exited");
    const read = await digest(await open(through(), path));
    const engineOwn = await digest(await open(direct, path));
    expect(Number(engineOwn.split(" ")[0])).toBeGreaterThan(8 * MB);
    expect([read, followed]).toEqual([engineOwn, engineOwn]);
  });

  it("T9: for a reader that does not read, the bytes wait at the Engine and not in the proxy", async () => {
    const id = await startInstance(proxy, "lal.chatty", "slow");
    await engine(`/containers/${id}/wait`, "POST");
    const path = `/v1.41/containers/${id}/logs?stdout=1&stderr=1`;
    // Garbage is nobody's memory: what is left after a collection is what is held.
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const used = () => {
      collect();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    const before = used();
    const answers = await Promise.all(Array.from({ length: 8 }, () => open(through(), path)));
    await pause(3_000);
    // 64 MB are asked for; test and proxy are one process, so this is what both hold of it.
    expect(used() - before).toBeLessThan(24 * MB);
    const [whole, ...all] = await Promise.all([
      open(direct, path).then(digest),
      ...answers.map(digest),
    ]);
    expect(new Set(all)).toEqual(new Set([whole]));
  });

  it("T9: a client that closes its half of the connection is gone, and its stream with it", async () => {
    const before = await openStreams();
    const socket = net.connect(proxy.port, "127.0.0.1");
    const path = `/containers/${idle.id}/logs?stdout=1&follow=1`;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until("its first bytes", async () => socket.bytesRead > 0);
    expect(await openStreams()).toBe(before + 1);
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    socket.resume();
    socket.end();
    await closed;
    await until("the stream to be over", async () => (await openStreams()) === before);
    expect((await inspect(idle.id)).State.Running).toBe(true);
  });

  it("T9: a client that breaks off takes its stream along", async () => {
    const before = await openStreams();
    const answer = await open(through(), `/containers/${idle.id}/wait`, "POST");
    expect(await openStreams()).toBe(before + 1);
    answer.on("error", () => undefined);
    answer.destroy();
    await until("the stream to be over", async () => (await openStreams()) === before);
  });

  it("T9: the end of a lease ends the streams of its container", async () => {
    const declaration = proxy.declarationOf("brief", {
      templates: {
        server: waitingTemplate(proxy.image, { instances: { max: 1, timeoutSeconds: 10 } }),
      },
    });
    await proxy.declare(declaration);
    await proxy.volume(proxy.name("brief-workspace"));
    const id = await createInstance(proxy, "brief.server", "x1");
    await proxy.ask(`/containers/${id}/start`, "POST");
    const answer = await open(through(), `/containers/${id}/logs?stdout=1&follow=1`);
    let text = "";
    answer.on("data", (part: Buffer) => {
      text += part.toString();
    });
    await new Promise<void>((resolve) => answer.on("close", () => resolve()));
    expect(text).toContain("bye");
  });

  it("T9: a stream that is silent for longer than every time limit stays, and ends with its container", async () => {
    await pause(Math.max(0, idle.since + idleMs - Date.now()));
    expect(idle.open.filter(({ ended }) => ended).map(({ path }) => path)).toEqual([]);
    const [logs, wait, ...others] = idle.open;
    expect(wait?.text).toBe("");
    expect((await proxy.ask(`/containers/${idle.id}/stop`, "POST")).status).toBe(204);
    await until("their ends", async () => logs?.ended && wait?.ended);
    expect(logs?.text).toContain("bye");
    expect(JSON.parse(wait?.text ?? "")).toEqual({ StatusCode: 7, Error: null });
    expect(others.map(({ ended }) => ended)).toEqual([false, false, false]);
  });
});
