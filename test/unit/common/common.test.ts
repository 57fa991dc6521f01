import { mkdtempSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { watchDeclarations } from "../../../services/common/declarations.ts";
import { checkHealth, serveHealth } from "../../../services/common/health.ts";
import { listenUnix, parseEndpoint, request, sendJson } from "../../../services/common/http.ts";
import { createLog, reasonOf } from "../../../services/common/log.ts";
import { settings } from "../../../services/common/service.ts";

const directory = mkdtempSync(join(tmpdir(), "berth-common-"));
const servers: http.Server[] = [];
let count = 0;
const socket = () => join(directory, `${count++}.sock`);

async function serve(handler: http.RequestListener, path = socket()): Promise<string> {
  const server = http.createServer(handler);
  servers.push(server);
  await listenUnix(server, path, 0o660);
  return path;
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

describe("logs", () => {
  it("a field cannot forge a line", () => {
    const lines: string[] = [];
    createLog("x", (line) => lines.push(line)).info("event", {
      field: 'a\n{"level":"error"}\u001b[2J',
    });
    expect(lines).toHaveLength(1);
    expect([...(lines[0] ?? "")].every((char) => char >= " ")).toBe(true);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      service: "x",
      level: "info",
      event: "event",
    });
  });

  it("a reason is one line without a stack trace", () => {
    expect(reasonOf(new Error("outer", { cause: new Error("inner") }))).toBe("outer (inner)");
    expect(reasonOf("text")).toBe("text");
  });
});

describe("settings", () => {
  it("every missing one is named at once", () => {
    expect(() => settings({ A: "1" }, ["A", "B", "C"])).toThrow(/B, C/);
    expect(settings({ A: "1" }, ["A"])).toEqual({ A: "1" });
  });
});

describe("endpoints", () => {
  it("unix and tcp are read, anything else is refused", () => {
    expect(parseEndpoint("unix:///a/b.sock")).toEqual({ socketPath: "/a/b.sock" });
    expect(parseEndpoint("tcp://docker-socket-proxy:2375")).toEqual({
      host: "docker-socket-proxy",
      port: 2375,
    });
    for (const bad of [
      "",
      "http://x:1",
      "unix://",
      "tcp://x",
      "tcp://x:1/path",
      "/var/run/docker.sock",
    ]) {
      expect(() => parseEndpoint(bad), bad).toThrow(/no endpoint/);
    }
  });

  it("a stale socket file is replaced, and its mode is what was asked", async () => {
    const path = socket();
    writeFileSync(path, "stale");
    await serve((_q, a) => sendJson(a, 200, { ok: 1 }), path);
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect((await request({ socketPath: path }, { path: "/" })).text).toBe('{"ok":1}');
  });

  it("a request without an answer fails in time", async () => {
    const path = await serve(() => {});
    await expect(request({ socketPath: path }, { path: "/", timeoutMs: 50 })).rejects.toThrow(
      /in time/,
    );
  });
});

describe("health", () => {
  it("is 0 while the check holds, 1 while it does not, 1 while nobody answers", async () => {
    const path = socket();
    let ok = true;
    await serveHealth(async () => {
      if (!ok) throw new Error("no Engine");
    }, path);
    expect(await checkHealth(`unix://${path}`)).toBe(0);
    ok = false;
    expect(await checkHealth(`unix://${path}`)).toBe(1);
    expect(await checkHealth(`unix://${path}.none`)).toBe(1);
  });
});

describe("following declarations", () => {
  const declaration = {
    version: 1,
    stack: "dev",
    name: "lal",
    driver: "docker",
    image: "localhost/berth/agent-node:0123456789ab",
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    preset: "agent",
    limits: {
      memoryBytes: 2 ** 30,
      nanoCpus: 1e9,
      pids: 64,
      tmpBytes: 2 ** 24,
      stopGraceSeconds: 30,
    },
    chat: { channels: ["town-square"], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: true },
  };

  it("every snapshot is handed on, a bad one is not, and a lost stream is taken up again", async () => {
    let connections = 0;
    const path = await serve((_q, a) => {
      connections++;
      a.writeHead(200);
      a.write(`${JSON.stringify([declaration])}\n`);
      if (connections === 1) a.end('[{"version":2}]\n');
      else a.write("[]\n");
    });
    const seen: number[] = [];
    const lost: string[] = [];
    const stop = new AbortController();
    const log = { info() {}, error() {}, warn: (event: string) => lost.push(event) };
    await watchDeclarations(
      { socketPath: path },
      {
        signal: stop.signal,
        log,
        onChange: (list) => {
          seen.push(list.length);
          if (seen.length === 3) stop.abort();
        },
      },
    );
    expect(seen).toEqual([1, 1, 0]);
    expect(lost).toEqual(["declarations-lost"]);
  });
});
