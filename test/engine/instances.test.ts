import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Template } from "../../spec/declaration.ts";
import { presets } from "../../spec/presets.ts";
import { type Inspected, inspect, until } from "../support/engine.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

let proxy: RealProxy;

const worker = (image: string): Template => ({
  preset: "worker",
  image,
  command: [
    "/usr/local/bin/node",
    "-e",
    "console.log('task ' + process.env.TASK_ID); process.exit(3)",
  ],
  env: { LOG_LEVEL: "info" },
  parameters: { TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 } },
  limits: presets.worker,
  network: "sealed",
  workspace: "shared",
  instances: { max: 2, timeoutSeconds: 300 },
});

beforeAll(async () => {
  proxy = await startRealProxy("instances");
  const lal = proxy.declarationOf("lal", {
    templates: { review: worker(proxy.image) },
    instances: { max: 2, timeoutSeconds: 60 },
  });
  await proxy.declare(lal);
  await proxy.make(lal);
});
afterAll(() => proxy.close());

describe("an instance", () => {
  it("A5, C2: is created from its template, started, and runs to its end", async () => {
    const created = await proxy.ask("/berth/instances", "POST", {
      template: "lal.review",
      instance: "x1",
      parameters: { TASK_ID: "seven" },
    });
    expect([created.status, created.text]).toEqual([201, expect.stringContaining('"Id"')]);
    const { Id } = JSON.parse(created.text) as { Id: string };
    const started = await proxy.ask(`/containers/${Id}/start`, "POST");
    expect([started.status, started.text]).toEqual([204, ""]);
    await until("its end", async () => (await inspect(Id)).State.Status === "exited");
    const shown = JSON.parse((await proxy.ask(`/containers/${Id}/json`)).text) as Inspected;
    expect(shown.State.ExitCode).toBe(3);
    expect((await proxy.ask(`/containers/${Id}/logs?stdout=1`)).text).toContain("task seven");
    expect((await inspect(Id)).RestartCount).toBe(0);
  });
});
