import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { describe, expect, it } from "vitest";
import {
  EndpointScene,
  key,
  model,
  open,
  path,
  reasonIn,
  site,
  started,
  withModel,
} from "./endpoints-scene.ts";
import { call, declaration, tunnel, until } from "./support.ts";

describe("a request to an endpoint", () => {
  it("goes to its URL over verified TLS with its headers, and the key is nowhere on the agent's side", async () => {
    await using scene = await started();
    const socket = scene.test.socket("lal");
    const body = "x".repeat(300_000);
    const answer = await call(socket, { method: "POST", path: `${path}?stream=true&n=1`, body });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([
      200,
      { url: "/v1/chat/completions?stream=true&n=1" },
    ]);
    expect(scene.seen).toMatchObject([
      {
        method: "POST",
        body,
        headers: { authorization: `Bearer ${key}`, "x-plan": "basic", host: "api.example.com" },
      },
    ]);
    expect(scene.wire.connected).toEqual([`${site}:443`]);
    expect(JSON.stringify(answer)).not.toContain(key);
    const self = await call(socket, { path: "/berth/self" });
    expect(self.text).not.toContain(key);
  });

  it("is one line of the audit, without query, header or value", async () => {
    await using scene = await started();
    await call(scene.test.socket("lal"), {
      path: `${path}?q=private`,
      headers: { "x-mine": "mine" },
    });
    await until("the line", () => scene.test.of("endpoint").length > 0);
    const [line, ...more] = scene.test.of("endpoint");
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      agent: "lal",
      endpoint: "model",
      host: "api.example.com:443",
      method: "GET",
      path: "/v1/chat/completions",
      decision: "allow",
      status: 200,
      received: expect.any(Number),
      sent: 0,
      ms: expect.any(Number),
      end: "ended",
    });
    for (const text of [key, "private", "mine", "Bearer"])
      expect(scene.test.text.join()).not.toContain(text);
  });

  it("loses the client's own credentials, whatever their spelling, and keeps its other headers", async () => {
    await using scene = await started();
    const headers = {
      authorization: "Bearer own",
      Authorization_: "kept: another name",
      "X-API-Key": "own",
      x_api_key: "own",
      "X-Plan": "own",
      X_plan: "own",
      cookie: "own=1",
      "api-key": "own",
      "x-goog-api-key": "own",
      "proxy-authorization": "own",
      "proxy-anything": "own",
      host: "own.example",
      "x-forwarded-host": "own",
      "x-original-url": "/own",
      connection: "keep-alive, authorization, x-plan",
      "anthropic-version": "2023-06-01",
      accept: "text/event-stream",
    };
    await call(scene.test.socket("lal"), { path: `${path}?key=own&a=1&API%5Fkey=own`, headers });
    const [seen] = scene.seen;
    expect(seen?.headers).toMatchObject({
      authorization: `Bearer ${key}`,
      "x-plan": "basic",
      "anthropic-version": "2023-06-01",
      accept: "text/event-stream",
      host: "api.example.com",
    });
    expect(seen?.url).toBe("/v1/chat/completions?a=1");
    expect(seen?.raw.filter((text) => /\bown\b/.test(text))).toEqual([]);
    for (const name of ["authorization", "host", "x-plan"])
      expect(seen?.raw.filter((text) => text === name)).toHaveLength(1);
  });

  it.each([
    "GET /endpoints/model/a HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\nAUTHORIZATION : c\r\n\r\n",
    "GET /endpoints/model/a HTTP/1.1\r\nhost: x\r\nx: 1\r\n authorization: folded\r\n\r\n",
    "GET /endpoints/model/a HTTP/1.1\r\nhost: x\r\nx: 1\nauthorization: own\r\n\r\n",
    "POST /endpoints/model/a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /endpoints/model/smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /endpoints/model/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 40\r\n\r\nabcdGET /smuggled HTTP/1.1\r\n\r\n",
    "POST /endpoints/model/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "GET /endpoints/model/a HTTP/1.1\r\nhost: x\r\ncontent-length: 47\r\n\r\nGET /smuggled HTTP/1.1\r\nauthorization: x\r\n\r\nxxxxx",
  ])("cannot smuggle a header or a second request: %j", async (text) => {
    await using scene = await started();
    const socket = net.connect(scene.test.socket("lal"));
    socket.on("error", () => {});
    socket.write(text);
    await Promise.race([once(socket, "data"), once(socket, "close")]);
    socket.destroy();
    for (const seen of scene.seen) {
      expect(seen.url).toBe("/v1/a");
      expect(seen.raw.filter((one) => one === "authorization")).toHaveLength(1);
      expect(seen.headers.authorization).toBe(`Bearer ${key}`);
    }
    expect(scene.seen.length).toBeLessThan(2);
  });

  it.each(["TRACE", "PROPFIND"])("%s is refused and reaches nobody", async (method) => {
    await using scene = await started();
    const answer = await call(scene.test.socket("lal"), { method, path });
    expect([answer.status, reasonIn(answer)]).toEqual([405, "method"]);
    expect(scene.wire.connected).toEqual([]);
  });

  it("opens no WebSocket; an upgrade to anything else is left out, as HTTP lets it", async () => {
    await using scene = await started();
    const socket = scene.test.socket("lal");
    const upgrade = (to: string) =>
      call(socket, { path, headers: { connection: "upgrade", upgrade: to } });
    const refused = await upgrade("websocket");
    expect([refused.status, reasonIn(refused)]).toEqual([400, "no-upgrade"]);
    expect((await upgrade("h2c")).status).toBe(200);
    expect(scene.seen).toHaveLength(1);
    expect(scene.seen[0]?.headers).not.toHaveProperty("upgrade");
  });

  it("an upstream that switches protocols all the same is no answer", async () => {
    await using scene = await started({
      handler: (request) =>
        request.socket.end(
          "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        ),
    });
    expect((await call(scene.test.socket("lal"), { path })).status).toBe(502);
  });
});

