import http from "node:http";
import type { Readable } from "node:stream";
import type { Log } from "../common/log.ts";
import { Denial, notFound } from "./denial.ts";
import type { EngineCall } from "./upstream.ts";

/** Largest JSON answer of the Engine that is read. */
const maxAnswerBytes = 8 * 1024 * 1024;
/** The Engine has this long to answer, where a call sets no other bound. */
const deadlineMs = 60_000;

/** How a call may be answered. */
export interface CallOptions {
  readonly deadlineMs?: number;
  readonly maxBytes?: number;
}

/** The Engine could not be asked, or its answer could not be used. `kind` says which, for the mapping to a client. */
export class EngineError extends Error {
  readonly kind: "down" | "late" | "unusable" | "refused";
  /** The Engine's status, where it refused. */
  readonly status: number;
  /** One of a few known causes, in our own words. */
  readonly known: string | undefined;

  constructor(kind: EngineError["kind"], message: string, status = 0, cause?: string) {
    super(message);
    this.name = "EngineError";
    this.kind = kind;
    this.status = status;
    this.known = cause;
  }
}

/** What can be asked of an Engine. Only calls that upstream.ts made are taken. */
export interface EnginePort {
  /** Sends a call and reads its JSON answer; undefined for an empty one. @throws EngineError */
  json(call: EngineCall, options?: CallOptions): Promise<unknown>;
  /** Sends a call and reads its answer as bytes. @throws EngineError */
  bytes(call: EngineCall, options?: CallOptions): Promise<Buffer>;
  /** Sends a call whose answer is a status only. @returns the status, 2xx or 304 @throws EngineError */
  status(call: EngineCall, options?: CallOptions): Promise<number>;
  /**
   * Sends a call and gives its open answer, for `wait`, `logs` and `events`. No deadline once it has begun.
   * @throws EngineError where the Engine refuses or does not begin to answer in time
   */
  stream(call: EngineCall, signal: AbortSignal): Promise<Readable>;
}

/** The Engine behind its unix socket. It sends what upstream.ts made, and nothing else. */
export class Engine implements EnginePort {
  readonly #socketPath: string;
  readonly #log: Log | undefined;
  /** Reads go over connections that stay open; whatever changes something has one of its own, so it is never sent twice. */
  readonly #reads = new http.Agent({
    keepAlive: true,
    maxSockets: 64,
    maxFreeSockets: 8,
    timeout: 30_000,
  });

  /** @param log gets what the Engine says when it refuses, which no client does */
  constructor(socketPath: string, log?: Log) {
    this.#socketPath = socketPath;
    this.#log = log;
  }

  async json(call: EngineCall, options: CallOptions = {}): Promise<unknown> {
    const { body } = await this.#read(call, options);
    if (body.length === 0) return undefined;
    try {
      return JSON.parse(body.toString("utf8")) as unknown;
    } catch {
      throw new EngineError("unusable", "the Engine's answer is no JSON");
    }
  }

  async bytes(call: EngineCall, options: CallOptions = {}): Promise<Buffer> {
    return (await this.#read(call, options)).body;
  }

  async status(call: EngineCall, options: CallOptions = {}): Promise<number> {
    return (await this.#read(call, options)).status;
  }

  async #read(call: EngineCall, options: CallOptions): Promise<{ status: number; body: Buffer }> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), options.deadlineMs ?? deadlineMs);
    try {
      const answer = await this.#ask(call, late.signal);
      const body = await readAll(answer, options.maxBytes ?? maxAnswerBytes);
      const status = answer.statusCode ?? 0;
      if ((status >= 200 && status < 300) || status === 304) return { status, body };
      throw this.#refusal(call, status, body);
    } catch (error) {
      if (late.signal.aborted) throw new EngineError("late", "the Engine did not answer in time");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A connection that stayed open may be one that the Engine has closed meanwhile: a read is then asked once more, anew. */
  async #ask(call: EngineCall, signal: AbortSignal): Promise<http.IncomingMessage> {
    if (call.method !== "GET") return this.#send(call, signal, false);
    try {
      return await this.#send(call, signal, this.#reads);
    } catch (error) {
      if (signal.aborted || !(error instanceof ReusedConnection)) throw error;
      return this.#send(call, signal, false);
    }
  }

  async stream(call: EngineCall, signal: AbortSignal): Promise<http.IncomingMessage> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), deadlineMs);
    try {
      const answer = await this.#send(call, AbortSignal.any([signal, late.signal]), false);
      if (answer.statusCode === 200) return answer;
      throw this.#refusal(call, answer.statusCode ?? 0, await readAll(answer, maxAnswerBytes));
    } catch (error) {
      if (late.signal.aborted) throw new EngineError("late", "the Engine did not answer in time");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #refusal({ method, path }: EngineCall, status: number, body: Buffer): EngineError {
    const text = body.toString("utf8");
    if (status < 400 || status > 599) {
      return new EngineError("unusable", `the Engine answered with status ${status}`, status);
    }
    // A name that is not there is an everyday answer.
    if (status !== 404) {
      const asked = `${method} ${path.split("?", 1)[0]}`;
      this.#log?.warn("engine-refused", { asked, status, reason: text.trim().slice(0, 400) });
    }
    const cause = causes.find(([pattern]) => pattern.test(text))?.[1];
    return new EngineError("refused", `the Engine refused (status ${status})`, status, cause);
  }

  #send(
    call: EngineCall,
    signal: AbortSignal,
    agent: http.Agent | false,
  ): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string | number> = { host: "docker" };
      if (call.body !== undefined) {
        headers["content-type"] = "application/json";
        headers["content-length"] = Buffer.byteLength(call.body);
      } else if (call.method !== "GET") {
        headers["content-length"] = 0;
      }
      const request = http.request({
        socketPath: this.#socketPath,
        method: call.method,
        path: call.path,
        headers,
        agent,
        signal,
        maxHeaderSize: 16 * 1024,
      });
      request.on("response", resolve);
      // The Engine has no reason to switch protocols; taking it up would open a way for raw bytes.
      request.on("upgrade", (_answer, socket) => {
        socket.destroy();
        reject(new EngineError("unusable", "the Engine wanted to switch protocols"));
      });
      request.on("error", () => {
        const reused = request.reusedSocket;
        reject(
          reused ? new ReusedConnection() : new EngineError("down", "the Engine does not answer"),
        );
      });
      request.end(call.body);
    });
  }
}

