import { readFileSync } from "node:fs";
import { Service } from "../spec/names.ts";
import { engine, inspect, until } from "../test/support/engine.ts";
import { agentSource, writeFleet } from "../test/support/fleet.ts";
import { Person } from "../test/support/person.ts";
import { Stack } from "../test/support/stack.ts";
import { percentile, row, seconds } from "./numbers.ts";

const wakes = Number(process.env["BENCH_WAKES"] ?? 50);

/** Fleet of the project's own `data` and `lal` and as many more sealed agents as make `count`. */
function fleet(count: number): Record<string, string | undefined> {
  const agents: Record<string, string | undefined> = { data: undefined, lal: undefined };
  for (let i = Object.keys(agents).length; i < count; i++)
    agents[`crew${i}`] = agentSource(`crew${i}`);
  return agents;
}

/** Memory of a container's processes that nobody else holds, in MiB, from the kernel's own smaps. */
async function ownMemory(name: string): Promise<number> {
  const { Processes, Titles } = await engine<{ Processes: string[][]; Titles: string[] }>(
    `/containers/${name}/top`,
  );
  const pid = Titles.indexOf("PID");
  const kib = Processes.map((process) => {
    const smaps = readFileSync(`/proc/${process[pid]}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB$/m.exec(smaps)?.[1] ?? 0);
  });
  return kib.reduce((a, b) => a + b, 0) / 1024;
}

async function pulumi(stack: Stack): Promise<void> {
  writeFleet(stack, fleet(2));
  console.log(row("first `up`, images there", await seconds(() => stack.up()), "s"));
  const two = await seconds(() => stack.up({ expectNoChanges: true }));
  console.log(row("no-op `up`, 2 agents", two, "s"));
  for (const count of [20, 100]) {
    writeFleet(stack, fleet(count));
    console.log(row(`\`up\` to ${count} agents`, await seconds(() => stack.up()), "s", two));
    const noop = await seconds(() => stack.up({ expectNoChanges: true }));
    console.log(row(`no-op \`up\`, ${count} agents`, noop, "s", two));
    writeFleet(stack, fleet(count + 1));
    console.log(row(`adding agent ${count + 1}`, await seconds(() => stack.up()), "s", noop));
  }
}

async function conversation(stack: Stack): Promise<void> {
  const operator = await Person.login(
    stack.mattermostUrl,
    "operator",
    await stack.addPerson("operator"),
  );
  const square = await operator.channel("town-square");
  const socket = new WebSocket(`${stack.mattermostUrl.replace("http", "ws")}/api/v4/websocket`);
  const waiting = new Map<string, (at: number) => void>();
  socket.addEventListener("message", (message) => {
    const event = JSON.parse(String(message.data)) as { event?: string; data?: { post?: string } };
    if (event.event !== "posted" || !event.data?.post) return;
    const post = JSON.parse(event.data.post) as { id: string; root_id: string; user_id: string };
    waiting.get(post.user_id === operator.userId ? "own" : post.root_id)?.(performance.now());
  });
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  socket.send(
    JSON.stringify({
      seq: 1,
      action: "authentication_challenge",
      data: { token: operator.client.getToken() },
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  /** Milliseconds from writing to the first sight of the answer. */
  const ask = async (message: string): Promise<number> => {
    const begin = performance.now();
    const post = await operator.say(square, message);
    return (
      (await new Promise<number>((resolve, reject) => {
        waiting.set(post.id, resolve);
        setTimeout(() => reject(new Error(`no answer to ${message}`)), 60_000).unref();
      })) - begin
    );
  };
  const echo = async (): Promise<number> => {
    const begin = performance.now();
    const seen = new Promise<number>((resolve) => waiting.set("own", resolve));
    await operator.say(square, "nobody is asked");
    return (await seen) - begin;
  };

  const direct: number[] = [];
  const through: number[] = [];
  for (let i = 0; i < 50; i++) {
    direct.push(await echo());
    through.push(await ask(`@data round ${i}`));
  }
  console.log(row("post and its echo, straight at the server, p50", percentile(direct, 0.5), "ms"));
  console.log(
    row("answer of an awake agent, p50", percentile(through, 0.5), "ms", percentile(direct, 0.5)),
  );

  const lal = stack.container("lal");
  const bare: number[] = [];
  const woken: number[] = [];
  await ask("@lal first"); // fills the page cache for both sides
  for (let i = 0; i < wakes; i++) {
    await engine(`/containers/${lal}/stop?t=10`, "POST");
    bare.push(1000 * (await seconds(() => engine(`/containers/${lal}/start`, "POST"))));
    await engine(`/containers/${lal}/stop?t=10`, "POST");
    await until("lal to be asleep for the bridge", async () => {
      const { agents } = (await (await fetch(`${stack.adminUrl}/api/status`)).json()) as {
        agents: { name: string; state: string }[];
      };
      return agents.find((agent) => agent.name === "lal")?.state !== "running";
    });
    woken.push(await ask(`@lal wake ${i}`));
  }
  for (const p of [0.5, 0.99]) {
    const name = `p${p * 100}`;
    console.log(row(`bare Engine start of the same container, ${name}`, percentile(bare, p), "ms"));
    console.log(
      row(
        `wake: mention to first byte of the answer, ${name}`,
        percentile(woken, p),
        "ms",
        percentile(bare, p),
      ),
    );
  }
  socket.close();
}

async function memory(stack: Stack): Promise<void> {
  await engine(`/containers/${stack.container("lal")}/stop?t=10`, "POST");
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const image = (await inspect(stack.container("data"))).Config.Image;
  const bare = `${stack.container("bare")}`;
  await engine(`/containers/create?name=${bare}`, "POST", {
    Image: image,
    Entrypoint: ["/usr/local/bin/node", "-e", "setInterval(() => {}, 1e6)"],
    HostConfig: { Init: true, NetworkMode: "none" },
  });
  await engine(`/containers/${bare}/start`, "POST");
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const baseline = await ownMemory(bare);
  await engine(`/containers/${bare}?force=1`, "DELETE");
  console.log(row("idle memory of a bare Node process", baseline, "MiB"));
  let total = 0;
  for (const service of Object.values(Service)) {
    const used = await ownMemory(stack.container(service));
    total += used;
    console.log(row(`idle memory of ${service}`, used, "MiB", baseline));
  }
  console.log(row("idle memory of all services together", total, "MiB", baseline));
  console.log(
    row(
      "idle memory of an agent (data, demo program)",
      await ownMemory(stack.container("data")),
      "MiB",
      baseline,
    ),
  );
}

const stack = await Stack.create("bench");
try {
  writeFleet(stack, fleet(2));
  await pulumi(stack);
  await conversation(stack);
  await memory(stack);
  console.log(
    row("destroy of 101 agents and the platform", await seconds(() => stack.destroy()), "s"),
  );
} finally {
  await stack.remove();
}
