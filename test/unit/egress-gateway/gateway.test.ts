import { once } from "node:events";
import { chmod, lstat, mkdir, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Audit } from "../../../services/egress-gateway/audit.ts";
import { defaultLimits } from "../../../services/egress-gateway/limits.ts";
import { ownAddresses, readSettings } from "../../../services/egress-gateway/settings.ts";
import { bot, call, declaration, listen, TestGateway, tunnel, until, world } from "./support.ts";

const exists = (path: string) =>
  lstat(path).then(
    () => true,
    () => false,
  );
const health = (socket: string) => call(socket, { path: "/healthz" }).then(({ status }) => status);
/** Connects and stays. */
const connected = async (path: string) => {
  const socket = net.connect(path);
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
};

describe("sockets of agents", () => {
  it("every declared agent but those without a network gets its own, writable by all; other stacks' agents get none", async () => {
    await using test = new TestGateway({});
    await expect(test.gateway.health()).rejects.toThrow(/no declarations yet/);
    await test.gateway.apply([
      declaration("lal"),
      declaration("scout", { network: "mattermost" }),
      declaration("recluse", { network: "none" }),
      declaration("local", { driver: "local" }),
      declaration("stranger", { stack: "other" }),
    ]);
    await test.gateway.health();
    for (const name of ["lal", "scout", "local"]) {
      const found = await lstat(test.socket(name));
      expect([found.isSocket(), found.mode & 0o777]).toEqual([true, 0o666]);
      expect((await lstat(test.file(name, "."))).mode & 0o777).toBe(0o755);
    }
    for (const name of ["recluse", "stranger"]) expect(await exists(test.socket(name))).toBe(false);
  });

  it("who connects is that agent: each socket tells of its own declaration only", async () => {
    await using test = new TestGateway({});
    await test.gateway.apply([declaration("lal"), declaration("data")]);
    for (const name of ["lal", "data"]) {
      await until("the bot", async () => (await health(test.socket(name))) === 200);
      const { text } = await call(test.socket(name), {
        path: "/berth/self",
        headers: { host: "data" },
      });
      expect(JSON.parse(text)).toMatchObject({ declaration: { name }, username: name });
    }
  });

  it("a stale file is replaced, a directory that is there is kept, also one that was made before", async () => {
    await using test = new TestGateway({});
    await mkdir(test.file("lal", "."), { recursive: true });
    await chmod(test.file("lal", "."), 0o755);
    await writeFile(test.socket("lal"), "stale");
    const before = (await lstat(test.file("lal", "."))).ino;
    await test.gateway.apply([declaration("lal")]);
    expect((await lstat(test.socket("lal"))).isSocket()).toBe(true);
    expect((await lstat(test.file("lal", "."))).ino).toBe(before);
  });

  it("a removed declaration ends the socket, its connections, tunnels and token file; the directory stays", async () => {
    await using server = await listen(net.createServer((s) => s.resume()));
    const wire = world({ "a.example": ["203.0.113.1"] }, { "203.0.113.1:9000": server.port });
    await using test = new TestGateway({ wire });
    const egress = ["a.example:9000"];
    const scout = declaration("scout", { network: "mattermost", egress });
    await test.gateway.apply([scout, declaration("lal")]);
    await until("the token file", () => exists(test.file("scout", "bot-token")));
    const idle = await connected(test.socket("scout"));
    const { socket: open } = await tunnel(test.socket("scout"), "a.example:9000");
    const closed = Promise.all([once(idle, "close"), once(open.resume(), "close")]);
    const neighbour = await connected(test.socket("lal"));
    await test.gateway.apply([declaration("lal")]);
    await closed;
    expect(await exists(test.socket("scout"))).toBe(false);
    expect(await exists(test.file("scout", "bot-token"))).toBe(false);
    expect(await exists(test.file("scout", "."))).toBe(true);
    expect(neighbour.destroyed).toBe(false);
    neighbour.destroy();
    await test.gateway.apply([scout, declaration("lal")]);
    await until("the agent again", async () => (await health(test.socket("scout"))) === 200);
  });

  it("files of an agent that went while the gateway was away are removed at the first declarations", async () => {
    await using test = new TestGateway({});
    await mkdir(test.file("gone", "secrets"), { recursive: true });
    for (const name of ["gateway.sock", "bot-token", "secrets/KEY"])
      await writeFile(test.file("gone", name), "x");
    await test.gateway.apply([declaration("lal")]);
    expect(await exists(test.socket("gone"))).toBe(false);
    expect(await exists(test.file("gone", "bot-token"))).toBe(false);
    expect(await exists(test.file("gone", "secrets/KEY"))).toBe(true);
  });

  it.each<[string, (test: TestGateway) => Promise<unknown>]>([
    ["its file is deleted", (test) => unlink(test.socket("lal"))],
    [
      "its file is replaced",
      async (test) => {
        await writeFile(join(test.directory, "other"), "");
        await rename(join(test.directory, "other"), test.socket("lal"));
      },
    ],
    ["its directory is deleted", (test) => rm(test.file("lal", "."), { recursive: true })],
  ])("a socket is put back when %s, and what is open goes on", async (_what, damage) => {
    await using test = new TestGateway({ limits: { sweepEveryMs: 20 } });
    await test.gateway.apply([declaration("lal")]);
    await until("the bot", async () => (await health(test.socket("lal"))) === 200);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const again = () =>
      new Promise<number>((resolve, reject) => {
        const sent = http.get(
          { socketPath: test.socket("lal"), path: "/healthz", agent },
          (answer) => {
            answer.resume().on("end", () => resolve(answer.statusCode ?? 0));
          },
        );
        sent.on("error", reject);
      });
    expect(await again()).toBe(200);
    await damage(test);
    await until("the socket", () =>
      lstat(test.socket("lal")).then(
        (s) => s.isSocket(),
        () => false,
      ),
    );
    expect(await health(test.socket("lal"))).toBe(200);
    agent.destroy();
  });

  it("one agent whose socket cannot be placed does not stop the others, is reported, and served once it can be", async () => {
    await using test = new TestGateway({ limits: { sweepEveryMs: 20 } });
    await writeFile(join(test.directory, "data"), "not a directory");
    await test.gateway.apply([declaration("data"), declaration("lal")]);
    await until("lal", async () => (await health(test.socket("lal"))) === 200);
    await expect(test.gateway.health()).rejects.toThrow(/^data: /);
    await unlink(join(test.directory, "data"));
    await until("health", () =>
      test.gateway.health().then(
        () => true,
        () => false,
      ),
    );
    await until("data", async () => (await health(test.socket("data"))) === 200);
  });

  it("closing ends every connection and takes every file away", async () => {
    const test = new TestGateway({});
    await test.gateway.apply([declaration("lal"), declaration("data")]);
    const idle = await connected(test.socket("lal"));
    const closed = once(idle, "close");
    await test.gateway.close();
    await closed;
    expect(await exists(test.socket("lal"))).toBe(false);
    expect(await exists(test.socket("data"))).toBe(false);
    await test[Symbol.asyncDispose]();
  });

  it("whatever the order of declarations, the sockets are exactly those of the last list", async () => {
    await using test = new TestGateway({});
    const names = ["aa", "bb", "cc"] as const;
    const list = fc.subarray([...names]);
    await fc.assert(
      fc.asyncProperty(fc.array(list, { minLength: 1, maxLength: 5 }), async (steps) => {
        await Promise.all(
          steps.map((step) => test.gateway.apply(step.map((name) => declaration(name)))),
        );
        const there = await Promise.all(names.map((name) => exists(test.socket(name))));
        expect(names.filter((_, i) => there[i])).toEqual(
          names.filter((n) => steps.at(-1)?.includes(n)),
        );
      }),
      { numRuns: 25 },
    );
  });
});

