import { engine, until } from "../test/support/engine.ts";
import { Person } from "../test/support/person.ts";
import type { Stack } from "../test/support/stack.ts";
import { percentile, row, seconds } from "./numbers.ts";

/** Answers of an awake agent, and wakes of a sleeping one beside bare starts of the same container. */
export async function conversation(stack: Stack, wakes: number): Promise<void> {
  const operator = await Person.login(
    stack.mattermostUrl,
    "operator",
    await stack.addPerson("operator"),
  );
  const square = await operator.channel("town-square");
  const socket = new WebSocket(`${stack.mattermostUrl.replace("http", "ws")}/api/v4/websocket`);
  const waiting = new Map<string, (at: number) => void>();
  /** First answer in each thread: it may come before the question's own request has returned. */
  const answered = new Map<string, number>();
  socket.addEventListener("message", (message) => {
    const event = JSON.parse(String(message.data)) as { event?: string; data?: { post?: string } };
    if (event.event !== "posted" || !event.data?.post) return;
    const post = JSON.parse(event.data.post) as { id: string; root_id: string; user_id: string };
    const thread = post.user_id === operator.userId ? "own" : post.root_id;
    if (thread !== "own" && !answered.has(thread)) answered.set(thread, performance.now());
    waiting.get(thread)?.(performance.now());
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
    const seen = new Promise<number>((resolve, reject) => {
      waiting.set(post.id, resolve);
      setTimeout(() => reject(new Error(`no answer to ${message}`)), 60_000).unref();
    });
    return (answered.get(post.id) ?? (await seen)) - begin;
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
    // The bridge may still be writing down what it has just seen: a sleeping agent has slept for a while.
    await new Promise((resolve) => setTimeout(resolve, 250));
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
