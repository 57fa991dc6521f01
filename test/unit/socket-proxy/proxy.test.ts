import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually, type Harness, lalId, startHarness } from "./harness.ts";
import { checkInvariants } from "./invariants.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  await checkInvariants(harness);
  await harness.close();
});

const message = (text: string) => (JSON.parse(text) as { message: string }).message;
const host = () =>
  harness.engine.containers.get(lalId)?.inspect.HostConfig as Record<string, unknown>;
const state = () => harness.engine.containers.get(lalId)?.inspect.State as Record<string, unknown>;

describe("start", () => {
  it("A11: compares, puts the pids limit in force, then starts", async () => {
    harness.agent();
    const answer = await harness.ask("/v1.41/containers/berth-dev-lal/start", "POST");
    expect(answer.status).toBe(204);
    expect([state().Running, host().PidsLimit]).toEqual([true, 512]);
    const posts = harness.engine.asked().filter((request) => request.startsWith("POST"));
    expect(posts).toEqual([
      `POST /v1.41/containers/${lalId}/update`,
      `POST /v1.41/containers/${lalId}/start`,
    ]);
  });

  it("by full id, and again: 304", async () => {
    harness.agent();
    expect((await harness.ask(`/containers/${lalId}/start`, "POST")).status).toBe(204);
    expect((await harness.ask(`/containers/${lalId}/start`, "POST")).status).toBe(304);
  });

  it("A11: an undeclared agent is not started", async () => {
    harness.agent();
    for (const [name, volume] of harness.engine.volumes) {
      if (JSON.stringify(volume).includes("berth.declaration")) harness.engine.volumes.delete(name);
    }
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect([answer.status, message(answer.text)]).toEqual([
      403,
      expect.stringMatching(/^berth: start denied: .* \[undeclared\] \(request [0-9a-f]{8}-\d+\)$/),
    ]);
    expect(state().Running).toBe(false);
  });

  it("a container that is not as declared: 403 naming the fields, an alert, nothing changed", async () => {
    harness.agent();
    Object.assign(host(), { Privileged: true, Binds: ["/etc/canary-path:/x"] });
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect(answer.status).toBe(403);
    expect(message(answer.text)).toContain("HostConfig.Binds, HostConfig.Privileged [verify]");
    expect(answer.text).not.toContain("canary");
    expect(harness.audit.at(-1)).toMatchObject({
      phase: "alert",
      fields: ["HostConfig.Binds", "HostConfig.Privileged"],
    });
    expect(harness.engine.asked().filter((request) => request.startsWith("POST"))).toEqual([]);
  });

  it("a declaration that changed since the container was made: not started", async () => {
    harness.agent();
    const { declarationOf } = await import("./engine-double.ts");
    const limits = { ...declarationOf().limits, pids: 64 };
    harness.engine.declare(declarationOf({ limits }), { created: "2027-01-01T00:00:00Z" });
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect(message(answer.text)).toContain("Config.Labels [verify]");
  });

  it("a pids limit that does not stick: not started", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }, response) => {
      if (!path.endsWith("/update")) return false;
      response.end('{"Warnings":["no pids cgroup"]}');
      return true;
    };
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect([answer.status, message(answer.text)]).toEqual([
      403,
      expect.stringContaining("[pids-limit]"),
    ]);
    expect(state().Running).toBe(false);
  });

  it("a container that changes while its limit is set is not started", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }) => {
      if (path.endsWith("/update")) host().Memory = 1;
      return false;
    };
    expect((await harness.ask("/containers/berth-dev-lal/start", "POST")).status).toBe(403);
    expect(state().Running).toBe(false);
  });

  it("the declared image missing, or another: not started", async () => {
    harness.agent();
    const [name = "", image = {}] = [...harness.engine.images][0] ?? [];
    harness.engine.images.set(name, { ...image, Id: `sha256:${"d".repeat(64)}` });
    expect(message((await harness.ask("/containers/berth-dev-lal/start", "POST")).text)).toContain(
      "as declared: Image [verify]",
    );
    harness.engine.images.clear();
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect([answer.status, message(answer.text)]).toEqual([
      409,
      expect.stringContaining("[image-missing]"),
    ]);
  });

  it("no audit record, no mutation; reads go on", async () => {
    const made = harness.agent();
    (made.inspect.State as { Running: boolean }).Running = false;
    harness.sink.fails = true;
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect([answer.status, message(answer.text)]).toEqual([
      503,
      expect.stringContaining("its audit record cannot be written (ENOSPC) [audit]"),
    ]);
    expect((await harness.ask("/containers/berth-dev-lal/stop", "POST")).status).toBe(503);
    expect((await harness.ask("/containers/berth-dev-lal/json")).status).toBe(200);
    expect(harness.engine.asked().filter((request) => request.startsWith("POST"))).toEqual([]);
  });

  it("parts of the platform and agents with the local driver are neither started nor stopped", async () => {
    const made = harness.agent({ driver: "local" });
    for (const verb of ["start", "stop"]) {
      const answer = await harness.ask(`/containers/berth-dev-lal/${verb}`, "POST");
      expect(message(answer.text)).toContain("[driver]");
    }
    made.inspect.Name = "/berth-dev-postgres";
    const labels = { "berth.stack": "dev", "berth.component": "postgres" };
    (made.inspect.Config as { Labels: object }).Labels = labels;
    for (const verb of ["start", "stop"]) {
      const answer = await harness.ask(`/containers/berth-dev-postgres/${verb}`, "POST");
      expect(message(answer.text)).toContain("[not-an-agent]");
    }
  });
});

