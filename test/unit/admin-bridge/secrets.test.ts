import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { secretStoreStates, storeInWords } from "../../../services/admin-bridge/secret-watch.ts";
import { declare, until } from "./fake-proxy.ts";
import { FakeStore } from "./fake-store.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
let store: FakeStore;
beforeEach(async () => {
  rig = await Rig.open();
  store = await new FakeStore().open(rig.path("store.sock"));
  rig.proxy.declare(
    declare("lal", {
      secrets: { API_TOKEN: "op://agents/lal/token", KEY: "op://agents/lal/key" },
      vaults: ["agents/lal"],
    }),
    declare("plain"),
  );
});
afterEach(async () => {
  await rig.close();
  await store.close();
});

const alert = (id: string, change: object = {}) => ({
  id,
  time: new Date().toISOString(),
  kind: "locked",
  client: "secret-store",
  text: "since the store was started anew",
  ...change,
});
const told = () =>
  rig.mattermost.posts
    .map(({ message }) => message)
    .filter((message) => message.startsWith(":warning:"));
const tell = (text: string) => {
  const oscar = rig.mattermost.byName("oscar");
  const berth = rig.mattermost.byName("berth");
  if (!oscar || !berth) throw new Error("not there");
  const { id } = rig.mattermost.direct(oscar.id, berth.id);
  return rig.answer(rig.mattermost.say(oscar, id, text));
};
const get = async (path: string) =>
  (await fetch(`http://127.0.0.1:${rig.bridge.port}${path}`)).text();
const line = (name: string, state: string, reason?: string, agent = "lal") => ({
  agent,
  name,
  reference: "op://agents/lal/x",
  state,
  reason,
});

describe("alerts of the secret store", () => {
  it("are told in the admin channel with the cure, each once, over a restart of the bridge too", async () => {
    await rig.start();
    await until("the bridge to listen", () => store.listeners > 0);
    store.alert(alert("s-1"));
    await until("the post", () => told().length === 1);
    expect(told()).toEqual([
      ":warning: The secret store is locked, `berth secrets unlock` on the host opens it: since the store was started anew. `berth secrets status` shows more.",
    ]);
    await rig.stop();
    await until("the bridge to be gone", () => store.listeners === 0);
    await rig.start();
    await until("the new bridge to listen", () => store.listeners > 0);
    store.alert(alert("s-2", { kind: "reference", text: "lal SIGNING_KEY: no such item" }));
    await until("the second post", () => told().length === 2);
    expect(told()[1]).toMatch(/^:warning: A secret cannot be had: lal SIGNING_KEY: no such item\./);
  });

  it("have ids of their own: one that the socket proxy used too is told", async () => {
    await rig.start();
    await until("both streams", () => store.listeners > 0 && rig.proxy.alertStreams > 0);
    rig.proxy.alert(alert("same", { kind: "audit", text: "the disk is full" }));
    await until("the first post", () => told().length === 1);
    store.alert(alert("same"));
    await until("the second post", () => told().length === 2);
  });
});

describe("the secret store's state", () => {
  it("stands in `status`, `/api/status` and the metrics, with the cure, and E15's health keeps its shape", async () => {
    store.status = {
      state: "locked",
      reason: "no token was given since the start",
      secrets: [line("API_TOKEN", "kept", "locked"), line("KEY", "missing", "locked")],
    };
    await rig.start();
    expect(await tell("status")).toMatch(
      /Secrets: the store is locked \(no token was given since the start\); what was delivered stays, 0 delivered, 1 kept, 1 missing\. Cure, on the host: `berth secrets unlock`\./,
    );
    expect(JSON.parse(await get("/api/status")).secrets).toEqual({ state: "locked" });
    expect(Object.keys(JSON.parse(await get("/api/health")))).toEqual(["ok", "mode", "docker"]);
    expect(await get("/metrics")).toMatch(
      /berth_secret_store_state\{state="locked"\} 1\n.*state="refused"\} 0\n/,
    );
    store.status = { state: "ready", secrets: [line("API_TOKEN", "delivered")] };
    expect(await tell("status")).toContain("Secrets: ready, 1 delivered.");
    expect(await get("/metrics")).toContain('berth_secret_store_state{state="ready"} 1\n');
  });

  it("is `away` where it does not answer or talks nonsense, and that stops nothing else", async () => {
    store.status = { secrets: "?" };
    await rig.start();
    expect(await tell("status")).toMatch(
      /secret store does not answer \(its answer is no status\)/,
    );
    await store.close();
    expect(await tell("status")).toMatch(/does not answer .*`berth logs secret-store`/);
    expect(JSON.parse(await get("/api/status"))).toMatchObject({
      ready: true,
      secrets: { state: "away" },
    });
    expect(await tell("status lal")).toContain("- secrets: the secret store does not answer");
    expect(await tell("status plain")).not.toContain("secret");
  });

  it("has a sentence of its own in every case", () => {
    const sentences = secretStoreStates.map((state) => storeInWords({ state, secrets: [] }));
    expect(new Set(sentences).size).toBe(secretStoreStates.length);
    for (const sentence of sentences) expect(sentence).toMatch(/^Secrets: .*\.$/);
  });
});

describe("`status <agent>`", () => {
  it("names the agent's own secrets that are missing or kept, with the reason and no markup of its, and no others", async () => {
    store.status = {
      state: "unreachable",
      secrets: [
        line("API_TOKEN", "kept", "1Password is not reached **@all**"),
        line("KEY", "missing", "there is no field `key`"),
        line("configFiles.config.json", "delivered"),
        line("OTHER", "missing", "of another", "plain"),
        { agent: "lal", state: "missing" },
      ],
    };
    await rig.start();
    const said = await tell("status lal");
    expect(said.split("\n").filter((part) => part.includes("secret"))).toEqual([
      "- secret API_TOKEN: kept as it was: 1Password is not reached @\u200ball",
      "- secret KEY: missing: there is no field key",
    ]);
    expect(await tell("status plain")).not.toContain("of another");
  });
});