describe("whose endpoint it is", () => {
  it("B16: an agent has its own keys only, whatever name or path it asks for", async () => {
    await using scene = await EndpointScene.start();
    const endpoint = { ...model, url: "https://api.example.com/data" };
    scene.give("lal", "key-of-lal-0000");
    scene.give("data", "key-of-data-111", "vault", endpoint);
    await scene.apply(
      withModel("lal"),
      declaration("data", { endpoints: { vault: endpoint } }),
      declaration("bare"),
    );
    const asked = async (agent: string, target: string, headers = {}) =>
      (await call(scene.test.socket(agent), { path: target, headers })).status;
    expect(await asked("data", "/endpoints/vault/x")).toBe(200);
    expect(await asked("lal", path, { host: "data", "x-agent": "data" })).toBe(200);
    for (const target of [
      "/endpoints/vault/x",
      "/endpoints/data/vault",
      "/endpoints/data/vault/x",
      "/endpoints/../data/vault",
      "/endpoints/model/../../data/vault",
      "/endpoints/model%2f..%2f..%2fdata%2fvault",
      "/endpoints/constructor",
      "/endpoints/__proto__",
      "/endpoints/toString/x",
      "/endpoints/MODEL/x",
      "/endpoints/",
      "/endpoints",
      "/endpoints//model/x",
      "//endpoints/model/x",
    ])
      expect([400, 404], target).toContain(await asked("lal", target));
    expect(await asked("bare", path)).toBe(404);
    expect(scene.asked.sort()).toEqual(["/endpoints/data/vault", "/endpoints/lal/model"]);
    expect(scene.seen.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer key-of-data-111",
      "Bearer key-of-lal-0000",
    ]);
  });

  it("an endpoint that is not declared is a 404 that names those that are", async () => {
    await using scene = await started();
    const answer = await call(scene.test.socket("lal"), { path: "/endpoints/mail/x" });
    expect([answer.status, reasonIn(answer)]).toEqual([404, "unknown-endpoint"]);
    expect(JSON.parse(answer.text).message).toMatch(/declares: model/);
    expect(scene.asked).toEqual([]);
  });

  it("absolute forms and CONNECT lead to the allow-list, not to an endpoint", async () => {
    await using scene = await started();
    const socket = scene.test.socket("lal");
    for (const target of [`http://127.0.0.1:3128${path}`, "http://api.example.com/v1/x"])
      expect((await call(socket, { path: target })).status).toBe(403);
    expect((await tunnel(socket, "api.example.com:443")).status).toBe(403);
    expect([...scene.asked, ...scene.wire.connected]).toEqual([]);
  });

  it("an answer of the store for another URL or with other headers than declared is not used", async () => {
    await using scene = await started();
    const wrong = [
      {
        url: "https://other.example.com/v1",
        headers: { authorization: `Bearer ${key}`, "x-plan": "b" },
      },
      { url: model.url, headers: { authorization: `Bearer ${key}` } },
      { url: model.url, headers: { authorization: `Bearer ${key}`, "x-plan": "b", "x-more": "c" } },
      { url: model.url, headers: { authorization: `Bearer ${key}\r\nx: y`, "x-plan": "b" } },
      { url: model.url, headers: { authorization: "", "x-plan": "b" } },
    ];
    for (const value of wrong) {
      scene.values.set("lal/model", value);
      await scene.apply();
      await scene.apply(withModel("lal"));
      const answer = await call(scene.test.socket("lal"), { path });
      expect([answer.status, reasonIn(answer)]).toEqual([503, "no-value"]);
      expect(answer.text).not.toContain(key);
    }
    expect(scene.wire.connected).toEqual([]);
    expect(scene.test.text.join()).not.toContain(key);
  });
});

