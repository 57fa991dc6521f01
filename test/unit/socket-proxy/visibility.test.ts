import { afterEach, describe, expect, it } from "vitest";
import { agentContainer } from "../../../spec/container.ts";
import type { GrantsDocument } from "../../../spec/grants.ts";
import { unhurriedGrants } from "./clients.ts";
import { declarationOf, inspectOf } from "./engine-double.ts";
import { type Harness, startHarness } from "./harness.ts";

/** The bounds of what a client may see: found by taking them out (test/mutants). */

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

async function start(grants: GrantsDocument): Promise<Harness> {
  harness = await startHarness({ grants });
  harness.agent();
  return harness;
}

describe("what a client may see", () => {
  it("A5: the platform's containers and other agents are as if they were not there", async () => {
    const running = await start(
      unhurriedGrants({ worker: { templates: ["data.*"], services: false } }),
    );
    running.agent({ name: "data" }, "d".repeat(64));
    const spec = agentContainer(declarationOf());
    const platform = inspectOf({ ...spec, name: "berth-dev-mattermost" }, "5".repeat(64));
    const config = platform.Config as { Labels: Record<string, string> };
    config.Labels = { "berth.stack": "dev", "berth.component": "mattermost" };
    running.engine.containers.set("5".repeat(64), { inspect: platform });
    const names = async (client?: string) =>
      (
        JSON.parse((await running.ask("/containers/json?all=1", "GET", client)).text) as {
          Names: string[];
        }[]
      )
        .flatMap(({ Names }) => Names)
        .sort();
    expect(await names()).toEqual(["/berth-dev-data", "/berth-dev-lal", "/berth-dev-mattermost"]);
    expect(await names("worker")).toEqual(["/berth-dev-data"]);
    const absent = await running.ask("/containers/berth-dev-none/json", "GET", "worker");
    for (const name of ["berth-dev-lal", "berth-dev-mattermost", "a".repeat(64), "5".repeat(64)]) {
      const answer = await running.ask(`/containers/${name}/json`, "GET", "worker");
      expect([answer.status, answer.text]).toEqual([404, absent.text]);
      const started = await running.ask(`/containers/${name}/start`, "POST", "worker");
      expect(started.status).toBe(404);
    }
    expect(running.engine.asked().filter((one) => one.endsWith("/start"))).toEqual([]);
  });

  it("A6: an inspect answer of another container than the one that was asked for is none", async () => {
    const running = await start(unhurriedGrants());
    const id = "a".repeat(64);
    const other = structuredClone(running.engine.containers.get(id)?.inspect);
    if (!other) throw new Error("no container");
    other.Id = "f".repeat(64);
    running.engine.intercept = ({ path }, response) => {
      if (path !== `/v1.41/containers/${id}/json`) return false;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(other));
      return true;
    };
    expect((await running.ask("/containers/berth-dev-lal/json")).status).toBe(404);
    expect((await running.ask("/containers/berth-dev-lal/start", "POST")).status).toBe(404);
  });
});
