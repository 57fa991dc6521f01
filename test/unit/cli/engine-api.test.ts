import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectEngine, engineJson, execIn, versionOf } from "../../../cli/engine-api.ts";
import { environmentReferences, pushSecrets } from "../../../cli/operator.ts";
import { openSession } from "../../../cli/session.ts";
import { encodeDeclaration } from "../../../spec/declaration.ts";
import { Label } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";

/** An Engine of the test's own on a unix socket: answers by path, takes over exec connections as the real one does. */
let folder: string;
let server: Server;
let url: string;
let answers: Record<string, [status: number, body: unknown]>;
/** What came on the standard input of the last command. */
let stdin: string;
let command: unknown;

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of request) text += String(part);
  return text;
}

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-api-"));
  url = `unix://${folder}/docker.sock`;
  answers = {
    "/exec/e1/json": [200, { ExitCode: 3 }],
    "/version": [200, { Version: "26.1.5", ApiVersion: "1.45", Os: "linux", Arch: "amd64" }],
  };
  stdin = "";
  server = createServer(async (request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const body = await bodyOf(request);
    if (path.endsWith("/exec")) {
      command = (JSON.parse(body) as { Cmd: unknown }).Cmd;
      answers[path] ??= [201, { Id: "e1" }];
    }
    const [status, value] = answers[path] ?? [404, { message: `no such thing: ${path}` }];
    response.statusCode = status;
    response.end(path === "/echo" ? body : JSON.stringify(value));
  });
  server.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    // The body of the request comes first on the connection, then what is typed.
    socket.on("data", (part: Buffer) => {
      stdin += part.toString();
    });
    socket.on("end", () => {
      const all = Buffer.concat([frame(1, "out "), frame(2, "err"), frame(1, "more")]);
      socket.write(all.subarray(0, 11));
      setTimeout(() => socket.end(all.subarray(11)), 5);
    });
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "docker.sock"), () => resolve()));
});
afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("the Engine's API", () => {
  it("a command's input, both its outputs and its exit code come through", async () => {
    const result = await execIn(connectEngine(url), "box", ["cat", "-"], "typed");
    expect(command).toEqual(["cat", "-"]);
    expect(stdin.endsWith("typed")).toBe(true);
    expect(result).toEqual({ exitCode: 3, stdout: "out more", stderr: "err" });
  });

  it("a container that is not there gives the Engine's own sentence", async () => {
    answers["/containers/box/exec"] = [404, { message: "No such container: box" }];
    await expect(execIn(connectEngine(url), "box", ["x"])).rejects.toThrow(
      "No such container: box",
    );
  });

  it("a body of any length is streamed", async () => {
    answers["/echo"] = [200, null];
    const answer = await connectEngine(url).stream({
      method: "POST",
      path: "/echo",
      body: Readable.from(["a".repeat(100_000), "b"]),
    });
    let size = 0;
    for await (const part of answer) size += (part as Buffer).length;
    expect(size).toBe(100_001);
  });

  it("no Engine is no version, not an error", async () => {
    expect((await versionOf(connectEngine(url)))?.Version).toBe("26.1.5");
    expect(await versionOf(connectEngine(`unix://${folder}/none.sock`))).toBeUndefined();
  });

  it("an error answer is an error with method, path and message", async () => {
    await expect(engineJson(connectEngine(url), { path: "/nothing" })).rejects.toThrow(
      /GET \/nothing: no such thing/,
    );
  });
});

describe("pushing secrets", () => {
  const declare = (name: string, secrets: Record<string, string>) => ({
    Labels: {
      [Label.declaration]: encodeDeclaration({
        version: 1,
        stack: "dev",
        name,
        driver: "docker",
        image: `localhost/berth/node:${"0".repeat(12)}`,
        runner: true,
        program: { acp: ["demo-agent"] },
        activation: "on-demand",
        preset: "agent",
        limits: presets.agent,
        chat: { channels: [], trigger: "mention", access: { mode: "open" } },
        network: "sealed",
        egress: [],
        secrets,
        workspace: { retain: false },
      }),
    },
  });
  const silent = { say: () => {}, print: () => {} };

  it("finds each env: reference once, and no other kind", async () => {
    answers["/volumes"] = [
      200,
      {
        Volumes: [
          declare("lal", { A: "env:ONE", B: "file:/x", C: "generated:32" }),
          declare("data", { A: "env:ONE", B: "env:TWO" }),
        ],
      },
    ];
    const session = openSession({ console: silent });
    expect(await environmentReferences(session, connectEngine(url))).toEqual(["ONE", "TWO"]);
  });

  it("hands over what this environment has, on standard input only, and names the rest", async () => {
    answers["/volumes"] = [200, { Volumes: [declare("lal", { A: "env:ONE", B: "env:TWO" })] }];
    answers["/exec/e1/json"] = [200, { ExitCode: 0 }];
    const session = {
      ...openSession({ console: silent }),
      env: { ONE: "the-canary-value" },
    };
    const result = await pushSecrets(session, connectEngine(url));
    expect(result).toEqual({ pushed: ["ONE"], missing: ["TWO"] });
    expect(stdin).toContain('{"ONE":"the-canary-value"}');
    expect(JSON.stringify(command)).not.toContain("canary");
  });

  it("no references: nothing is run", async () => {
    answers["/volumes"] = [200, { Volumes: null }];
    command = undefined;
    await pushSecrets(openSession({ console: silent }), connectEngine(url));
    expect(command).toBeUndefined();
  });
});
