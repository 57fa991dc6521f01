import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { Service } from "../../spec/names.ts";
import { dockerHost, engine, type Inspected, inspect, until } from "../support/engine.ts";
import { declareAgent, startInstance, waitingTemplate } from "../support/instances.ts";
import { Person } from "../support/person.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";
import { root, Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
/** Only an Engine that berth itself has started may be stopped by a test; another one is its owner's. */
const [, ours, suite] =
  /^unix:\/\/(\/run\/berth-engine(?:-([a-z]+))?)\/docker\.sock$/.exec(dockerHost) ?? [];

/** `berth engine`, for the very Engine that the suite runs on: `make test-engines` starts each in a network namespace. */
async function berthEngine(verb: "start" | "stop"): Promise<void> {
  const env = { ...process.env };
  delete env.DOCKER_HOST;
  const which = suite ? ["--suite", suite, "--netns", `berth-${suite}`] : [];
  await promisify(execFile)(process.execPath, ["cli/berth.ts", "engine", verb, ...which], {
    cwd: root,
    env,
  });
}

/** T11: the proxy is the same and the Engine a new one: the lease is known, the instance has ended, and the next can be made. */
async function leaseSurvived(proxy: RealProxy, instance: string): Promise<void> {
  try {
    await until("the proxy to see the instance's end", async () => {
      const { status, text } = await proxy.ask(`/containers/${instance}/json`);
      return status === 200 && (JSON.parse(text) as Inspected).State.Status === "exited";
    });
    const again = await proxy.ask(`/containers/${instance}/start`, "POST");
    expect([again.status, again.text]).toEqual([409, expect.stringContaining("[ended]")]);
    await until("another instance", () => startInstance(proxy, "lal.nap", "x2"));
  } finally {
    await proxy.close();
  }
}

describe.runIf(ours !== undefined)("an Engine that is stopped and started again", () => {
  it("brings back what ran and nothing else, and the conversation goes on; `up` changes nothing", async () => {
    const operator = await Person.login(
      stack.mattermostUrl,
      "operator",
      inject("operatorPassword"),
    );
    const square = await operator.channel("town-square");
    const direct = await operator.direct("berth");
    const command = await operator.say(direct, "sleep lal");
    await operator.answer(direct, "berth", command, /lal/);
    await until("lal to sleep", async () => !(await inspect(stack.container("lal"))).State.Running);
    const created = await engine<{ Names: string[]; State: string }[]>(
      `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ label: [`berth.stack=${stack.name}`] }))}`,
    );
    const asleep = created
      .filter((c) => c.State !== "running")
      .map((c) => c.Names[0]?.slice(1) ?? "");
    expect(asleep).toContain(stack.container("lal"));

    const proxy = await startRealProxy("engine-restart");
    await declareAgent(proxy, "lal", { templates: { nap: waitingTemplate(proxy.image) } });
    const instance = await startInstance(proxy, "lal.nap", "x1");

    await berthEngine("stop");
    await berthEngine("start");

    await leaseSurvived(proxy, instance);
    for (const part of [...Object.values(Service), "data"]) {
      await until(
        `${part} to run`,
        async () => (await inspect(stack.container(part))).State.Running,
      );
    }
    for (const name of asleep) expect((await inspect(name)).State.Running, name).toBe(false);
    const question = await until(
      "the chat to be back",
      () => operator.say(square, "@data after the Engine's restart"),
      90_000,
    );
    await until(
      "data's answer",
      () => operator.answer(square, "data", question, /after the Engine's restart/, 5_000),
      90_000,
    );
    await until(
      "the bridge to be healthy",
      async () => (await fetch(`${stack.adminUrl}/api/health`)).ok,
      90_000,
    );
    await stack.up({ expectNoChanges: true });
  });
});