describe("the token file", () => {
  it("only an agent on mattermost-net gets one, for its own user, and it goes when its network changes", async () => {
    await using test = new TestGateway({});
    await test.gateway.apply([declaration("scout", { network: "mattermost" }), declaration("lal")]);
    const path = test.file("scout", "bot-token");
    await until("the file", () => exists(path));
    const found = await lstat(path);
    expect(found.mode & 0o222).toBe(0);
    if (process.getuid?.() === 0) expect([found.mode & 0o777, found.uid]).toEqual([0o440, 0]);
    expect((await readFile(path, "utf8")).trim()).toBe("t".repeat(26));
    await until("lal's bot", async () => (await health(test.socket("lal"))) === 200);
    expect(await exists(test.file("lal", "bot-token"))).toBe(false);
    await test.gateway.apply([declaration("scout"), declaration("lal", { network: "mattermost" })]);
    expect(await exists(path)).toBe(false);
    expect(await exists(test.file("lal", "bot-token"))).toBe(true);
  });

  it("it is written anew when Mattermost no longer takes the token, though only the agent uses it", async () => {
    let valid = "";
    let count = 0;
    const server = http.createServer((request, response) => {
      response.statusCode = request.headers.authorization === `Bearer ${valid}` ? 200 : 401;
      response.end("{}");
    });
    await using mattermost = await listen(server);
    await using test = new TestGateway({
      mattermost: `http://127.0.0.1:${mattermost.port}`,
      mint: async (agent) => {
        count += 1;
        valid = `token${String(count).padStart(21, "0")}`;
        return bot(agent, valid);
      },
      limits: { tokenCheckEveryMs: 30, tokenRenewEveryMs: 0 },
    });
    await test.gateway.apply([declaration("scout", { network: "mattermost" })]);
    const content = () => readFile(test.file("scout", "bot-token"), "utf8").catch(() => "");
    await until("the first token", async () => (await content()).trim() === valid && count === 1);
    valid = "revoked";
    await until("the second token", async () => count === 2 && (await content()).trim() === valid);
  });
});

