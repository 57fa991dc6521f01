import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  call,
  declaration,
  listen,
  TestGateway,
  tlsClient,
  tlsServer,
  tunnel,
  until,
  world,
} from "./support.ts";

const site = "203.0.113.10";
const read = async (socket: Duplex) => String((await once(socket, "data"))[0]);

/** An echo server that speaks first, as SSH does. */
const echo = () =>
  net.createServer((socket) => {
    socket.write("ready\n");
    socket.pipe(socket);
  });

describe("CONNECT", () => {
  it("an allowed host is reached by TLS through the tunnel, on the address that was checked", async () => {
    await using server = await listen(tlsServer());
    const wire = world({ "api.example.com": [site] }, { [`${site}:443`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["api.example.com"] })]);
    const { status, socket } = await tunnel(test.socket("lal"), "API.example.com.:443");
    expect(status).toBe(200);
    const tls = tlsClient(socket, "api.example.com");
    expect(await read(tls)).toBe("hello api.example.com");
    tls.write("ping");
    expect(await read(tls)).toBe("ping");
    tls.destroy();
    await until("the end in the log", () => test.of("egress-end").length === 1);
    expect(wire.connected).toEqual([`${site}:443`]);
    expect(wire.resolved).toEqual(["api.example.com"]);
    expect(test.of("egress")).toMatchObject([
      {
        agent: "lal",
        kind: "connect",
        decision: "allow",
        host: "api.example.com",
        port: 443,
        rule: "api.example.com",
        address: site,
      },
    ]);
    const [end] = test.of("egress-end");
    expect(end?.sent).toBeGreaterThan(100);
    expect(end?.received).toBeGreaterThan(100);
  });

  it.each([
    ["other.example.com:443", 403, "not-listed"],
    ["api.example.com:22", 403, "not-listed"],
    ["api.example.com:80", 403, "not-listed"],
    [`${site}:443`, 403, "not-listed"],
    ["127.0.0.1:8065", 403, "not-listed"],
    ["169.254.169.254:80", 403, "not-listed"],
    ["mattermost:8065", 403, "not-listed"],
    ["[::1]:443", 403, "not-listed"],
    ["localhost:443", 403, "not-listed"],
    ["api.example.com", 400, "malformed-target"],
    ["api.example.com:0", 400, "malformed-target"],
    ["user@api.example.com:443", 400, "malformed-target"],
  ])(
    "%s is refused with %i %s, and nothing is resolved or connected",
    async (target, status, reason) => {
      const wire = world({ "api.example.com": [site] });
      await using test = new TestGateway({ wire });
      await test.gateway.apply([declaration("lal", { egress: ["api.example.com"] })]);
      const answer = await tunnel(test.socket("lal"), target);
      expect(answer.status).toBe(status);
      expect(JSON.parse(answer.text)).toMatchObject({ reason, message: expect.any(String) });
      expect([...wire.resolved, ...wire.connected]).toEqual([]);
      expect(test.of("egress")).toMatchObject([{ agent: "lal", decision: "deny", reason }]);
    },
  );

  it("an agent has its own list and no other's", async () => {
    await using server = await listen(echo());
    const names = { "a.example": [site], "b.example": [site] };
    const wire = world(names, { [`${site}:9000`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([
      declaration("lal", { egress: ["a.example:9000"] }),
      declaration("data", { egress: ["b.example:9000"] }),
    ]);
    const status = async (agent: string, host: string) => {
      const { status, socket } = await tunnel(test.socket(agent), `${host}:9000`);
      socket.destroy();
      return status;
    };
    expect(await status("lal", "a.example")).toBe(200);
    expect(await status("data", "a.example")).toBe(403);
    expect(await status("data", "b.example")).toBe(200);
    expect(await status("lal", "b.example")).toBe(403);
  });

  it.each([
    ["127.0.0.1", "loopback"],
    ["10.1.2.3", "private"],
    ["100.64.0.1", "private"],
    ["172.17.0.1", "private"],
    ["192.168.0.1", "private"],
    ["169.254.169.254", "metadata"],
    ["169.254.7.7", "link-local"],
    ["0.0.0.0", "unspecified"],
    ["224.0.0.1", "multicast"],
    ["255.255.255.255", "reserved"],
    ["::1", "loopback"],
    ["::ffff:169.254.169.254", "transition"],
    ["64:ff9b::a9fe:a9fe", "transition"],
    ["2002:7f00:1::", "transition"],
    ["fd00:ec2::254", "metadata"],
    ["fd12::1", "private"],
    ["fe80::1", "link-local"],
    [site, "gateway-or-host"],
  ])(
    "an allowed name that leads to %s (%s) is refused and not connected",
    async (address, kind) => {
      const wire = world({ "api.example.com": [address] });
      await using test = new TestGateway({ wire, forbidden: [site] });
      await test.gateway.apply([declaration("lal", { egress: ["api.example.com"] })]);
      const answer = await tunnel(test.socket("lal"), "api.example.com:443");
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.text)).toMatchObject({
        reason: "address",
        message: expect.stringContaining(kind),
      });
      expect(wire.connected).toEqual([]);
    },
  );

  it("of mixed addresses only the public ones are used; a name is resolved once a connection, and its next answer cannot matter", async () => {
    await using server = await listen(tlsServer());
    const wire = world({}, { [`${site}:443`]: server.port });
    const answers = [["127.0.0.1", "::ffff:10.0.0.1", site], ["127.0.0.1"]];
    let asked = 0;
    const rebinding = { ...wire, resolve: async () => answers[asked++] ?? [] };
    await using test = new TestGateway({ wire: rebinding });
    await test.gateway.apply([declaration("lal", { egress: ["api.example.com"] })]);
    const first = await tunnel(test.socket("lal"), "api.example.com:443");
    expect(first.status).toBe(200);
    expect(wire.connected).toEqual([`${site}:443`]);
    expect(asked).toBe(1);
    first.socket.destroy();
    expect((await tunnel(test.socket("lal"), "api.example.com:443")).status).toBe(403);
    expect(wire.connected).toEqual([`${site}:443`]);
  });

  it("a private address opens only as a literal with its port, or by a host that the operator lists", async () => {
    await using server = await listen(echo());
    const wire = world(
      {
        "git.corp.example": ["10.0.0.7"],
        "other.example": ["10.0.0.7"],
        "meta.example": ["169.254.169.254"],
      },
      { "10.0.0.7:443": server.port, "10.0.0.7:9000": server.port },
    );
    await using test = new TestGateway({
      wire,
      privateHosts: ["git.corp.example", "meta.example"],
    });
    await test.gateway.apply([
      declaration("lal", {
        egress: [
          "10.0.0.7",
          "10.0.0.7:9000",
          "127.0.0.1:9000",
          "169.254.169.254:80",
          "git.corp.example:9000",
          "meta.example:9000",
          "other.example:9000",
        ],
      }),
    ]);
    const status = async (target: string) => {
      const { status, socket } = await tunnel(test.socket("lal"), target);
      socket.destroy();
      return status;
    };
    expect(await status("10.0.0.7:9000")).toBe(200);
    expect(await status("git.corp.example:9000")).toBe(200);
    expect(await status("10.0.0.7:443")).toBe(403);
    expect(await status("other.example:9000")).toBe(403);
    expect(await status("127.0.0.1:9000")).toBe(403);
    expect(await status("169.254.169.254:80")).toBe(403);
    expect(await status("meta.example:9000")).toBe(403);
  });

  it("a host that cannot be resolved, does not answer or refuses gives 502 or 504", async () => {
    const hang = { ...world({ "c.example": [site] }), connect: () => new net.Socket() };
    await using slow = new TestGateway({ wire: hang, limits: { connectMs: 50 } });
    await slow.gateway.apply([declaration("lal", { egress: ["c.example"] })]);
    expect(await tunnel(slow.socket("lal"), "c.example:443")).toMatchObject({ status: 504 });
    const mute = { ...hang, resolve: () => new Promise<never>(() => {}) };
    await using lost = new TestGateway({ wire: mute, limits: { resolveMs: 50 } });
    await lost.gateway.apply([declaration("lal", { egress: ["c.example"] })]);
    expect(await tunnel(lost.socket("lal"), "c.example:443")).toMatchObject({ status: 504 });
    await using test = new TestGateway({ wire: world({ "b.example": [site, "203.0.113.11"] }) });
    await test.gateway.apply([declaration("lal", { egress: ["a.example", "b.example"] })]);
    expect(await tunnel(test.socket("lal"), "a.example:443")).toMatchObject({ status: 502 });
    expect(await tunnel(test.socket("lal"), "b.example:443")).toMatchObject({ status: 502 });
    expect(test.of("egress").map((line) => [line.decision, line.reason])).toEqual([
      ["fail", "resolve-failed"],
      ["fail", "connect-failed"],
    ]);
  });

  it("an address that does not answer is followed by the next", async () => {
    await using server = await listen(echo());
    const wire = world({ "a.example": ["203.0.113.1", site] }, { [`${site}:9000`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:9000"] })]);
    const { status, socket } = await tunnel(test.socket("lal"), "a.example:9000");
    expect(status).toBe(200);
    expect(await read(socket)).toBe("ready\n");
    socket.destroy();
    expect(wire.connected).toEqual(["203.0.113.1:9000", `${site}:9000`]);
  });
});

describe("the guard of a tunnel", () => {
  /** What the server behind an allowed tunnel got to see, after the client did its part. */
  async function behind(
    target: string,
    speak: (socket: Duplex, test: TestGateway) => void | Promise<void>,
    egress = ["api.example.com", "api.example.com:8443", site],
  ): Promise<{ seen: Buffer; lines: readonly Record<string, unknown>[] }> {
    const parts: Buffer[] = [];
    await using server = await listen(
      net.createServer((socket) => void socket.on("data", (part: Buffer) => parts.push(part))),
    );
    const listeners = { [`${site}:443`]: server.port, [`${site}:8443`]: server.port };
    const wire = world({ "api.example.com": [site] }, listeners);
    await using test = new TestGateway({ wire, limits: { helloMs: 100 } });
    await test.gateway.apply([declaration("lal", { egress })]);
    const { status, socket } = await tunnel(test.socket("lal"), target);
    expect(status).toBe(200);
    await speak(socket, test);
    await until(
      "the tunnel to end or carry",
      () => parts.length > 0 || test.of("egress-end").length > 0,
    );
    socket.destroy();
    return { seen: Buffer.concat(parts), lines: test.of("egress").slice(1) };
  }
  const hello = (name: string | undefined) => (socket: Duplex) => {
    tlsClient(socket, name).on("error", () => {});
  };

  it("a hello with the tunnel's own name passes whole", async () => {
    const { seen, lines } = await behind("api.example.com:443", hello("api.example.com"));
    expect(seen.includes("api.example.com")).toBe(true);
    expect(lines).toEqual([]);
  });

  it.each<[string, string, (socket: Duplex) => void, string]>([
    ["another name", "api.example.com:443", hello("evil.example.com"), "sni-mismatch"],
    [
      "another name on another port",
      "api.example.com:8443",
      hello("evil.example.com"),
      "sni-mismatch",
    ],
    ["no name for a named host", "api.example.com:443", hello(undefined), "no-sni"],
    ["a name for an address", `${site}:443`, hello("evil.example.com"), "sni-mismatch"],
    [
      "plain HTTP on 443",
      "api.example.com:443",
      (s) => s.write("GET / HTTP/1.1\r\n\r\n"),
      "not-tls",
    ],
    ["SSH on 443", "api.example.com:443", (s) => s.write("SSH-2.0-x\r\n"), "not-tls"],
    [
      "a broken hello",
      "api.example.com:443",
      (s) => s.write(Buffer.from([22, 3, 1, 0, 0])),
      "bad-hello",
    ],
    [
      "a broken hello on another port",
      "api.example.com:8443",
      (s) => s.write(Buffer.from([22, 3, 1, 0, 0])),
      "bad-hello",
    ],
    [
      "half a hello and the end",
      "api.example.com:443",
      (s) => s.end(Buffer.from([22, 3, 1])),
      "bad-hello",
    ],
    ["silence on 443", "api.example.com:443", () => {}, "no-hello"],
  ])("%s is cut before a byte reaches the host", async (_what, target, speak, reason) => {
    const { seen, lines } = await behind(target, speak);
    expect(seen.length).toBe(0);
    expect(lines).toMatchObject([{ decision: "deny", reason }]);
  });

  it("an address itself may be spoken to by TLS without a name", async () => {
    const { seen } = await behind(`${site}:443`, hello(undefined));
    expect(seen[0]).toBe(22);
  });

  it("a refused TLS client is told by an alert of TLS", async () => {
    await behind("api.example.com:443", async (socket) => {
      const tls = tlsClient(socket, "evil.example.com");
      const [error] = (await once(tls, "error")) as [Error];
      expect(String(error)).toMatch(/unrecognized name/i);
    });
  });

  it("another port carries any protocol, also one in which the server speaks first", async () => {
    await using server = await listen(echo());
    const wire = world({ "a.example": [site] }, { [`${site}:22`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:22"] })]);
    const { socket } = await tunnel(test.socket("lal"), "a.example:22");
    expect(await read(socket)).toBe("ready\n");
    socket.write("SSH-2.0-x\r\n");
    expect(await read(socket)).toBe("SSH-2.0-x\r\n");
    socket.destroy();
  });

  it("a hello that comes byte by byte passes", async () => {
    await using server = await listen(tlsServer());
    const wire = world({ "a.example": [site] }, { [`${site}:443`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example"] })]);
    const { socket } = await tunnel(test.socket("lal"), "a.example:443");
    const { recordHello } = await import("./support.ts");
    const bytes = await recordHello({ servername: "a.example", maxVersion: "TLSv1.2" });
    for (const byte of bytes) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const answer = (await once(socket, "data"))[0] as Buffer;
    // The server reads it: it answers with a TLS record, be it an alert about the ciphers.
    expect([21, 22]).toContain(answer[0]);
    socket.destroy();
  });
});

describe("open tunnels", () => {
  it("megabytes pass whole both ways, and each side may end first", async () => {
    await using server = await listen(net.createServer({ allowHalfOpen: true }, (s) => s.pipe(s)));
    const wire = world({ "a.example": [site] }, { [`${site}:9000`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:9000"] })]);
    const { socket } = await tunnel(test.socket("lal"), "a.example:9000");
    const sent = Buffer.alloc(8 * 1024 * 1024, "0123456789");
    socket.end(sent);
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer);
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    await until("the end", () => test.of("egress-end").length === 1);
    expect(test.of("egress-end")).toMatchObject([
      { sent: sent.length, received: sent.length, end: "ended" },
    ]);
  });

  it("are cut when the host leaves the list, and no others", async () => {
    await using server = await listen(echo());
    const names = { "a.example": [site], "b.example": [site] };
    const wire = world(names, { [`${site}:9000`]: server.port });
    await using test = new TestGateway({ wire });
    const both = ["a.example:9000", "b.example:9000"];
    await test.gateway.apply([declaration("lal", { egress: both })]);
    const a = await tunnel(test.socket("lal"), "a.example:9000");
    const b = await tunnel(test.socket("lal"), "b.example:9000");
    expect(await read(b.socket)).toBe("ready\n");
    const closed = once(a.socket.resume(), "close");
    await test.gateway.apply([declaration("lal", { egress: ["b.example:9000"] })]);
    await closed;
    b.socket.write("still here");
    expect(await read(b.socket)).toBe("still here");
    expect(test.of("egress-end")).toMatchObject([{ host: "a.example", end: "no longer allowed" }]);
    b.socket.destroy();
  });

  it("are closed when nothing moves", async () => {
    await using server = await listen(echo());
    const wire = world({ "a.example": [site] }, { [`${site}:9000`]: server.port });
    await using test = new TestGateway({ wire, limits: { tunnelIdleMs: 60 } });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:9000"] })]);
    const { socket } = await tunnel(test.socket("lal"), "a.example:9000");
    await once(socket.resume(), "close");
    await until("the end", () => test.of("egress-end").length === 1);
    expect(test.of("egress-end")).toMatchObject([{ end: "idle" }]);
  });
});

describe("plain requests", () => {
  /** A site that tells what it was asked. */
  const site80 = () =>
    http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        response.setHeader("connection", "close, x-hop");
        response.setHeader("x-hop", "1");
        response.setHeader("set-cookie", ["a=1", "b=2"]);
        response.setHeader("proxy-authenticate", "Basic");
        response.end(
          JSON.stringify({
            method: request.method,
            url: request.url,
            headers: request.headers,
            raw: request.rawHeaders.map((text) => text.toLowerCase()),
            body: Buffer.concat(parts).toString(),
          }),
        );
      });
    });

  it("an allowed one is carried: Host from the target, hop-by-hop headers dropped both ways, body whole", async () => {
    await using server = await listen(site80());
    const wire = world({ "a.example": [site] }, { [`${site}:80`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:80"] })]);
    const answer = await call(test.socket("lal"), {
      method: "POST",
      path: "http://A.example/path?q=1",
      headers: {
        host: "evil.example",
        "proxy-authorization": "Basic x",
        connection: "x-mine, keep-alive",
        "x-mine": "1",
        "x-kept": "2",
        authorization: "Bearer for-the-site",
        upgrade: "websocket",
      },
      body: "x".repeat(300_000),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({ "set-cookie": ["a=1", "b=2"] });
    expect(answer.headers).not.toHaveProperty("x-hop");
    expect(answer.headers).not.toHaveProperty("proxy-authenticate");
    const seen = JSON.parse(answer.text) as {
      headers: Record<string, string>;
      raw: string[];
      body: string;
    };
    expect(seen).toMatchObject({ method: "POST", url: "/path?q=1" });
    expect(seen.headers).toMatchObject({
      host: "a.example",
      "x-kept": "2",
      authorization: "Bearer for-the-site",
    });
    expect(seen.raw.filter((name) => name === "host")).toHaveLength(1);
    for (const name of ["proxy-authorization", "x-mine", "upgrade", "proxy-connection"])
      expect(seen.headers).not.toHaveProperty(name);
    expect(seen.body.length).toBe(300_000);
    expect(test.text.join()).not.toContain("q=1");
  });

  it("a body is never read as the next request, whatever the method and its framing", async () => {
    const urls: string[] = [];
    const recorder = http.createServer((request, response) => {
      urls.push(`${request.method} ${request.url}`);
      request.resume().on("end", () => response.end("ok"));
    });
    await using server = await listen(recorder);
    const wire = world({ "a.example": [site] }, { [`${site}:80`]: server.port });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:80"] })]);
    const body = "GET /smuggled HTTP/1.1\r\nhost: other.example\r\n\r\n";
    for (const method of ["GET", "DELETE", "OPTIONS", "POST"]) {
      for (const headers of [
        { "transfer-encoding": "chunked" },
        { "content-length": body.length },
      ]) {
        const path = "http://a.example/one";
        expect((await call(test.socket("lal"), { method, path, headers, body })).text).toBe("ok");
      }
    }
    expect(urls).toHaveLength(8);
    expect(urls.join()).not.toContain("smuggled");
  });

  it.each([
    ["http://b.example/", 403],
    ["http://a.example:8080/", 403],
    ["http://a.example:443/", 403],
    ["http://a.example@b.example/", 400],
    ["http://user:pass@a.example/", 400],
    ["https://a.example/", 400],
    ["ftp://a.example/", 400],
    ["http:///path", 400],
    ["http://127.0.0.1/", 403],
    ["http://[::1]/", 403],
    ["http://2130706433/", 403],
    ["http://a%2eexample/", 400],
  ])("%s is refused with %i and reaches nobody", async (path, status) => {
    const wire = world({ "a.example": [site], "b.example": [site] });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:80", "b.example"] })]);
    const answer = await call(test.socket("lal"), { path, headers: { host: "a.example" } });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toHaveProperty("reason");
    expect(wire.connected).toEqual([]);
  });

  it.each(["a.example", "a.example:443", "*.example"])(
    "on port 443 nothing goes out plainly (entry %s): the host in a hello could not be checked",
    async (entry) => {
      const wire = world({ "a.example": [site] });
      await using test = new TestGateway({ wire });
      await test.gateway.apply([declaration("lal", { egress: [entry] })]);
      const answer = await call(test.socket("lal"), { path: "http://a.example:443/" });
      expect([answer.status, JSON.parse(answer.text).reason]).toEqual([403, "tls-only"]);
      expect(wire.connected).toEqual([]);
    },
  );

  it("an entry without a port opens 443 and not 80", async () => {
    const wire = world({ "a.example": [site] });
    await using test = new TestGateway({ wire });
    await test.gateway.apply([declaration("lal", { egress: ["a.example"] })]);
    expect((await call(test.socket("lal"), { path: "http://a.example/" })).status).toBe(403);
  });

  it("TRACE and a site that says nothing are answered by the gateway itself", async () => {
    await using server = await listen(net.createServer(() => {}));
    const wire = world({ "a.example": [site] }, { [`${site}:80`]: server.port });
    await using test = new TestGateway({ wire, limits: { answerMs: 80 } });
    await test.gateway.apply([declaration("lal", { egress: ["a.example:80"] })]);
    const path = "http://a.example/";
    expect((await call(test.socket("lal"), { method: "TRACE", path })).status).toBe(403);
    expect((await call(test.socket("lal"), { path })).status).toBe(504);
  });
});
