import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engine, inspect, labelled, until } from "../support/engine.ts";
import { agentSource, writeFleet } from "../support/fleet.ts";
import { Stack } from "../support/stack.ts";

/** A stack of its own: everything here starts from nothing and ends with nothing. */
let stack: Stack;

beforeAll(async () => {
  stack = await Stack.create("life");
  writeFleet(stack, {
    data: undefined,
    keeper: agentSource("keeper").replace("retain: false", "retain: true"),
  });
});

afterAll(() => stack.remove());

describe("a stack's life", () => {
  it("a port in use fails with one message, and the next `up` completes", async () => {
    const thief = createServer().listen(stack.mattermostPort, "127.0.0.1");
    await new Promise((resolve) => thief.once("listening", resolve));
    const failed = await stack.up({ mayFail: true });
    await new Promise((resolve) => thief.close(resolve));
    expect(failed.code).not.toBe(0);
    expect(failed.output).toMatch(/port is already allocated|address already in use/);
    await stack.up();
    expect((await inspect(stack.container("mattermost"))).State.Health?.Status).toBe("healthy");
  });

  it("B2: one `up` on an empty host, and the second changes nothing", async () => {
    expect((await stack.up({ expectNoChanges: true })).changes).toEqual([]);
  });

  it("B4: the admin bridge was started only after Mattermost was there", async () => {
    const bridge = await inspect(stack.container("admin-bridge"));
    const mattermost = await inspect(stack.container("mattermost"));
    expect(Date.parse(bridge.State.StartedAt)).toBeGreaterThan(
      Date.parse(mattermost.State.StartedAt),
    );
    expect(bridge.RestartCount).toBe(0);
  });

  it("B4: Mattermost away at the bridge's start delays it and does not break it", async () => {
    await engine(`/containers/${stack.container("mattermost")}/stop`, "POST");
    await engine(`/containers/${stack.container("admin-bridge")}/restart`, "POST");
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect((await inspect(stack.container("admin-bridge"))).State.Running).toBe(true);
    await engine(`/containers/${stack.container("mattermost")}/start`, "POST");
    await until(
      "the bridge to be ready",
      async () =>
        ((await (await fetch(`${stack.adminUrl}/api/status`)).json()) as { ready: boolean }).ready,
      90_000,
    );
    expect((await inspect(stack.container("admin-bridge"))).RestartCount).toBe(0);
  });

  it("a bad agent file fails the preview with its path and cure, lists every problem, and shows no stack trace", async () => {
    const good = stack.read("agents/index.ts");
    stack.write(
      "agents/broken.ts",
      agentSource(
        "broken",
        'preset: "huge" as never, imagee: 1 as never, secrets: { token: "op://only-vault" },',
      ).replace('image: "node"', 'image: "node:latest"'),
    );
    stack.write(
      "agents/index.ts",
      good
        .replace("defineFleet([", "defineFleet([broken, ")
        .replace("import {", 'import { broken } from "./broken.ts";\nimport {'),
    );
    const { code, output } = await stack.preview(true);
    stack.write("agents/index.ts", good);
    expect(code).not.toBe(0);
    for (const wanted of [/broken/, /preset/, /imagee/, /op:\/\/only-vault/, /latest/])
      expect(output).toMatch(wanted);
    expect(output).not.toMatch(/\n\s+at .*:\d+:\d+/);
  });

  it("a misspelt config key fails with its name and the file to mend", async () => {
    stack.configure({ mattermostPrt: "1" });
    const { code, output } = await stack.preview(true);
    stack.configure({});
    expect(code).not.toBe(0);
    expect(output).toMatch(/mattermostPrt/);
    expect(output).toMatch(new RegExp(`Pulumi\\.${stack.name}\\.yaml`));
    expect(output).not.toMatch(/\n\s+at .*:\d+:\d+/);
  });

  it("`destroy` leaves nothing with the stack's label but the retained workspace, and no socket", async () => {
    await stack.destroy();
    const kept = ["data", "keeper"].map((agent) => `berth-${stack.name}-${agent}-workspace`);
    expect(await labelled(stack.name)).toEqual(kept.map((name) => `volume:${name}`));
    const left = existsSync(`/run/berth/${stack.name}`)
      ? readdirSync(`/run/berth/${stack.name}`, { recursive: true, withFileTypes: true })
      : [];
    // The seed of generated values is on RAM and outlives the secret store; `make down` removes the whole directory.
    const files = left.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
    expect(files.filter((name) => name !== "seed")).toEqual([]);
  });
});
