import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Redacted } from "../../../../services/common/redacted.ts";
import type {
  Backend,
  BackendError,
} from "../../../../services/secret-store/onepassword/backend.ts";
import { opBackend } from "../../../../services/secret-store/onepassword/op.ts";
import {
  type InstalledOp,
  installOp,
  type OpItem,
} from "../../../support/onepassword/op-standin.mjs";

const token = "ops_canary-token";
const vaultId = "v".repeat(26);
const itemId = "i".repeat(26);
const never = new AbortController().signal;
const item: OpItem = {
  id: itemId,
  title: "Lal",
  version: 3,
  vault: { id: vaultId },
  sections: [],
  fields: [
    { id: "password", type: "CONCEALED", purpose: "PASSWORD", label: "password", value: "canary" },
    {
      id: "private_key",
      type: "SSHKEY",
      label: "private key",
      value: "pkcs8",
      ssh_formats: { openssh: { value: "openssh" } },
    },
  ],
  files: [{ id: "f".repeat(26), name: "key.pem", size: 3 }],
};

let folder: string;
let op: InstalledOp;
let backend: Backend;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "op-test-"));
  const vaults = [{ id: vaultId, name: "agents" }];
  op = installOp(folder, {
    token,
    vaults,
    items: [item],
    contents: { [`${"f".repeat(26)}`]: "cGVt" },
  });
  backend = start();
});
afterEach(() => {
  backend.close();
  rmSync(folder, { recursive: true });
});

