import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageId } from "./engine-double.ts";
import { type Harness, lalId, startHarness } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  await checkInvariants(harness);
  await harness.close();
});

describe("what clients get to see", () => {
  it("inspect and list give out no value that is not on the list", async () => {
    const { inspect } = harness.agent();
    (inspect.Config as { Env: string[] }).Env.push("TOKEN=canary");
    (inspect.Config as { Labels: Record<string, string> }).Labels.x = "canary";
    Object.assign(inspect, { Path: "canary", Args: ["canary"], LogPath: "/canary" });
    Object.assign(inspect.State as object, {
      Error: "canary",
      Health: { Status: "healthy", FailingStreak: 0, Log: [{ Output: "canary" }] },
    });
    for (const path of ["/containers/berth-dev-lal/json", "/containers/json?all=1"]) {
      const { status, text } = await harness.ask(path);
      expect(status).toBe(200);
      expect(text).not.toMatch(/canary|secret-command|\/var\/lib|\/run\/berth\/dev|PATH=/);
      expect(text).toContain(lalId);
    }
    const shown = JSON.parse((await harness.ask("/containers/berth-dev-lal/json")).text);
    expect(shown).toMatchObject({
      Image: imageId,
      State: { Health: { Status: "healthy" } },
      HostConfig: { NetworkMode: "none" },
    });
  });

  it("what is not the stack's own does not exist: the same bytes, and nobody else's container is touched", async () => {
    const foreign = harness.agent();
    const name = (own: string) => {
      foreign.inspect.Name = own;
    };
    name("/evil");
    const answers = await Promise.all([
      harness.ask(`/containers/${lalId}/json`),
      harness.ask(`/containers/${"b".repeat(64)}/json`),
      harness.ask("/containers/evil/json"),
      harness.ask("/containers/berth-dev-none/logs?stdout=1"),
      harness.ask("/containers/berth-dev-lal/stop", "POST"),
      harness.ask("/networks/bridge"),
      harness.ask("/networks/berth-dev-mattermost-net"),
      harness.ask("/images/postgres:18/json"),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(harness.engine.asked().some((request) => request.includes(`${lalId}/`))).toBe(false);
  });

  it("lists are filtered here, by shown labels only", async () => {
    harness.agent();
    const count = async (query: string) =>
      (JSON.parse((await harness.ask(`/containers/json${query}`)).text) as unknown[]).length;
    const filter = (value: object) => `filters=${encodeURIComponent(JSON.stringify(value))}`;
    expect(await count("")).toBe(0);
    expect(await count("?all=1")).toBe(1);
    expect(await count(`?${filter({ status: ["created"] })}`)).toBe(1);
    expect(await count(`?all=1&${filter({ label: ["berth.agent=lal"] })}`)).toBe(1);
    expect(await count(`?all=1&${filter({ label: ["berth.agent=data"] })}`)).toBe(0);
    expect(await count(`?all=1&${filter({ label: ["berth.image"] })}`)).toBe(0);
    expect(await count(`?all=1&${filter({ name: ["dat"] })}`)).toBe(0);
  });

  it("an image is shown only while a declaration names it", async () => {
    harness.agent();
    const { status, text } = await harness.ask("/images/localhost/berth/node:0123456789ab/json");
    expect([status, JSON.parse(text)]).toEqual([
      200,
      expect.objectContaining({ Id: imageId, Size: 5 }),
    ]);
    expect(text).not.toContain("PATH");
  });

  it("a network of the stack shows name, id and internal", async () => {
    harness.agent({ network: "mattermost" });
    const { text } = await harness.ask("/networks/berth-dev-mattermost-net");
    expect(JSON.parse(text)).toEqual({
      Name: "berth-dev-mattermost-net",
      Id: "e".repeat(64),
      Internal: true,
    });
  });

  it("ping and version are what the docker command needs", async () => {
    const ping = await harness.ask("/_ping");
    expect([ping.status, ping.text, ping.headers["api-version"]]).toEqual([200, "OK", "1.41"]);
    expect((await harness.ask("/_ping", "HEAD")).status).toBe(200);
    expect(JSON.parse((await harness.ask("/version")).text)).toMatchObject({ ApiVersion: "1.41" });
  });
});
