import { lstat, mkdir, readdir, readlink, symlink, writeFile } from "node:fs/promises";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Answer, request } from "../../../services/common/http.ts";
import { createLog } from "../../../services/common/log.ts";
import { serveClients } from "../../../services/secret-store/clients.ts";
import { Service } from "../../../spec/names.ts";
import { agent, canary, me, Rig, type Running } from "./rig.ts";

let rig: Rig;
let running: Running;
let end: (() => void) | undefined;
const lal = agent(
  "lal",
  { TOKEN: "op://agents/lal/key" },
  {
    endpoints: {
      model: {
        url: "https://api.example.com/v1",
        headers: { authorization: "Bearer {{ op://agents/lal/key }}", "x-plain": "as written" },
      },
      broken: { url: "https://api.example.com", headers: { "x-key": "op://agents/lal/none" } },
    },
  },
);

beforeEach(async () => {
  rig = await new Rig().open();
  rig.onepassword.put("agents", "lal", { key: canary });
  await mkdir(join(rig.root, "store"));
  running = await rig.unlocked([lal]);
});
afterEach(async () => {
  end?.();
  end = undefined;
  await rig.close();
});

const storeDirectory = () => join(rig.root, "store");
const socket = (client: string) => join(storeDirectory(), client, "store.sock");
async function serve(): Promise<void> {
  const { store, operations, alerts } = running;
  end = await serveClients(
    {
      status: () => operations.status(),
      alerts,
      endpoint: (whose, name) => store.endpoint(whose, name),
    },
    createLog("secret-store", (line) => rig.log.push(line)),
    { directory: storeDirectory(), owner: () => me },
  );
}
async function get(client: string, path: string, method = "GET"): Promise<Answer> {
  return request({ socketPath: socket(client) }, { path, method });
}
const gateway = Service.egressGateway;
const bridge = Service.adminBridge;

/** What the socket answers to these bytes. */
function raw(client: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const connection = net.connect({ path: socket(client), allowHalfOpen: true });
    let answer = "";
    connection.setEncoding("utf8");
    connection.on("data", (part: string) => {
      answer += part;
    });
    // One that is closed at once may end as a reset; there is no answer either way.
    connection.on("error", () => undefined);
    connection.on("close", () => resolve(answer));
    connection.on("end", () => connection.end());
    connection.end(bytes);
  });
}

