import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect, promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Redacted } from "../../../../services/common/redacted.ts";
import type { BackendError } from "../../../../services/secret-store/onepassword/backend.ts";
import { type SdkClient, sdkBackend } from "../../../../services/secret-store/onepassword/sdk.ts";
import { type SdkWorld, sdkClient } from "../../../support/onepassword/sdk-client.ts";

const vaultId = "v".repeat(26);
const itemId = "i".repeat(26);
const never = new AbortController().signal;

async function errorOf(work: Promise<unknown>): Promise<BackendError> {
  const error = await work.then(
    () => new Error("nothing was thrown"),
    (thrown: BackendError) => thrown,
  );
  expect(error.name).toBe("BackendError");
  expect(inspect(error, { depth: 9 }) + JSON.stringify(error)).not.toMatch(/canary|ops_/);
  return error as BackendError;
}

function worldWith(item: object = {}): SdkWorld {
  const made = {
    ...{ id: itemId, vaultId, title: "Lal", category: "ApiCredentials", notes: "", tags: [] },
    ...{ websites: [], version: 1, createdAt: new Date(0), updatedAt: new Date(1), sections: [] },
    ...{ fields: [], files: [] },
    ...item,
  };
  return {
    token: "ops_canary",
    vaults: [{ id: vaultId, title: "agents" }],
    items: [made as unknown as SdkWorld["items"][number]],
    contents: new Map(),
    openssh: new Map(),
    failure: undefined,
    hang: false,
    calls: [],
  };
}

/** A back end over the stand-in, and how often a client was made. */
function over(world: SdkWorld, timeoutMs?: number) {
  const opened: string[] = [];
  const open = async (token: Redacted<string>): Promise<SdkClient> => {
    opened.push(token.reveal());
    return sdkClient(world, token.reveal());
  };
  return { opened, backend: sdkBackend(new Redacted("ops_canary"), open, timeoutMs) };
}

