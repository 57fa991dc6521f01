import { type ChildProcess, fork } from "node:child_process";
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Finding, keepFinding } from "./run.ts";
import { allTargets } from "./targets.ts";
import type { Task, Told } from "./worker.ts";

/**
 * Fuzzes the socket proxy: `--executions` of the whole proxy in memory (a million by default), and a twentieth as many of
 * each of the other targets. Ends with exit code 1 where anything was found, or where the time was not enough.
 */

const usage =
  "usage: node test/fuzz/main.ts [--executions 1000000] [--seed N] [--minutes 60] [--target NAME] [--workers N]";
/** Executions of one task, so that two workers end at about the same time. */
const slice = 2_500;
/** A task that takes longer than this hangs: its worker is ended, and that is a finding. */
const mostMs = 10 * 60_000;

interface Totals {
  executions: number;
  readonly findings: Finding[];
  readonly seen: Map<string, number>;
}

function number(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(usage);
  return value;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      executions: { type: "string" },
      seed: { type: "string" },
      minutes: { type: "string" },
      target: { type: "string" },
      workers: { type: "string" },
    },
  });
  return {
    executions: number(values.executions, 1_000_000),
    seed: number(values.seed, randomInt(2 ** 31)),
    minutes: number(values.minutes, 60),
    target: values.target,
    workers: Math.max(1, number(values.workers, Math.min(2, availableParallelism()))),
  };
}

const options = readOptions();
const names = allTargets()
  .map(({ name }) => name)
  .filter((name) => options.target === undefined || name === options.target);
if (names.length === 0) throw new Error(`there is no target ${options.target}; ${usage}`);
const deadline = performance.now() + options.minutes * 60_000;
const totals = new Map<string, Totals>(
  names.map((name) => [name, { executions: 0, findings: [], seen: new Map() }]),
);
const wanted = (name: string) =>
  name === "proxy" || options.target !== undefined
    ? options.executions
    : Math.ceil(options.executions / 20);

function* tasks(): Generator<Omit<Task, "forMs">> {
  for (const target of names) yield { target, seed: options.seed, from: -1, to: 0 };
  for (const target of names) {
    for (let from = 0; from < wanted(target); from += slice) {
      yield { target, seed: options.seed, from, to: Math.min(wanted(target), from + slice) };
    }
  }
}

function take(told: Told): void {
  const total = totals.get(told.target);
  if (!total) return;
  total.executions += told.executions;
  for (const [key, count] of Object.entries(told.seen)) {
    total.seen.set(key, (total.seen.get(key) ?? 0) + count);
  }
  for (const found of told.findings) {
    const finding = { ...found, input: Buffer.from(found.input, "base64") };
    total.findings.push(finding);
    show(finding);
  }
}

function show(finding: Finding): void {
  const again =
    finding.index < 0 ? "a kept input" : `seed ${finding.seed}, execution ${finding.index}`;
  const path = finding.index < 0 ? "" : ` (kept as ${keepFinding(finding)})`;
  console.error(
    `fuzz: ${finding.target}: ${finding.problem}\n  ${again}${path}\n  ${JSON.stringify(Buffer.from(finding.input).toString("latin1").slice(0, 2_000))}`,
  );
}

/** Whether so much was found that going on tells nothing new. */
const isEnough = () => [...totals.values()].some(({ findings }) => findings.length >= 20);

async function work(queue: Iterator<Omit<Task, "forMs">>): Promise<void> {
  const worker = fork(join(import.meta.dirname, "worker.ts"), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  try {
    for (let next = queue.next(); !next.done && !isEnough(); next = queue.next()) {
      const forMs = deadline - performance.now();
      if (forMs <= 0) return;
      take(await ask(worker, { ...next.value, forMs }));
      progress();
    }
  } finally {
    worker.kill();
  }
}

function ask(worker: ChildProcess, task: Task): Promise<Told> {
  return new Promise((resolve, reject) => {
    const failed = (why: string) => {
      clearTimeout(limit);
      reject(new Error(`${task.target}, seed ${task.seed}, executions from ${task.from}: ${why}`));
    };
    const limit = setTimeout(() => failed("the worker hangs"), mostMs);
    const ended = (code: number | null) => failed(`the worker ended with ${code}`);
    worker.once("exit", ended);
    worker.once("message", (told: Told) => {
      clearTimeout(limit);
      worker.off("exit", ended);
      resolve(told);
    });
    worker.send(task);
  });
}

let toldAt = performance.now();
function progress(): void {
  if (performance.now() - toldAt < 30_000) return;
  toldAt = performance.now();
  const done = [...totals].map(([name, { executions }]) => `${name} ${executions}`).join(", ");
  console.error(`fuzz: ${Math.round(performance.now() / 1000)} s: ${done}`);
}

console.log(`fuzz: seed ${options.seed}, ${options.workers} workers`);
const began = performance.now();
let failure: string | undefined;
try {
  const queue = tasks();
  await Promise.all(Array.from({ length: options.workers }, () => work(queue)));
} catch (error) {
  failure = error instanceof Error ? error.message : String(error);
}
const seconds = (performance.now() - began) / 1000;
let sum = 0;
let isShort = false;
for (const [name, { executions, findings, seen }] of totals) {
  sum += executions;
  isShort ||= executions < wanted(name);
  console.log(
    `${name.padEnd(14)} ${String(executions).padStart(9)} executions, ${findings.length} findings`,
  );
  const reached = [...seen].sort(([, a], [, b]) => b - a).map(([key, count]) => `${key} ${count}`);
  if (reached.length > 0) console.log(`  reached: ${reached.join(", ")}`);
}
console.log(`fuzz: ${sum} executions in ${Math.round(seconds)} s, seed ${options.seed}`);
if (failure !== undefined) console.error(`fuzz: ${failure}`);
else if (isShort && !isEnough())
  console.error("fuzz: the time was not enough; give more --minutes");
const isClean =
  failure === undefined &&
  !isShort &&
  [...totals.values()].every(({ findings }) => findings.length === 0);
process.exitCode = isClean ? 0 : 1;
