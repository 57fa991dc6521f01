import { spawn } from "node:child_process";

/** How a program ended that was given something on its standard input. */
export interface Fed {
  /** Exit code; -1: killed by a signal or by the time limit. */
  readonly code: number;
  readonly stdout: Buffer;
  /** May quote what came in: never to be shown. */
  readonly stderr: string;
}

/** Most that is kept of each stream. */
const maxBytes = 1024 * 1024;
/** The Keychain may ask the person for leave, and a TPM takes its time. */
const limitMs = 120_000;
/** What such a program needs of the environment: where programs and the person's own things are, and nothing else. */
const passedOn = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR"] as const;

/**
 * Runs a program with a text on its standard input: the only way on which a secret goes to another program. Arguments and
 * environment of a process can be read by others; an open pipe cannot.
 * @returns undefined where there is no such program
 */
export function feed(
  program: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly stdin?: string },
): Promise<Fed | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: Object.fromEntries(passedOn.map((name) => [name, options.env[name]])),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const limit = setTimeout(() => child.kill("SIGKILL"), limitMs);
    // A program that ends before it has read all is told of by its exit code.
    child.stdin.on("error", () => {});
    child.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(limit);
      if (error.code === "ENOENT" || error.code === "EACCES") resolve(undefined);
      else reject(new Error(`${program} cannot be run (${error.code ?? "unknown reason"})`));
    });
    child.on("close", (code) => {
      clearTimeout(limit);
      resolve({ code: code ?? -1, stdout: stdout(), stderr: stderr().toString("utf8") });
    });
    child.stdin.end(options.stdin ?? "");
  });
}

/** Keeps the first bytes of a stream and reads on to its end. */
function collect(stream: NodeJS.ReadableStream): () => Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  stream.on("data", (part: Buffer) => {
    size += part.length;
    if (size <= maxBytes) parts.push(part);
  });
  return () => Buffer.concat(parts);
}
