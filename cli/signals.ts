import { stopRunning } from "./run.ts";

/** Exit codes that shells give to a program that a signal ended. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Hands SIGINT and SIGTERM to the programs under way and notes the exit code they mean, so that the command can clean up and
 * end by itself. A second signal ends berth at once.
 */
export function catchSignals(): { readonly interrupted: () => number | undefined } {
  let code: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (code !== undefined) process.exit(code);
      code = codes[signal];
      stopRunning(signal);
    });
  }
  return { interrupted: () => code };
}
