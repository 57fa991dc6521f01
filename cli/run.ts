import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How a program is run. */
export interface RunOptions {
  readonly cwd?: string;
  /** The whole environment. @default this process's own */
  readonly env?: NodeJS.ProcessEnv;
  /** Longest time; then its whole process group is killed. @default 10 minutes */
  readonly timeoutMs?: number;
  /** Gets each line of both streams as it comes. */
  readonly onLine?: (line: string) => void;
  /** Keeps all of standard output, for programs that print data. @default false */
  readonly wholeOutput?: boolean;
}

/** How a program ended. */
export interface RunResult {
  /** Exit code; -1: killed by a signal or by the time limit. */
  readonly code: number;
  /** The last lines of both streams. */
  readonly output: string;
  /** All of standard output where it was asked for, else empty. */
  readonly stdout: string;
  readonly timedOut: boolean;
}

/** Lines of output that are kept for error messages. */
const keptLines = 200;
const running = new Set<ChildProcess>();

/** Runs a program without standard input and waits for its end. @throws Error where it cannot be started */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a process group of its own, so that a time limit reaches its children too
    });
    running.add(child);
    const lines: string[] = [];
    const parts: Buffer[] = [];
    if (options.wholeOutput) child.stdout.on("data", (part: Buffer) => parts.push(part));
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (lines.length > keptLines) lines.shift();
        options.onLine?.(line);
      });
    }
    let timedOut = false;
    const limit = setTimeout(() => {
      timedOut = true;
      killGroup(child, "SIGKILL");
    }, options.timeoutMs ?? 600_000);
    const settle = () => {
      clearTimeout(limit);
      running.delete(child);
    };
    child.on("error", (error) => {
      settle();
      reject(new Error(`${program} cannot be run: ${error.message}`));
    });
    child.on("close", (code) => {
      settle();
      resolve({
        code: code ?? -1,
        output: lines.join("\n"),
        stdout: Buffer.concat(parts).toString("utf8"),
        timedOut,
      });
    });
  });
}

/** Runs a program that must succeed; its output. @throws Error with its last lines */
export async function mustRun(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(program, args, options);
  if (result.code === 0) return result.output;
  const why = result.timedOut ? "took too long" : `ended with exit code ${result.code}`;
  throw new Error(`${program} ${args.join(" ")} ${why}\n${tail(result.output)}`);
}

/** Runs a program on this terminal. Resolves with its exit code; a signal to berth is passed on to it. */
export function runOnTerminal(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    running.add(child);
    child.on("error", (error) => {
      running.delete(child);
      reject(new Error(`${program} cannot be run: ${error.message}`));
    });
    child.on("close", (code) => {
      running.delete(child);
      resolve(code ?? -1);
    });
  });
}

/** Sends a signal to every program that {@link run} has under way, and to their children. */
export function stopRunning(signal: NodeJS.Signals): void {
  for (const child of running) killGroup(child, signal);
}

/** How many programs are under way. */
export function runningCount(): number {
  return running.size;
}

/** The last lines of a text, for messages. */
export function tail(text: string, lines = 15): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
