import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { didChange } from "../../../cli/commands/up.ts";
import type { EngineClient } from "../../../cli/engine-api.ts";
import { isNoise } from "../../../cli/pulumi-stack.ts";
import { conflictsIn, endInstances, removeLeftovers, startServices } from "../../../cli/repair.ts";
import { removeDeadLocks } from "../../../cli/toolchain/locks.ts";

describe("locks of Pulumi's file backend", () => {
  let state: string;
  let folder: string;
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), "berth-locks-"));
    folder = join(state, ".pulumi/locks/organization/berth/dev");
    mkdirSync(folder, { recursive: true });
  });
  afterEach(() => rmSync(state, { recursive: true, force: true }));

  function lock(name: string, pid: number, host = hostname()): string {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify({ pid, username: "x", hostname: host, timestamp: "" }));
    writeFileSync(`${path}.attrs`, "{}");
    return path;
  }

  it("of a process that is gone: removed, with what belongs to it", () => {
    const path = lock("a", 2 ** 30);
    expect(removeDeadLocks(state, "dev")).toEqual([2 ** 30]);
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`${path}.attrs`)).toBe(false);
  });

  it("of a process id that another program has now: removed", () => {
    lock("a", process.pid); // this is no Pulumi
    expect(removeDeadLocks(state, "dev")).toEqual([process.pid]);
  });

  it("of a running Pulumi, of another machine, of another stack: kept", () => {
    const paths = [lock("a", 41), lock("b", 42, "elsewhere")];
    expect(removeDeadLocks(state, "dev", (pid) => pid === 41)).toEqual([]);
    expect(removeDeadLocks(state, "prod", () => false)).toEqual([]);
    for (const path of paths) expect(existsSync(path)).toBe(true);
  });
});

describe("Pulumi's output", () => {
  it("names what stands in the way, each once", () => {
    const conflict =
      'error: Unable to create container: Error response from daemon: Conflict. The container name "/berth-dev-postgres" is already in use by container "7ab3".';
    expect(
      conflictsIn(
        `${conflict}\n${conflict}\nnetwork with name berth-dev-egress-net already exists`,
      ),
    ).toEqual([
      { kind: "containers", name: "berth-dev-postgres" },
      { kind: "networks", name: "berth-dev-egress-net" },
    ]);
    expect(conflictsIn("error: something else")).toEqual([]);
  });

  it("tells whether anything changed by its summary alone", () => {
    expect(didChange("created\nResources:\n    37 unchanged\nDuration: 4s")).toBe(false);
    expect(didChange("Resources:\n    + 2 created\n    30 unchanged")).toBe(true);
    expect(didChange("Resources:\n    +-5 replaced")).toBe(true);
  });

  it.each([
    ["  @ updating....", true],
    ["", true],
    ["     pulumi:pulumi:Stack berth-dev running ", true],
    [" ++ docker:index:Container lal creating replacement (0s) [diff: ~image]", true],
    [" +  docker:index:Container lal created (0.4s)", false],
    ["     error: update failed", false],
    [" +  docker:index:Container postgres creating (240s) error: 1 error occurred:", false],
  ])("%j is noise: %s", (line, noise) => expect(isNoise(line)).toBe(noise));
});

describe("services that an Engine has left down", () => {
  /** An Engine on which these parts do not run; notes each container that is started. */
  function engineWith(parts: readonly string[], started: string[]): EngineClient {
    return {
      endpoint: { socketPath: "/none" },
      request: async ({ path, method = "GET" }) => {
        if (method === "POST") {
          started.push(path);
          return { status: 204, headers: {}, text: "" };
        }
        const list = parts.map((part) => ({ Id: part, Labels: { "berth.component": part } }));
        return { status: 200, headers: {}, text: JSON.stringify(list) };
      },
      stream: () => Promise.reject(new Error("not asked")),
    };
  }

  it("are started in the order in which they need one another; agents are not", async () => {
    const started: string[] = [];
    const down = ["admin-bridge", "agent", "postgres", "docker-socket-proxy"];
    const names = await startServices(engineWith(down, started), "dev");
    expect(names).toEqual(["docker-socket-proxy", "postgres", "admin-bridge"]);
    expect(started).toEqual(names.map((name) => `/containers/${name}/start`));
  });

  it("none down: nothing is started", async () => {
    const started: string[] = [];
    expect(await startServices(engineWith(["agent"], started), "dev")).toEqual([]);
    expect(started).toEqual([]);
  });

  it("an instance is no service, whatever it is made of", async () => {
    const started: string[] = [];
    expect(await startServices(engineWith(["agent", "worker", "sandbox"], started), "dev")).toEqual(
      [],
    );
    expect(started).toEqual([]);
  });
});

describe("what a stack's end must not leave", () => {
  /** An Engine that lists these and answers each other call with a status; notes what it is asked. */
  function engineOf(names: readonly string[], statusOf: (call: string) => number = () => 204) {
    const asked: string[] = [];
    const client: EngineClient = {
      endpoint: { socketPath: "/none" },
      request: async ({ path, method = "GET" }) => {
        asked.push(`${method} ${decodeURIComponent(path)}`);
        if (method !== "GET") {
          return { status: statusOf(`${method} ${path}`), headers: {}, text: "" };
        }
        const list = path.startsWith("/networks")
          ? []
          : names.map((name) => ({ Id: name, Names: [`/berth-dev-${name}`] }));
        return { status: 200, headers: {}, text: JSON.stringify(list) };
      },
      stream: () => Promise.reject(new Error("not asked")),
    };
    return { client, asked };
  }

  it("instances are found by their own label, stopped with a grace, and removed with what their images brought", async () => {
    const { client, asked } = engineOf(["lal.review.x1", "lal.agent.x2"]);
    expect(await endInstances(client, "dev")).toEqual([
      "berth-dev-lal.agent.x2",
      "berth-dev-lal.review.x1",
    ]);
    expect(asked[0]).toContain('{"label":["berth.stack=dev","berth.instance"]}');
    expect(asked.slice(1).sort()).toEqual([
      "DELETE /containers/lal.agent.x2?force=1&v=1",
      "DELETE /containers/lal.review.x1?force=1&v=1",
      "POST /containers/lal.agent.x2/stop?t=5",
      "POST /containers/lal.review.x1/stop?t=5",
    ]);
  });

  it("one that the proxy ends at the same moment is no failure; one that stays is", async () => {
    for (const status of [404, 409]) {
      await endInstances(engineOf(["x"], () => status).client, "dev");
    }
    await expect(endInstances(engineOf(["x"], () => 500).client, "dev")).rejects.toThrow(
      /did not remove x: .*\(status 500\)/,
    );
  });

  it("leftovers go with the volumes that have no name, and no other", async () => {
    const { client, asked } = engineOf(["lal.review.x1"]);
    expect(await removeLeftovers(client, "dev")).toEqual(["berth-dev-lal.review.x1"]);
    expect(asked).toContain("DELETE /containers/lal.review.x1?force=1&v=1");
    expect(asked.filter((call) => call.includes("/volumes"))).toEqual([]);
  });
});
