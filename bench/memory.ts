import { readFileSync } from "node:fs";
import { Service } from "../spec/names.ts";
import { engine, inspect } from "../test/support/engine.ts";
import type { Stack } from "../test/support/stack.ts";
import { row } from "./numbers.ts";

/** A process and all that descend from it. A healthcheck is none of them: the Engine starts it beside. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
  return [pid, ...children.filter(Boolean).map(Number).flatMap(family)];
}

/** Memory of a container's processes in MiB, what they share with others divided by the sharers: the kernel's own PSS. */
async function ownMemory(name: string): Promise<number> {
  const kib = family((await inspect(name)).State.Pid).map((pid) => {
    const smaps = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB$/m.exec(smaps)?.[1] ?? 0);
  });
  return kib.reduce((a, b) => a + b, 0) / 1024;
}

/**
 * Idle memory of every service and of an idle agent, in a stack of `count` agents. Needs root on the Engine's own machine, for
 * the kernel's view of its processes.
 */
export async function memory(stack: Stack, count: number): Promise<void> {
  await engine(`/containers/${stack.container("lal")}/stop?t=10`, "POST");
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const image = (await inspect(stack.container("data"))).Config.Image;
  const bare = stack.container("bare");
  await engine(`/containers/create?name=${bare}`, "POST", {
    Image: image,
    Entrypoint: ["/usr/local/bin/node", "-e", "setInterval(() => {}, 1e6)"],
    HostConfig: { Init: true, NetworkMode: "none" },
  });
  let baseline: number;
  try {
    await engine(`/containers/${bare}/start`, "POST");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    baseline = await ownMemory(bare);
  } finally {
    await engine(`/containers/${bare}?force=1`, "DELETE");
  }
  console.log(row("idle memory of a bare Node process", baseline, "MiB"));
  let total = 0;
  for (const service of Object.values(Service)) {
    const used = await ownMemory(stack.container(service));
    total += used;
    console.log(row(`idle memory of ${service}, ${count} agents`, used, "MiB", baseline));
  }
  console.log(row(`idle memory of all services, ${count} agents`, total, "MiB", baseline));
  console.log(
    row(
      "idle memory of an agent (data, demo program)",
      await ownMemory(stack.container("data")),
      "MiB",
      baseline,
    ),
  );
}