describe("the SDK's adapter", () => {
  it("signs in at the first use, once, and again after a refusal", async () => {
    const world = worldWith();
    const { backend, opened } = over(world);
    expect(opened).toEqual([]);
    await Promise.all([backend.vaults(never), backend.items(vaultId, never)]);
    await backend.vaults(never);
    expect(opened.length).toBe(1);
    expect(backend.requests).toBe(4);
    world.token = "ops_other";
    expect((await errorOf(backend.vaults(never))).kind).toBe("refused");
    world.token = "ops_canary";
    expect((await backend.vaults(never)).length).toBe(1);
    expect(opened.length).toBe(2);
  });

  it("forgets a failed sign-in, and none of its errors is one about an item", async () => {
    const failures = [new Error("resource not found"), new Error("rate limit exceeded")];
    const backend = sdkBackend(new Redacted("ops_canary"), async () => {
      const failure = failures.shift();
      if (failure) throw failure;
      return sdkClient(worldWith(), "ops_canary");
    });
    expect((await errorOf(backend.item(vaultId, itemId, never))).kind).toBe("bad-answer");
    expect((await errorOf(backend.item(vaultId, itemId, never))).kind).toBe("limited");
    expect((await backend.item(vaultId, itemId, never)).title).toBe("Lal");
  });

  it("asks for keys in OpenSSH's format where there are keys, and only there", async () => {
    const key = { id: "private_key", title: "private key", fieldType: "SshKey", value: "pkcs8" };
    const text = { id: "username", title: "username", fieldType: "Text", value: "lal" };
    const world = worldWith({ fields: [key, text] });
    world.openssh.set(itemId, "openssh");
    const { backend } = over(world);
    const [first, second] = (await backend.item(vaultId, itemId, never)).fields;
    expect([first?.openssh?.reveal(), second?.openssh]).toEqual(["openssh", undefined]);
    expect(world.calls).toEqual(["items.get", "secrets.resolve"]);
    world.openssh.clear();
    const [unconverted] = (await backend.item(vaultId, itemId, never)).fields;
    expect([unconverted?.kind, unconverted?.openssh]).toEqual(["sshkey", undefined]);
  });

  it("finds notes, documents and the time of change where the SDK keeps them", async () => {
    const document = { id: "d".repeat(26), name: "doc.txt", size: 3 };
    const otp = { id: "TOTP_1", title: "code", fieldType: "Totp", value: "uri" };
    const details = { type: "Otp", content: { errorMessage: "no good" } };
    const fields = [{ ...otp, details }];
    const world = worldWith({
      notes: "remember",
      document,
      fields,
      updatedAt: new Date(86_400_000),
    });
    world.contents.set(document.id, Buffer.from("doc"));
    const { backend } = over(world);
    const item = await backend.item(vaultId, itemId, never);
    expect(item.version).toBe("1970-01-02T00:00:00.000Z");
    expect(item.fields.map(({ id, kind, otp: code }) => [id, kind, code])).toEqual([
      ["TOTP_1", "otp", undefined],
      ["notesPlain", "string", undefined],
    ]);
    expect(item.files).toEqual([document]);
    const file = await backend.file(vaultId, itemId, document.id, never);
    expect(file.reveal().toString()).toBe("doc");
  });

  it("reads no file that could end its process", async () => {
    const attributes = { id: "d".repeat(26), name: "huge", size: 60 * 1024 * 1024 };
    const world = worldWith({ files: [{ attributes, sectionId: "", fieldId: "x" }] });
    const { backend } = over(world);
    const error = await errorOf(backend.file(vaultId, itemId, attributes.id, never));
    expect(error.message).toContain("more than 16777216 bytes");
    expect(world.calls).toEqual(["items.get"]);
  });

  it("ends a call that the SDK does not end", async () => {
    const world = worldWith();
    world.hang = true;
    const { backend } = over(world, 50);
    expect((await errorOf(backend.vaults(never))).message).toMatch(/took more than 0.05 s$/);
  });

  it.each([
    ["rate limit exceeded", "limited"],
    ["authentication error: rate limit exceeded", "limited"],
    ["authentication error: you are not authenticated", "refused"],
    ["bad service account token, please rotate it: canary", "refused"],
    ["you don't have the right permissions to access this resource", "forbidden"],
    ["error listing items: resource not found", "not-found"],
    ["item is not in an active state", "not-found"],
    ["reqwest library: error sending request for canary", "unreachable"],
    ["request timeout", "unreachable"],
    ["unexpected status code in response: 503 Service Unavailable", "unreachable"],
    ['when deserializing HTTP responses: Error("canary")', "bad-answer"],
    ["unreachable executed", "bad-answer"],
  ])("understands, and does not pass on: %s", async (message, kind) => {
    const world = worldWith();
    const { backend } = over(world);
    world.failure = new Error(message);
    expect((await errorOf(backend.item(vaultId, itemId, never))).kind).toBe(kind);
  });

  it("understands the SDK's own classes of errors, whatever they say", async () => {
    const { AuthExpiredError, RateLimitExceededError } = await import("@1password/sdk");
    const world = worldWith();
    const { backend } = over(world);
    world.failure = new RateLimitExceededError("canary");
    expect((await errorOf(backend.vaults(never))).kind).toBe("limited");
    world.failure = new AuthExpiredError("canary");
    expect((await errorOf(backend.vaults(never))).kind).toBe("refused");
    world.failure = "canary" as unknown as Error;
    expect((await errorOf(backend.vaults(never))).kind).toBe("bad-answer");
  });
});

/** A token as 1Password makes them, of an account that nobody has. */
function tokenOf(signInAddress: string): string {
  const token = {
    signInAddress,
    userAuth: {
      method: "SRPg-4096",
      alg: "PBES2g-HS256",
      iterations: 650000,
      salt: "A".repeat(22),
    },
    email: "canarycanary1@1passwordserviceaccounts.com",
    srpX: "a".repeat(64),
    muk: {
      alg: "A256GCM",
      ext: true,
      k: "A".repeat(43),
      key_ops: ["encrypt", "decrypt"],
      kty: "oct",
      kid: "mp",
    },
    secretKey: "A3-CANARY-ABCDEF-ABCDE-ABCDE-ABCDE-ABCDE",
    throttleSecret: { seed: "a".repeat(64), uuid: "ABCDEFGHIJKLMNOPQRSTUVWXYZ" },
    deviceUuid: "abcdefghijklmnopqrstuvwxyz",
  };
  return `ops_${Buffer.from(JSON.stringify(token)).toString("base64url")}`;
}

