import { beforeAll, describe, expect, inject, it } from "vitest";
import { Service } from "../../spec/names.ts";
import { engine, exec, inspect, logsOf, until } from "../support/engine.ts";
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

/** What the bridge has written down of an agent, read from its database. */
async function rowOf(agent: string): Promise<{ status: string; containerId: string | null }> {
  const { output } = await exec(stack.container(Service.adminBridge), [
    "/usr/local/bin/node",
    "--disable-warning=ExperimentalWarning",
    "-e",
    `const { DatabaseSync } = require("node:sqlite"); const { readdirSync } = require("node:fs");
     const file = readdirSync("/data").find((f) => /\\.(db|sqlite3?)$/.test(f));
     const db = new DatabaseSync("/data/" + file, { readOnly: true });
     console.log(JSON.stringify(db.prepare("select status, containerId from agents where name = ?").get("${agent}") ?? null));`,
  ]);
  return JSON.parse(output.trim()) as { status: string; containerId: string | null };
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

  it("A9: the bridge's rows agree with the Engine after a crash, a stop, a removal behind its back, and over its restart", async () => {
    const agree = (agent: string, status: string) =>
      until(
        `the row of ${agent} to say ${status}`,
        async () => {
          const row = await rowOf(agent);
          const found = await inspect(stack.container(agent)).catch(() => undefined);
          return row.status === status && (!found || row.containerId === found.Id);
        },
        90_000,
      );
    await agree("data", "running");
    await crash("data");
    await agree("data", "running");
    await engine(`/containers/${stack.container("scout")}/stop?t=5`, "POST");
    await agree("scout", "exited");
    await engine(`/containers/${stack.container("scout")}?force=1`, "DELETE");
    await agree("scout", "missing");
    const before = await rowOf("data");
    await crash(Service.adminBridge);
    await until(
      "the bridge to be back",
      async () => (await fetch(`${stack.adminUrl}/api/health`)).ok,
    );
    expect((await rowOf("data")).containerId).toBe(before.containerId);
    await stack.up({ refresh: true });
    await until("the row of the new container", async () => {
      const { Id } = await inspect(stack.container("scout"));
      return (await rowOf("scout")).containerId === Id;
    });
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

describe("when a part is away, people are told so in words", () => {
  it("E14: a command while the socket proxy is away is answered in the chat, with the cause", async () => {
    const proxy = stack.container(Service.socketProxy);
    const direct = await operator.direct("berth");
    await engine(`/containers/${proxy}/stop?t=5`, "POST");
    try {
      const command = await operator.say(direct, "restart lal");
      const answer = await operator.answer(direct, "berth", command, /proxy|Docker/i);
      expect(answer.message).not.toMatch(/ECONNREFUSED|ENOTFOUND|\bat .*:\d+/);
      expect(await (await fetch(`${stack.adminUrl}/api/health`)).json()).toMatchObject({
        ok: false,
        docker: { socketConnected: false },
      });
    } finally {
      await engine(`/containers/${proxy}/start`, "POST");
    }
    await until(
      "the bridge to be healthy",
      async () => (await fetch(`${stack.adminUrl}/api/health`)).ok,
    );
  });

  it("C10: agents live on while the socket proxy is away", async () => {
    const proxy = stack.container(Service.socketProxy);
    await engine(`/containers/${proxy}/stop?t=5`, "POST");
    try {
      await conversationGoesOn("the proxy's absence");
    } finally {
      await engine(`/containers/${proxy}/start`, "POST");
    }
  });

  it("A10, E13: the admin bridge's image refuses to start without the proxy's address, in words and with a failure", async () => {
    const { Config } = await inspect(stack.container(Service.adminBridge));
    for (const address of ["", "unix:///var/run/docker.sock"]) {
      const name = `berth-refuses-${stack.name}`;
      const env = Config.Env.map((line) =>
        line.startsWith("DOCKER_HOST=") ? `DOCKER_HOST=${address}` : line,
      );
      await engine(`/containers/create?name=${name}`, "POST", {
        Image: Config.Image,
        Env: env,
        User: "2000:2000",
        HostConfig: { NetworkMode: "none", Tmpfs: { "/tmp": "" } },
      });
      try {
        await engine(`/containers/${name}/start`, "POST");
        const { StatusCode } = await engine<{ StatusCode: number }>(
          `/containers/${name}/wait`,
          "POST",
        );
        expect(StatusCode).toBe(1);
        const log = await logsOf(name);
        expect(log).toMatch(/DOCKER_HOST/);
        expect(log).toMatch(/tcp:\/\/docker-socket-proxy:2375/);
        expect(log).not.toMatch(/\n\s+at /);
      } finally {
        await engine(`/containers/${name}?force=1`, "DELETE");
      }
    }
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
