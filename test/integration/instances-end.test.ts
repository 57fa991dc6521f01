import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectEngine } from "../../cli/engine-api.ts";
import { endInstances } from "../../cli/repair.ts";
import { dockerHost, engineAnswer, exec, inspect, labelled, until } from "../support/engine.ts";
import { agentSource, writeFleet } from "../support/fleet.ts";
import { Stack } from "../support/stack.ts";

// What becomes of living instances when their agent, or the whole stack, is taken away. A stack of its own.

let stack: Stack;

/** An agent with a worker that ends when it is told to, and one that does not listen. */
const withWorkers = (name: string) =>
  agentSource(
    name,
    `activation: "manual",
  workers: {
    calm: { command: ["/usr/local/bin/node", "-e", "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)"] },
    deaf: { command: ["/usr/local/bin/node", "-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"] },
  },
  instances: { max: 1 },`,
  ).replace('activation: "on-demand",\n', "");

beforeAll(async () => {
  stack = await Stack.create("ends");
  writeFleet(stack, { ada: withWorkers("ada"), bob: withWorkers("bob") });
  await stack.up();
});
afterAll(() => stack.remove());

/** Asks the socket proxy as the admin bridge does: from its container, over its network. */
async function ask(method: string, path: string, body?: unknown): Promise<number> {
  const { output } = await exec(stack.container("admin-bridge"), [
    "/usr/local/bin/node",
    "-e",
    `fetch("http://docker-socket-proxy:2375" + ${JSON.stringify(path)}, {
      method: ${JSON.stringify(method)},
      ${body === undefined ? "" : `headers: { "content-type": "application/json" }, body: ${JSON.stringify(JSON.stringify(body))},`}
    }).then(async (r) => console.log("status", r.status, await r.text()));`,
  ]);
  return Number(/status (\d+)/.exec(output)?.[1] ?? Number.NaN);
}

/** Makes an instance, and starts it unless it is to wait. @returns its container's name */
async function instance(template: string, name: string, isStarted = true): Promise<string> {
  expect(await ask("POST", "/berth/instances", { template, instance: name })).toBe(201);
  const container = stack.container(`${template}.${name}`);
  if (isStarted) expect(await ask("POST", `/containers/${container}/start`)).toBe(204);
  expect((await inspect(container)).State.Running).toBe(isStarted);
  return container;
}

const isThere = async (name: string) =>
  (await engineAnswer(`/containers/${name}/json`)).status === 200;

describe("living instances", () => {
  it("C6: an agent that is taken off the list takes its instances and its workspace along, and nobody else's", async () => {
    const going = [await instance("bob.calm", "x1"), await instance("bob.deaf", "x1")];
    const staying = await instance("ada.calm", "x1");
    const { Id } = await inspect(staying);
    writeFleet(stack, { ada: withWorkers("ada") });
    await stack.up();
    for (const name of going) {
      await until(`${name} to be gone`, async () => !(await isThere(name)), 30_000);
    }
    expect((await labelled(stack.name)).filter((name) => name.includes("bob"))).toEqual([]);
    expect((await inspect(staying)).Id).toBe(Id);
    expect((await inspect(staying)).State.Running).toBe(true);
  });

  it("C6: `pulumi destroy` ends all of them, running, deaf or not yet started, and leaves nothing", async () => {
    await instance("ada.deaf", "x2");
    await instance("ada.calm", "x2", false);
    await instance("ada.agent", "x2");
    await stack.destroy();
    expect(await labelled(stack.name)).toEqual([]);
  });

  it("C6: without a socket proxy that could, the operator's command ends them, and `pulumi destroy` goes through", async () => {
    await stack.up();
    const left = [await instance("ada.deaf", "x3"), await instance("ada.calm", "x3")];
    const proxy = stack.container("docker-socket-proxy");
    await engineAnswer(`/containers/${proxy}/kill`, "POST");
    await until("the proxy to be down", async () => !(await inspect(proxy)).State.Running);
    expect(await endInstances(connectEngine(dockerHost), stack.name)).toEqual(left.sort());
    await stack.destroy();
    expect(await labelled(stack.name)).toEqual([]);
    expect(existsSync(`/run/berth/${stack.name}/agents/ada/gateway.sock`)).toBe(false);
  });
});