describe("the real SDK", () => {
  it("B8: refuses what is no token, without a network", async () => {
    for (const written of [
      "canary",
      "ops_canary",
      `ops_${Buffer.from('{"canary":1}').toString("base64url")}`,
    ]) {
      const { kind, message } = await errorOf(sdkBackend(new Redacted(written)).vaults(never));
      expect(kind).toBe("refused");
      expect(message).toBe(
        "1Password's SDK: signing in was refused: the token is wrong, revoked or expired",
      );
    }
  });

  it("says of a token whose account cannot be reached that it cannot", async () => {
    const nowhere = new Redacted(tokenOf("127.0.0.1:1"));
    expect((await errorOf(sdkBackend(nowhere).vaults(never))).kind).toBe("unreachable");
  });
});

describe("the real SDK, in a process of its own", () => {
  let folder: string;
  let certificate: string;
  let server: https.Server;
  let status = 200;
  const asked: string[] = [];
  const files = new URL("../../../../services/", import.meta.url);
  /** Asks for the vaults; prints the kind of the error, and its message. */
  const program = `
    import { Redacted } from ${JSON.stringify(new URL("common/redacted.ts", files).href)};
    import { sdkBackend } from ${JSON.stringify(new URL("secret-store/onepassword/sdk.ts", files).href)};
    await sdkBackend(new Redacted(process.env.TOKEN)).vaults(AbortSignal.timeout(30_000))
      .catch(({ kind, message }) => console.log(kind, message));`;
  const run = async (token: string, env: NodeJS.ProcessEnv = {}) => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      ["--no-warnings", "--input-type=module", "-e", program],
      { env: { TOKEN: token, NODE_EXTRA_CA_CERTS: certificate, ...env } },
    );
    expect(stdout + stderr).not.toMatch(/ops_|canary/i);
    return stdout.split(" ")[0];
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sdk-"));
    const key = join(folder, "key.pem");
    certificate = join(folder, "certificate.pem");
    const names = "subjectAltName=IP:127.0.0.1,DNS:account.test";
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=account -keyout ${key} -out ${certificate} -addext ${names}`.split(
        " ",
      ),
      { stdio: "ignore" },
    );
    server = https.createServer(
      { key: readFileSync(key), cert: readFileSync(certificate) },
      (request, response) => {
        asked.push(`${request.method} ${request.url}`);
        response.writeHead(status, { "content-type": "application/json" }).end("{}");
      },
    );
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
    rmSync(folder, { recursive: true });
  });

  const port = () => (server.address() as AddressInfo).port;
  it.each([
    [401, "refused"],
    [403, "forbidden"],
    [404, "bad-answer"],
    [429, "limited"],
    [500, "unreachable"],
    [503, "unreachable"],
    [400, "bad-answer"],
    [200, "refused"],
  ])("takes a sign-in that is answered with %s for %s", async (answered, kind) => {
    status = answered;
    asked.length = 0;
    expect(await run(tokenOf(`127.0.0.1:${port()}`))).toBe(kind);
    expect(asked).toEqual(["POST /api/v3/auth/start"]);
  });

  it("goes through the proxy of the environment", async () => {
    const connects: string[] = [];
    const proxy = net.createServer((socket) => {
      socket.once("data", (first) => {
        connects.push(String(first).split("\r\n")[0] ?? "");
        const out = net.connect(port(), "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 OK\r\n\r\n");
          out.pipe(socket).pipe(out);
        });
        out.on("error", () => socket.destroy());
      });
      socket.on("error", () => socket.destroy());
    });
    await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
    try {
      status = 401;
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
      const env = { HTTPS_PROXY: url, NO_PROXY: "127.0.0.1,localhost", NODE_USE_ENV_PROXY: "1" };
      expect(await run(tokenOf("account.test"), env)).toBe("refused");
      expect(connects).toEqual(["CONNECT account.test:443 HTTP/1.1"]);
    } finally {
      proxy.close();
    }
  });
});