describe("the gateway's socket", () => {
  beforeEach(serve);

  it("tells the headers of a declared endpoint, values in them, and another version for another value", async () => {
    const answer = await get(gateway, "/endpoints/lal/model");
    expect(answer.status).toBe(200);
    const first = JSON.parse(answer.text);
    expect(first).toEqual({
      url: "https://api.example.com/v1",
      headers: { authorization: `Bearer ${canary}`, "x-plain": "as written" },
      version: expect.stringMatching(/^[\w-]{43}$/),
    });
    expect((await get(gateway, "/endpoints/lal/model")).text).toBe(answer.text);
    rig.onepassword.put("agents", "lal", { key: "another" });
    await rig.clock.pass(60_000);
    const second = JSON.parse((await get(gateway, "/endpoints/lal/model")).text);
    expect(second.headers.authorization).toBe("Bearer another");
    expect(second.version).not.toBe(first.version);
  });

  it("404 for what is not declared or means nothing, 503 for what cannot be told now", async () => {
    expect((await get(gateway, "/endpoints/lal/other")).status).toBe(404);
    expect((await get(gateway, "/endpoints/nobody/model")).status).toBe(404);
    const broken = await get(gateway, "/endpoints/lal/broken");
    expect([broken.status, broken.text]).toEqual([404, expect.stringMatching(/no field or file/)]);
    await running.operations.lock();
    const locked = await get(gateway, "/endpoints/lal/model");
    expect([locked.status, JSON.parse(locked.text)]).toEqual([
      503,
      { message: expect.stringMatching(/run berth secrets unlock/) },
    ]);
  });

  it("leaves no socket behind when it ends", async () => {
    await serve();
    end?.();
    for (const client of [gateway, bridge])
      await expect(lstat(socket(client)), client).rejects.toThrow("ENOENT");
  });

  it("after a start it says that it knows nothing yet, so that the gateway keeps what it holds", async () => {
    running = await rig.start({ onepassword: true });
    await serve();
    expect((await get(gateway, "/endpoints/lal/model")).status).toBe(503);
  });

  it.each(["/status", "/alerts"])("%s belongs to another client", async (path) => {
    expect((await get(gateway, path)).status).toBe(404);
  });

  it.each([
    "/endpoints/lal/../lal/model",
    "/endpoints/lal/%6dodel",
    "/endpoints/lal%2fmodel",
    "/endpoints/../secrets/TOKEN",
    "/endpoints/lal/model/",
    "/endpoints//lal/model",
    "//endpoints/lal/model",
    "/endpoints/lal/model?agent=data",
    "/endpoints/lal/model#x",
    "/endpoints/lal/constructor",
    "/endpoints/lal/__proto__",
    "/endpoints/LAL/model",
    "/endpoints/lal/TOKEN",
    "/endpoints/lal",
    "/endpoints",
    "http://berth/endpoints/lal/model",
    "/",
    "*",
  ])("%s is nothing", async (path) => {
    const answer = await get(gateway, path);
    expect([answer.status, answer.text]).toEqual([404, expect.not.stringMatching(/canary|https:/)]);
  });

  it.each(["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])(
    "%s is answered with 404",
    async (method) => {
      expect((await get(gateway, "/endpoints/lal/model", method)).status).toBe(404);
    },
  );

  it("nothing in a request says who asks: headers that claim another client change nothing", async () => {
    const answer = await raw(
      gateway,
      "GET /status HTTP/1.1\r\nhost: admin-bridge\r\nx-client: admin-bridge\r\nconnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 404 /);
  });

  it.each<[string, string, RegExp]>([
    [
      "a head over 2 KiB",
      `GET / HTTP/1.1\r\nhost: b\r\nx: ${"y".repeat(5_000)}\r\n\r\n`,
      /^HTTP\/1.1 400 /,
    ],
    ["no HTTP", "hello\r\n\r\n", /^HTTP\/1.1 400 /],
    [
      "a request smuggled in a length",
      "GET / HTTP/1.1\r\nhost: b\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
      /^HTTP\/1.1 400 /,
    ],
    ["a tunnel", "CONNECT api.example.com:443 HTTP/1.1\r\nhost: b\r\n\r\n", /^HTTP\/1.1 404 /],
    [
      "an upgrade",
      "GET /endpoints/lal/other HTTP/1.1\r\nhost: b\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      /^HTTP\/1.1 404 /,
    ],
    [
      "an expectation",
      "POST /status HTTP/1.1\r\nhost: b\r\nexpect: 100-continue\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
      /^HTTP\/1.1 404 /,
    ],
  ])("%s is refused and ends", async (_what, bytes, wanted) => {
    const answer = await raw(gateway, bytes);
    expect(answer).toMatch(wanted);
    expect(answer.match(/HTTP\/1.1/g)).toHaveLength(1);
    expect(answer).not.toContain("canary");
  });

  it("over 64 connections at a time are closed; those that are there go on", async () => {
    const open = await Promise.all(
      Array.from(
        { length: 64 },
        () =>
          new Promise<net.Socket>((resolve) => {
            const connection = net.connect({ path: socket(gateway) }, () => resolve(connection));
          }),
      ),
    );
    const [first] = open;
    expect(await raw(gateway, "GET /endpoints/lal/model HTTP/1.1\r\nhost: b\r\n\r\n")).toBe("");
    first?.write("GET /endpoints/lal/other HTTP/1.1\r\nhost: b\r\n\r\n");
    const heard = await new Promise((resolve) => first?.once("data", resolve));
    expect(String(heard)).toMatch(/^HTTP\/1.1 404 /);
    for (const connection of open) connection.destroy();
  });
});

describe("headers", () => {
  beforeEach(serve);
  const reason = async (value: string) => {
    rig.onepassword.put("agents", "lal", { key: value });
    await rig.clock.pass(60_000);
    const answer = await get(gateway, "/endpoints/lal/model");
    return [answer.status, JSON.parse(answer.text).message];
  };

  it.each([
    ["a line break", "x\r\nx-admin: yes"],
    ["a single line feed", "x\ny"],
    ["a line feed at its end", "x\n"],
    ["a zero byte", "x\0y"],
    ["an escape", "x\u001b[2J"],
    ["a delete", "x\u007f"],
    ["a letter beyond ASCII", "pässword"],
    ["a line separator", "x\u2028y"],
  ])("%s in a value is refused, and the value is not shown", async (_what, value) => {
    expect(await reason(value)).toEqual([404, expect.stringMatching(/authorization.*line break/)]);
    expect(rig.log.join()).not.toContain("x-admin");
  });

  it("of more than 8 KiB are refused, of 8 KiB not", async () => {
    expect(await reason("x".repeat(8 * 1024 - 7))).toEqual([200, undefined]);
    expect(await reason("x".repeat(8 * 1024 - 6))).toEqual([404, expect.stringMatching(/8192/)]);
  });
});

describe("the admin bridge's socket", () => {
  beforeEach(serve);

  it("tells the status of everything, without a value", async () => {
    const { status, text } = await get(bridge, "/status");
    expect([status, text]).toEqual([200, expect.not.stringContaining("canary")]);
    expect(JSON.parse(text)).toMatchObject({
      provider: "onepassword",
      via: "sdk",
      state: "ready",
      requests: expect.any(Number),
      secrets: [
        { agent: "lal", name: "TOKEN", reference: "op://agents/lal/key", state: "delivered" },
        { agent: "lal", name: "endpoints.broken", state: "missing" },
        { agent: "lal", name: "endpoints.model", state: "delivered" },
      ],
    });
  });

  it("has no endpoints", async () => {
    expect((await get(bridge, "/endpoints/lal/model")).status).toBe(404);
  });

  it("streams the alerts that are kept and each new one; one who goes away is forgotten", async () => {
    const heard: string[] = [];
    const stream = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http
        .get({ socketPath: socket(bridge), path: "/alerts", agent: false }, resolve)
        .on("error", reject);
    });
    const lines = new Promise<void>((resolve) => {
      stream.setEncoding("utf8").on("data", (part: string) => {
        heard.push(...part.split("\n").filter((line) => line !== ""));
        if (heard.length >= 2) resolve();
      });
    });
    rig.onepassword.fail("refused");
    await rig.clock.pass(60_000);
    await lines;
    expect(heard.map((line) => JSON.parse(line))).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{8}-1$/),
        time: expect.stringMatching(/^2026-/),
        kind: "reference",
        client: "secret-store",
        text: expect.stringMatching(/^lal: endpoints.broken \(op:\/\/agents\/lal\/none\)/),
      },
      expect.objectContaining({ kind: "refused" }),
    ]);
    stream.destroy();
  });
});

