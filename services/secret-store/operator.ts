import http from "node:http";
import { listenUnix, request, sendJson } from "../common/http.ts";
import { reasonOf } from "../common/log.ts";
import type { SecretStore } from "./store.ts";

/** Most bytes that one push may have. */
const maxPushBytes = 4 * 1024 * 1024;

/**
 * Serves the operator on a socket of the container's own: `POST /push` with `{ NAME: value }`, `GET /status`.
 * Only user 0 inside the container can connect: whoever may exec there.
 */
export async function serveOperator(store: SecretStore, path: string): Promise<http.Server> {
  const answer = async (incoming: http.IncomingMessage, response: http.ServerResponse) => {
    if (incoming.method === "GET" && incoming.url === "/status") {
      return sendJson(response, 200, { secrets: store.states });
    }
    if (incoming.method !== "POST" || incoming.url !== "/push") {
      return sendJson(response, 404, { message: "POST /push or GET /status" });
    }
    try {
      const accepted = await store.push(parseObject(await readAll(incoming)));
      return sendJson(response, 200, { accepted, secrets: store.states });
    } catch (error) {
      return sendJson(response, 400, { message: reasonOf(error) });
    }
  };
  const server = http.createServer((incoming, response) => {
    answer(incoming, response).catch(() => response.destroy());
  });
  await listenUnix(server, path, 0o600);
  return server;
}

/** Where a verb of the command line reads and writes. */
export interface Terminal {
  readonly input: AsyncIterable<Buffer | string>;
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
}

/** `push`: hands standard input to the running store. @returns the exit code */
export async function push(terminal: Terminal, path: string): Promise<number> {
  let values: unknown;
  try {
    values = parseObject(await readAll(terminal.input));
  } catch (error) {
    terminal.complain(`push: ${reasonOf(error)}`);
    return 1;
  }
  return ask(terminal, path, { method: "POST", path: "/push", body: values });
}

/** `status`: prints every agent's secrets and how they stand, as JSON. @returns the exit code */
export function status(terminal: Terminal, path: string): Promise<number> {
  return ask(terminal, path, { path: "/status" });
}

async function ask(
  terminal: Terminal,
  socketPath: string,
  call: { readonly method?: string; readonly path: string; readonly body?: unknown },
): Promise<number> {
  try {
    const answer = await request({ socketPath }, call);
    const value = JSON.parse(answer.text) as { message?: string };
    if (answer.status === 200) terminal.print(JSON.stringify(value, null, 2));
    else terminal.complain(`${call.path.slice(1)}: ${value.message ?? answer.status}`);
    return answer.status === 200 ? 0 : 1;
  } catch {
    terminal.complain(`the secret store does not answer on ${socketPath}: is it running?`);
    return 1;
  }
}

/** @throws Error without any of the text: it holds secrets, and a parser's own message would quote it */
function parseObject(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('standard input is not JSON: expected an object like {"API_TOKEN": "…"}');
  }
}

async function readAll(input: AsyncIterable<Buffer | string>): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of input) {
    const bytes = Buffer.from(part);
    size += bytes.length;
    if (size > maxPushBytes) throw new Error(`more than ${maxPushBytes} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}
