import { type ChildProcess, spawn } from "node:child_process";
import { BackendError, type BackendErrorKind } from "./backend.ts";

/** Most that op may print, in bytes: an item with the largest fields. */
const maxOutputBytes = 16 * 1024 * 1024;
/** Most of what it says of an error that is read, in bytes. */
const maxErrorBytes = 64 * 1024;
/** How long a process may take, in ms: op signs in anew each time. */
const processTimeMs = 30_000;

/** One run of the `op` program. */
export interface OpCall {
  readonly path: string;
  /** Never a value: arguments can be seen by all. */
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Standard input; none: an empty one. */
  readonly input?: string;
  /** What is asked for, for messages: "item abc". */
  readonly what: string;
  readonly timeoutMs?: number;
}

/**
 * Runs op once. The process is killed where the signal or the time limit ends the call, or it prints too much.
 * @returns what it printed
 * @throws BackendError, whose message has nothing of what op said
 */
export function runOp(call: OpCall, signal: AbortSignal): Promise<Buffer> {
  const { what, timeoutMs = processTimeMs } = call;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new BackendError("unreachable", `op: ${what} was given up`));
      return;
    }
    const child = spawn(call.path, call.args, {
      env: call.env,
      cwd: call.env.HOME,
      stdio: [call.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      // A group of its own, so that what it started ends with it.
      detached: true,
    });
    const end = (outcome: Buffer | BackendError) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      if (Buffer.isBuffer(outcome)) resolve(outcome);
      else {
        kill(child);
        reject(outcome);
      }
    };
    const fail = (kind: BackendErrorKind, happened: string) =>
      end(new BackendError(kind, `op: ${what} ${happened}`));
    const onAbort = () => fail("unreachable", "was given up");
    const timer = setTimeout(
      () => fail("unreachable", `took more than ${timeoutMs / 1000} s`),
      timeoutMs,
    );
    signal.addEventListener("abort", onAbort, { once: true });

    const output = collect(child.stdout, maxOutputBytes, () =>
      fail("bad-answer", `printed more than ${maxOutputBytes} bytes`),
    );
    const errors = collect(child.stderr, maxErrorBytes, () => {});
    child.on("error", (error: NodeJS.ErrnoException) =>
      fail(
        "unreachable",
        `could not be started (${error.code ?? "no code"}): is opPath the op program?`,
      ),
    );
    child.on("close", (code, killedBy) => {
      if (code === 0) end(output());
      else
        end(
          errorOf(
            errors().toString("utf8"),
            what,
            code === null ? String(killedBy) : `exit code ${code}`,
          ),
        );
    });
    // A process that ends without reading closes the pipe; its exit code says why.
    child.stdin?.on("error", () => {});
    child.stdin?.end(call.input);
  });
}

function collect(
  stream: NodeJS.ReadableStream | null,
  limit: number,
  onTooMuch: () => void,
): () => Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  stream?.on("data", (part: Buffer) => {
    if (size > limit) return;
    size += part.length;
    if (size > limit) onTooMuch();
    else parts.push(part);
  });
  return () => Buffer.concat(parts);
}

function kill(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL");
  }
}

/**
 * What op says of its errors, as far as it is documented or was seen: it has one exit code for all of them. The first that
 * fits decides; network errors stand before "not found", because names are not found as well.
 */
const sayings: readonly {
  readonly kind: BackendErrorKind;
  readonly said: RegExp;
  readonly words: string;
}[] = [
  {
    // "(429) Too Many Requests: You've reached the maximum number … Please retry in 58 minutes or try other requests."
    kind: "limited",
    said: /\(429\)|too many requests|rate limit/i,
    words: "was refused: too many requests",
  },
  {
    kind: "unreachable",
    said: /dial tcp|no such host|i\/o timeout|connection re(?:fused|set)|network is unreachable|tls handshake|x509:|proxyconnect|context deadline exceeded|unexpected EOF|\(5\d\d\)/i,
    words: "did not reach 1Password",
  },
  {
    // Of a wrong, revoked or expired token; the last three are from op's own decoding of it.
    kind: "refused",
    said: /\(401\)|unauthorized|not currently signed in|signin credentials are not compatible|service account session|token (?:has |is )?(?:expired|invalid)|invalid (?:service account )?token|DecodeSACredentials|invalid credentials/i,
    words: "was refused: the token is wrong, revoked or expired",
  },
  {
    kind: "forbidden",
    said: /\(403\)|forbidden|don't have (?:the right )?permissions?|not authorized/i,
    words: "was refused: the token does not open this vault, or may only read it",
  },
  {
    kind: "not-found",
    said: /isn't an? (?:item|vault)|doesn't seem to be an? (?:item|vault)|could not find (?:item|vault)|does not have a field|\(404\)/i,
    words: "found nothing: there is no such vault, item or file",
  },
];

function errorOf(said: string, what: string, ended: string): BackendError {
  const saying = sayings.find((one) => one.said.test(said));
  if (saying === undefined)
    return new BackendError(
      "bad-answer",
      `op: ${what} failed (${ended}) with words that berth does not know`,
    );
  return new BackendError(saying.kind, `op: ${what} ${saying.words}`, pauseOf(saying.kind, said));
}

const units: Readonly<Record<string, number>> = { second: 1000, minute: 60_000, hour: 3_600_000 };

function pauseOf(kind: BackendErrorKind, said: string): number | undefined {
  const [, count, unit = ""] = /retry in (\d{1,4}) (second|minute|hour)/i.exec(said) ?? [];
  const ms = Number(count) * (units[unit.toLowerCase()] ?? Number.NaN);
  return kind === "limited" && Number.isFinite(ms) ? ms : undefined;
}
