import { Stack } from "../test/support/stack.ts";
import { conversation } from "./conversation.ts";
import { makeUp } from "./make-up.ts";
import { memory } from "./memory.ts";
import { destruction, firstUp, growth } from "./pulumi.ts";

/** Measures a real stack: `make up`, Pulumi's operations, conversations, memory. */
export async function benchStack(): Promise<void> {
  const wakes = Number(process.env.BENCH_WAKES ?? 50);
  await makeUp(process.env.BENCH_COLD === "1");
  const stack = await Stack.create("bench");
  try {
    const two = await firstUp(stack);
    await conversation(stack, wakes);
    await memory(stack, 2);
    const hundred = await growth(stack, two);
    await memory(stack, 101);
    await destruction(stack, hundred);
  } finally {
    await stack.remove();
  }
}
