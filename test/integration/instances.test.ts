import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { engine, engineAnswer, exec, inspect, until } from "../support/engine.ts";
import {
  agentSource,
  canary,
  secretsDirectory,
  sharedFleet,
  writeFleet,
} from "../support/fleet.ts";
import { comparable } from "../support/inspect-equality.ts";
import { Stack } from "../support/stack.ts";

// Instances in a stack that Pulumi made: what the admin bridge gets when it asks the socket proxy.

const stack = Stack.attach(inject("stack"));
const base = sharedFleet(secretsDirectory(stack, { canary }));
/** Agents of every network, each with further containers of its own; one with a worker. */
const twins = { twina: "sealed", twinb: "mattermost", twinc: "none" } as const;

function source(name: string, network: string): string {
  const worker = `workers: { review: {
    command: ["/usr/local/bin/node", "-e", "console.log('task ' + process.env.TASK_ID); process.exitCode = 3"],
    parameters: { TASK_ID: { pattern: "[a-z]{1,9}", maxLength: 9 } },
  } },`;
  const fields = `network: "${network}", instances: { max: 1 }, ${network === "sealed" ? worker : ""}`;
  const text = agentSource(name, fields);
  // Without a network there is no gateway, and so no runner and no chat.
  return network === "none"
    ? text
        .replace(
          'program: { acp: ["demo-agent"] }',
          'program: { command: ["/usr/local/bin/node"] }',
        )
        .replace(/ {2}chat: .*\n/, "")
        .replace('activation: "on-demand"', 'activation: "manual"')
    : text;
}

/** Asks the socket proxy as the admin bridge does: from its container, over its network. */
async function ask(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  const { output } = await exec(stack.container("admin-bridge"), [
    "/usr/local/bin/node",
    "-e",
    `fetch("http://docker-socket-proxy:2375" + ${JSON.stringify(path)}, {
      method: ${JSON.stringify(method)},
      ${body === undefined ? "" : `headers: { "content-type": "application/json" }, body: ${JSON.stringify(JSON.stringify(body))},`}
    }).then(async (r) => console.log(r.status, await r.text()));`,
  ]);
  const [, status, text = ""] = /^(\d+) ([\s\S]*)$/.exec(output) ?? [];
  return { status: Number(status), text };
}

beforeAll(async () => {
  const sources = Object.entries(twins).map(([name, network]) => [name, source(name, network)]);
  writeFleet(stack, { ...base, ...Object.fromEntries(sources) });
  await stack.up();
});

afterAll(async () => {
  writeFleet(stack, base);
  await stack.up();
});

describe("an instance in a stack that Pulumi made", () => {
  it.each(Object.entries(twins))(
    "law 5: of %s (%s) is equal to the container that `pulumi up` made, but for id, name, times and the lease's labels",
    async (name) => {
      const made = await ask("POST", "/berth/instances", {
        template: `${name}.agent`,
        instance: "x1",
      });
      expect([made.status, made.text]).toEqual([201, expect.stringContaining('"Id"')]);
      const container = stack.container(name);
      await until(
        "the limit of processes",
        async () => (await inspect(container)).HostConfig.PidsLimit === 512,
      );
      const [ofPulumi, ofProxy] = await Promise.all(
        [container, stack.container(`${name}.agent.x1`)].map(async (part) =>
          comparable(await engine(`/containers/${part}/json`)),
        ),
      );
      expect(ofPulumi?.length).toBeGreaterThan(100);
      expect(ofProxy).toEqual(ofPulumi);
      // Also to Pulumi it is nobody's: a refresh finds nothing to change.
      await stack.up({ expectNoChanges: true, refresh: true });
    },
  );

  it("A5, C6: a worker is created by way of the proxy, of the declared image, and runs to its end within its limits", async () => {
    const made = await ask("POST", "/berth/instances", {
      template: "twina.review",
      instance: "x1",
      parameters: { TASK_ID: "seven" },
    });
    expect([made.status, made.text]).toEqual([201, expect.stringContaining('"Id"')]);
    const container = stack.container("twina.review.x1");
    expect((await ask("POST", `/containers/${container}/start`)).status).toBe(204);
    await until("its end", async () => (await inspect(container)).State.Status === "exited");
    const { State, Image, HostConfig, Mounts } = await inspect(container);
    expect(State.ExitCode).toBe(3);
    expect(Image).toBe((await inspect(stack.container("twina"))).Image);
    expect(HostConfig).toMatchObject({
      Memory: 2 * 1024 ** 3,
      NanoCpus: 2e9,
      CapAdd: null,
      CapDrop: ["ALL"],
      NetworkMode: "none",
      PidsLimit: 256,
    });
    expect(Mounts.map(({ Source }) => Source).join()).not.toContain("docker.sock");
    expect((await ask("GET", `/containers/${container}/logs?stdout=1`)).text).toContain(
      "task seven",
    );
  });

  it("C6: what a worker's template does not say is refused, and nothing is made", async () => {
    const { Image } = (await inspect(stack.container("twina"))).Config;
    const answer = await ask("POST", "/containers/create?name=twina.review.x2", {
      Image,
      Env: ["TASK_ID=seven"],
      HostConfig: { Memory: 4 * 1024 ** 3, Binds: ["/var/run/docker.sock:/x"] },
    });
    expect([answer.status, answer.text]).toEqual([
      403,
      expect.stringContaining("/HostConfig/Binds, /HostConfig/Memory"),
    ]);
    const container = stack.container("twina.review.x2");
    expect((await engineAnswer(`/containers/${container}/json`)).status).toBe(404);
  });
});
