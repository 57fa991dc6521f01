import { randomInt } from "node:crypto";
import net from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Denial } from "../../../services/socket-proxy/denial.ts";
import { createListener, type Handlers } from "../../../services/socket-proxy/transport.ts";
import { ProxyTarget, plainCase } from "../../fuzz/proxy.ts";
import { Random } from "../../fuzz/random.ts";
import { connectionBytes } from "../../fuzz/requests.ts";
import { fuzz, replay } from "../../fuzz/run.ts";
import { checked } from "../../fuzz/target.ts";
import { allTargets } from "../../fuzz/targets.ts";
import { turn, Wire } from "../../fuzz/wire.ts";
import { statuses } from "./harness.ts";

/** A short run of `make fuzz`: one seed that stays, one that does not. */

const newSeed = randomInt(2 ** 31);
const targets = allTargets();
/** A run of a test ends by its count; this only keeps a slow machine from waiting for ever. */
const until = () => performance.now() + 45_000;

function described(
  findings: readonly { problem: string; seed: number; index: number; input: Uint8Array }[],
) {
  return findings.map(
    ({ problem, seed, index, input }) =>
      `${problem}\nseed ${seed}, execution ${index}: ${JSON.stringify(Buffer.from(input).toString("latin1"))}`,
  );
}

describe("for any bytes from a client, the Engine gets renderings of (template, typed parameters)", () => {
  it.each(targets)("$name: what was found once is not found again", async (target) => {
    expect(described((await replay(target)).findings)).toEqual([]);
  });

  it.each(targets)(`$name: the seed that stays, and seed ${newSeed}`, async (target) => {
    const count = target.name === "proxy" ? 400 : 100;
    for (const seed of [1, newSeed]) {
      const { findings } = await fuzz(target, { seed, from: 0, to: count }, until());
      expect(described(findings)).toEqual([]);
    }
  });

  it("the inputs reach what they are to reach: every kind of change of the Engine, and most refusals", async () => {
    const target = new ProxyTarget();
    await fuzz(target, { seed: 4, from: 0, to: 1_200 }, until());
    const seen = Object.keys(target.seen());
    const changes = ["create", "start", "stop", "kill", "wait", "update"].map(
      (verb) => `POST ${verb}`,
    );
    expect([...changes, "DELETE"].filter((change) => !seen.includes(change))).toEqual([]);
    expect(seen.filter((rule) => rule.startsWith("[")).length).toBeGreaterThan(25);
  });

  it("holds of what fast-check makes, and shrinks", async () => {
    const target = new ProxyTarget();
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.integer(), fc.uint8Array({ maxLength: 8 }), fc.nat()).map(([seed, patch, at]) => {
        const made = Buffer.from(connectionBytes(new Random(seed), []));
        made.set(patch.subarray(0, made.length), at % Math.max(1, made.length - patch.length));
        return new Uint8Array(made);
      }),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (input) => {
        expect(await checked(target, plainCase(input))).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });
});

/** A server whose handlers answer at once, and what each was asked. */
function echo() {
  const asked: string[] = [];
  const handlers: Handlers = {
    async request(_client, request, response) {
      asked.push(`${request.method} ${request.url}`);
      request.resume();
      response.writeHead(200, { "x-request-id": "0-0", "content-length": 3 });
      response.end("ok\n");
    },
    refused(_client, method, target, denial: Denial) {
      asked.push(`refused ${method} ${target} ${denial.rule}`);
      return { id: "0-0", verb: "x", denial };
    },
  };
  return { asked, server: createListener("c", handlers) };
}

const undated = (text: string) => text.replace(/Date: [^\r\n]*/g, "Date: now");

describe("a connection in memory", () => {
  // Requests behind each other come all at once here, and a tick apart from a socket: a refusal can then cut off answers
  // that a socket has had time for.
  it("is to the server what a socket is: the same requests and refusals in the same order, the same answers", async () => {
    const inMemory = echo();
    const onSocket = echo();
    await new Promise<void>((resolve) => onSocket.server.listen(0, "127.0.0.1", resolve));
    const { port } = onSocket.server.address() as net.AddressInfo;
    const random = new Random(3);
    for (let i = 0; i < 150; i++) {
      const bytes = connectionBytes(random, []);
      const wire = new Wire().connect(inMemory.server);
      wire.send(bytes);
      for (let turns = 0; turns < 5; turns++) await turn();
      wire.finish();
      for (let turns = 0; turns < 5; turns++) await turn();
      const answer = await overSocket(port, bytes);
      const same = undated(wire.answer.toString("latin1"));
      expect(undated(answer).startsWith(same)).toBe(true);
      if (statuses(answer).length === 1) expect(same).toBe(undated(answer));
      wire.destroy();
    }
    expect(inMemory.asked).toEqual(onSocket.asked);
    await new Promise((resolve) => onSocket.server.close(resolve));
  });
});

function overSocket(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("data", (part) => {
      text += part.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
    socket.on("end", () => socket.end());
    socket.end(bytes);
  });
}

describe("what fuzzing has found", () => {
  it("a stream that waits behind another answer ends with its connection, an upgrade or a tunnel on it or not", async () => {
    for (const last of [
      "",
      "GET /z HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
      "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ]) {
      let open = 0;
      const server = createListener("c", {
        async request(_client, _request, response) {
          open += 1;
          await new Promise((resolve) => response.on("close", resolve));
          open -= 1;
        },
        refused: (_client, _method, _target, denial) => ({ id: "1", verb: "x", denial }),
      });
      const wire = new Wire().connect(server);
      wire.on("error", () => undefined);
      wire.send(
        Buffer.from(`GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n${last}`),
      );
      await turn();
      if (last === "") expect(open).toBe(2);
      wire.destroy();
      for (let turns = 0; turns < 5; turns++) await turn();
      expect(open).toBe(0);
    }
  });

  it("what is no request is refused, and recorded, once a connection, in however many pieces it comes", async () => {
    const { server, asked } = echo();
    const wire = new Wire().connect(server);
    for (let pieces = 0; pieces < 30; pieces++) {
      wire.send(Buffer.from("garbage\r\n\r\n"));
      await turn();
    }
    expect(asked).toEqual(["refused ?  http"]);
    expect(wire.answer.toString("latin1").match(/HTTP\/1\.1 /g)).toHaveLength(1);
    wire.destroy();
  });
});