describe("stop", () => {
  it.each([
    ["", 30],
    ["?t=0", 0],
    ["?t=600", 600],
  ])("A11: with %j waits %i s before the kill", async (query, seconds) => {
    harness.agent();
    await harness.ask("/containers/berth-dev-lal/start", "POST");
    const answer = await harness.ask(`/containers/berth-dev-lal/stop${query}`, "POST");
    expect(answer.status).toBe(204);
    expect(harness.engine.recorded.at(-1)?.path).toBe(
      `/v1.41/containers/${lalId}/stop?t=${seconds}`,
    );
  });
});

describe("the audit", () => {
  it("has no line for what every client asks again and again, and one for its refusal", async () => {
    const before = harness.audit.length;
    for (const path of ["/_ping", "/containers/json?all=1", "/berth/declarations"]) {
      expect((await harness.ask(path)).status).toBe(200);
    }
    expect(harness.audit.slice(before)).toEqual([]);
    expect((await harness.ask("/containers/json?all=1", "GET", "secret-store")).status).toBe(403);
    expect(harness.audit.at(-1)).toMatchObject({ decision: "deny", verb: "list", rule: "grant" });
    await harness.ask("/version");
    expect(harness.audit.at(-1)).toMatchObject({ decision: "allow", verb: "version" });
  });
});

describe("pids limits", () => {
  it("are put in force on every container of the stack that appears, and on nobody else's", async () => {
    const { inspect } = harness.agent();
    const labels = (inspect.Config as { Labels: object }).Labels;
    const event = (name: string) => ({
      Type: "container",
      Action: "create",
      Actor: { ID: lalId, Attributes: { ...labels, name } },
    });
    inspect.Name = "/other";
    harness.engine.emit(event("other"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(host().PidsLimit).toBeNull();
    inspect.Name = "/berth-dev-lal";
    harness.engine.emit(event("berth-dev-lal"));
    await eventually(() => host().PidsLimit === 512);
    expect(harness.audit.at(-1)).toMatchObject({ verb: "update", rule: "pids-limit" });
  });

  it("are put in force on what is there when the proxy comes (back)", async () => {
    harness.agent();
    harness.engine.dropEventStreams();
    await eventually(() => host().PidsLimit === 512);
  });
});
