import { spawn } from "node:child_process";

/** How a program of this machine is run. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Longest time it may take, in milliseconds. @default 15 min */
  readonly timeoutMs?: number;
}

/** Most output that is kept. */
const maxOutput = 256 * 1024;

/**
 * Runs a program without a shell and without input.
 * @returns its standard output
 * @throws Error with the last lines that it wrote where it fails, or says that it is not installed
 */
export function run(
  command: string,
  args: readonly string[],
  { cwd, env, timeoutMs = 15 * 60_000 }: RunOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    });
    let output = "";
    let all = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      output = (output + part).slice(-maxOutput);
      all = (all + part).slice(-maxOutput);
    });
    child.stderr.setEncoding("utf8").on("data", (part: string) => {
      all = (all + part).slice(-maxOutput);
    });
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT" ? new Error(`"${command}" is not installed: install it`) : error,
      ),
    );
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(new Error(`${command} ended with ${signal ?? `code ${code}`}: ${lastLines(all)}`));
    });
  });
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join(" | ").slice(-600) || "it wrote nothing";
}