describe("the directories", () => {
  it("are the store's own, closed to the host, and each client's socket is for its user only", async () => {
    await serve();
    expect((await lstat(storeDirectory())).mode & 0o777).toBe(0o700);
    for (const client of [gateway, bridge]) {
      expect((await lstat(join(storeDirectory(), client))).mode & 0o777).toBe(0o755);
      const found = await lstat(socket(client));
      expect([found.isSocket(), found.mode & 0o777, found.uid]).toEqual([true, 0o600, me]);
    }
  });

  it("a restart replaces the socket and keeps the directory, which the client has mounted", async () => {
    await serve();
    const before = (await lstat(join(storeDirectory(), gateway))).ino;
    end?.();
    await serve();
    expect((await lstat(join(storeDirectory(), gateway))).ino).toBe(before);
    expect(await readdir(join(storeDirectory(), gateway))).toEqual(["store.sock"]);
    expect((await get(gateway, "/endpoints/lal/model")).status).toBe(200);
  });

  it("a link in the place of a directory stops the start, and nothing is made where it leads", async () => {
    await mkdir(join(rig.root, "elsewhere"));
    await symlink(join(rig.root, "elsewhere"), join(storeDirectory(), gateway));
    await expect(serve()).rejects.toThrow(/egress-gateway is no directory/);
    expect(await readdir(join(rig.root, "elsewhere"))).toEqual([]);
  });

  it("what was planted in the place of the socket or of its making is replaced and not followed", async () => {
    const victim = join(rig.root, "victim");
    await writeFile(victim, "untouched", { mode: 0o640 });
    await mkdir(join(storeDirectory(), gateway));
    await symlink(victim, join(storeDirectory(), gateway, "store.sock"));
    await symlink(victim, join(storeDirectory(), gateway, ".store.sock.new"));
    await serve();
    expect((await lstat(socket(gateway))).isSocket()).toBe(true);
    expect((await lstat(victim)).mode & 0o777).toBe(0o640);
    await expect(readlink(join(storeDirectory(), gateway, "store.sock"))).rejects.toThrow();
  });
});