/** A connection that had served before broke before it gave an answer. */
class ReusedConnection extends EngineError {
  constructor() {
    super("down", "the Engine does not answer");
  }
}

async function readAll(answer: http.IncomingMessage, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > most)
        throw new EngineError("unusable", `the Engine's answer is over ${most} bytes`);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof EngineError) throw error;
    throw new EngineError("down", "the Engine broke off its answer");
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
}

/** What the Engine's own words can mean. They are matched, never passed on: they name foreign objects and paths. */
const causes: readonly (readonly [RegExp, string])[] = [
  [/no such image|image .*not found/i, "its image is not on this Engine"],
  [
    /executable file not found|no such file or directory.*exec|exec.*no such file/i,
    "the image does not hold the program that it is to run",
  ],
  [/exec format error/i, "the image is for another machine type"],
  [/permission denied/i, "the program that it is to run may not be run"],
  [/bind source path does not exist/i, "a directory that it mounts is not there"],
  [/port is already allocated|address already in use/i, "a port that it publishes is taken"],
  [/no space left on device/i, "the disk of the Engine is full"],
  [/network .*not found/i, "a network that it is on is not there"],
  [/cannot allocate memory|out of memory/i, "the Engine's host is out of memory"],
  [/is paused/i, "it is paused"],
  [/is marked for removal|removal .*in progress/i, "it is being removed"],
];

/** The answer to a client for whatever went wrong while its intent was carried out. Fixed words only. */
export function denialOf(error: unknown): Denial {
  if (error instanceof Denial) return error;
  if (!(error instanceof EngineError)) {
    return new Denial(500, "internal", "the socket proxy failed; its log says why");
  }
  if (error.kind === "down") return new Denial(503, "engine-down", "the Engine does not answer");
  if (error.kind === "late") {
    return new Denial(504, "engine-late", "the Engine did not answer in time");
  }
  if (error.kind === "unusable") {
    return new Denial(502, "engine-answer", "the Engine's answer could not be used");
  }
  if (error.status === 404 && error.known === undefined) return notFound();
  if (error.status === 409) {
    return new Denial(
      409,
      "engine-conflict",
      error.known ?? "the container's state does not allow it",
    );
  }
  return new Denial(500, "engine-refused", error.known ?? "the Engine could not do it");
}
