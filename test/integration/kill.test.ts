import { beforeAll, describe, expect, inject, it } from "vitest";
import { Service } from "../../spec/names.ts";
import { engine, inspect, until } from "../support/engine.ts";
import { Person } from "../support/person.ts";
import { Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
let operator: Person;
let square: string;

/** Kills a container's main process from the host, as a crash would; the Engine sees no command. */
async function crash(part: string): Promise<void> {
  const before = await inspect(stack.container(part));
  process.kill(before.State.Pid, "SIGKILL");
  await until(`${part} to run again`, async () => {
    const now = await inspect(stack.container(part));
    return now.State.Running && now.State.StartedAt !== before.State.StartedAt;
  });
}

async function conversationGoesOn(round: string): Promise<void> {
  const question = await until("Mattermost to take a message", () =>
    operator.say(square, `@data still there after ${round}?`),
  );
  await operator.answer(square, "data", question, new RegExp(`still there after ${round}`), 90_000);
}

beforeAll(async () => {
  operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  square = await operator.channel("town-square");
});

describe("whatever dies comes back, and the conversation goes on", () => {
  for (const part of [
    Service.socketProxy,
    Service.egressGateway,
    Service.secretStore,
    Service.adminBridge,
    Service.mattermost,
    Service.postgres,
  ]) {
    it(`${part} killed`, async () => {
      await crash(part);
      await conversationGoesOn(part);
    });
  }

  it("B5: an agent whose main process is killed runs again and answers", async () => {
    await crash("data");
    await conversationGoesOn("its own end");
  });

  it("the program of an agent killed behind the runner is started again", async () => {
    const direct = await operator.direct("data");
    await operator.say(direct, "crash");
    const question = await operator.say(direct, "and now again");
    await operator.answer(direct, "data", question, /and now again/, 90_000);
  });

  it("B5: a commanded stop stays stopped, also over a restart of the admin bridge", async () => {
    const direct = await operator.direct("berth");
    const command = await operator.say(direct, "stop data");
    await operator.answer(direct, "berth", command, /data/);
    await until(
      "data to stop",
      async () => !(await inspect(stack.container("data"))).State.Running,
    );
    await crash(Service.adminBridge);
    await until(
      "the bridge to be ready",
      async () => (await fetch(`${stack.adminUrl}/api/health`)).ok,
    );
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect((await inspect(stack.container("data"))).State.Running).toBe(false);
    const again = await operator.say(direct, "start data");
    await operator.answer(direct, "berth", again, /data/);
    await conversationGoesOn("start");
  });

  it("A9: what the bridge knows of an agent agrees with the Engine after a removal of the process behind its back", async () => {
    await until(
      "status and Engine to agree",
      async () => {
        const status = (await (await fetch(`${stack.adminUrl}/api/status`)).json()) as {
          agents: { name: string; state: string }[];
        };
        const data = status.agents.find((agent) => agent.name === "data");
        return data?.state === "running" && (await inspect(stack.container("data"))).State.Running;
      },
      30_000,
    );
  });

  it("B22: Mattermost reports unhealthy with the database gone, and healthy again after", async () => {
    const ping = async () =>
      (await fetch(`${stack.mattermostUrl}/api/v4/system/ping?get_server_status=true`)).status;
    expect(await ping()).toBe(200);
    await engine(`/containers/${stack.container(Service.postgres)}/stop`, "POST");
    try {
      await until("the ping to say 500", async () => (await ping()) === 500, 30_000);
      await until(
        "the container to be unhealthy",
        async () =>
          (await inspect(stack.container(Service.mattermost))).State.Health?.Status === "unhealthy",
        90_000,
      );
    } finally {
      await engine(`/containers/${stack.container(Service.postgres)}/start`, "POST");
    }
    await until(
      "the container to be healthy",
      async () =>
        (await inspect(stack.container(Service.mattermost))).State.Health?.Status === "healthy",
      90_000,
    );
    await conversationGoesOn("the database's absence");
  });
});

describe("who may command", () => {
  it("A18: a stranger's command is refused and nothing happens", async () => {
    const password = await stack.addPerson("visitor");
    const visitor = await Person.login(stack.mattermostUrl, "visitor", password);
    const direct = await visitor.direct("berth");
    const command = await visitor.say(direct, "stop data");
    await visitor.answer(direct, "berth", command, /not|only|may/i);
    expect((await inspect(stack.container("data"))).State.Running).toBe(true);
  });

  it("the operator's words list, status, logs and help are answered", async () => {
    const direct = await operator.direct("berth");
    for (const [word, wanted] of [
      ["list", /lal/],
      ["status data", /running/i],
      ["logs data 5", /event|log/i],
      ["help", /restart/],
    ] as const) {
      const command = await operator.say(direct, word);
      await operator.answer(direct, "berth", command, wanted);
    }
  });
});