describe("limits and bad input", () => {
  it("connections beyond the limit are closed at once, and places come free again", async () => {
    await using test = new TestGateway({ limits: { connections: 4 } });
    await test.gateway.apply([declaration("lal")]);
    const held = await Promise.all(Array.from({ length: 4 }, () => connected(test.socket("lal"))));
    await expect(call(test.socket("lal"), { path: "/healthz" })).rejects.toThrow();
    expect(test.of("connection")).toMatchObject([{ agent: "lal", reason: "too-many" }]);
    for (const socket of held) socket.destroy();
    await until("a free place", () =>
      health(test.socket("lal")).then(
        () => true,
        () => false,
      ),
    );
  });

  it("headers over the limit get a 431 or 400, and a request that never ends is cut", async () => {
    await using test = new TestGateway({ limits: { headersMs: 100 } });
    await test.gateway.apply([declaration("lal")]);
    const headers = { "x-long": "y".repeat(20_000) };
    const answer = await call(test.socket("lal"), { path: "/healthz", headers });
    expect([400, 431]).toContain(answer.status);
    const slow = await connected(test.socket("lal"));
    slow.write("GET /healthz HTTP/1.1\r\nhost: x\r\n");
    await once(slow.resume(), "close");
  });

  it("whatever bytes come, the gateway answers the next request", async () => {
    await using test = new TestGateway({});
    await test.gateway.apply([declaration("lal", { egress: ["a.example"] })]);
    await until("the bot", async () => (await health(test.socket("lal"))) === 200);
    const line = fc.constantFrom(
      "CONNECT a.example:443 HTTP/1.1\r\n\r\n",
      "CONNECT  HTTP/1.1\r\n\r\n",
      "CONNECT / HTTP/1.1\r\n\r\n",
      "GET http:// HTTP/1.1\r\nhost: x\r\n\r\n",
      "GET * HTTP/1.1\r\nhost: x\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET /api/v4/websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      "POST /api/v4/posts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
      "GET /api/v4/users/me HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n",
      "\u0016\u0003\u0001",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(line, fc.string()), { maxLength: 4 }), async (parts) => {
        const raw = await connected(test.socket("lal"));
        raw.end(Buffer.from(parts.join(""), "latin1"));
        raw.resume();
        await once(raw, "close");
        expect(await health(test.socket("lal"))).toBe(200);
      }),
      { numRuns: 60 },
    );
    expect(test.of("exchange-failed")).toEqual([]);
  });

  it("an agent that causes decisions without end cannot fill the log: the rest is counted", async () => {
    await using test = new TestGateway({ limits: { logSummaryMs: 100 } });
    await test.gateway.apply([declaration("lal"), declaration("data")]);
    for (let i = 0; i < 50; i++) await call(test.socket("lal"), { path: "/nothing" });
    expect(test.of("request").length).toBeLessThan(25);
    await call(test.socket("data"), { path: "/nothing" });
    expect(test.of("request").at(-1)).toMatchObject({ agent: "data" });
    await call(test.socket("lal"), { path: "/healthz" });
    await until("the count", () => test.of("unlogged").length > 0);
    expect(test.of("unlogged")[0]).toMatchObject({ agent: "lal", of: "refusals" });
    expect(test.of("unlogged")[0]?.unlogged).toBeGreaterThan(25);
  });
});