function start(env: NodeJS.ProcessEnv = {}, timeoutMs?: number): Backend {
  return opBackend(
    { path: op.path, env, ...(timeoutMs ? { timeoutMs } : {}) },
    new Redacted(token),
  );
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

const place = { vaultId, itemId, title: "Lal", section: "new", field: "hook" };

describe("what op is given", () => {
  it("are these arguments, with no value and no token among them", async () => {
    await backend.vaults(never);
    await backend.items(vaultId, never);
    await backend.item(vaultId, itemId, never);
    await backend.file(vaultId, itemId, "f".repeat(26), never);
    await backend.write(place, new Redacted("canary-written"), never);
    await backend.write({ vaultId, title: "Made", field: "hook" }, new Redacted("canary"), never);
    const json = "--format json";
    expect(op.calls().map(({ args }) => args.join(" "))).toEqual([
      `vault list ${json}`,
      `item list --vault ${vaultId} ${json}`,
      `item get ${itemId} --vault ${vaultId} ${json}`,
      `read --no-newline op://${vaultId}/${itemId}/${"f".repeat(26)}`,
      `item get ${itemId} --vault ${vaultId} ${json}`,
      `item edit ${itemId} --vault ${vaultId} ${json}`,
      `item create - --vault ${vaultId} ${json}`,
    ]);
    expect(op.calls().flatMap(({ problems }) => problems)).toEqual([]);
    expect(op.calls().map(({ input }) => input > 0)).toEqual([...Array(5).fill(false), true, true]);
    expect(backend.requests).toBe(7);
  });

  it("B16: is an environment of its token and its ways out, and nothing of this process's", async () => {
    vi.stubEnv("OP_CONNECT_HOST", "http://connect");
    vi.stubEnv("OP_CONNECT_TOKEN", "other");
    const env = {
      ...process.env,
      HTTPS_PROXY: "http://127.0.0.1:3128",
      NO_PROXY: "x",
      AWS_KEY: "a",
    };
    const other = start(env);
    try {
      await other.vaults(never);
      const [call] = op.calls();
      expect(call?.problems).toEqual([]);
      const own = [
        "HOME",
        "OP_BIOMETRIC_UNLOCK_ENABLED",
        "OP_CACHE",
        "OP_SERVICE_ACCOUNT_TOKEN",
        "XDG_CONFIG_HOME",
      ];
      const proxies = ["HTTPS_PROXY", "NO_PROXY"];
      const inherited = [
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
      ];
      expect(call?.names.filter((name) => !inherited.includes(name))).toEqual(
        [...own, ...proxies].sort(),
      );
    } finally {
      other.close();
      vi.unstubAllEnvs();
    }
  });

  it("is a private home that goes with the back end", async () => {
    await backend.vaults(never);
    const [{ home } = { home: "" }] = op.calls();
    expect(statSync(home).mode & 0o777).toBe(0o700);
    backend.close();
    expect(existsSync(home)).toBe(false);
    expect((await errorOf(backend.vaults(never))).kind).toBe("unreachable");
    expect(existsSync(home)).toBe(false);
  });

  it("is noticed by the stand-in where it is wrong", async () => {
    for (const wrong of [`op://x/${token}`, "password[concealed]=x"]) {
      const { spawnSync } = await import("node:child_process");
      const { status, stderr } = spawnSync(op.path, ["item", "get", wrong], {
        env: { OP_SERVICE_ACCOUNT_TOKEN: token, OP_CONNECT_HOST: "x", HOME: folder },
        encoding: "utf8",
      });
      expect(status).toBe(1);
      for (const said of [
        "stands in an argument",
        "OP_CONNECT_HOST would win",
        "cache",
        "pipe",
        "vault",
      ])
        expect(stderr).toContain(said);
    }
  });
});

describe("what op says", () => {
  it("of a private key in OpenSSH's format stands in the item", async () => {
    const [, key] = (await backend.item(vaultId, itemId, never)).fields;
    expect(key?.openssh?.reveal()).toBe("openssh");
    expect(key?.kind).toBe("sshkey");
  });

  it.each([
    ["(401) Unauthorized: You are unauthorized to make this request.", "refused"],
    ["Signin credentials are not compatible with the provided user auth from server", "refused"],
    ["failed to session.DecodeSACredentials: invalid credentials provided", "refused"],
    ["failed to re-initialize service account session: canary", "refused"],
    ["You are not currently signed in. Please run `op signin --help`", "refused"],
    ["(403) Forbidden: You don't have permission to perform this action: canary", "forbidden"],
    ["(429) Too Many Requests: … Please retry in 3 seconds or try other requests.", "limited"],
    ["(429) Too Many Requests", "limited"],
    ['"canary" isn\'t an item in the "agents" vault. Specify the item with its UUID', "not-found"],
    [
      '"canary" isn\'t a vault in this account. Specify the vault with its ID or name.',
      "not-found",
    ],
    ["item 'a/b' does not have a field 'canary'", "not-found"],
    ["dial tcp: lookup my.1password.com on 127.0.0.11:53: no such host", "unreachable"],
    [
      'Get "https://my.1password.com": proxyconnect tcp: dial tcp: connection refused',
      "unreachable",
    ],
    [
      "tls: failed to verify certificate: x509: certificate signed by unknown authority",
      "unreachable",
    ],
    ["(503) Service Unavailable", "unreachable"],
    ["something new that says canary", "bad-answer"],
    ["", "bad-answer"],
  ])("is understood and not passed on: %s", async (error, kind) => {
    op.change((data) => {
      data.behaviour = { error };
    });
    const got = await errorOf(backend.item(vaultId, itemId, never));
    expect(got.kind).toBe(kind);
    expect(got.message).toContain(`op: item ${itemId} `);
    expect(got.retryAfterMs).toBe(error.includes("3 seconds") ? 3000 : undefined);
  });

  it.each(["", "canary: not json", "[1,", '{"canary":true}', '"canary"'])(
    "is no answer where it is %j",
    async (output) => {
      op.change((data) => {
        data.behaviour = { output };
      });
      expect((await errorOf(backend.vaults(never))).kind).toBe("bad-answer");
    },
  );

  it("is left where it has more than 16 MiB", async () => {
    op.change((data) => {
      data.behaviour = { flood: 17 * 1024 * 1024 };
    });
    expect(await errorOf(backend.vaults(never))).toMatchObject({
      kind: "bad-answer",
      message: "op: vaults printed more than 16777216 bytes",
    });
  });
});

describe("op's process", () => {
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  it("ends with the call: by signal, time limit and close", async () => {
    op.change((data) => {
      data.behaviour = { hang: true };
    });
    const started = async (count: number) => {
      await vi.waitUntil(() => op.calls().length === count, { timeout: 20_000 });
      return op.calls()[count - 1]?.pid ?? 0;
    };
    const given = new AbortController();
    const first = errorOf(backend.vaults(given.signal));
    const firstPid = await started(1);
    expect(isAlive(firstPid)).toBe(true);
    given.abort();
    expect((await first).message).toBe("op: vaults was given up");
    await vi.waitUntil(() => !isAlive(firstPid), { timeout: 20_000 });

    const hasty = start({}, 100);
    expect((await errorOf(hasty.vaults(never))).message).toBe("op: vaults took more than 0.1 s");
    hasty.close();

    const before = op.calls().length;
    const last = errorOf(backend.vaults(never));
    const lastPid = await started(before + 1);
    backend.close();
    expect((await last).kind).toBe("unreachable");
    await vi.waitUntil(() => !isAlive(lastPid), { timeout: 20_000 });
  });

  it("that cannot be started is named with its cure", async () => {
    rmSync(op.path);
    expect(await errorOf(backend.vaults(never))).toMatchObject({
      kind: "unreachable",
      message: "op: vaults could not be started (ENOENT): is opPath the op program?",
    });
    writeFileSync(op.path, "no program");
    chmodSync(op.path, 0o644);
    expect((await errorOf(backend.vaults(never))).message).toContain("(EACCES)");
  });

  it("is not started where its config has no place", async () => {
    vi.stubEnv("TMPDIR", join(folder, "nowhere"));
    try {
      expect(await errorOf(backend.vaults(never))).toMatchObject({
        kind: "unreachable",
        message: "op: there is no place for its config (ENOENT)",
      });
    } finally {
      vi.unstubAllEnvs();
    }
    expect(op.calls()).toEqual([]);
  });

  it("that dies of a signal is an error", async () => {
    writeFileSync(op.path, `#!${process.execPath}\nprocess.kill(process.pid, "SIGKILL")`);
    chmodSync(op.path, 0o755);
    expect((await errorOf(backend.vaults(never))).message).toContain("SIGKILL");
  });

  it("is never started for an id that could be an option or a path", async () => {
    for (const id of ["--vault", "-x", "../x", "a b", ""]) {
      expect((await errorOf(backend.items(id, never))).kind).toBe("bad-answer");
      expect((await errorOf(backend.item(vaultId, id, never))).kind).toBe("bad-answer");
      expect((await errorOf(backend.file(vaultId, itemId, id, never))).kind).toBe("bad-answer");
    }
    expect(op.calls()).toEqual([]);
  });
});
