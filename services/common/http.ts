import { chmod, unlink } from "node:fs/promises";
import http from "node:http";
import type { Server } from "node:net";

/** Where a server is: a unix socket, or host and port. */
export type Endpoint =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number };

/** Reads `unix:///path` or `tcp://host:port`. @throws Error for anything else */
export function parseEndpoint(url: string): Endpoint {
  if (/^unix:\/\/\/./.test(url)) return { socketPath: url.slice("unix://".length) };
  const tcp = /^tcp:\/\/([A-Za-z0-9.-]+):([0-9]{1,5})$/.exec(url);
  if (tcp?.[1] && tcp[2]) return { host: tcp[1], port: Number(tcp[2]) };
  throw new Error(`"${url}" is no endpoint: write unix:///path or tcp://host:port`);
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** Largest answer of one of our own parts that is read whole. */
const maxAnswerBytes = 16 * 1024 * 1024;

/** Sends one request and reads the whole answer. Never throws for a status; throws for a broken connection. */
export function request(
  endpoint: Endpoint,
  call: {
    readonly method?: string;
    readonly path: string;
    readonly body?: unknown;
    readonly timeoutMs?: number;
  },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const sent = http.request(
      {
        ...endpoint,
        method: call.method ?? "GET",
        path: call.path,
        agent: false,
        timeout: call.timeoutMs ?? 30_000,
        headers: {
          host: "berth",
          ...(body ? { "content-type": "application/json", "content-length": body.length } : {}),
        },
      },
      (answer) => {
        const parts: Buffer[] = [];
        let size = 0;
        answer.on("data", (part: Buffer) => {
          size += part.length;
          if (size > maxAnswerBytes)
            answer.destroy(new Error(`answer over ${maxAnswerBytes} bytes`));
          parts.push(part);
        });
        answer.on("error", reject);
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(parts).toString("utf8"),
          }),
        );
      },
    );
    sent.on("timeout", () =>
      sent.destroy(new Error(`no answer from ${describe(endpoint)} in time`)),
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** The endpoint in words, for messages. */
export function describe(endpoint: Endpoint): string {
  return "socketPath" in endpoint ? endpoint.socketPath : `${endpoint.host}:${endpoint.port}`;
}

/**
 * Listens on a unix socket, replacing a stale file of that name (never its directory: a mount pins that).
 * @param mode permissions of the socket file; connecting needs write permission
 */
export async function listenUnix(server: Server, path: string, mode: number): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(path, mode);
}

/** Answers with JSON, with a length and no more. */
export function sendJson(response: http.ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
}
