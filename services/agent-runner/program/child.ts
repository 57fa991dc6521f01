import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { within } from "../wait.ts";

/** How a program ended, in words for the log and the chat. */
interface Exit {
  /** `exit code 1`, `signal SIGKILL`, or why it could not start. */
  readonly reason: string;
  /** It never ran: the command is not there or cannot be executed. */
  readonly neverStarted: boolean;
}

/** A running program, the leader of its own process group, so that what it started ends with it. */
export interface Child {
  readonly pid: number | undefined;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<Exit>;
  /** Undefined while it runs. */
  readonly exit: Exit | undefined;
  signal(name: NodeJS.Signals): void;
  /**
   * Ends it: closes its standard input, then SIGTERM, then SIGKILL to the whole group.
   * @param leftMs all the time there is for that; at most 5 s are spent on each of the two soft ways
   */
  stop(leftMs: number, how?: "end-of-input" | "signal"): Promise<Exit>;
}

/** Starts a program. Never throws: one that cannot start exits at once with the reason. */
export function startChild(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Child {
  const [file = "", ...args] = command;
  const process_ = spawn(file, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    const end = (value: Exit) => {
      exit ??= value;
      resolve(exit);
    };
    process_.on("error", (error: NodeJS.ErrnoException) => {
      if (process_.pid !== undefined) return;
      end({ reason: whyNot(file, error), neverStarted: true });
    });
    process_.on("exit", (code, signal) =>
      end({ reason: signal ? `signal ${signal}` : `exit code ${code}`, neverStarted: false }),
    );
  });
  // A program that ends while we write to it must not end us: its exit is reported where it is awaited.
  for (const stream of [process_.stdin, process_.stdout, process_.stderr]) {
    stream.on("error", () => {});
  }
  const signalGroup = (name: NodeJS.Signals) => signalProcess(process_, name);
  // Whatever the program left behind in its group goes with it.
  exited.then(() => signalGroup("SIGKILL")).catch(() => {});
  return {
    pid: process_.pid,
    stdin: process_.stdin,
    stdout: process_.stdout,
    stderr: process_.stderr,
    exited,
    get exit() {
      return exit;
    },
    signal: signalGroup,
    async stop(leftMs, how = "end-of-input") {
      const soft = Math.min(5_000, leftMs * 0.4);
      process_.stdin.end();
      if (how === "end-of-input" && (await within(soft, exited, undefined))) return exited;
      signalGroup("SIGTERM");
      const patience = how === "signal" ? leftMs * 0.9 : soft;
      if (await within(patience, exited, undefined)) return exited;
      signalGroup("SIGKILL");
      return exited;
    },
  };
}

function signalProcess(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch {
    // The group is gone already.
  }
}

function whyNot(file: string, error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return `the command "${file}" is not in the image`;
  if (error.code === "EACCES") return `the command "${file}" may not be executed`;
  return `the command "${file}" did not start (${error.code ?? error.message})`;
}
