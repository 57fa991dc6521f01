import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { getItemOutput, getVaultOutput } from "@1password/pulumi-onepassword";
import * as pulumi from "@pulumi/pulumi";
import type { Finding, LookupLine, LookupOrder, Obstacle, VaultQuestion } from "./onepassword.ts";
import { type Verdict, verdictOf } from "./onepassword-verdict.ts";
import { PluginClient, silentEngine } from "./plugin-client.ts";

/**
 * A program of its own, started by `onepassword.ts`: reads one order, asks the plugin with the functions of the npm package, and
 * writes a line for each finding. Ends when its standard input does. Of an answer it keeps the id; the values that come along
 * stay in the bytes that are dropped here, and no engine, log or state is near.
 */

/** Questions that are on their way at a time. */
const atOnce = 4;
/** Longest time that the plugin may take to say its port, in milliseconds. */
const startMs = 20_000;

/** What the plugin said to the last question of a kind: an Output cannot tell why it failed. */
type Answer = { readonly uuid: string; readonly verdict: Verdict };

function say(line: LookupLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main(): Promise<void> {
  const lines = createInterface(process.stdin);
  const order = await new Promise<LookupOrder>((resolve) =>
    lines.once("line", (text) => resolve(JSON.parse(text) as LookupOrder)),
  );
  const engine = await silentEngine();
  const plugin = spawn(order.plugin, [engine.address], { stdio: ["ignore", "pipe", "ignore"] });
  const end = () => {
    plugin.kill();
    process.exit(0);
  };
  lines.once("close", end);
  const obstacle = await ask(plugin, order.questions);
  if (obstacle) say({ obstacle });
  process.stdout.write("", end);
}

async function ask(
  plugin: ChildProcess,
  questions: readonly VaultQuestion[],
): Promise<Obstacle | undefined> {
  let client: PluginClient;
  try {
    client = new PluginClient(await portOf(plugin));
    await client.configure("onepassword");
  } catch {
    return "start";
  }
  await pulumi.runtime.setMocks({
    newResource: () => {
      throw new Error("a lookup makes no resource");
    },
    call: async ({ token, inputs }) => {
      try {
        const { uuid } = await client.invoke(token, inputs as Readonly<Record<string, unknown>>);
        return { uuid: String(uuid), verdict: "found" } satisfies Answer;
      } catch (error) {
        return { uuid: "", verdict: verdictOf((error as Error).message) } satisfies Answer;
      }
    },
  });
  let obstacle: Obstacle | undefined;
  const settle = (place: Omit<Finding, "state">, verdict: Verdict) => {
    if (verdict === "found" || verdict === "missing" || verdict === "several")
      say({ ...place, state: verdict });
    else obstacle ??= verdict;
  };
  const items: { readonly vault: string; readonly uuid: string; readonly item: string }[] = [];
  const goesOn = () => obstacle === undefined;
  await each(questions, goesOn, async ({ vault, items: names }) => {
    const { uuid, verdict } = await answerOf(
      getVaultOutput(isId(vault) ? { uuid: vault } : { name: vault }),
    );
    settle({ vault }, verdict);
    if (verdict === "found") items.push(...names.map((item) => ({ vault, uuid, item })));
  });
  await each(items, goesOn, async ({ vault, uuid, item }) => {
    const which = isId(item) ? { uuid: item } : { title: item };
    const { verdict } = await answerOf(getItemOutput({ vault: uuid, ...which }));
    settle({ vault, item }, verdict);
  });
  return obstacle;
}

/** The port that a plugin writes as its first line. */
function portOf(plugin: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("no port in time")), startMs);
    plugin.once("error", reject);
    plugin.once("exit", () => reject(new Error("it ended")));
    if (plugin.stdout === null) return reject(new Error("no output"));
    createInterface(plugin.stdout).once("line", (line) => {
      clearTimeout(late);
      const port = Number(line.trim());
      if (port > 0) resolve(port);
      else reject(new Error("no port"));
    });
  });
}

/** What {@link ask}'s own `call` has put in the place of a result. */
function answerOf(result: pulumi.Output<object>): Promise<Answer> {
  return new Promise((resolve) => {
    pulumi.secret(result).apply((answer) => resolve(answer as Answer));
  });
}

/** Names and ids look alike; 26 letters and digits are an id, as for 1Password's own clients. */
function isId(name: string): boolean {
  return /^[\da-z]{26}$/.test(name);
}

/** Does a thing for each of a list, some at a time, until one of them says that it is no use. */
async function each<T>(
  list: readonly T[],
  goesOn: () => boolean,
  act: (one: T) => Promise<void>,
): Promise<void> {
  const rest = list.values();
  const worker = async () => {
    for (const one of rest) {
      if (!goesOn()) return;
      await act(one);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

await main();
