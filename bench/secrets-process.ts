import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { serviceLimits } from "../spec/presets.ts";
import { MiB } from "../spec/units.ts";
import { endProcess, type Memory, memoryOf } from "./proxy-process.ts";

/** The heap that Node gives itself in a container with a service's memory limit; on a larger machine it takes more. */
export const heapFlags: readonly string[] = [
  `--max-old-space-size=${serviceLimits.memoryBytes / MiB}`,
  "--max-semi-space-size=1",
];

/** The program of util-linux that makes namespaces. */
export const unshare = "unshare";

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A program of the bench; it ends with the bench at the latest. Its errors are shown. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(command, args, { env, cwd: "/", stdio: ["pipe", "pipe", "inherit"] });
    const { stdout } = this.#child;
    if (!stdout) throw new Error(`${command} has no output`);
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    running.add(this.#child);
    this.#child.once("close", () => running.delete(this.#child));
    // Told by the missing line.
    this.#child.on("error", () => undefined);
    this.#child.stdin?.on("error", () => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Gives it a line. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Its next line. @throws Error where it ends instead */
  async hear(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error(`${this.#child.spawnfile} ended early`);
    return value;
  }

  /** Ends it as the Engine does; by force where it does not end. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdout?.resume();
    this.#child.kill("SIGTERM");
    await Promise.race([closed, sleep(10_000, undefined, { ref: false })]);
    await endProcess(this.#child);
  }
}

/** What a piece of work took. */
export interface Figures {
  /** That the double was asked. */
  readonly requests: number;
  readonly seconds: number;
  /** Of the process that did the work, all threads, user and system. */
  readonly cpuSeconds: number;
  /** Highest RSS of that process meanwhile, in bytes. */
  readonly peak: number;
}

/** Measures work of a process. @param requests how many the double was asked up to now */
export async function measured(
  pid: number,
  requests: () => Promise<number>,
  act: () => Promise<unknown>,
): Promise<Figures> {
  const asked = await requests();
  resetPeak(pid);
  const cpu = cpuSeconds(pid);
  const begin = performance.now();
  await act();
  const seconds = (performance.now() - begin) / 1000;
  const cpuAfter = cpuSeconds(pid);
  const peak = peakOf(pid);
  return { requests: (await requests()) - asked, seconds, cpuSeconds: cpuAfter - cpu, peak };
}

/** Quiet time before memory is read. */
const quietMs = 1_500;

/** Memory of a process after some quiet time. */
export async function quietMemory(pid: number): Promise<Memory> {
  await sleep(quietMs);
  return memoryOf(pid);
}

/** proc(5), `clear_refs`: the peak becomes what it has now. */
function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function peakOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

/** proc(5), `stat`: fields 14 and 15, in ticks of which every Linux that Node runs on has 100 a second. */
function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
