import http from "node:http";
import net, { type AddressInfo, type Server } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Redacted } from "../../../../services/common/redacted.ts";
import type {
  Backend,
  BackendError,
} from "../../../../services/secret-store/onepassword/backend.ts";
import { connectBackend } from "../../../../services/secret-store/onepassword/connect.ts";
import { makeBackend } from "../../../../services/secret-store/onepassword/make.ts";
import { selectValue } from "../../../../services/secret-store/onepassword/select.ts";
import { type ConnectDouble, startConnect } from "../../../support/onepassword/connect-double.mjs";

const canary = "canary-token-77f0";
const token = new Redacted(canary);
const never = new AbortController().signal;
let closing: (() => unknown)[] = [];
afterEach(async () => {
  const all = closing.toReversed();
  closing = [];
  for (const close of all) await close();
});

async function open(
  url: string,
  more: { ca?: string | undefined; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Backend> {
  const backend = await connectBackend({ url, env: {}, ...more }, token);
  closing.push(() => backend.close());
  return backend;
}

/** A server for which every listener is a test's own. */
async function listening(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  closing.push(() => {
    if (server instanceof http.Server) server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return (server.address() as AddressInfo).port;
}

async function errorOf(work: Promise<unknown>): Promise<BackendError> {
  const error = await work.then(
    () => new Error("nothing was thrown"),
    (thrown: BackendError) => thrown,
  );
  expect(error.name).toBe("BackendError");
  expect(inspect(error, { depth: 9 }) + JSON.stringify(error)).not.toContain("canary");
  return error as BackendError;
}

describe("Connect's answers", () => {
  let double: ConnectDouble;
  let backend: Backend;
  beforeEach(async () => {
    double = await startConnect({ token: canary, vaults: ["agents"] });
    closing.push(() => double.close());
    backend = await open(double.url);
  });

  const json = (status: number) => `{"status":${status},"message":"canary of the server"}`;
  const type = "application/json";
  it.each([
    ["401 of Connect", { status: 401, body: json(401) }, "refused"],
    ["403 of Connect", { status: 403, body: json(403) }, "forbidden"],
    ["404 of Connect", { status: 404, body: json(404) }, "not-found"],
    ["400 of Connect", { status: 400, body: json(400) }, "bad-answer"],
    ["401 of a proxy", { status: 401, type: "text/html", body: "canary" }, "bad-answer"],
    ["403 of a proxy", { status: 403, type: "text/plain", body: "not on the list" }, "bad-answer"],
    ["404 of a web server", { status: 404, type: "text/html", body: "<h1>404" }, "bad-answer"],
    ["404 that says 200", { status: 404, body: json(200) }, "bad-answer"],
    ["410", { status: 410, body: json(410) }, "bad-answer"],
    ["500", { status: 500, body: json(500) }, "unreachable"],
    ["502 with a page", { status: 502, type: "text/html", body: "<h1>canary" }, "unreachable"],
    ["408", { status: 408, body: "" }, "unreachable"],
    ["204", { status: 204, body: "" }, "bad-answer"],
    ["a web page", { status: 200, type: "text/html", body: "<h1>canary" }, "bad-answer"],
    ["JSON under another type", { status: 200, type: "text/plain", body: "[]" }, "bad-answer"],
    ["broken JSON", { status: 200, type, body: '[{"id":"canary' }, "bad-answer"],
    ["bytes that are no UTF-8", { status: 200, type: "application/json", body: "" }, "bad-answer"],
    ["no list", { status: 200, type, body: '{"canary":1}' }, "bad-answer"],
    ["a list of other things", { status: 200, type, body: '["canary"]' }, "bad-answer"],
    ["a vault without an id", { status: 200, type, body: '[{"name":"canary"}]' }, "bad-answer"],
    [
      "a path for an id",
      { status: 200, type, body: '[{"id":"../canary","name":"x"}]' },
      "bad-answer",
    ],
    ["null", { status: 200, type, body: "null" }, "bad-answer"],
  ])("of %s are told apart, and none of their text is passed on", async (_, answer, kind) => {
    double.control.behaviour({ answer });
    expect((await errorOf(backend.vaults(never))).kind).toBe(kind);
  });

  it.each([
    ["120", 120_000],
    ["0", 0],
    ["99999999", 86_400_000],
    [new Date(Date.now() + 90_000).toUTCString(), 90_000],
    [new Date(0).toUTCString(), 0],
    ["soon", undefined],
  ])("with Retry-After: %s say how long to wait", async (written, pause) => {
    for (const status of [429, 503]) {
      const headers = { "retry-after": written };
      double.control.behaviour({ answer: { status, headers } });
      const { retryAfterMs } = await errorOf(backend.vaults(never));
      if (pause === undefined) expect(retryAfterMs).toBeUndefined();
      else expect(Math.abs((retryAfterMs ?? -1e9) - pause)).toBeLessThan(3000);
    }
  });

  it("are not followed elsewhere, so that the token goes nowhere else", async () => {
    const other = await startConnect({ token: canary });
    closing.push(() => other.close());
    const headers = { location: `${other.url}/v1/vaults` };
    for (const status of [301, 302, 307, 308]) {
      double.control.behaviour({ answer: { status, headers } });
      expect((await errorOf(backend.vaults(never))).message).toContain("redirected");
    }
    expect(other.control.requests().count).toBe(0);
  });

  it("of more than 16 MiB are left, those of a little less are read", async () => {
    const items = (bytes: number) => `[{"id":"a","title":"${"x".repeat(bytes)}","version":1}]`;
    const body = items(16 * 1024 * 1024);
    double.control.behaviour({ answer: { status: 200, body } });
    expect(await errorOf(backend.items("a", never))).toMatchObject({
      kind: "bad-answer",
      message: expect.stringContaining("16777216 bytes"),
    });
    double.control.behaviour({ answer: { status: 200, body: items(16 * 1024 * 1024 - 100) } });
    expect((await backend.items("a", never)).length).toBe(1);
  });

  it("that are cut are no answers", async () => {
    double.control.behaviour({ cutAfter: 1 });
    expect((await errorOf(backend.vaults(never))).kind).toBe("unreachable");
    double.control.behaviour({ away: true });
    expect((await errorOf(backend.vaults(never))).message).toContain("cut");
  });

  it("that are slow are waited for, and those that are too slow are not", async () => {
    double.control.behaviour({ delayMs: 150 });
    expect((await backend.vaults(never)).length).toBe(1);
    const hasty = await open(double.url, { timeoutMs: 200 });
    double.control.behaviour({ hang: true });
    expect(await errorOf(hasty.vaults(never))).toMatchObject({
      kind: "unreachable",
      message: "Connect: GET vaults gave no whole answer in 0.2 s",
    });
  });

  it("whose body never ends are given up as well", async () => {
    const server = http.createServer((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("[");
    });
    const slow = await open(`http://127.0.0.1:${await listening(server)}`, { timeoutMs: 200 });
    expect((await errorOf(slow.vaults(never))).kind).toBe("unreachable");
  });

  it("are Connect's: what does not talk HTTP is not, nor is where nothing listens", async () => {
    const port = await listening(
      net.createServer((socket) => socket.resume().end("canary\r\n\r\n")),
    );
    expect(await errorOf((await open(`http://127.0.0.1:${port}`)).vaults(never))).toMatchObject({
      kind: "bad-answer",
    });
    await double.close();
    expect(await errorOf(backend.vaults(never))).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("nothing listens there"),
    });
  });

  it("of a file are its bytes, and a web page is no file", async () => {
    const item = double.control.item({
      vault: "agents",
      title: "Lal",
      files: [{ name: "page.html", content: Buffer.from("<h1>mine").toString("base64") }],
    });
    const [vault] = await backend.vaults(never);
    const vaultId = vault?.id ?? "";
    const [file] = (await backend.item(vaultId, item.id, never)).files;
    const read = () => backend.file(vaultId, item.id, file?.id ?? "", never);
    expect((await read()).reveal().toString()).toBe("<h1>mine");
    double.control.behaviour({ answer: { status: 200, type: "text/html", body: "<h1>log in" } });
    expect((await errorOf(read())).kind).toBe("bad-answer");
  });

  it("tell how far this machine's clock is off, and one-time passwords are of Connect's", async () => {
    expect(backend.clockSkewMs).toBeUndefined();
    await backend.vaults(never);
    expect(Math.abs(backend.clockSkewMs ?? 1e9)).toBeLessThan(1500);
    double.control.behaviour({ skewMs: 90_000 });
    const uri = "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP";
    double.control.item({
      vault: "agents",
      title: "Otp",
      fields: [{ label: "code", type: "OTP", value: uri }],
    });
    const [vault] = await backend.vaults(never);
    expect(Math.abs((backend.clockSkewMs ?? 1e9) + 90_000)).toBeLessThan(1500);
    const [head] = await backend.items(vault?.id ?? "", never);
    const item = await backend.item(vault?.id ?? "", head?.id ?? "", never);
    const reference = {
      scheme: "op",
      vault: "agents",
      item: "Otp",
      field: "code",
      attribute: "otp",
    } as const;
    expect(selectValue(item, reference)).toMatchObject({ kind: "value" });
  });

  it("are not asked for by ids that lead elsewhere", async () => {
    for (const id of ["..", "a/b", "a?b", "", "-v", "ä"])
      expect((await errorOf(backend.item(id, "a", never))).kind).toBe("bad-answer");
    expect(double.control.requests().count).toBe(0);
  });
});

describe("a token of Connect", () => {
  it.each(["", "two words", "line\r\nx-injected: 1", "ä"])("is not %j", async (written) => {
    const made = connectBackend({ url: "http://127.0.0.1:1", env: {} }, new Redacted(written));
    const { kind, message } = await errorOf(made);
    expect(kind).toBe("refused");
    if (written !== "") expect(message).not.toContain(written);
  });
});

describe("the way to Connect", () => {
  it("by HTTPS believes the CA that is given, and no other", async () => {
    const double = await startConnect({ token: canary, vaults: ["agents"], names: ["127.0.0.1"] });
    closing.push(() => double.close());
    const ca = double.certificate;
    expect((await (await open(double.url, { ca })).vaults(never)).length).toBe(1);
    const error = await errorOf((await open(double.url)).vaults(never));
    expect(error.kind).toBe("unreachable");
    expect(error.message).toMatch(/certificate is not believed.*connectCa/);
    expect(double.control.requests().count).toBe(1);
  });

  it("by HTTPS wants the certificate to have Connect's name", async () => {
    const double = await startConnect({ token: canary, names: ["another.test"] });
    closing.push(() => double.close());
    const backend = await open(double.url, { ca: double.certificate });
    expect((await errorOf(backend.vaults(never))).message).toContain("ALTNAME");
    expect(double.control.requests().count).toBe(0);
  });

  /** A proxy on loopback, as the store has one: it lets everything through to `port`, or refuses. */
  async function proxyTo(port: number, refuses = false) {
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      if (refuses) return response.writeHead(403, { "content-type": "text/plain" }).end("no");
      const { pathname } = new URL(request.url ?? "");
      const forward = { port, path: pathname, method: request.method, headers: request.headers };
      request.pipe(
        http.request(forward, (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        }),
      );
      return undefined;
    });
    server.on("connect", (request, socket) => {
      asked.push(`CONNECT ${request.url}`);
      socket.on("error", () => socket.destroy());
      if (refuses) return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      const out = net.connect(port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        out.pipe(socket).pipe(out);
      });
      out.on("error", () => socket.destroy());
      return undefined;
    });
    const url = `http://127.0.0.1:${await listening(server)}`;
    const env = {
      HTTP_PROXY: url,
      HTTPS_PROXY: url,
      NO_PROXY: "127.0.0.1,localhost",
      NODE_USE_ENV_PROXY: "1",
    };
    return { asked, env };
  }

  it("goes through the proxy of the environment, by HTTP and, with a CA of one's own, by HTTPS", async () => {
    const plain = await startConnect({ token: canary, vaults: ["agents"] });
    const tls = await startConnect({ token: canary, vaults: ["agents"], names: ["connect.test"] });
    closing.push(
      () => plain.close(),
      () => tls.close(),
    );
    const first = await proxyTo(plain.port);
    expect((await (await open("http://connect.test:8080", first)).vaults(never)).length).toBe(1);
    expect(first.asked).toEqual(["GET http://connect.test:8080/v1/vaults"]);
    const second = await proxyTo(tls.port);
    const backend = await open("https://connect.test", { ...second, ca: tls.certificate });
    expect((await backend.vaults(never)).length).toBe(1);
    expect(second.asked).toEqual(["CONNECT connect.test:443"]);
  });

  it("leaves the proxy where the environment says so", async () => {
    const double = await startConnect({ token: canary, vaults: ["agents"] });
    closing.push(() => double.close());
    const { asked, env } = await proxyTo(double.port);
    expect((await (await open(double.url, { env })).vaults(never)).length).toBe(1);
    const { NODE_USE_ENV_PROXY: _, ...unused } = env;
    expect(
      (await (await open(double.url, { env: { ...unused, NO_PROXY: "" } })).vaults(never)).length,
    ).toBe(1);
    expect(asked).toEqual([]);
  });

  it("says which setting a refusing proxy wants, and takes its 403 for nobody's word on a vault", async () => {
    const { env } = await proxyTo(0, true);
    const tunnel = await errorOf((await open("https://connect.test", { env })).vaults(never));
    expect(tunnel).toMatchObject({ kind: "unreachable" });
    expect(tunnel.message).toContain("hosts of berth:secrets");
    const plain = await errorOf((await open("http://connect.test", { env })).vaults(never));
    expect(plain.kind).toBe("bad-answer");
  });
});

describe("makeBackend", () => {
  it("makes the one that is asked for, and says what its settings lack", async () => {
    for (const settings of [
      { via: "connect", connectUrl: "http://127.0.0.1:1" },
      { via: "op", opPath: "/usr/bin/op" },
      { via: "sdk" },
    ] as const) {
      const backend = await makeBackend(settings, token);
      expect(backend).toMatchObject({ kind: settings.via, requests: 0 });
      backend.close();
    }
    await expect(makeBackend({ via: "connect" }, token)).rejects.toThrow("needs connectUrl");
    await expect(makeBackend({ via: "op" }, token)).rejects.toThrow("needs opPath");
    for (const via of ["connect", "op", "sdk"] as const) {
      const made = makeBackend(
        { via, connectUrl: "http://127.0.0.1:1", opPath: "/op" },
        new Redacted(""),
      );
      await expect(made).rejects.toMatchObject({ kind: "refused" });
    }
  });
});
