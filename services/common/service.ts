import { createLog, type Log, reasonOf } from "./log.ts";

/** What a service gets: its log, its environment and a signal that ends it. */
export interface ServiceContext {
  readonly log: Log;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted on SIGTERM and SIGINT: stop taking work, finish what runs, return. */
  readonly signal: AbortSignal;
}

/**
 * Runs a service's main function: SIGTERM and SIGINT abort the signal, a failure is one log line and exit code 1.
 * The Engine restarts what exits, so a service does not try to live on in a state it does not understand.
 */
export function runService(name: string, main: (context: ServiceContext) => Promise<void>): void {
  const log = createLog(name);
  const ending = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => ending.abort());
  const fail = (event: string) => (error: unknown) => {
    log.error(event, { reason: reasonOf(error) });
    process.exit(1);
  };
  process.on("uncaughtException", fail("crash"));
  process.on("unhandledRejection", fail("crash"));
  main({ log, env: process.env, signal: ending.signal }).then(() => {
    log.info("stopped");
    process.exit(0);
  }, fail("failed"));
}

/** Reads required settings from the environment. @throws Error that names every missing one */
export function settings<const K extends string>(
  env: NodeJS.ProcessEnv,
  names: readonly K[],
): Record<K, string> {
  const missing = names.filter((name) => !env[name]);
  if (missing.length > 0) throw new Error(`missing in the environment: ${missing.join(", ")}`);
  return Object.fromEntries(names.map((name) => [name, env[name]])) as Record<K, string>;
}
