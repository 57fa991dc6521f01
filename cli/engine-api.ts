import http from "node:http";
import type { Readable } from "node:stream";
import {
  type Answer,
  describe,
  type Endpoint,
  parseEndpoint,
  request,
} from "../services/common/http.ts";
import { FrameReader } from "./frames.ts";

/** One call of the Engine API with small bodies. `body` is sent as JSON. */
export interface EngineCall {
  readonly method?: string;
  /** Path and query, without a version prefix: the Engine then answers with its newest version. */
  readonly path: string;
  readonly body?: unknown;
  /** @default 60 s */
  readonly timeoutMs?: number;
}

/** The Engine, from the operator's side: through its own socket, with all rights. */
export interface EngineClient {
  readonly endpoint: Endpoint;
  /** Sends one call and reads the whole answer; never throws for a status. */
  request(call: EngineCall): Promise<Answer>;
  /** Sends one call with a body of any length (image builds and imports) and hands over the answer as it comes. */
  stream(call: {
    readonly method: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Readable;
  }): Promise<http.IncomingMessage>;
}

/** A client for `unix:///path` or `tcp://host:port`. @throws Error for another spelling */
export function connectEngine(dockerHost: string): EngineClient {
  const endpoint = parseEndpoint(dockerHost);
  return {
    endpoint,
    request: (call) => request(endpoint, { timeoutMs: 60_000, ...call }),
    stream: (call) =>
      new Promise((resolve, reject) => {
        const sent = http.request(
          {
            ...endpoint,
            method: call.method,
            path: call.path,
            agent: false,
            headers: { host: "berth", ...call.headers },
          },
          resolve,
        );
        sent.on("error", reject);
        if (call.body) {
          call.body.on("error", (error) => sent.destroy(error));
          call.body.pipe(sent);
        } else sent.end();
      }),
  };
}

/** A call that must succeed; its JSON. @throws Error with the Engine's own message */
export async function engineJson<T>(engine: EngineClient, call: EngineCall): Promise<T> {
  const answer = await engine.request(call);
  if (answer.status >= 400) {
    throw new Error(
      `the Engine refused ${call.method ?? "GET"} ${call.path}: ${messageOf(answer)} (status ${answer.status})`,
    );
  }
  return (answer.text === "" ? undefined : JSON.parse(answer.text)) as T;
}

/** The sentence in an Engine's error answer. */
export function messageOf(answer: Answer): string {
  try {
    const { message } = JSON.parse(answer.text) as { message?: unknown };
    if (typeof message === "string") return message;
  } catch {
    // not JSON: the text itself is the message
  }
  return answer.text.trim().slice(0, 300);
}

/** What is read of `GET /version`. */
export interface EngineVersion {
  readonly Version: string;
  readonly ApiVersion: string;
  readonly Os: string;
  readonly Arch: string;
}

/** The Engine's version, or undefined where none answers within `timeoutMs`. */
export async function versionOf(
  engine: EngineClient,
  timeoutMs = 3_000,
): Promise<EngineVersion | undefined> {
  try {
    const answer = await engine.request({ path: "/version", timeoutMs });
    return answer.status === 200 ? (JSON.parse(answer.text) as EngineVersion) : undefined;
  } catch {
    return undefined;
  }
}

/** What is read of `GET /info`. */
export interface EngineInfo {
  readonly DockerRootDir: string;
  readonly Driver: string;
  readonly MemoryLimit: boolean;
  readonly SwapLimit: boolean;
  readonly PidsLimit: boolean;
  readonly CpuCfsQuota: boolean;
  readonly NCPU: number;
  readonly MemTotal: number;
  readonly SystemTime: string;
  readonly OperatingSystem: string;
  readonly CgroupVersion?: string;
  readonly SecurityOptions?: readonly string[];
}

/** Facts of the Engine's machine. */
export function infoOf(engine: EngineClient): Promise<EngineInfo> {
  return engineJson<EngineInfo>(engine, { path: "/info" });
}

/** Result of a command inside a container. */
export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Longest time that a command inside a container may take, unless the caller says another. */
const execTimeoutMs = 120_000;

/**
 * Runs a command inside a running container, with text on its standard input.
 * @param timeoutMs longest time that it may take
 * @throws Error where the container is not there or not running
 */
export async function execIn(
  engine: EngineClient,
  container: string,
  command: readonly string[],
  stdin = "",
  timeoutMs = execTimeoutMs,
): Promise<ExecResult> {
  const { Id } = await engineJson<{ Id: string }>(engine, {
    method: "POST",
    path: `/containers/${encodeURIComponent(container)}/exec`,
    body: { AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: false, Cmd: command },
  });
  const frames = await attachedExec(engine, Id, stdin, timeoutMs);
  const { ExitCode } = await engineJson<{ ExitCode: number | null }>(engine, {
    path: `/exec/${Id}/json`,
  });
  return {
    exitCode: ExitCode ?? -1,
    stdout: frames.text("stdout"),
    stderr: frames.text("stderr"),
  };
}

/** Starts a prepared exec over a hijacked connection: input goes up and is closed, framed output comes down. */
function attachedExec(
  engine: EngineClient,
  id: string,
  stdin: string,
  timeoutMs: number,
): Promise<FrameReader> {
  return new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify({ Detach: false, Tty: false }));
    const sent = http.request({
      ...engine.endpoint,
      method: "POST",
      path: `/exec/${id}/start`,
      agent: false,
      timeout: timeoutMs,
      headers: {
        host: "berth",
        "content-type": "application/json",
        "content-length": body.length,
        connection: "Upgrade",
        upgrade: "tcp",
      },
    });
    sent.on("timeout", () =>
      sent.destroy(new Error(`no answer from ${describe(engine.endpoint)} in time`)),
    );
    sent.on("error", reject);
    sent.on("response", (answer) => {
      answer.resume();
      reject(new Error(`the Engine did not attach to the command (status ${answer.statusCode})`));
    });
    sent.on("upgrade", (_answer, socket, head) => {
      const frames = new FrameReader();
      const late = setTimeout(
        () => socket.destroy(new Error("the command inside the container did not end in time")),
        timeoutMs,
      );
      const settle = (finish: () => void) => () => {
        clearTimeout(late);
        finish();
      };
      frames.push(head);
      socket.on("data", (part: Buffer) => frames.push(part));
      socket.on(
        "end",
        settle(() => resolve(frames)),
      );
      socket.on("error", (error) => settle(() => reject(error))());
      socket.end(stdin);
    });
    sent.end(body);
  });
}
