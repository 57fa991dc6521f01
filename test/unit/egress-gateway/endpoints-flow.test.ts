import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Authority } from "./certificates.ts";
import {
  EndpointScene,
  issue,
  key,
  model,
  open,
  outside,
  path,
  reasonIn,
  site,
  started,
  withModel,
} from "./endpoints-scene.ts";
import { call, declaration, listen, until } from "./support.ts";

describe("slow and endless ones", () => {
  it("a client that does not read stops the other side: what is held stays small", async () => {
    let written = 0;
    await using scene = await started({
      handler: (_, response) => {
        const part = Buffer.alloc(64 * 1024);
        const more = () => {
          while (!response.destroyed && response.write(part)) written += part.length;
        };
        response.on("drain", more);
        more();
      },
    });
    const { answer, sent } = await open(scene.test.socket("lal"));
    answer.pause();
    let before = -1;
    await until("the other side to stop", async () => {
      const stopped = before === written;
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return stopped;
    });
    expect(written).toBeLessThan(32 * 1024 * 1024);
    sent.destroy();
    await until("the line", () => scene.test.of("endpoint").length > 0);
    expect(scene.test.of("endpoint")).toMatchObject([{ end: "the agent left" }]);
  });

  it("a server that does not read stops the client", async () => {
    await using scene = await started({ handler: (request) => void request.pause() });
    const sent = http.request({
      socketPath: scene.test.socket("lal"),
      path,
      method: "POST",
      agent: false,
    });
    sent.on("error", () => {});
    let accepted = 0;
    const part = Buffer.alloc(64 * 1024);
    const more = () => {
      while (!sent.destroyed && sent.write(part)) accepted += part.length;
    };
    sent.on("drain", more);
    more();
    let before = -1;
    await until("the client to stop", async () => {
      const stopped = before === accepted;
      before = accepted;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return stopped;
    });
    expect(accepted).toBeLessThan(32 * 1024 * 1024);
    sent.destroy();
  });

  it("an answer may take as long as a tunnel may be silent, and no longer", async () => {
    await using scene = await started({
      handler: (request, response) => {
        if (request.url === "/v1/late") setTimeout(() => response.end("late"), 100);
      },
      limits: { answerMs: 1, tunnelIdleMs: 2_000 },
    });
    const socket = scene.test.socket("lal");
    expect(await call(socket, { path: "/endpoints/model/late" })).toMatchObject({
      status: 200,
      text: "late",
    });
    const never = await call(socket, { path });
    expect([never.status, reasonIn(never)]).toEqual([504, "no-answer"]);
  });

  it("an agent whose upstreams hang or pour does not disturb another", async () => {
    await using scene = await EndpointScene.start({
      handler: (request, response) => {
        if (request.url === "/v1/hang") return;
        if (request.url === "/v1/fast") return void response.end("ok");
        const part = Buffer.alloc(64 * 1024);
        const more = () => {
          while (!response.destroyed && response.write(part));
        };
        response.on("drain", more);
        more();
      },
    });
    scene.give("lal", key);
    scene.give("data", "key-of-data-111");
    await scene.apply(withModel("lal"), withModel("data"));
    const hanging = Array.from({ length: 40 }, () => {
      const sent = http.get({
        socketPath: scene.test.socket("lal"),
        path: "/endpoints/model/hang",
        agent: false,
      });
      return sent.on("error", () => {});
    });
    const pouring = await Promise.all(
      Array.from({ length: 20 }, () =>
        open(scene.test.socket("lal"), { path: "/endpoints/model/pour" }),
      ),
    );
    for (const { answer } of pouring) answer.pause();
    for (let i = 0; i < 20; i++) {
      const answer = await call(scene.test.socket("data"), { path: "/endpoints/model/fast" });
      expect([answer.status, answer.text]).toEqual([200, "ok"]);
    }
    for (const sent of [...hanging, ...pouring.map((one) => one.sent)]) sent.destroy();
  });
});

