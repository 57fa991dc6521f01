import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

/** A lock of Pulumi's file backend, as its file tells it. */
interface Lock {
  readonly pid: number;
  readonly hostname: string;
}

/**
 * Removes locks on a stack whose holder is gone: a Pulumi that was killed leaves its lock, and every later run would refuse.
 * Locks of running programs and of other machines stay.
 * @param state folder of the file backend
 * @returns process ids of the holders whose locks were removed
 */
export function removeDeadLocks(
  state: string,
  stack: string,
  isPulumi: (pid: number) => boolean = isRunningPulumi,
): number[] {
  const folder = join(state, ".pulumi/locks/organization/berth", stack);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .flatMap((file) => {
      const path = join(folder, file);
      const lock = JSON.parse(readFileSync(path, "utf8")) as Lock;
      if (lock.hostname !== hostname() || isPulumi(lock.pid)) return [];
      for (const part of [path, `${path}.attrs`]) rmSync(part, { force: true });
      return [lock.pid];
    });
}

function isRunningPulumi(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  const name = `/proc/${pid}/comm`;
  // Process ids come back: where it can be seen, it must be a Pulumi.
  return existsSync(name) ? readFileSync(name, "utf8").startsWith("pulumi") : true;
}
