import http from "node:http";
import type { Readable } from "node:stream";
import type { Log } from "../common/log.ts";
import type { ReadAnswer } from "./engine-answer.ts";
import { causeOf, EngineError } from "./engine-error.ts";
import { EngineReads, type ReadLimits } from "./engine-reads.ts";
import type { EngineCall } from "./upstream.ts";

/** Largest JSON answer of the Engine that is read. */
const maxAnswerBytes = 8 * 1024 * 1024;
/** The Engine has this long to answer, where a call sets no other bound. */
const deadlineMs = 60_000;

/** How a call may be answered. */
export interface CallOptions {
  readonly deadlineMs?: number;
  /** Over a connection of its own, so that it does not wait for others. For what tells whether the Engine is there. */
  readonly isApart?: boolean;
  readonly maxBytes?: number;
}

/** What can be asked of an Engine. Only calls that upstream.ts made are taken. */
export interface EnginePort {
  /** Sends a call and reads its JSON answer. An empty one is none, and never "nothing there". @throws EngineError */
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
  readonly #reads: EngineReads;

  /** @param log gets what the Engine says when it refuses, which no client does */
  constructor(socketPath: string, log?: Log) {
    this.#socketPath = socketPath;
    this.#reads = new EngineReads(socketPath);
    this.#log = log;
  }

  async json(call: EngineCall, options: CallOptions = {}): Promise<unknown> {
    const { body } = await this.#read(call, options);
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

  async #read(call: EngineCall, options: CallOptions): Promise<ReadAnswer> {
    const limits = {
      deadlineMs: options.deadlineMs ?? deadlineMs,
      maxBytes: options.maxBytes ?? maxAnswerBytes,
      isApart: options.isApart ?? false,
    };
    const answer =
      call.method === "GET"
        ? await this.#reads.get(call.path, limits)
        : await this.#change(call, limits);
    const { status, body } = answer;
    if ((status >= 200 && status < 300) || status === 304) return answer;
    throw this.#refusal(call, status, body);
  }

  async #change(call: EngineCall, limits: ReadLimits): Promise<ReadAnswer> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), limits.deadlineMs);
    try {
      const answer = await this.#send(call, late.signal);
      return { status: answer.statusCode ?? 0, body: await readAll(answer, limits.maxBytes) };
    } catch (error) {
      if (late.signal.aborted) throw new EngineError("late", "the Engine did not answer in time");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async stream(call: EngineCall, signal: AbortSignal): Promise<http.IncomingMessage> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), deadlineMs);
    try {
      const answer = await this.#send(call, AbortSignal.any([signal, late.signal]));
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
    return new EngineError(
      "refused",
      `the Engine refused (status ${status})`,
      status,
      causeOf(text),
    );
  }

  #send(call: EngineCall, signal: AbortSignal): Promise<http.IncomingMessage> {
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
        agent: false,
        signal,
        maxHeaderSize: 16 * 1024,
      });
      request.on("response", resolve);
      // The Engine has no reason to switch protocols; taking it up would open a way for raw bytes.
      request.on("upgrade", (_answer, socket) => {
        socket.destroy();
        reject(new EngineError("unusable", "the Engine wanted to switch protocols"));
      });
      request.on("error", ({ code = "" }: NodeJS.ErrnoException) => {
        const error = code.startsWith("HPE_")
          ? new EngineError("unusable", "the Engine's answer is no well-formed HTTP")
          : new EngineError("down", "the Engine does not answer");
        reject(error);
      });
      request.end(call.body);
    });
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
