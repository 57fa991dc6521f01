import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClientLimits } from "../../../services/socket-proxy/limits.ts";
import { imageId } from "./engine-double.ts";
import { eventually, type Harness, lalId, startHarness, testGrants } from "./harness.ts";
import { outsideLanguage } from "./language.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  const outside = outsideLanguage(harness.engine.recorded);
  await harness.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
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

describe("streams", () => {
  it("wait sends its headers at once and its answer at the exit", async () => {
    harness.agent();
    await harness.ask("/containers/berth-dev-lal/start", "POST");
    const answer = await open("/containers/berth-dev-lal/wait", "POST");
    expect(answer.statusCode).toBe(200);
    setTimeout(() => harness.engine.exit(lalId, 7), 50);
    expect(JSON.parse(await textOf(answer))).toEqual({ StatusCode: 7, Error: null });
  });

  it("a client that goes away ends what was opened for it at the Engine", async () => {
    harness.agent();
    let closed = false;
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/logs?")) return false;
      response.writeHead(200);
      response.flushHeaders();
      response.on("close", () => {
        closed = true;
      });
      return true;
    };
    const answer = await open("/containers/berth-dev-lal/logs?stdout=1&follow=1");
    answer.destroy();
    await eventually(() => closed);
  });

  it("logs of a slow reader wait at the Engine: memory stays bounded", async () => {
    harness.agent();
    const head = Buffer.from([1, 0, 0, 0, 0, 1, 0, 0]);
    const frame = Buffer.concat([head, Buffer.alloc(65_536, "x")]);
    let written = 0;
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/logs?")) return false;
      const more = () => {
        while (written < 1_000 && !response.destroyed) {
          written += 1;
          if (!response.write(frame)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
      return true;
    };
    const answer = await open("/containers/berth-dev-lal/logs?stdout=1");
    answer.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(written).toBeLessThan(400);
    let size = 0;
    for await (const part of answer as AsyncIterable<Buffer>) size += part.length;
    expect(size).toBe(frame.length * 1_000);
  });

  it("events are of the stack's own containers only, without what is not shown", async () => {
    const answer = await open("/events");
    const event = (attributes: object, action = "die") => ({
      Type: "container",
      Action: action,
      Actor: { ID: lalId, Attributes: { exitCode: "3", canary: "canary", ...attributes } },
      time: 5,
      timeNano: 5e9,
    });
    const own = {
      "berth.stack": "dev",
      "berth.component": "agent",
      "berth.agent": "lal",
      name: "berth-dev-lal",
    };
    harness.engine.emit(event({ ...own, "berth.stack": "prod" }));
    harness.engine.emit(event({ ...own, name: "spoofed-by-an-image" }));
    harness.engine.emit(event(own, "exec_create: sh -c canary"));
    harness.engine.emit({ Type: "volume", Action: "create", Actor: { ID: "x", Attributes: own } });
    harness.engine.emit(event(own));
    const [line = ""] = (await firstText(answer)).split("\n");
    expect(JSON.parse(line)).toEqual({
      status: "die",
      id: lalId,
      Type: "container",
      Action: "die",
      Actor: { ID: lalId, Attributes: { ...own, exitCode: "3" } },
      scope: "local",
      time: 5,
      timeNano: 5e9,
    });
    harness.engine.dropEventStreams();
    expect(await textOf(answer)).toBe("");
  });

  it("a reader of events who does not read is dropped, the others go on", async () => {
    const slow = await open("/events", "GET", "egress-gateway");
    slow.pause();
    const quick = await open("/events", "GET", "secret-store");
    let lines = 0;
    quick.on("data", (part: Buffer) => {
      lines += part.toString().split("\n").length - 1;
    });
    let dropped = false;
    slow.socket.on("close", () => {
      dropped = true;
    });
    const attributes = {
      "berth.stack": "dev",
      "berth.component": "agent",
      "berth.agent": "lal",
      name: "berth-dev-lal",
    };
    const actor = { ID: lalId, Attributes: attributes };
    let sent = 0;
    for (let round = 0; round < 400 && !dropped; round++) {
      for (let i = 0; i < 200; i++, sent++)
        harness.engine.emit({ Type: "container", Action: "start", Actor: actor });
      await eventually(() => lines === sent);
      // A dropped connection shows when what was buffered has been read.
      if (round > 20) slow.resume();
    }
    expect(dropped).toBe(true);
    quick.destroy();
  });

  it("wait and logs are for agents: a part of the platform has neither", async () => {
    const { inspect } = harness.agent();
    const labels = (inspect.Config as { Labels: Record<string, string> }).Labels;
    labels["berth.component"] = "postgres";
    delete labels["berth.agent"];
    inspect.Name = "/berth-dev-postgres";
    const seen = await harness.ask("/containers/berth-dev-postgres/json");
    expect(seen.status).toBe(200);
    for (const [path, method] of [
      ["logs?stdout=1", "GET"],
      ["wait", "POST"],
    ] as const) {
      const { status, text } = await harness.ask(`/containers/berth-dev-postgres/${path}`, method);
      expect([status, message(text)]).toEqual([403, expect.stringContaining("[not-an-agent]")]);
    }
    expect(harness.engine.asked().filter((call) => /logs|wait/.test(call))).toEqual([]);
  });

  it("a client has 16 streams at most; the next is refused until one has ended, others are not touched", async () => {
    const one = () => open("/events", "GET", "egress-gateway");
    const streams = await Promise.all(Array.from({ length: 16 }, one));
    const refused = await harness.ask("/events", "GET", "egress-gateway");
    expect([refused.status, message(refused.text)]).toEqual([
      429,
      expect.stringContaining("[streams]"),
    ]);
    expect(harness.audit.at(-1)).toMatchObject({ decision: "deny", rule: "streams", status: 429 });
    expect((await harness.ask("/_ping")).status).toBe(200);
    (await open("/events", "GET", "secret-store")).destroy();
    streams[0]?.destroy();
    let last = await one();
    for (let tries = 0; last.statusCode !== 200 && tries < 50; tries++) last = await one();
    expect(last.statusCode).toBe(200);
    for (const stream of [...streams, last]) stream.destroy();
  });

  it("declarations come at once and after each change, to every client", async () => {
    const answer = await open("/berth/declarations?watch=1", "GET", "egress-gateway");
    const lines: unknown[][] = [];
    answer.on("data", (part: Buffer) => {
      for (const line of part.toString().split("\n").filter(Boolean)) lines.push(JSON.parse(line));
    });
    await eventually(() => lines.length === 1);
    harness.agent();
    await eventually(() => lines.length === 2);
    expect(lines).toEqual([[], [expect.objectContaining({ name: "lal" })]]);
    harness.engine.volumes.clear();
    harness.engine.emit({ Type: "volume", Action: "destroy", Actor: { ID: "x", Attributes: {} } });
    await eventually(() => lines.length === 3);
    answer.destroy();
  });

  it("declarations go on after the Engine's event stream was lost", async () => {
    harness.engine.dropEventStreams();
    await eventually(() => harness.engine.eventStreams === 0);
    harness.agent();
    await eventually(() => harness.engine.eventStreams === 1);
    const list = async () =>
      JSON.parse((await harness.ask("/berth/declarations")).text) as unknown[];
    expect(await list()).toHaveLength(1);
  });
});

describe("the rate of a client", () => {
  it("is bounded: 429 in Docker's shape beyond it, on record once a second; other clients are not touched", async () => {
    let refused = "";
    for (let count = 0; refused === "" && count < 2_000; count++) {
      const answer = await harness.ask("/version", "GET", "secret-store");
      if (answer.status === 429) refused = answer.text;
      if (count === 150) expect(refused).toBe("");
    }
    expect(message(refused)).toMatch(/^berth: version denied: too many requests.*\[rate\]/);
    const burst = Array.from({ length: 50 }, () => harness.ask("/version", "GET", "secret-store"));
    expect((await Promise.all(burst)).some(({ status }) => status === 429)).toBe(true);
    expect(harness.audit.filter(({ rule }) => rule === "rate").length).toBeLessThanOrEqual(2);
    expect((await harness.ask("/version")).status).toBe(200);
  });

  it("comes back with time", () => {
    let now = 0;
    const { clients, suspension } = testGrants();
    const quotas = clients["secret-store"]?.quotas;
    if (!quotas) throw new Error("no quotas");
    const limits = new ClientLimits(quotas, suspension, () => now);
    const taken = () => {
      for (let count = 0; ; count++) {
        try {
          limits.request();
        } catch {
          return count;
        }
      }
    };
    expect(taken()).toBe(200);
    now += 1_000;
    expect(taken()).toBe(50);
    now += 3_600_000;
    expect(taken()).toBe(200);
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

describe("the Engine's failures", () => {
  it("down: 503 in plain words", async () => {
    await harness.engine.close();
    for (const path of ["/_ping", "/containers/json", "/containers/berth-dev-lal/json"]) {
      const answer = await harness.ask(path);
      expect([answer.status, message(answer.text)]).toEqual([
        503,
        expect.stringMatching(/the Engine does not answer \[engine-down\]/),
      ]);
    }
    await expect(harness.proxy.healthy()).rejects.toThrow("does not answer");
  });

  it.each([
    [500, '{"message":"canary"}', 500, "engine-refused"],
    [409, '{"message":"canary"}', 409, "engine-conflict"],
    [404, '{"message":"canary"}', 404, "not-found"],
    [301, "canary", 502, "engine-answer"],
    [200, "canary", 502, "engine-answer"],
    [200, `["${"x".repeat(9 * 1024 * 1024)}"]`, 502, "engine-answer"],
  ])("an answer %i %#: mapped, never passed on", async (status, body, mapped, rule) => {
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/containers/json?all")) return false;
      response.writeHead(status, { location: "http://elsewhere/" });
      response.end(body);
      return true;
    };
    const answer = await harness.ask("/containers/json");
    expect(answer.status).toBe(mapped);
    expect(answer.text).toContain(`[${rule}]`);
    expect(answer.text).not.toContain("canary");
  });

  it("a known cause of a failing start is told in our own words", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }, response) => {
      if (!path.endsWith("/start")) return false;
      response.writeHead(500);
      response.end('{"message":"exec: \\"/canary\\": executable file not found in $PATH"}');
      return true;
    };
    const answer = await harness.ask("/containers/berth-dev-lal/start", "POST");
    expect(message(answer.text)).toContain("the image does not hold the program that it is to run");
    expect(answer.text).not.toContain("canary");
  });

  it("an upgrade that the Engine offers is not taken", async () => {
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/containers/json?all")) return false;
      response.socket?.end(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
      );
      return true;
    };
    expect((await harness.ask("/containers/json")).status).toBe(502);
  });

  it("a broken-off answer to wait does not look like an exit", async () => {
    harness.agent();
    harness.engine.intercept = ({ path }, response) => {
      if (!path.includes("/wait")) return false;
      response.writeHead(200);
      response.flushHeaders();
      setTimeout(() => response.destroy(), 20);
      return true;
    };
    const answer = await open("/containers/berth-dev-lal/wait", "POST");
    await expect(textOf(answer)).rejects.toThrow();
  });

  it("A28: the watchdog gives up after so many failures in a row, so that the container restarts", async () => {
    const other = await startHarness({ watchdog: { everyMs: 20, failures: 3 } });
    await other.proxy.healthy();
    await other.engine.close();
    await expect(other.proxy.done).rejects.toThrow("3 times in a row");
    await other.close();
  });
});

function open(path: string, method = "GET", client?: string): Promise<http.IncomingMessage> {
  const where = client
    ? { socketPath: harness.socketOf(client) }
    : { host: "127.0.0.1", port: harness.port };
  return new Promise((resolve, reject) => {
    http
      .request({ ...where, path, method, agent: false }, resolve)
      .on("error", reject)
      .end();
  });
}

async function textOf(answer: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of answer as AsyncIterable<Buffer>) text += part.toString();
  return text;
}

function firstText(answer: http.IncomingMessage): Promise<string> {
  return new Promise((resolve) => answer.once("data", (part: Buffer) => resolve(part.toString())));
}