describe("the way to the other side", () => {
  it.each([
    ["of an authority that nobody knows", () => new Authority().issue(["api.example.com"])],
    ["for another host", () => issue(["evil.example"])],
    ["that has expired", () => issue(["api.example.com"], "expired")],
  ])("a certificate %s is a 502, and no header leaves", async (_what, make) => {
    let requests = 0;
    await using server = await outside((_, response) => {
      requests += 1;
      response.end();
    }, make());
    await using scene = await started({ listeners: { [`${site}:443`]: server.port } });
    const answer = await call(scene.test.socket("lal"), { path });
    expect([answer.status, reasonIn(answer), requests]).toEqual([502, "tls", 0]);
    expect(scene.test.of("endpoint")).toMatchObject([
      { decision: "fail", reason: "tls", status: 502 },
    ]);
  });

  it("a server that speaks no TLS, is silent, or is not there is a 502 or 504", async () => {
    await using plain = await listen(http.createServer((_, response) => response.end()));
    await using silent = await listen(net.createServer(() => {}));
    const limits = { helloMs: 150 };
    const status = async (port: number) => {
      await using scene = await started({ limits, listeners: { [`${site}:443`]: port } });
      const answer = await call(scene.test.socket("lal"), { path });
      return [answer.status, reasonIn(answer)];
    };
    expect(await status(plain.port)).toEqual([502, "tls"]);
    expect(await status(silent.port)).toEqual([504, "tls-timeout"]);
    expect(await status(1)).toEqual([502, "connect-failed"]);
  });

  it.each(["127.0.0.1", "169.254.169.254", "10.0.0.7", "::1"])(
    "a host that leads to %s is refused and not connected",
    async (address) => {
      await using scene = await started({ names: { "api.example.com": [address] } });
      const answer = await call(scene.test.socket("lal"), { path });
      expect([answer.status, reasonIn(answer)]).toEqual([403, "address"]);
      expect(scene.wire.connected).toEqual([]);
    },
  );

  it("a private address is reached where the endpoint is written with it, or its host is the operator's, never the gateway's own", async () => {
    await using api = await outside((_, response) => response.end("ok"));
    await using plain = await listen(
      http.createServer((request, response) => response.end(request.headers.authorization)),
    );
    await using scene = await EndpointScene.start({
      names: { "api.example.com": ["10.0.0.7"] },
      listeners: { "10.0.0.7:443": api.port, "10.0.0.7:8000": plain.port },
      privateHosts: ["api.example.com"],
    });
    const literal = { ...model, url: "http://10.0.0.7:8000/v1" };
    const loopback = { ...model, url: "https://127.0.0.1:9000/v1" };
    scene.give("lal", key);
    scene.give("lal", key, "literal", literal);
    scene.give("lal", key, "loopback", loopback);
    await scene.apply(declaration("lal", { endpoints: { model, literal, loopback } }));
    const ask = (name: string) => call(scene.test.socket("lal"), { path: `/endpoints/${name}` });
    expect((await ask("model")).text).toBe("ok");
    expect((await ask("literal")).text).toBe(`Bearer ${key}`);
    expect((await ask("loopback")).status).toBe(403);
  });

  it("an address in the URL is what the certificate must be for", async () => {
    await using good = await outside((_, response) => response.end("ok"), issue(["10.0.0.7"]));
    await using bad = await outside((_, response) => response.end("ok"), issue(["localhost"]));
    await using scene = await EndpointScene.start({
      listeners: { "10.0.0.7:8443": good.port, "10.0.0.7:9443": bad.port },
    });
    const at = (port: number) => ({ ...model, url: `https://10.0.0.7:${port}` });
    const endpoints = { good: at(8443), bad: at(9443) };
    for (const [name, endpoint] of Object.entries(endpoints))
      scene.give("lal", key, name, endpoint);
    await scene.apply(declaration("lal", { endpoints }));
    const ask = (name: string) => call(scene.test.socket("lal"), { path: `/endpoints/${name}/x` });
    expect((await ask("good")).text).toBe("ok");
    expect((await ask("bad")).status).toBe(502);
  });

  it("NODE_EXTRA_CA_CERTS adds an authority to those that are trusted", async () => {
    const own = new Authority();
    await using server = await outside(
      (_, response) => response.end(),
      own.issue(["api.example.com"]),
    );
    const directory = await mkdtemp(join(tmpdir(), "ca-"));
    const file = join(directory, "ca.pem");
    await writeFile(file, own.cert);
    const module = new URL("../../../services/egress-gateway/endpoints/secure.ts", import.meta.url);
    const code = `import net from "node:net"; import { secure } from "${module}";
      const target = { host: "api.example.com", port: 443, literal: 0 };
      const ended = (text) => { console.log(text); process.exit(); };
      secure(net.connect(${server.port}), target, 20000, new AbortController().signal)
        .then(() => ended("trusted"), (error) => ended(error.message));`;
    const run = (env: NodeJS.ProcessEnv) =>
      promisify(execFile)(process.execPath, ["--input-type=module", "-e", code], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, ...env },
      });
    const [without, weakened, given] = await Promise.all([
      run({}),
      run({ NODE_TLS_REJECT_UNAUTHORIZED: "0" }),
      run({ NODE_EXTRA_CA_CERTS: file }),
    ]);
    await rm(directory, { recursive: true });
    expect(without.stdout).toMatch(/cannot be trusted/);
    expect(weakened.stdout).toMatch(/cannot be trusted/);
    expect(given.stdout.trim()).toBe("trusted");
  });
});
