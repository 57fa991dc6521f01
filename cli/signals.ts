import { runningCount, stopRunning } from "./run.ts";

/** Exit codes that shells give to a program that a signal ended. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

let code: number | undefined;
let deferred = false;

/**
 * Hands SIGINT and SIGTERM to the programs under way, which are in process groups of their own; the command then sees them end.
 * Where none runs, or at a second signal, berth ends at once.
 */
export function catchSignals(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      const first = code === undefined;
      code ??= codes[signal];
      const nothingRuns = runningCount() === 0;
      stopRunning(signal);
      if (!first || (nothingRuns && !deferred)) process.exit(code);
    });
  }
}

/** For a command that has to clean up: it asks {@link interrupted} between its steps and ends by itself. */
export function deferExit(): void {
  deferred = true;
}

/** The exit code that a signal has asked for; undefined: none came. */
export function interrupted(): number | undefined {
  return code;
}
