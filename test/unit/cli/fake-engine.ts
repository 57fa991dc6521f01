import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a command in a container came with. */
export interface Ran {
  readonly container: string;
  readonly command: readonly string[];
  readonly stdin: string;
}

/** How it ended. */
export interface Ended {
  readonly exitCode?: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** An Engine of the test's own on a unix socket: commands in containers, volumes and the events of starts. */
export class FakeEngine {
  /** Every command so far. */
  readonly ran: Ran[] = [];
  /** What a command does. */
  does: (ran: Ran) => Ended = () => ({});
  volumes: readonly unknown[] = [];
  /** Filters of each subscription to events. */
  readonly watched: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "berth-engine-"));
  readonly #sockets = new Set<Socket>();
  readonly #watchers = new Set<ServerResponse>();
  readonly #execs: { readonly ran: Omit<Ran, "stdin">; ended: Ended }[] = [];
  #server: Server | undefined;

  get url(): string {
    return `unix://${this.#folder}/docker.sock`;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    server.on("upgrade", (request: IncomingMessage, socket: Socket) =>
      this.#attach(request, socket),
    );
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
    });
    this.#server = server;
    await new Promise<void>((resolve) =>
      server.listen(join(this.#folder, "docker.sock"), () => resolve()),
    );
  }

  /** Goes away, as an Engine that is stopped. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    this.#watchers.clear();
    await closed;
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Tells everybody who watches that a container has started. */
  tellStart(): void {
    for (const watcher of this.#watchers) {
      watcher.write(`${JSON.stringify({ Type: "container", Action: "start" })}\n`);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://engine");
    let body = "";
    for await (const part of request) body += String(part);
    const json = (status: number, value: unknown) => {
      response.statusCode = status;
      response.end(JSON.stringify(value));
    };
    const [, kind = "", id = "", verb = ""] = url.pathname.split("/");
    if (kind === "version") {
      return json(200, { Version: "26.1.5", ApiVersion: "1.45", Os: "linux", Arch: "amd64" });
    }
    if (kind === "volumes") return json(200, { Volumes: this.volumes });
    if (kind === "events") {
      this.watched.push(url.searchParams.get("filters") ?? "");
      response.writeHead(200);
      response.flushHeaders();
      this.#watchers.add(response);
      return;
    }
    if (kind === "containers" && verb === "exec") {
      const { Cmd } = JSON.parse(body) as { Cmd: string[] };
      this.#execs.push({ ran: { container: id, command: Cmd }, ended: {} });
      return json(201, { Id: `e${this.#execs.length - 1}` });
    }
    if (kind === "exec" && verb === "json") {
      return json(200, { ExitCode: this.#execs[Number(id.slice(1))]?.ended.exitCode ?? 0 });
    }
    return json(404, { message: `no such thing: ${url.pathname}` });
  }

  #attach(request: IncomingMessage, socket: Socket): void {
    socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    const exec = this.#execs[Number(/\/exec\/e(\d+)\/start/.exec(request.url ?? "")?.[1])];
    let input = "";
    socket.on("data", (part: Buffer) => {
      input += part.toString();
    });
    socket.on("end", () => {
      if (!exec) return socket.end();
      // The body of the request comes first on the connection, then what is typed.
      const ran = { ...exec.ran, stdin: input.replace(/^\{"Detach":[^}]*\}/, "") };
      this.ran.push(ran);
      exec.ended = this.does(ran);
      const { stdout = "", stderr = "" } = exec.ended;
      return socket.end(Buffer.concat([frame(1, stdout), frame(2, stderr)]));
    });
  }
}

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}
