import type { Declaration } from "../../spec/declaration.ts";
import { Label, objectName } from "../../spec/names.ts";
import { type Answer, type Endpoint, request } from "../common/http.ts";
import { followLines, openStream } from "../common/lines.ts";
import type { Log } from "../common/log.ts";
import { alertsPath } from "./alerts.ts";
import { EngineError } from "./words.ts";

/** A container as the list of containers shows it. */
export interface Container {
  readonly id: string;
  /** Engine name: `berth-<stack>-<agent>`. */
  readonly name: string;
  /** `created`, `running`, `restarting`, `exited`, `paused`, `dead`, `removing`. */
  readonly state: string;
}

/** What changed with a container. */
export interface ContainerEvent {
  /** `create`, `start`, `die`, `destroy`, … */
  readonly action: string;
  readonly id: string;
  readonly name: string;
  readonly exitCode?: number;
}

/** Longest log that is read of a container, in bytes. */
const maxLogBytes = 512 * 1024;

/** Longest line of a stream; and a refusal stays one until somebody changes the rights, and some in a row suspend who asks. */
const following = { maxLineBytes: 1024 * 1024, refusedMs: 30_000 } as const;

/** The admin bridge's side of the socket proxy: only what the proxy offers, addressed by agent name. */
export class Engine {
  readonly endpoint: Endpoint;
  readonly #stack: string;

  constructor(endpoint: Endpoint, stack: string) {
    this.endpoint = endpoint;
    this.#stack = stack;
  }

  /** Engine name of an agent's container. */
  nameOf(agent: string): string {
    return objectName(this.#stack, agent);
  }

  async ping(): Promise<void> {
    await this.#call("GET", "/_ping", 5_000);
  }

  /** All agents' containers of the stack, running or not; not those that the proxy made of an agent's templates. */
  async list(): Promise<Container[]> {
    const filters = encodeURIComponent(JSON.stringify({ label: [`${Label.component}=agent`] }));
    const answer = await this.#call("GET", `/containers/json?all=1&filters=${filters}`, 15_000);
    const listed = JSON.parse(answer.text) as {
      Id: string;
      Names?: string[];
      State: string;
      Labels?: Record<string, string> | null;
    }[];
    // Further instances of an agent have its component and its name in their labels, and lives of their own.
    const agents = listed.filter(({ Labels }) => Labels?.[Label.instance] === undefined);
    return agents.map((c) => ({
      id: c.Id,
      name: (c.Names?.[0] ?? "").replace(/^\//, ""),
      state: c.State,
    }));
  }

  /** Exit code of a container's last run and the number of restarts by the Engine. */
  async exitOf(agent: string): Promise<{ exitCode: number; error: string }> {
    const answer = await this.#call("GET", `/containers/${this.nameOf(agent)}/json`, 15_000);
    const { State } = JSON.parse(answer.text) as { State?: { ExitCode?: number; Error?: string } };
    return { exitCode: State?.ExitCode ?? 0, error: State?.Error ?? "" };
  }

  /** Starts an agent's container; one that runs already is fine. */
  async start(agent: string): Promise<void> {
    await this.#call("POST", `/containers/${this.nameOf(agent)}/start`, 60_000);
  }

  /** Stops an agent's container and waits for its end; one that does not run is fine. */
  async stop(agent: string, graceSeconds: number): Promise<void> {
    const path = `/containers/${this.nameOf(agent)}/stop?t=${graceSeconds}`;
    await this.#call("POST", path, (graceSeconds + 30) * 1000);
  }

  /** The last lines of a container's output, standard output and error in their order. */
  async logs(agent: string, lines: number): Promise<string> {
    const path = `/containers/${this.nameOf(agent)}/logs?stdout=1&stderr=1&tail=${lines}`;
    return withoutFrames(await this.#bytes(path));
  }

  /** Whether an image is on the host. The proxy tells only of images that a declaration names; of others: false. */
  async hasImage(image: string): Promise<boolean> {
    return this.#found(await this.#ask("GET", `/images/${image}/json`, 10_000));
  }

  /** Whether any declaration names the image. */
  async isDeclaredImage(image: string): Promise<boolean> {
    const answer = await this.#call("GET", "/berth/declarations", 10_000);
    return (JSON.parse(answer.text) as { image?: unknown }[]).some((d) => d.image === image);
  }

  async hasNetwork(name: string): Promise<boolean> {
    return this.#found(await this.#ask("GET", `/networks/${name}`, 10_000));
  }

  /** Follows the stack's container events until the signal, reconnecting after 200 ms to 5 s. */
  follow(options: {
    readonly signal: AbortSignal;
    readonly log: Log;
    /** Called at each connection: what happened before it is not told. */
    readonly onConnected: () => void;
    readonly onEvent: (event: ContainerEvent) => void;
  }): Promise<void> {
    return followLines(this.endpoint, "/events", {
      ...following,
      signal: options.signal,
      log: options.log,
      lost: "events-lost",
      onOpen: options.onConnected,
      onLine: (line) => {
        const event = parseEvent(line);
        if (event) options.onEvent(event);
      },
    });
  }

  /** Follows the proxy's own alerts until the signal, in the same way; each connection begins with those it keeps. */
  followAlerts(options: {
    readonly signal: AbortSignal;
    readonly log: Log;
    readonly onLine: (line: string) => void;
  }): Promise<void> {
    return followLines(this.endpoint, alertsPath, {
      ...following,
      ...options,
      lost: "alerts-lost",
    });
  }

  /** The proxy's own metrics; undefined where it does not answer within the time. Never throws. */
  async proxyMetrics(withinMs = 1_000): Promise<string | undefined> {
    const late = new AbortController();
    const answer = this.#ask("GET", "/berth/metrics", withinMs).catch(() => undefined);
    const found = await Promise.race([answer, pause(withinMs, late.signal)]);
    late.abort();
    return found?.status === 200 ? found.text : undefined;
  }

  #ask(method: string, path: string, timeoutMs: number): Promise<Answer> {
    return request(this.endpoint, { method, path, timeoutMs });
  }

  async #call(method: string, path: string, timeoutMs: number): Promise<Answer> {
    const answer = await this.#ask(method, path, timeoutMs);
    if (answer.status >= 400) throw new EngineError(answer.status, messageOf(answer.text));
    return answer;
  }

  #found(answer: Answer): boolean {
    if (answer.status === 404 || answer.status === 403) return false;
    if (answer.status >= 400) throw new EngineError(answer.status, messageOf(answer.text));
    return true;
  }

