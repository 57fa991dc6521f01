import { chmod, chown, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { ProxyConfig } from "./config.ts";

/**
 * Makes the clients' directories and the audit's, then gives up root for good: the socket's own group is all that is kept.
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
  await makeDirectories(config);
  process.setgroups?.([gid]);
  process.setgid?.(config.uid);
  process.setuid?.(config.uid);
  await checkDropped(config.uid, gid);
  return gid;
}

/**
 * The clients' directories, each open to whoever mounts it, below a parent that only the proxy passes: no other user of the
 * host gets to the sockets. Without `CAP_FOWNER`, and without `CAP_DAC_OVERRIDE`, root changes only what it owns: so each is
 * taken, changed, and given away, from the second start on too.
 */
async function makeDirectories({ listeners, uid, auditDirectory }: ProxyConfig): Promise<void> {
  const children = listeners.flatMap((item) => ("directory" in item ? [item.directory] : []));
  const parents = [...new Set(children.map((child) => dirname(child)))];
  for (const parent of parents) {
    await mkdir(parent, { recursive: true });
    await chown(parent, 0, 0);
    await chmod(parent, 0o700);
  }
  for (const child of children) {
    await mkdir(child, { recursive: true });
    await chown(child, 0, 0);
    await chmod(child, 0o755);
    await chown(child, uid, uid);
  }
  for (const parent of parents) await chown(parent, uid, uid);
  await makePrivate(auditDirectory, uid);
}

/** The user's own directory. One that cannot be made is no end: opening the audit fails then, and says why. */
async function makePrivate(directory: string, uid: number): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await chown(directory, 0, 0);
    await chmod(directory, 0o700);
    await chown(directory, uid, uid);
  } catch {
    // A volume that is full or read-only: reads are answered all the same.
  }
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
