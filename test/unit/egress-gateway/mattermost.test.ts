import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import WebSocket from "ws";
import { listenUnix } from "../../../services/common/http.ts";
import { findRoute } from "../../../services/egress-gateway/mattermost/routes.ts";
import { adminBridgeMint } from "../../../services/egress-gateway/mattermost/tokens.ts";
import { fresh, id, Scene } from "./scene.ts";
import { call, declaration, listen, TestGateway, until } from "./support.ts";

/** A WebSocket client of an agent. */
function webSocket(
  socketPath: string,
  query = "",
  headers: Record<string, string> = {},
): WebSocket {
  const socket = new WebSocket(`ws+unix:${socketPath}:/api/v4/websocket${query}`, { headers });
  socket.on("error", () => {});
  return socket;
}

describe("the routes of a bot bridge", () => {
  it.each([
    "GET /api/v4/system/ping",
    "GET /api/v4/users/me",
    `GET /api/v4/users/${id}`,
    "GET /api/v4/users/username/some.one",
    "POST /api/v4/users/ids",
    "POST /api/v4/users/me/typing",
    `GET /api/v4/users/${id}/channels`,
    `GET /api/v4/channels/${id}/posts?since=1`,
    "POST /api/v4/channels/direct",
    "POST /api/v4/posts",
    `PUT /api/v4/posts/${id}/patch`,
    `DELETE /api/v4/posts/${id}`,
    "POST /api/v4/reactions",
    `DELETE /api/v4/users/me/posts/${id}/reactions/+1`,
    `POST /api/v4/files?channel_id=${id}&filename=a%20b.txt`,
    `GET /api/v4/files/${id}`,
    `GET /api/v4/teams/name/fleet/channels/name/town-square`,
    `GET /api/v4/websocket?connection_id=${id}&sequence_number=7`,
  ])("%s is served", (line) => {
    const [method = "", url = ""] = line.split(" ");
    expect(findRoute(method, url)).toHaveProperty("route");
  });

  it.each([
    ["POST /api/v4/users", "not-allowed"],
    ["POST /api/v4/users/login", "not-allowed"],
    ["POST /api/v4/users/logout", "not-allowed"],
    [`POST /api/v4/users/${id}/tokens`, "not-allowed"],
    ["POST /api/v4/users/me/tokens", "not-allowed"],
    ["GET /api/v4/users/me/tokens", "not-allowed"],
    ["GET /api/v4/users/tokens", "not-allowed"],
    ["POST /api/v4/users/tokens/revoke", "not-allowed"],
    ["GET /api/v4/users/me/sessions", "not-allowed"],
    ["POST /api/v4/users/me/sessions/revoke", "not-allowed"],
    ["PUT /api/v4/users/me/password", "not-allowed"],
    ["PUT /api/v4/users/me/patch", "not-allowed"],
    ["PUT /api/v4/users/me/roles", "not-allowed"],
    ["DELETE /api/v4/users", "not-allowed"],
    [`POST /api/v4/users/${id}/convert_to_bot`, "not-allowed"],
    ["POST /api/v4/bots", "not-allowed"],
    [`GET /api/v4/bots/${id}`, "not-allowed"],
    ["GET /api/v4/config", "not-allowed"],
    ["GET /api/v4/config/client?format=old", "not-allowed"],
    ["POST /api/v4/plugins", "not-allowed"],
    ["POST /api/v4/commands/execute", "not-allowed"],
    ["POST /api/v4/hooks/incoming", "not-allowed"],
    ["POST /api/v4/channels", "not-allowed"],
    [`POST /api/v4/channels/${id}/members`, "not-allowed"],
    [`DELETE /api/v4/channels/${id}`, "not-allowed"],
    [`POST /api/v4/teams/${id}/members`, "not-allowed"],
    ["GET /api/v4/system/timezones", "not-allowed"],
    ["POST /api/v4/database/recycle", "not-allowed"],
    ["DELETE /api/v4/users/me", "not-allowed"],
    ["HEAD /api/v4/users/me", "not-allowed"],
    ["GET /api/v4/users/me/", "malformed-path"],
    ["GET /api/v4//users/me", "malformed-path"],
    ["GET /api/v4/users/../config", "malformed-path"],
    ["GET /api/v4/./users/me", "malformed-path"],
    ["GET /api/v4/users/%6de", "malformed-path"],
    ["GET /api/v4/users%2fme", "malformed-path"],
    ["GET /api/v4/users/me;x=1", "malformed-path"],
    ["GET /api/v4/users/me\\config", "malformed-path"],
    ["GET /api/v4/users/me#x", "malformed-path"],
    ["GET /api/v4/users/me?access_token=x", "token-in-query"],
    ["GET /api/v4/websocket?%61ccess_token=x", "token-in-query"],
  ])("%s is %s", (line, refused) => {
    const [method = "", url = ""] = line.split(" ");
    expect(findRoute(method, url)).toEqual({ refused });
  });

  it("nothing that a path parser could read as something else is ever served", () => {
    const piece = fc.constantFrom(
      ..."/|//|.|..|%2f|%2e|%00|;|\\|users|me|posts|tokens|config|bots|api|v4|?|#|a".split("|"),
    );
    fc.assert(
      fc.property(
        fc.constantFrom("GET", "POST", "PUT", "DELETE"),
        fc.array(piece, { maxLength: 10 }),
        (method, pieces) => {
          const url = `/api/v4/${pieces.join("")}`;
          const verdict = findRoute(method, url);
          if (!("route" in verdict)) return;
          expect(new URL(url, "http://x").pathname).toBe(verdict.path);
          expect(verdict.path).not.toMatch(/token|config|bots|%|\.\.|\/\/|;|\\/);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});

describe("REST through the gateway", () => {
  it("carries the bot's token and no identity of the client's, and no session comes back", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const answer = await call(socket, {
      method: "POST",
      path: "/api/v4/posts",
      headers: {
        host: "evil.example",
        authorization: "Bearer stolen",
        cookie: "MMAUTHTOKEN=stolen",
        token: "stolen",
        "x-csrf-token": "stolen",
        "x-cloud-token": "stolen",
        "x-forwarded-for": "10.0.0.1",
        "proxy-authorization": "Basic stolen",
        origin: "http://evil.example",
        connection: "authorization",
        "content-type": "application/json",
        "user-agent": "bridge/1",
      },
      body: JSON.stringify({ message: "hi", channel_id: id }),
    });
    expect(answer.status).toBe(201);
    expect(answer.headers).not.toHaveProperty("set-cookie");
    expect(answer.headers).not.toHaveProperty("token");
    expect(answer.headers["x-request-id"]).toBe("r1");
    const [seen] = scene.seen;
    expect(seen?.headers.authorization).toBe(`Bearer ${scene.token}`);
    expect(seen?.headers.host).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(seen?.headers["user-agent"]).toBe("bridge/1");
    expect(JSON.stringify(seen)).not.toMatch(/stolen|evil|10\.0\.0\.1/);
    expect(JSON.parse(seen?.body ?? "")).toEqual({ message: "hi", channel_id: id });
    expect(decisions(scene)).toMatchObject([
      { agent: "lal", kind: "rest", decision: "allow", rule: "POST /posts", status: 201, sent: 58 },
    ]);
  });

  it("what is not on the list never reaches Mattermost and is answered in its error shape", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const answer = await call(socket, {
      method: "POST",
      path: "/api/v4/users/me/tokens",
      body: "{}",
    });
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text)).toEqual({
      id: "berth.gateway.not_allowed",
      message: expect.any(String),
      detailed_error: "",
      request_id: "",
      status_code: 403,
    });
    expect((await call(socket, { path: "/api/v4/users/%6de" })).status).toBe(400);
    expect((await call(socket, { path: "/api/v4/websocket" })).status).toBe(400);
    expect((await call(socket, { path: "/other" })).status).toBe(404);
    expect((await call(socket, { path: "/" })).status).toBe(404);
    expect(scene.seen).toEqual([]);
    expect(decisions(scene).map((line) => line.decision)).toEqual(["deny", "deny", "deny"]);
  });

  it("a large upload streams through whole, with a length and without", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const body = "x".repeat(3 * 1024 * 1024);
    const path = `/api/v4/files?channel_id=${id}`;
    const known = await call(socket, { method: "POST", path, body });
    expect(JSON.parse(known.text)).toMatchObject({ length: body.length });
    const headers = { "transfer-encoding": "chunked" };
    const chunked = await call(socket, { method: "POST", path, headers, body });
    expect(JSON.parse(chunked.text)).toMatchObject({ length: body.length });
    expect(decisions(scene).map((line) => line.sent)).toEqual([body.length, body.length]);
  });

  it("a body over the limit is refused, said beforehand or found out on the way", async () => {
    await using scene = await Scene.start({ bodyBytes: 300_000 });
    const socket = await scene.ready();
    const body = "x".repeat(400_000);
    const path = `/api/v4/files?channel_id=${id}`;
    expect((await call(socket, { method: "POST", path, body })).status).toBe(413);
    const headers = { "transfer-encoding": "chunked" };
    await expect(call(socket, { method: "POST", path, headers, body })).rejects.toThrow();
  });

  it("a body is never read as the next request, whatever the method and its framing", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const smuggled = "GET /api/v4/config HTTP/1.1\r\nhost: x\r\n\r\n";
    for (const method of ["GET", "DELETE", "POST", "PUT"] as const) {
      for (const headers of [
        { "transfer-encoding": "chunked" },
        { "content-length": smuggled.length },
      ]) {
        const paths = { GET: `channels/${id}`, DELETE: `posts/${id}`, POST: "users/ids" };
        const path = `/api/v4/${method === "PUT" ? `posts/${id}/patch` : paths[method]}`;
        const answer = await call(socket, { method, path, headers, body: smuggled });
        expect(JSON.parse(answer.text)).toMatchObject({
          method,
          url: path,
          length: smuggled.length,
        });
      }
    }
    expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(200);
    // One more: the gateway asked for the channel of the post.
    expect(scene.seen).toHaveLength(9 + 1);
    expect(scene.seen.map(({ url }) => url)).not.toContain("/api/v4/config");
  });

  it("a request that is framed twice or doubtfully is refused", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const send = (head: string) =>
      new Promise<string>((resolve) => {
        const raw = net.connect(socket);
        let text = "";
        raw.on("data", (part) => {
          text += part;
        });
        raw.on("close", () => resolve(text));
        raw.on("error", () => {});
        raw.end(`POST /api/v4/posts HTTP/1.1\r\nhost: x\r\n${head}\r\n\r\n0\r\n\r\n`);
      });
    for (const head of [
      "content-length: 5\r\ntransfer-encoding: chunked",
      "content-length: 5\r\ncontent-length: 6",
      "transfer-encoding: chunked, identity",
      "transfer-encoding: xchunked",
      "content-length: +5",
      "content-length : 5",
      " folded: x",
      "x: y\nz: w",
    ])
      expect(await send(head), head).toMatch(/^HTTP\/1.1 400 /);
    expect(scene.seen).toEqual([]);
  });

  it("Mattermost away is a 502 in Mattermost's error shape, slow is a 504, and back is served again", async () => {
    const mute = await listen(net.createServer(() => {}));
    await using test = new TestGateway({
      mattermost: `http://127.0.0.1:${mute.port}`,
      limits: { answerMs: 60 },
    });
    await test.gateway.apply([declaration("lal")]);
    await until(
      "the token",
      async () => (await call(test.socket("lal"), { path: "/healthz" })).status === 200,
    );
    const slow = await call(test.socket("lal"), { path: "/api/v4/users/me" });
    expect([slow.status, JSON.parse(slow.text).id]).toEqual([504, "berth.gateway.timeout"]);
    await mute[Symbol.asyncDispose]();
    const away = await call(test.socket("lal"), { path: "/api/v4/users/me" });
    expect([away.status, JSON.parse(away.text).id]).toEqual([502, "berth.gateway.unreachable"]);
  });
});

