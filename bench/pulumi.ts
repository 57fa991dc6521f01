import { agentSource, writeFleet } from "../test/support/fleet.ts";
import type { Stack } from "../test/support/stack.ts";
import { percentile, row, seconds } from "./numbers.ts";

/** Fleet of the project's own `data` and `lal` and as many more sealed agents as make `count`. */
function fleet(count: number): Record<string, string | undefined> {
  const agents: Record<string, string | undefined> = { data: undefined, lal: undefined };
  for (let i = Object.keys(agents).length; i < count; i++)
    agents[`crew${i}`] = agentSource(`crew${i}`);
  return agents;
}

/** Seconds of an `up` that changes nothing: the middle one of three. */
async function noop(stack: Stack): Promise<number> {
  const runs: number[] = [];
  for (let i = 0; i < 3; i++) runs.push(await seconds(() => stack.up({ expectNoChanges: true })));
  return percentile(runs, 0.5);
}

/** Brings the stack up with 2 agents. @returns seconds of a no-op with them */
export async function firstUp(stack: Stack): Promise<number> {
  writeFleet(stack, fleet(2));
  const first = await seconds(() => stack.up());
  const two = await noop(stack);
  console.log(row("no-op `pulumi up`, 2 agents", two, "s"));
  console.log(row("first `pulumi up`, images there", first, "s", two));
  return two;
}

/** Grows the stack of {@link firstUp} to 101 agents. @returns seconds of a no-op with 100 */
export async function growth(stack: Stack, two: number): Promise<number> {
  let most = two;
  for (const count of [20, 100]) {
    writeFleet(stack, fleet(count));
    console.log(row(`\`pulumi up\` to ${count} agents`, await seconds(() => stack.up()), "s", two));
    most = await noop(stack);
    console.log(row(`no-op \`pulumi up\`, ${count} agents`, most, "s", two));
    writeFleet(stack, fleet(count + 1));
    const added = await seconds(() => stack.up());
    console.log(row(`adding agent ${count + 1} (to the no-op with ${count})`, added, "s", most));
  }
  return most;
}

/** Destroys the stack of {@link growth}. */
export async function destruction(stack: Stack, noopSeconds: number): Promise<void> {
  const gone = await seconds(() => stack.destroy());
  console.log(row("destroy of 101 agents and the platform (to the no-op)", gone, "s", noopSeconds));
}
