import { chown, mkdir, readdir, readFile, stat } from "node:fs/promises";
import type { ProxyConfig } from "./config.ts";

/**
 * Makes the clients' directories, then gives up root for good: the socket's own group is all that is kept.
 * Does nothing where the process is not root to begin with.
 * @returns the group of the Docker socket; undefined: nothing was given up
 * @throws Error where rights are left over; the process must end then
 */
export async function dropPrivileges(config: ProxyConfig): Promise<number | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const { gid } = await stat(config.dockerSocket).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `${config.dockerSocket}: ${error.code}; mount the Engine's socket into this container`,
    );
  });
  for (const listener of config.listeners) {
    if (!("directory" in listener)) continue;
    await mkdir(listener.directory, { recursive: true, mode: 0o755 });
    await chown(listener.directory, config.uid, config.uid);
  }
  process.setgroups?.([gid]);
  process.setgid?.(config.uid);
  process.setuid?.(config.uid);
  await checkDropped(config.uid, gid);
  return gid;
}

/** @throws Error that names what is left of the former rights */
async function checkDropped(uid: number, gid: number): Promise<void> {
  const left: string[] = [];
  for (const back of [() => process.setuid?.(0), () => process.setgid?.(0)]) {
    try {
      back();
      left.push("the way back to root");
    } catch {
      // As it should be.
    }
  }
  const groups = new Set([...(process.getgroups?.() ?? [])]);
  if (groups.size > 2 || [...groups].some((group) => group !== gid && group !== uid)) {
    left.push("groups");
  }
  // Rights belong to threads; each has to have lost them.
  for (const thread of await readdir("/proc/self/task")) {
    const status = await readFile(`/proc/self/task/${thread}/status`, "utf8").catch(() => "");
    if (status === "") continue; // A thread that ended meanwhile.
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    const ids = [...field("Uid").split(/\s+/), ...field("Gid").split(/\s+/)];
    if (ids.some((id) => id !== String(uid))) left.push(`thread ${thread}'s ids`);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
      if (!/^0+$/.test(field(set))) left.push(`thread ${thread}'s ${set}`);
    }
  }
  if (left.length > 0) throw new Error(`rights are left after giving up root: ${left.join(", ")}`);
}
