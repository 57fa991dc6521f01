import { createHash } from "node:crypto";
import http from "node:http";
import { type Answer, parseEndpoint, request } from "../../services/common/http.ts";

/** The Engine that the real-run suite works against: `DOCKER_HOST`, as `make test` and `make env` set it. */
export const dockerHost = process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
const endpoint = parseEndpoint(dockerHost);

/** An Engine API call that must succeed; the answer's JSON. */
export async function engine<T = unknown>(
  path: string,
  method = "GET",
  body?: unknown,
): Promise<T> {
  const answer = await engineAnswer(path, method, body);
  if (answer.status >= 400)
    throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
  return (answer.text === "" ? undefined : JSON.parse(answer.text)) as T;
}

/** An Engine API call, whatever its status. */
export function engineAnswer(path: string, method = "GET", body?: unknown): Promise<Answer> {
  return request(endpoint, {
    method,
    path,
    ...(body === undefined ? {} : { body }),
    timeoutMs: 120_000,
  });
}

/** The body of an Engine API answer as it comes, in pieces of a megabyte or so unless `pieceBytes` says another size. */
export async function* engineStream(
  path: string,
  options: { readonly signal?: AbortSignal; readonly pieceBytes?: number } = {},
): AsyncGenerator<Buffer> {
  const { signal, pieceBytes = 1024 * 1024 } = options;
  const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http
      .get(
        {
          ...endpoint,
          path,
          agent: false,
          headers: { host: "berth" },
          ...(signal ? { signal } : {}),
        },
        resolve,
      )
      .on("error", reject);
  });
  if (answer.statusCode !== 200) throw new Error(`GET ${path}: ${answer.statusCode}`);
  let pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    pieces.push(piece);
    size += piece.length;
    if (size < pieceBytes) continue;
    yield Buffer.concat(pieces);
    [pieces, size] = [[], 0];
  }
  yield Buffer.concat(pieces);
}

/** What the tests read of a container's inspect answer. */
export interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Image: string;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Pid: number;
    readonly StartedAt: string;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string };
  };
  readonly RestartCount: number;
  readonly Config: {
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
    readonly Image: string;
    readonly User: string;
    readonly StopTimeout?: number;
    readonly Healthcheck?: { readonly Test?: readonly string[] };
  };
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly Binds: readonly string[] | null;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly ReadonlyRootfs: boolean;
    readonly Privileged: boolean;
    readonly Memory: number;
    readonly MemorySwap: number;
    readonly NanoCpus: number;
    readonly PidsLimit: number | null;
    readonly Ulimits:
      | readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[]
      | null;
    readonly Init: boolean | null;
    readonly Tmpfs: Readonly<Record<string, string>> | null;
    readonly LogConfig: {
      readonly Type: string;
      readonly Config: Readonly<Record<string, string>>;
    };
    readonly RestartPolicy: { readonly Name: string };
    readonly PortBindings: Readonly<
      Record<string, readonly { HostIp: string; HostPort: string }[]>
    > | null;
  };
  readonly Mounts: readonly {
    readonly Type: string;
    readonly Name?: string;
    readonly Source: string;
    readonly Destination: string;
    readonly RW: boolean;
  }[];
  readonly NetworkSettings: {
    readonly Networks: Readonly<
      Record<string, { readonly IPAddress: string; readonly Gateway: string }>
    >;
  };
}

/** Inspects a container by name or id. */
export function inspect(name: string): Promise<Inspected> {
  return engine<Inspected>(`/containers/${name}/json`);
}

/** All objects that carry a stack's label: `container:…`, `network:…`, `volume:…`. */
export async function labelled(stack: string): Promise<string[]> {
  const filter = encodeURIComponent(JSON.stringify({ label: [`berth.stack=${stack}`] }));
  const containers = await engine<{ Names: string[] }[]>(
    `/containers/json?all=1&filters=${filter}`,
  );
  const networks = await engine<{ Name: string }[]>(`/networks?filters=${filter}`);
  const volumes = await engine<{ Volumes: { Name: string }[] | null }>(
    `/volumes?filters=${filter}`,
  );
  return [
    ...containers.map((c) => `container:${c.Names[0]?.slice(1)}`),
    ...networks.map((n) => `network:${n.Name}`),
    ...(volumes.Volumes ?? []).map((v) => `volume:${v.Name}`),
  ].sort();
}

/** Result of a command inside a container. */
export interface ExecResult {
  readonly exitCode: number;
  readonly output: string;
}

/** Runs a command inside a running container, standard output and error together. */
export async function exec(
  name: string,
  command: readonly string[],
  user?: string,
): Promise<ExecResult> {
  const { Id } = await engine<{ Id: string }>(`/containers/${name}/exec`, "POST", {
    AttachStdout: true,
    AttachStderr: true,
    Tty: true,
    Cmd: command,
    Env: ["NO_COLOR=1", "TERM=dumb"],
    ...(user ? { User: user } : {}),
  });
  const answer = await engineAnswer(`/exec/${Id}/start`, "POST", { Detach: false, Tty: true });
  const { ExitCode } = await engine<{ ExitCode: number | null }>(`/exec/${Id}/json`);
  return { exitCode: ExitCode ?? -1, output: answer.text.replaceAll("\r\n", "\n") };
}

/** Both log streams of a container as one text. */
export async function logsOf(name: string): Promise<string> {
  return (await engineAnswer(`/containers/${name}/logs?stdout=1&stderr=1`)).text;
}

/** Waits until `check` gives a value. @throws Error that says what was waited for, with the last failure */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false | null>,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  for (let tries = 0; tries < 100_000; tries++) {
    try {
      const value = await check();
      if (value !== undefined && value !== false && value !== null) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) break;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  throw new Error(
    `waited ${timeoutMs / 1000} s for ${what}${last ? `; last: ${String(last)}` : ""}`,
  );
}

/** A short stable name for a run's stack, different from every other run's. */
export function stackName(seed: string): string {
  return `t${createHash("sha256").update(`${seed}${process.pid}${Date.now()}`).digest("hex").slice(0, 6)}`;
}
