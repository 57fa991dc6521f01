import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { describe, expect, it } from "vitest";
import { call, declaration, listen, TestGateway, until, world } from "./support.ts";

const health = (socket: string) => call(socket, { path: "/healthz" }).then(({ status }) => status);

/** A hostile agent in a process of its own. `program` has `path`, the agent's socket, and `net`. */
function hostile(path: string, program: string) {
  const code = `const net = require("node:net"); const path = process.argv[1]; ${program}`;
  const child = spawn(process.execPath, ["-e", code, path], { stdio: "ignore" });
  const ended = once(child, "exit");
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

const floods = {
  "pipelined requests on as many connections as it gets, again and again": `
    const text = "GET /x HTTP/1.1\\r\\n\\r\\n".repeat(4000);
    const open = () => {
      const s = net.connect(path); s.on("error", () => {}); s.on("close", () => setImmediate(open));
      const more = () => { while (!s.destroyed && s.write(text)); }; s.on("connect", more); s.on("drain", more);
    };
    for (let i = 0; i < 64; i++) open();`,
  "pipelined requests that it never reads the answers of, with an Expect that none knows": `
    const text = "GET /x HTTP/1.1\\r\\nExpect: x\\r\\n\\r\\n".repeat(4000);
    const open = () => {
      const s = net.connect(path); s.pause(); s.on("error", () => {}); s.on("close", () => setImmediate(open));
      const more = () => { while (!s.destroyed && s.write(text)); }; s.on("connect", more); s.on("drain", more);
    };
    for (let i = 0; i < 64; i++) open();`,
  "one request after another on every connection": `
    const open = () => {
      const s = net.connect(path); s.on("error", () => {}); s.on("close", () => setImmediate(open));
      const ask = () => s.write("GET /x HTTP/1.1\\r\\n\\r\\n"); s.on("connect", ask); s.on("data", ask);
    };
    for (let i = 0; i < 64; i++) open();`,
  "connections that come and go": `
    const open = () => { const s = net.connect(path); s.on("error", () => {}); s.on("close", open); s.on("connect", () => s.destroy()); };
    for (let i = 0; i < 64; i++) open();`,
};

describe("an agent that floods its socket", () => {
  it.each(Object.entries(floods))(
    "%s: the others are served, memory stays",
    async (_what, flood) => {
      await using test = new TestGateway({});
      await test.gateway.apply([declaration("lal"), declaration("data")]);
      await until("data's bot", async () => (await health(test.socket("data"))) === 200);
      const before = process.memoryUsage().rss;
      await using _ = hostile(test.socket("lal"), flood);
      await until("the flood", () => test.of("connection").length + test.of("request").length > 0);
      const took: number[] = [];
      for (const end = Date.now() + 2_500; Date.now() < end; ) {
        const begin = performance.now();
        expect(await health(test.socket("data"))).toBe(200);
        took.push(performance.now() - begin);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      // A machine with busy cores is slow to everybody; one that serves only the flood never answers.
      expect(Math.max(...took)).toBeLessThan(10_000);
      expect(took.sort((a, b) => a - b)[Math.floor(took.length / 2)]).toBeLessThan(1_000);
      expect(process.memoryUsage().rss - before).toBeLessThan(250 * 1024 * 1024);
      expect(test.lines.length).toBeLessThan(300);
    },
  );
});

describe("the pace of one agent", () => {
  it("requests over the rate wait their turn and are answered all the same", async () => {
    await using test = new TestGateway({ limits: { requests: { perSecond: 50, burst: 5 } } });
    await test.gateway.apply([declaration("lal"), declaration("data")]);
    const begin = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 25 }, () => call(test.socket("lal"), { path: "/berth/none" })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(25).fill(404));
    expect(performance.now() - begin).toBeGreaterThan(300);
    const other = performance.now();
    await health(test.socket("data"));
    expect(performance.now() - other).toBeLessThan(200);
  });

  it("new connections over the rate wait too, and are closed where the wait would be long", async () => {
    const limits = { newConnections: { perSecond: 20, burst: 2 }, turnMs: 200 };
    await using test = new TestGateway({ limits });
    await test.gateway.apply([declaration("lal")]);
    const begin = performance.now();
    expect(
      await Promise.all([1, 2, 3, 4].map(() => call(test.socket("lal"), { path: "/x" }))),
    ).toHaveLength(4);
    expect(performance.now() - begin).toBeGreaterThan(60);
    const many = await Promise.allSettled(
      Array.from({ length: 20 }, () => call(test.socket("lal"), { path: "/x" })),
    );
    expect(many.map(({ status }) => status)).toContain("rejected");
    expect(many.map(({ status }) => status)).toContain("fulfilled");
  });

  it("a connection that is kept carries one request after the other", async () => {
    await using test = new TestGateway({});
    await test.gateway.apply([declaration("lal")]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 200; i++) {
      const status = await new Promise((resolve, reject) => {
        const sent = http.request(
          { socketPath: test.socket("lal"), path: "/x", method: "POST", agent },
          (answer) => answer.resume().on("end", () => resolve(answer.statusCode)),
        );
        sent.on("error", reject);
        sent.end("x".repeat(i * 100));
      });
      expect(status).toBe(404);
    }
    agent.destroy();
    expect(test.of("connection")).toEqual([]);
  });

  it.each(["GET /x HTTP/1.1\r\n\r\n", "CONNECT a.example:443 HTTP/1.1\r\n\r\n"])(
    "a second request before the first one's answer ends the connection: %j",
    async (second) => {
      await using test = new TestGateway({});
      await test.gateway.apply([declaration("lal")]);
      const socket = net.connect(test.socket("lal"));
      let text = "";
      socket.on("data", (part) => {
        text += part;
      });
      socket.write(`GET /x HTTP/1.1\r\n\r\n${second}`);
      await once(socket, "close");
      expect(text.match(/HTTP\/1.1/g)?.length ?? 0).toBeLessThan(2);
      expect(test.of("connection")).toMatchObject([{ reason: "pipelined" }]);
      expect(await health(test.socket("lal"))).toBeGreaterThan(0);
    },
  );
});

