import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClientLimits } from "../../../services/socket-proxy/limits.ts";
import { eventually, type Harness, lalId, startHarness, testGrants } from "./harness.ts";
import { checkInvariants, quiet } from "./invariants.ts";
import { outsideLanguage } from "./language.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  await checkInvariants(harness);
  await harness.close();
});

const message = (text: string) => (JSON.parse(text) as { message: string }).message;

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
    // The proxy looks at each container that an event tells of: of its own accord, for no request.
    await quiet(harness);
    expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
    harness.engine.recorded.length = 0;
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
