import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { rotateToken } from "../../../services/admin-bridge/operator.ts";
import { Store } from "../../../services/admin-bridge/store.ts";
import { createLog } from "../../../services/common/log.ts";
import { followRenewals } from "../../../services/egress-gateway/mattermost/renewals.ts";
import {
  adminBridgeChannels,
  adminBridgeMint,
} from "../../../services/egress-gateway/mattermost/tokens.ts";
import { call, declaration, TestGateway } from "../egress-gateway/support.ts";
import { declare, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
let gateway: TestGateway;
let following: AbortController;
beforeEach(async () => {
  rig = await Rig.open();
  rig.proxy.declare(declare("lal"), declare("data"), declare("mute", { network: "none" }));
  await rig.start({ tokenWaits: { takeWithinMs: 2_000, settleMs: 100 } });
  const bridge = { socketPath: rig.path("tokens.sock") };
  gateway = new TestGateway({
    mint: adminBridgeMint(bridge),
    findChannels: adminBridgeChannels(bridge),
    mattermost: rig.mattermost.url,
    limits: { tokenRetryFirstMs: 20, tokenRetryMostMs: 20 },
  });
  following = new AbortController();
});
afterEach(async () => {
  following.abort();
  await gateway[Symbol.asyncDispose]();
  await rig.close();
});

/** The real gateway, with the word of the bridge that a token is to be replaced, or without. */
async function connect(hearing = true): Promise<void> {
  if (hearing) {
    void followRenewals(
      { socketPath: rig.path("tokens.sock") },
      {
        signal: following.signal,
        log: createLog("egress-gateway", () => undefined),
        onAgent: (name) => gateway.gateway.renewToken(name),
      },
    );
  }
  await gateway.gateway.apply([declaration("lal"), declaration("data")]);
  for (const name of ["lal", "data"])
    await until(`the token of ${name}`, async () => (await me(name)).status === 200);
}
const me = (name: string) => call(gateway.socket(name), { path: "/api/v4/users/me" });
/** Tokens that an agent works with; the bridge itself listens for one that sleeps with another. */
const tokens = (name: string) =>
  rig.mattermost.tokensOf(name).filter((token) => token.description.startsWith(`t/${name}/`));
async function rotate(name: string | undefined) {
  const [out, errors]: [string[], string[]] = [[], []];
  const code = await rotateToken(name, {
    socketPath: rig.path("operator.sock"),
    patienceMs: 5_000,
    out: (line) => out.push(line),
    error: (line) => errors.push(line),
  });
  return { code, out: out.join("\n"), errors: errors.join("\n") };
}
const audits = () => {
  const store = new Store(rig.path("bridge.db"));
  try {
    return store.audits().map((a) => `${a.actor} ${a.verb} ${a.agent} ${a.outcome}`);
  } finally {
    store.close();
  }
};

describe("rotate-token", () => {
  it("B13: one agent has a new token and the old one works no more; no call of it fails meanwhile, no other agent is touched", async () => {
    await connect();
    const [before] = tokens("lal");
    const other = tokens("data");
    const statuses = new Set<number>();
    let ended = false;
    const calling = (async () => {
      while (!ended) statuses.add((await me("lal")).status);
    })();
    expect(await rotate("lal")).toEqual({
      code: 0,
      out: "lal has a new bot token, and the old one is revoked.",
      errors: "",
    });
    ended = true;
    await calling;
    expect([...statuses]).toEqual([200]);
    const after = tokens("lal");
    expect(after).toHaveLength(1);
    expect(after[0]?.token).not.toBe(before?.token);
    const old = { headers: { authorization: `Bearer ${before?.token}` } };
    expect((await fetch(`${rig.mattermost.url}/api/v4/users/me`, old)).status).toBe(401);
    expect((await me("lal")).status).toBe(200);
    expect(tokens("data")).toEqual(other);
    expect(gateway.of("token").map(({ agent }) => agent)).toEqual(
      expect.arrayContaining(["lal", "data", "lal"]),
    );
    expect(gateway.of("token")).toHaveLength(3);
    expect(rig.proxy.calls.filter((asked) => /start|stop/.test(asked))).toEqual([]);
  });

  it("is in the audit and the log, and the token is in neither, nor in the answer", async () => {
    await connect();
    const { out } = await rotate("lal");
    expect(audits()).toEqual([
      "operator-socket rotate-token lal done",
      "operator-socket rotate-token lal asked",
    ]);
    expect(rig.lines.join("\n")).toMatch(/"event":"token-rotated".*"agent":"lal".*"revoked":1/);
    const token = tokens("lal")[0]?.token ?? "";
    expect(token).toMatch(/^\w{16,}$/);
    for (const text of [out, rig.lines.join("\n"), gateway.text.join("\n")])
      expect(text).not.toContain(token);
    expect(readFileSync(rig.path("bridge.db")).includes(token)).toBe(false);
  });

  it("revokes the old one also where the gateway does not hear of it, which then asks by itself", async () => {
    await connect(false);
    const [before] = tokens("lal");
    expect(await rotate("lal")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^The old bot token of lal is revoked\..*did not ask/),
    });
    // Nor is one left that nobody holds.
    expect(tokens("lal")).toEqual([]);
    await until("a new token", async () => (await me("lal")).status === 200);
    expect(tokens("lal")).toHaveLength(1);
    expect(tokens("lal")[0]?.token).not.toBe(before?.token);
  });

  it("asked for twice at once is one rotation, and asked for again another", async () => {
    await connect();
    const both = await Promise.all([rotate("lal"), rotate("lal")]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(gateway.of("token").filter(({ agent }) => agent === "lal")).toHaveLength(2);
    const [second] = tokens("lal");
    expect((await rotate("lal")).code).toBe(0);
    expect(tokens("lal")).toHaveLength(1);
    expect(tokens("lal")[0]?.token).not.toBe(second?.token);
  });

  it("a gateway that comes during a rotation gets the new token, and it stays good", async () => {
    const rotating = rotate("lal");
    await until("the new token", () => tokens("lal").length === 1);
    const [made] = tokens("lal");
    await connect();
    expect((await rotating).out).toMatch(/has a new bot token/);
    expect(tokens("lal")).toEqual([made]);
    expect((await me("lal")).status).toBe(200);
  });

  it("of no agent, or of one without a gateway, is refused with a sentence, and nothing is minted", async () => {
    await connect();
    for (const name of ["nobody", "mute", "berth"]) {
      const { code, out, errors } = await rotate(name);
      expect([code, out]).toEqual([1, ""]);
      expect(errors).toMatch(new RegExp(`There is no agent "${name}" with a bot token`));
    }
    expect(await rotate(undefined)).toEqual({
      code: 2,
      out: "",
      errors: "usage: rotate-token <agent>",
    });
    expect(audits()).toEqual([]);
    expect(tokens("mute")).toEqual([]);
  });

  it("that Mattermost does not let happen says that the old token may work on, with exit code 1", async () => {
    await connect();
    const before = tokens("lal");
    rig.mattermost.revoking = false;
    const { code, errors } = await rotate("lal");
    expect(code).toBe(1);
    expect(errors).toMatch(/the old token of lal may still work, as this failed: Mattermost/);
    expect(audits()[0]).toBe("operator-socket rotate-token lal failed");
    // It is not tried again by itself: each attempt would leave one token more.
    expect(tokens("lal")).toHaveLength(2);
    rig.mattermost.revoking = true;
    expect((await rotate("lal")).code).toBe(0);
    expect(tokens("lal")).toHaveLength(1);
    expect(tokens("lal")[0]?.token).not.toBe(before[0]?.token);
  });
});