  async #bytes(path: string): Promise<Buffer> {
    const answer = await openStream(this.endpoint, path, AbortSignal.timeout(20_000));
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of answer as AsyncIterable<Buffer>) {
      parts.push(part);
      size += part.length;
      if (size > maxLogBytes) break;
    }
    const whole = Buffer.concat(parts);
    if ((answer.statusCode ?? 0) >= 400) {
      throw new EngineError(answer.statusCode ?? 0, messageOf(whole.toString("utf8")));
    }
    return whole;
  }
}

/** Agents whose containers berth itself runs. */
export function isContained(declaration: Declaration, dockerMode: boolean): boolean {
  return dockerMode && declaration.driver === "docker";
}

/** Waits; returns early when the signal ends. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

function messageOf(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === "string") return message.slice(0, 500);
  } catch {
    // not the Engine's error shape: the text itself is the best there is
  }
  return text.slice(0, 200) || "no message";
}

function parseEvent(line: string): ContainerEvent | undefined {
  let event: {
    Type?: string;
    Action?: string;
    Actor?: { ID?: string; Attributes?: Record<string, string> };
  };
  try {
    event = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (event.Type !== "container" || !event.Action || !event.Actor?.ID) return undefined;
  const { name = "", exitCode } = event.Actor.Attributes ?? {};
  return {
    action: event.Action,
    id: event.Actor.ID,
    name: name.replace(/^\//, ""),
    ...(exitCode === undefined ? {} : { exitCode: Number(exitCode) }),
  };
}

/** Text of the Engine's multiplexed log: frames of 8 header bytes (stream, 0, 0, 0, big-endian length) and a payload. */
export function withoutFrames(bytes: Buffer): string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const isFrame =
      (bytes[at] ?? 9) <= 2 && bytes[at + 1] === 0 && bytes[at + 2] === 0 && bytes[at + 3] === 0;
    // Not multiplexed: the container has a terminal, and the bytes are the text.
    if (!isFrame) return at === 0 ? bytes.toString("utf8") : Buffer.concat(parts).toString("utf8");
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  if (at === 0) return bytes.toString("utf8");
  return Buffer.concat(parts).toString("utf8");
}
