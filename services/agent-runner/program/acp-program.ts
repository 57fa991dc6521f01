import { type Log, reasonOf } from "../../common/log.ts";
import type { Timing } from "../settings.ts";
import { pause, within } from "../wait.ts";
import type { AcpConnection } from "./acp.ts";
import { type Child, startChild } from "./child.ts";
import { NotRunning } from "./errors.ts";
import { readLines } from "./lines.ts";
import { Restarts } from "./restarts.ts";

/** What one start of the program needs. */
export interface Launch {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** One life of the program. */
export interface Life {
  readonly connection: AcpConnection;
  readonly child: Child;
  /** Sessions that this life knows, so that each is taken up again only once. */
  readonly sessions: Set<string>;
}

/** Lines of standard error that are kept for the log of a crash. */
const keptLines = 20;

/**
 * Keeps an Agent Client Protocol program running: starts it, connects, starts it again when it ends.
 * Its standard error is shown in the log only after a crash, without secret values: it may hold what people wrote.
 */
export class AcpProgram {
  readonly #log: Log;
  readonly #timing: Timing;
  readonly #restarts: Restarts;
  readonly #prepare: () => Promise<Launch | undefined>;
  readonly #redact: (line: string) => string;
  #life: Life | undefined;
  #child: Child | undefined;
  #waiting: ((life: Life | undefined) => void)[] = [];
  #problem = "My program is still starting. Try again in a moment.";
  #blocked = false;
  #stopping = false;
  #replaced = false;
  readonly #stopped = new AbortController();

  /**
   * @param options.prepare what to start; it may wait (for secrets), and returns nothing when we are to stop
   * @param options.redact takes secret values out of a line for the log
   */
  constructor(options: {
    readonly log: Log;
    readonly timing: Timing;
    readonly prepare: () => Promise<Launch | undefined>;
    readonly redact: (line: string) => string;
  }) {
    this.#log = options.log;
    this.#timing = options.timing;
    this.#restarts = new Restarts(options.timing);
    this.#prepare = options.prepare;
    this.#redact = options.redact;
  }

  get running(): boolean {
    return this.#life !== undefined;
  }

  /** Says why the program does not run and will not soon: who waits for it, and who asks from now on, hears that at once. */
  report(problem: string): void {
    this.#problem = problem;
    this.#blocked = true;
    for (const wake of this.#waiting.splice(0)) wake(undefined);
  }

  /** The running program. @throws NotRunning with a sentence when it does not come within the patience */
  async life(patienceMs = this.#timing.programPatience): Promise<Life> {
    if (this.#life && !this.#life.connection.closed) return this.#life;
    if (this.#blocked) throw new NotRunning(this.#problem);
    const coming = new Promise<Life | undefined>((resolve) => this.#waiting.push(resolve));
    const found = await within(patienceMs, coming, undefined);
    if (!found) throw new NotRunning(this.#problem);
    return found;
  }

  /** Runs until {@link stop}. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      const launch = await this.#prepare();
      if (!launch || this.#stopping) return;
      const startedAt = Date.now();
      const { reason, neverStarted } = await this.#live(launch);
      if (this.#stopping) return;
      if (this.#replaced) {
        this.#replaced = false;
        continue;
      }
      const waitMs = this.#restarts.crashed(Date.now() - startedAt);
      this.#log.error("program-ended", {
        reason,
        crashes: this.#restarts.crashes,
        restartMs: Math.round(waitMs),
      });
      if (neverStarted || this.#restarts.repeated) {
        this.report(
          `My program does not run (${reason}, ${this.#restarts.crashes} times in a row). The operator finds more in my log.`,
        );
      }
      await pause(waitMs, this.#stopped.signal);
    }
  }

  /** Ends the program and starts it again, with what `prepare` says then. Not counted as a crash. */
  async replace(why: string): Promise<void> {
    if (!this.#child) return;
    this.#log.info("program-replaced", { why });
    this.#replaced = true;
    this.#life = undefined;
    await this.#child.stop(10_000);
  }

  /** Kills a program that does not answer; this counts as a crash. */
  kill(): void {
    this.#child?.signal("SIGKILL");
  }

  /** Ends the program for good within the time that is left. */
  async stop(leftMs: number): Promise<void> {
    this.#stopping = true;
    this.#stopped.abort();
    this.report("I am being stopped.");
    const exit = await this.#child?.stop(leftMs);
    if (exit) this.#log.info("program-stopped", { reason: exit.reason });
  }

  async #live(launch: Launch): Promise<{ reason: string; neverStarted: boolean }> {
    const child = startChild(launch.command, launch);
    this.#child = child;
    const lastLines: string[] = [];
    void readLines(child.stderr, (line) => {
      lastLines.push(line);
      if (lastLines.length > keptLines) lastLines.shift();
    });
    let problem: string | undefined;
    try {
      // Loaded while the child starts: reading the protocol's library takes as long as that. Nothing else runs meanwhile,
      // so the chat's first questions go out before it.
      await pause(1);
      const { connectAcp } = await import("./acp.ts");
      const connecting = connectAcp(child, (outcome) => this.#log.info("permission", { outcome }));
      const connection = await within(this.#timing.initialize, connecting, undefined);
      if (!connection) throw new Error(`no answer to initialize in ${this.#timing.initialize} ms`);
      this.#up({ connection, child, sessions: new Set() });
    } catch (error) {
      // The pipes of a program that ended break a moment before its exit is known, and that says more.
      if (!(await within(500, child.exited, undefined))) problem = this.#redact(reasonOf(error));
      child.signal("SIGKILL");
    }
    const exit = await child.exited;
    this.#life = undefined;
    this.#child = undefined;
    if (!this.#stopping && !this.#replaced && lastLines.length > 0) {
      this.#log.warn("program-stderr", { lines: lastLines.map(this.#redact) });
    }
    return { reason: problem ?? exit.reason, neverStarted: exit.neverStarted };
  }

  #up(life: Life): void {
    this.#life = life;
    this.#problem = "My program is starting again. Try again in a moment.";
    this.#blocked = false;
    this.#log.info("program-ready", { pid: life.child.pid ?? 0 });
    for (const resolve of this.#waiting.splice(0)) resolve(life);
  }
}