describe("what a site answers", () => {
  it.each([
    "HTTP/1.1 000 x\r\n\r\n",
    "HTTP/1.1 099 x\r\n\r\n",
    "HTTP/1.1 600 x\r\n\r\n",
    "HTTP/1.1 999 x\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 000 x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: \u0001\u0002\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: \u007f\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n0\r\nx: \u0001\r\n\r\n",
    "\u0016\u0003\u0001",
    "",
  ])("ends that one exchange at most, whatever it is: %j", async (answer) => {
    const faults: unknown[] = [];
    const note = (error: unknown) => faults.push(error);
    process.on("uncaughtException", note);
    await using server = await listen(
      net.createServer((socket) => {
        socket.once("data", () => socket.end(Buffer.from(answer, "latin1")));
      }),
    );
    const wire = world({ "a.example": ["203.0.113.1"] }, { "203.0.113.1:80": server.port });
    await using test = new TestGateway({
      wire,
      mattermost: `http://127.0.0.1:${server.port}`,
      limits: { answerMs: 500 },
    });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:80"] })]);
    await until("the bot", async () => (await health(test.socket("lal"))) === 200);
    const paths = ["http://a.example/", "/api/v4/users/me", "/api/v4/users/me/channels"];
    const upgrade = { connection: "upgrade", upgrade: "websocket" };
    const asked = [
      ...paths.map((path) => call(test.socket("lal"), { path })),
      call(test.socket("lal"), { path: "/api/v4/websocket", headers: upgrade }),
    ];
    for (const { status, value } of (await Promise.allSettled(asked)) as {
      status: string;
      value?: { status: number };
    }[]) {
      if (status === "fulfilled") expect(value?.status).toBeGreaterThan(199);
    }
    expect(await health(test.socket("lal"))).toBe(200);
    process.off("uncaughtException", note);
    expect(faults).toEqual([]);
  });
});