describe("the bot's token", () => {
  it("is fetched as soon as an agent is declared; until then calls get 503, the ping passes", async () => {
    await using scene = await Scene.start({ tokenWaitMs: 30 });
    scene.bridge = 503;
    await scene.test.gateway.apply([declaration("lal")]);
    const socket = scene.test.socket("lal");
    expect((await call(socket, { path: "/berth/self" })).status).toBe(503);
    expect((await call(socket, { path: "/healthz" })).status).toBe(503);
    const early = await call(socket, { path: "/api/v4/users/me" });
    expect([early.status, JSON.parse(early.text).id]).toEqual([503, "berth.gateway.not_ready"]);
    expect((await call(socket, { path: "/api/v4/system/ping" })).status).toBe(200);
    scene.bridge = 200;
    await until(
      "the token",
      async () => (await call(socket, { path: "/berth/self" })).status === 200,
    );
    const self = await call(socket, { path: "/berth/self" });
    expect(JSON.parse(self.text)).toEqual({
      declaration: declaration("lal"),
      userId: id,
      username: "lal",
      team: "fleet",
    });
    expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(200);
  });

  it("a request that comes while it is fetched waits for it", async () => {
    await using scene = await Scene.start();
    scene.bridgeDelayMs = 100;
    await scene.test.gateway.apply([declaration("lal")]);
    expect((await call(scene.test.socket("lal"), { path: "/api/v4/users/me" })).status).toBe(200);
    expect(scene.mints).toBe(1);
  });

  it("revoked, it is fetched once for all who met the 401, and their requests are repeated with the new one", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    scene.valid.clear();
    scene.bridgeDelayMs = 50;
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        call(socket, {
          method: "POST",
          path: "/api/v4/posts",
          body: `{"message":"${i}","channel_id":"${id}"}`,
        }),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(201));
    expect(scene.minted).toHaveLength(2);
    expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(200);
  });

  it("a request too large to be repeated gets 503 and works the next time", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    scene.valid.clear();
    const path = `/api/v4/files?channel_id=${id}`;
    const upload = { method: "POST", path, body: "x".repeat(1_400_000) };
    const first = await call(socket, upload);
    expect([first.status, JSON.parse(first.text).id]).toEqual([503, "berth.gateway.token_renewed"]);
    expect((await call(socket, upload)).status).toBe(201);
  });

  it("refused again and again (a disabled bot), the 401 is passed on and mints stay rare", async () => {
    await using scene = await Scene.start({ tokenRenewEveryMs: 10_000 });
    scene.accepting = false;
    const socket = await scene.ready();
    for (let i = 0; i < 10; i++)
      expect((await call(socket, { path: "/api/v4/users/me" })).status).toBe(401);
    expect(scene.minted.length).toBeLessThanOrEqual(2);
  });

  it("never stands in a log line, an answer or an error, and neither does what the bridge answers in its place", async () => {
    await using scene = await Scene.start();
    const socket = await scene.ready();
    const answers = [
      await call(socket, { path: "/berth/self" }),
      await call(socket, { path: "/healthz" }),
      await call(socket, { path: "/api/v4/users/me" }),
      await call(socket, { path: "/api/v4/config" }),
      await call(socket, { path: "/none" }),
    ];
    scene.valid.clear();
    answers.push(await call(socket, { path: "/api/v4/users/me" }));
    expect(scene.minted).toHaveLength(2);
    const all = [...scene.test.text, ...answers.map((a) => JSON.stringify(a))].join("\n");
    for (const token of scene.minted) {
      expect(all).not.toContain(token);
      expect(all).not.toContain(Buffer.from(token).toString("base64"));
    }
    const leaky = join("/tmp", `leaky-${process.pid}-${fresh()}.sock`);
    const server = http.createServer((_request, response) => response.end("canary-token {"));
    await listenUnix(server, leaky, 0o600);
    const error = await adminBridgeMint({ socketPath: leaky })("lal").catch((e: Error) => e);
    server.close();
    expect(String(error)).not.toContain("canary");
    expect(String(error)).toContain("admin bridge");
  });
});

