import { readdirSync, readFileSync } from "node:fs";
import { inspect } from "../engine.ts";
import { memoryOf } from "./memory.ts";
import type { Place } from "./sweep.ts";

/** A process of a container, as the Engine's host sees it. */
export interface Process {
  /** What the container is called in findings. */
  readonly part: string;
  readonly pid: number;
  /** The name of its program, at most 15 characters. */
  readonly program: string;
}

/**
 * All processes of running containers, found by their cgroups: health checks and commands run in them, too.
 * @param containers container names by the part that they are
 * @throws Error for a running container without a process: then this machine is not the Engine's host
 */
export async function processesOf(
  containers: Readonly<Record<string, string>>,
): Promise<Process[]> {
  const parts = new Map<string, string>();
  for (const [part, container] of Object.entries(containers)) {
    const { Id, State } = await inspect(container);
    if (State.Running) parts.set(Id, part);
  }
  const found = readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid): Process[] => {
      const ids =
        ofProcess(pid, "cgroup")
          ?.toString()
          .match(/[0-9a-f]{64}/g) ?? [];
      const part = ids.map((id) => parts.get(id)).find((name) => name !== undefined);
      const program = ofProcess(pid, "comm")?.toString().trim();
      return part === undefined || program === undefined
        ? []
        : [{ part, pid: Number(pid), program }];
    });
  const without = [...parts.values()].filter((part) => !found.some((one) => one.part === part));
  if (without.length > 0) {
    throw new Error(`no process of ${without.join(", ")} here: run the test on the Engine's host`);
  }
  return found;
}

/** What a process got to its environment. */
export function* environs(processes: readonly Process[]): Generator<Place> {
  yield* filesOf(processes, "environ");
}

/** What a process was started with. */
export function* commandLines(processes: readonly Process[]): Generator<Place> {
  yield* filesOf(processes, "cmdline");
}

/** Every resident page of every process that is not a file's own. */
export function* memories(
  processes: readonly Process[],
  seen: (bytes: number) => void = () => undefined,
): Generator<Place> {
  for (const one of processes) {
    yield { name: placeOf("memory", one), content: counted(memoryOf(one.pid), seen) };
  }
}

function* counted(pieces: Iterable<Buffer>, seen: (bytes: number) => void): Generator<Buffer> {
  for (const piece of pieces) {
    seen(piece.length);
    yield piece;
  }
}

/** The processes that may write a core dump, each with its limits. */
export function dumping(processes: readonly Process[]): string[] {
  return processes.flatMap((one) => {
    const limits = ofProcess(one.pid, "limits")?.toString();
    if (limits === undefined) return [];
    const [, soft, hard] = /^Max core file size +(\S+) +(\S+)/m.exec(limits) ?? [];
    return soft === "0" && hard === "0" ? [] : [`${placeOf("core", one)}: ${soft} ${hard}`];
  });
}

function* filesOf(processes: readonly Process[], file: "environ" | "cmdline"): Generator<Place> {
  for (const one of processes) {
    const content = ofProcess(one.pid, file);
    if (content) yield { name: placeOf(file, one), content };
  }
}

function placeOf(kind: string, { part, pid, program }: Process): string {
  return `${kind} of ${part}: ${program} (${pid})`;
}

/** A file of a process; undefined where the process is gone. */
function ofProcess(pid: string | number, file: string): Buffer | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(String((error as NodeJS.ErrnoException).code))) {
      return undefined;
    }
    throw error;
  }
}
