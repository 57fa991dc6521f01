import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "../services/common/http.ts";

/** Memory of a process in bytes: all that it has in RAM, and the same with what it shares divided by the sharers. */
export interface Memory {
  readonly rss: number;
  readonly pss: number;
}

/** Memory of a process, of whatever user; needs root. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const of = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]) * 1024;
  return { rss: of("Rss"), pss: of("Pss") };
}

/** Ends a process and waits for it. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await closed;
}

/** Longest time until a server answers, and the time between two tries, in ms. */
const patienceMs = 30_000;
const tryMs = 2;

/** Milliseconds until a server on a socket answers `_ping`, from `begin` on. @throws Error where it does not in time */
export async function untilPing(socketPath: string, begin: number): Promise<number> {
  for (let tries = 0; tries < patienceMs / tryMs; tries++) {
    const answer = await request({ socketPath }, { path: "/_ping", timeoutMs: 1_000 }).catch(
      () => undefined,
    );
    const took = performance.now() - begin;
    if (answer?.status === 200) return took;
    if (took > patienceMs) break;
    await sleep(tryMs);
  }
  throw new Error(`nothing answers on ${socketPath} after ${patienceMs / 1000} s`);
}

/** An answer that stays open. */
export interface StreamRequest {
  readonly socketPath: string;
  readonly method: "GET" | "POST";
  readonly path: string;
}

/** Opens streams, all at once. @returns closes them @throws Error where one is not answered with 200 */
export async function openStreams(wanted: readonly StreamRequest[]): Promise<() => void> {
  const sent: http.ClientRequest[] = [];
  const close = () => {
    for (const each of sent) each.destroy();
  };
  try {
    await Promise.all(wanted.map((each) => open(each, sent)));
  } catch (error) {
    close();
    throw error;
  }
  return close;
}

function open(wanted: StreamRequest, sent: http.ClientRequest[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = http.request({ ...wanted, agent: false, headers: { host: "berth" } });
    sent.push(stream);
    stream.setTimeout(patienceMs, () => reject(new Error(`${wanted.path}: no answer in time`)));
    stream.on("error", reject);
    stream.on("response", (answer) => {
      answer.on("error", () => undefined);
      answer.resume();
      stream.setTimeout(0);
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`${wanted.path}: answered with ${answer.statusCode}`));
    });
    stream.end();
  });
}