describe("WebSockets through the gateway", () => {
  it("the upgrade carries the bot's token, frames pass both ways, the query of a resumption too", async () => {
    await using scene = await Scene.start();
    const path = await scene.ready();
    const socket = webSocket(path, `?connection_id=${id}&sequence_number=3`, {
      authorization: "Bearer stolen",
      cookie: "MMAUTHTOKEN=stolen",
      origin: "http://evil.example",
    });
    expect(String((await once(socket, "message"))[0])).toContain("hello");
    socket.send("x".repeat(200_000));
    expect(String((await once(socket, "message"))[0])).toHaveLength(200_005);
    expect([...scene.sockets.values()]).toEqual([scene.token]);
    const upgrade = scene.seen.find(({ url }) => url.startsWith("/api/v4/websocket"));
    expect(upgrade?.url).toContain(`connection_id=${id}&sequence_number=3`);
    expect(JSON.stringify(scene.seen)).not.toMatch(/stolen|evil/);
    socket.close();
    await until("the end in the log", () => scene.test.of("mattermost-end").length === 1);
    expect(scene.test.text.join()).not.toContain("sequence_number");
  });

  it("a revoked token is replaced before the upgrade: no socket is opened that hears nothing", async () => {
    await using scene = await Scene.start();
    const path = await scene.ready();
    scene.valid.clear();
    const socket = webSocket(path);
    expect(String((await once(socket, "message"))[0])).toContain("hello");
    expect([...scene.sockets.values()]).toEqual([scene.token]);
    expect(scene.minted).toHaveLength(2);
    socket.terminate();
  });

  it("when the token changes, sockets of the old one are closed", async () => {
    await using scene = await Scene.start();
    const path = await scene.ready();
    const socket = webSocket(path);
    await once(socket, "message");
    scene.valid.clear();
    const closed = once(socket, "close");
    expect((await call(path, { path: "/api/v4/users/me" })).status).toBe(200);
    await closed;
    const next = webSocket(path);
    await once(next, "message");
    expect([...scene.sockets.values()]).toEqual([scene.token]);
    next.terminate();
  });

  it("a socket that went deaf is found and closed without any call of the agent", async () => {
    await using scene = await Scene.start({ tokenCheckEveryMs: 50 });
    const path = await scene.ready();
    const socket = webSocket(path);
    await once(socket, "message");
    scene.valid.clear();
    await once(socket, "close");
    expect(scene.minted).toHaveLength(2);
  });

  it("a deaf socket is closed also where no new token is to be had", async () => {
    await using scene = await Scene.start({ tokenCheckEveryMs: 50 });
    const path = await scene.ready();
    const socket = webSocket(path);
    await once(socket, "message");
    scene.bridge = 503;
    scene.valid.clear();
    await once(socket, "close");
  });

  it("an upgrade is refused while there is no token, on other paths, and to other protocols", async () => {
    await using scene = await Scene.start({ tokenWaitMs: 20 });
    const path = await scene.ready();
    const status = (url: string) =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(`ws+unix:${path}:${url}`);
        socket.on("unexpected-response", (_request, answer) => resolve(answer.statusCode ?? 0));
        socket.on("open", () => resolve(101));
        socket.on("error", () => {});
      });
    expect(await status("/api/v4/users/me")).toBe(403);
    expect(await status("/api/v4/users/me/tokens")).toBe(403);
    expect(await status("/api/v4/websocket?access_token=x")).toBe(403);
    expect(await status("/berth/self")).toBe(200);
    const headers = { connection: "upgrade", upgrade: "h2c" };
    expect((await call(path, { path: "/api/v4/users/me", headers })).status).toBe(200);
    expect([...scene.sockets.keys()]).toEqual([]);
    scene.bridge = 503;
    scene.valid.clear();
    expect(await status("/api/v4/websocket")).toBe(503);
  });
});

/** Log lines of calls to Mattermost. */
function decisions(scene: Scene) {
  return scene.test.of("mattermost");
}
