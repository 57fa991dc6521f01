import type { Readable } from "node:stream";
import type { Log } from "../../common/log.ts";
import type { Timing } from "../settings.ts";
import { pause, within } from "../wait.ts";
import type { Launch } from "./acp-program.ts";
import { type Child, startChild } from "./child.ts";
import { readLines } from "./lines.ts";
import { Restarts } from "./restarts.ts";

/** Keeps a program with a bridge of its own running: its output to the log, restarts with growing waits. */
export class CommandProgram {
  readonly #log: Log;
  readonly #timing: Timing;
  readonly #prepare: () => Promise<Launch | undefined>;
  readonly #redact: (line: string) => string;
  #child: Child | undefined;
  #replaced = false;

  constructor(options: {
    readonly log: Log;
    readonly timing: Timing;
    readonly prepare: () => Promise<Launch | undefined>;
    /** Takes secret values out of a line for the log. */
    readonly redact: (line: string) => string;
  }) {
    this.#log = options.log;
    this.#timing = options.timing;
    this.#prepare = options.prepare;
    this.#redact = options.redact;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Ends this life of the program; `run` starts the next. Not counted as a crash. */
  async replace(why: string): Promise<void> {
    if (!this.#child) return;
    this.#log.info("program-replaced", { why });
    this.#replaced = true;
    await this.#child.stop(10_000, "signal");
  }

  /** Runs until the signal aborts; then SIGTERM goes to the program, which has `graceMs` to end. */
  async run(signal: AbortSignal, graceMs: number): Promise<void> {
    const restarts = new Restarts(this.#timing);
    while (!signal.aborted) {
      const launch = await this.#prepare();
      if (!launch || signal.aborted) return;
      const startedAt = Date.now();
      const child = startChild(launch.command, launch);
      this.#child = child;
      child.stdin.end();
      const written = [this.#copy("stdout", child.stdout), this.#copy("stderr", child.stderr)];
      this.#log.info("program-started", { pid: child.pid ?? 0 });
      const ending = () => void child.stop(graceMs, "signal");
      signal.addEventListener("abort", ending, { once: true });
      const exit = await child.exited;
      signal.removeEventListener("abort", ending);
      this.#child = undefined;
      await within(500, Promise.all(written), undefined);
      if (signal.aborted) {
        this.#log.info("program-stopped", { reason: exit.reason });
        return;
      }
      if (this.#replaced) {
        this.#replaced = false;
        continue;
      }
      const waitMs = restarts.crashed(Date.now() - startedAt);
      this.#log.error("program-ended", {
        reason: exit.reason,
        crashes: restarts.crashes,
        restartMs: Math.round(waitMs),
      });
      await pause(waitMs, signal);
    }
  }

  #copy(stream: string, from: Readable): Promise<void> {
    return readLines(from, (line) =>
      this.#log.info("program", { stream, line: this.#redact(line) }),
    );
  }
}