describe("the answer", () => {
  it("never holds the injected value in a header: not as it is, with escapes, in another case, in a name", async () => {
    await using scene = await started({
      handler: (request, response) => {
        const written = request.headers.authorization ?? "";
        const value = written.slice("Bearer ".length);
        response.setHeader("x-echo", written);
        response.setHeader("x-part", `key=${value};`);
        response.setHeader("x-list", ["fine", value]);
        response.setHeader("x-upper", value.toUpperCase());
        response.setHeader("x-escaped", value.replaceAll("-", "%2D"));
        response.setHeader(`x-${value}`, "1");
        response.setHeader("location", `/v1/next?key=${value}`);
        response.setHeader("set-cookie", `session=1`);
        response.setHeader("connection", "close, x-hop");
        response.setHeader("x-hop", "1");
        response.setHeader("proxy-authenticate", "Basic");
        response.setHeader("x-kept", "basic plan, Bearer");
        response.statusMessage = value;
        response.end("ok");
      },
    });
    const { answer } = await open(scene.test.socket("lal"));
    answer.resume();
    await once(answer, "end");
    expect(Object.keys(answer.headers).sort()).toEqual([
      "connection",
      "content-length",
      "date",
      "x-kept",
    ]);
    const all = [answer.statusMessage, ...answer.rawHeaders].join().toLowerCase();
    expect(all).not.toContain(key.toLowerCase());
  });

  it("a short or plain header value of the endpoint hides nothing", async () => {
    const endpoint = {
      url: model.url,
      headers: { "x-plan": "1", authorization: "{{ op://a/b/c }}" },
    };
    await using scene = await EndpointScene.start();
    scene.give("lal", key, "model", endpoint);
    await scene.apply(withModel("lal", endpoint));
    const answer = await call(scene.test.socket("lal"), { path });
    expect(answer.headers).toMatchObject({ "content-type": "application/json" });
    expect(answer.headers["content-length"]).toMatch(/1|2|3/);
  });

  it.each([
    ["https://api.example.com/v1/next?a=1#b", "/endpoints/model/next?a=1#b"],
    ["https://API.example.com:443/v1/next", "/endpoints/model/next"],
    ["/v1/next", "/endpoints/model/next"],
    ["next", "/endpoints/model/chat/next"],
    ["?page=2", "/endpoints/model/chat/completions?page=2"],
    ["https://api.example.com/v1", "/endpoints/model"],
    ["https://api.example.com/v10/next", "https://api.example.com/v10/next"],
    ["https://api.example.com/v1/../login", "https://api.example.com/v1/../login"],
    ["https://other.example.com/v1/next", "https://other.example.com/v1/next"],
    ["http://api.example.com/v1/next", "http://api.example.com/v1/next"],
    // On the agent's side these would lead to other services of its gateway.
    ["/api/v4/posts", "https://api.example.com/api/v4/posts"],
    ["../../endpoints/mail/x", "https://api.example.com/endpoints/mail/x"],
    ["//evil.example/x", "https://evil.example/x"],
    ["https://[", undefined],
  ])("a redirect to %s is told as %s and not followed", async (written, told) => {
    await using scene = await started({
      handler: (_, response) => response.writeHead(307, { location: written }).end(),
    });
    const answer = await call(scene.test.socket("lal"), { path });
    expect([answer.status, answer.headers.location]).toEqual([307, told]);
    expect(scene.wire.connected).toHaveLength(1);
  });

  it("events come as they are sent, one by one", async () => {
    const events: http.ServerResponse[] = [];
    await using scene = await started({
      handler: (_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.flushHeaders();
        events.push(response);
      },
    });
    const { answer } = await open(scene.test.socket("lal"));
    for (const text of ["data: one\n\n", "data: two\n\n"]) {
      events[0]?.write(text);
      expect(String((await once(answer, "data"))[0])).toBe(text);
    }
    events[0]?.end();
    await once(answer.resume(), "end");
  });

  it("one that breaks off does so at the agent too, and is a line", async () => {
    await using scene = await started({
      handler: (_, response) => {
        response.writeHead(200, { "content-length": 100 });
        response.write("half", () => response.destroy());
      },
    });
    await expect(call(scene.test.socket("lal"), { path })).rejects.toThrow();
    await until("the line", () => scene.test.of("endpoint").length > 0);
    expect(scene.test.of("endpoint")).toMatchObject([
      { status: 200, received: 4, end: "connection-lost" },
    ]);
  });

  it("one that comes before the request is whole reaches the agent, and its connection stays usable", async () => {
    await using scene = await started({
      handler: (_, response) => {
        response.writeHead(413, { connection: "close" });
        response.end("too large");
      },
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const headers = { expect: "100-continue" };
    const { answer, sent } = await open(scene.test.socket("lal"), {
      method: "POST",
      agent,
      headers,
    });
    expect(answer.statusCode).toBe(413);
    await once(answer.resume(), "end");
    sent.end("x".repeat(4 * 1024 * 1024));
    await once(sent, "close");
    const again = await open(scene.test.socket("lal"), { agent });
    expect(again.answer.statusCode).toBe(413);
    agent.destroy();
  });
});
