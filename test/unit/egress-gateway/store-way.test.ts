import { lstat, mkdir, mkdtemp, rm, unlink, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { createLog } from "../../../services/common/log.ts";
import { Front } from "../../../services/egress-gateway/front.ts";
import { defaultLimits, type Limits } from "../../../services/egress-gateway/limits.ts";
import { readSettings } from "../../../services/egress-gateway/settings.ts";
import { StoreWay } from "../../../services/egress-gateway/store-way.ts";
import {
  call,
  type Line,
  listen,
  tlsClient,
  tlsServer,
  tunnel,
  until,
  type World,
  world,
} from "./support.ts";

const site = "203.0.113.10";

/** The store's way out in a directory of its own. */
class Scene implements AsyncDisposable {
  readonly lines: Line[] = [];
  readonly socket: string;
  readonly way: StoreWay;
  readonly #directory: string;

  static async start(
    rules: readonly string[],
    wire: World,
    options: { privateHosts?: readonly string[]; limits?: Partial<Limits>; open?: boolean } = {},
  ): Promise<Scene> {
    const scene = new Scene(await mkdtemp(join(tmpdir(), "way-")), rules, wire, options);
    if (options.open !== false) await scene.way.open();
    return scene;
  }

  constructor(
    directory: string,
    rules: readonly string[],
    wire: World,
    options: { privateHosts?: readonly string[]; limits?: Partial<Limits> },
  ) {
    this.#directory = directory;
    this.socket = join(directory, "store-egress", "gateway.sock");
    this.way = new StoreWay(this.socket, rules, {
      log: createLog("egress-gateway", (line) => this.lines.push(JSON.parse(line) as Line)),
      limits: { ...defaultLimits, ...options.limits },
      egress: { wire, privateHosts: new Set(options.privateHosts ?? []), forbidden: new Set() },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.way.close();
    await rm(this.#directory, { recursive: true });
  }
}

describe("the secret store's own way out", () => {
  it("goes where its list says, by TLS through a tunnel, and is audited in the store's name", async () => {
    await using server = await listen(tlsServer());
    const wire = world({ "my.1password.com": [site] }, { [`${site}:443`]: server.port });
    await using scene = await Scene.start(["*.1password.com"], wire);
    const { status, socket } = await tunnel(scene.socket, "my.1password.com:443");
    expect(status).toBe(200);
    const tls = tlsClient(socket, "my.1password.com");
    await new Promise((resolve) => tls.once("data", resolve));
    tls.destroy();
    await until("the end", () => scene.lines.some(({ event }) => event === "egress-end"));
    expect(scene.lines).toMatchObject([
      { event: "egress", agent: "secret-store", decision: "allow", rule: "*.1password.com" },
      { event: "egress-end", agent: "secret-store", host: "my.1password.com" },
    ]);
  });

  it("another host is refused with the cure, and the host in the hello is looked at", async () => {
    await using server = await listen(tlsServer());
    const wire = world(
      { "my.1password.com": [site], "evil.example": [site] },
      { [`${site}:443`]: server.port },
    );
    await using scene = await Scene.start(["my.1password.com"], wire);
    const refused = await tunnel(scene.socket, "evil.example:443");
    expect([refused.status, JSON.parse(refused.text)]).toEqual([
      403,
      {
        reason: "not-listed",
        message: expect.stringMatching(/evil\.example.*hosts of berth:secrets/),
      },
    ]);
    expect(wire.connected).toEqual([]);
    const { socket } = await tunnel(scene.socket, "my.1password.com:443");
    const tls = tlsClient(socket, "evil.example");
    await new Promise((resolve) => tls.once("error", resolve));
    expect(scene.lines.at(-1)?.reason ?? scene.lines.at(-2)?.reason).toBe("sni-mismatch");
  });

  it("reaches a Connect server on a private network by a plain request, where its host is listed as private", async () => {
    const seen: (string | undefined)[] = [];
    await using server = await listen(
      http.createServer((request, response) => {
        seen.push(request.headers.authorization, request.headers.host, request.url);
        response.end("[]");
      }),
    );
    const names = { "connect.corp.example": ["10.0.0.7"], "other.corp.example": ["10.0.0.7"] };
    const wire = world(names, { "10.0.0.7:8080": server.port });
    const rules = ["connect.corp.example:8080", "other.corp.example:8080"];
    await using scene = await Scene.start(rules, wire, { privateHosts: ["connect.corp.example"] });
    const ask = (host: string) =>
      call(scene.socket, {
        path: `http://${host}:8080/v1/vaults`,
        headers: { authorization: "Bearer t" },
      });
    expect((await ask("connect.corp.example")).text).toBe("[]");
    expect(seen).toEqual(["Bearer t", "connect.corp.example:8080", "/v1/vaults"]);
    expect((await ask("other.corp.example")).status).toBe(403);
    expect((await tunnel(scene.socket, "connect.corp.example:8080")).status).toBe(200);
    expect(JSON.stringify(scene.lines)).not.toContain("Bearer");
  });

  it("serves nothing else: no Mattermost, no endpoints, no word about itself, no WebSocket", async () => {
    const wire = world({});
    await using scene = await Scene.start(["my.1password.com"], wire);
    for (const path of ["/api/v4/users/me", "/endpoints/model", "/berth/self", "/healthz", "/"]) {
      const answer = await call(scene.socket, { path });
      expect([path, answer.status, JSON.parse(answer.text).reason]).toEqual([
        path,
        404,
        "no-such-path",
      ]);
    }
    const headers = { connection: "upgrade", upgrade: "websocket" };
    expect((await call(scene.socket, { path: "/api/v4/websocket", headers })).status).toBe(404);
    expect(wire.resolved).toEqual([]);
  });

  it("its socket is its owner's alone, and is put back where somebody took it away", async () => {
    await using scene = await Scene.start(["my.1password.com"], world({}), {
      limits: { sweepEveryMs: 20 },
    });
    const found = await lstat(scene.socket);
    expect([found.isSocket(), found.mode & 0o777]).toEqual([true, 0o600]);
    await unlink(scene.socket);
    await until("the socket", () =>
      lstat(scene.socket).then(
        () => true,
        () => false,
      ),
    );
    expect((await call(scene.socket, { path: "/" })).status).toBe(404);
  });

  it("a socket that cannot be placed is reported by health, and served once it can be", async () => {
    await using scene = await Scene.start(["my.1password.com"], world({}), {
      limits: { sweepEveryMs: 20 },
      open: false,
    });
    await mkdir(scene.socket, { recursive: true });
    await writeFile(join(scene.socket, "in-the-way"), "");
    const made = vi.spyOn(Front.prototype, "makeServer");
    await scene.way.open();
    await expect(scene.way.health()).rejects.toThrow(/^secret-store: /);
    await until("more attempts", () => made.mock.results.length > 3);
    // No more than the attempt that runs.
    const listening = made.mock.results.filter(({ value }) => (value as http.Server).listening);
    expect(listening.length).toBeLessThan(2);
    made.mockRestore();
    await rm(scene.socket, { recursive: true });
    await until("health", () =>
      scene.way.health().then(
        () => true,
        () => false,
      ),
    );
    expect((await call(scene.socket, { path: "/" })).status).toBe(404);
  });

  it("closing cuts its tunnels and takes the socket away", async () => {
    await using server = await listen(net.createServer((socket) => void socket.resume()));
    const wire = world({ "connect.example": [site] }, { [`${site}:8080`]: server.port });
    await using scene = await Scene.start(["connect.example:8080"], wire);
    const { socket } = await tunnel(scene.socket, "connect.example:8080");
    const closed = new Promise((resolve) => socket.resume().once("close", resolve));
    await scene.way.close();
    await closed;
    await expect(lstat(scene.socket)).rejects.toThrow(/ENOENT/);
  });
});

describe("settings of the store's way out", () => {
  const good = { MATTERMOST_URL: "http://mattermost:8065", BERTH_TEAM: "fleet" };

  it("without BERTH_STORE_EGRESS there is none, whatever hosts may be private", () => {
    expect(readSettings(good).store).toBeUndefined();
    const env = { ...good, BERTH_STORE_EGRESS: " ,", BERTH_STORE_PRIVATE: "connect.example" };
    expect(readSettings(env).store).toBeUndefined();
  });

  it("a list and private hosts are read, hosts in their normal form", () => {
    const { store } = readSettings({
      ...good,
      BERTH_STORE_EGRESS: "*.1password.com, connect.corp.example:8080",
      BERTH_STORE_PRIVATE: "Connect.Corp.Example.,10.0.0.5",
    });
    expect(store?.rules).toEqual(["*.1password.com", "connect.corp.example:8080"]);
    expect([...(store?.privateHosts ?? [])]).toEqual(["connect.corp.example", "10.0.0.5"]);
  });

  it("everything that is wrong is named at once", () => {
    const env = {
      MATTERMOST_URL: "mattermost",
      BERTH_TEAM: "fleet",
      BERTH_PRIVATE_EGRESS: "10.0.0.1",
      BERTH_STORE_EGRESS: "https://x,good.example",
      BERTH_STORE_PRIVATE: "a b",
    };
    expect(() => readSettings(env)).toThrow(
      /MATTERMOST_URL.*BERTH_PRIVATE_EGRESS.*10\.0\.0\.1.*BERTH_STORE_EGRESS.*https:\/\/x;.*BERTH_STORE_PRIVATE.*a b/,
    );
  });
});