describe("the audit", () => {
  it("refusals cannot hide what was allowed, and what was allowed cannot hide refusals", async () => {
    const limits = {
      logAllowed: { perSecond: 1, burst: 4 },
      logRefusals: { perSecond: 1, burst: 3 },
    };
    const lines: string[] = [];
    const audit = new Audit(
      "lal",
      createLog("x", (line) => lines.push(line)),
      {
        ...defaultLimits,
        ...limits,
      },
    );
    for (let i = 0; i < 100; i++) audit.write("egress", { decision: "deny" });
    for (let i = 0; i < 100; i++) audit.write("egress", { decision: "allow" });
    audit.write("egress-end", {});
    const events = lines.map((line) => JSON.parse(line).decision);
    expect(events).toEqual([...Array(3).fill("deny"), ...Array(4).fill("allow")]);
  });
});

describe("settings", () => {
  const good = { MATTERMOST_URL: "http://mattermost:8065", BERTH_TEAM: "fleet" };

  it("every missing one is named", () => {
    expect(() => readSettings({})).toThrow("MATTERMOST_URL, BERTH_TEAM");
    expect(readSettings(good)).toMatchObject({ team: "fleet", stack: undefined });
  });

  it("private hosts are names, in their normal form", () => {
    const { privateHosts } = readSettings({
      ...good,
      BERTH_PRIVATE_EGRESS: " Git.Corp.Example., b.test,",
    });
    expect([...privateHosts]).toEqual(["git.corp.example", "b.test"]);
    expect(() => readSettings({ ...good, BERTH_PRIVATE_EGRESS: "10.0.0.1" })).toThrow(
      /10\.0\.0\.1/,
    );
    expect(() => readSettings({ ...good, BERTH_PRIVATE_EGRESS: "a b" })).toThrow(/a b/);
  });

  it("a Mattermost address that is no plain http address is refused", () => {
    for (const url of ["https://m", "http://u:p@m", "http://m/sub", "m:8065", "unix:///x"])
      expect(() => readSettings({ ...good, MATTERMOST_URL: url })).toThrow(/http:\/\/host:port/);
  });

  it("the routers of the container's networks are among the addresses that are never reached", async () => {
    await using test = new TestGateway({});
    const path = join(test.directory, "route");
    const head = "Iface\tDestination\tGateway \tFlags\n";
    // The kernel writes addresses in the byte order of the machine: 203.0.113.1 is 0x017100CB.
    await writeFile(
      path,
      `${head}eth0\t00000000\t017100CB\t0003\neth1\t000010AC\t00000000\t0001\n`,
    );
    const found = await ownAddresses(path);
    expect([...found]).toContain("203.0.113.1");
    expect([...found]).toContain("127.0.0.1");
    expect([...found]).not.toContain("0.0.0.0");
  });
});
