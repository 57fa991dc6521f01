import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sendJson } from "../../../services/common/http.ts";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { Injection } from "../../../services/egress-gateway/endpoints/injection.ts";
import { type StoreAnswer, secretStore } from "../../../services/egress-gateway/endpoints/store.ts";
import { defaultLimits } from "../../../services/egress-gateway/limits.ts";
import { Alerts } from "../../../services/secret-store/alerts.ts";
import { serveClients } from "../../../services/secret-store/clients.ts";
import {
  EndpointScene,
  key,
  model,
  open,
  path,
  reasonIn,
  started,
  withModel,
} from "./endpoints-scene.ts";
import { call, declaration, listen, until } from "./support.ts";

describe("the value", () => {
  it("is asked for once in its fresh time, however many requests come at a time", async () => {
    await using scene = await started({ limits: { endpointFreshMs: 60_000 } });
    const socket = scene.test.socket("lal");
    await Promise.all(Array.from({ length: 10 }, () => call(socket, { path })));
    await call(socket, { path });
    expect(scene.seen).toHaveLength(11);
    expect(scene.asked).toHaveLength(1);
  });

  it("B13: a rotated one is used after the fresh time, without a restart, and never the old one again", async () => {
    await using scene = await started();
    const socket = scene.test.socket("lal");
    await call(socket, { path });
    scene.give("lal", "sk-rotated-987654");
    await until("the new value", async () => {
      await call(socket, { path });
      return scene.seen.at(-1)?.headers.authorization === "Bearer sk-rotated-987654";
    });
    for (let i = 0; i < 5; i++) await call(socket, { path });
    const used = scene.seen.map(({ headers }) => headers.authorization);
    expect(used.slice(used.indexOf("Bearer sk-rotated-987654"))).not.toContain(`Bearer ${key}`);
  });

  it.each(["away", "locked", "silent", "broken"] as const)(
    "the last good one holds while the store is %s, and the next is taken when it is back",
    async (how) => {
      await using scene = await started();
      const socket = scene.test.socket("lal");
      await call(socket, { path });
      if (how === "away") await scene.goAway();
      else scene.store = how;
      await new Promise((resolve) => setTimeout(resolve, 150));
      for (let i = 0; i < 3; i++) expect((await call(socket, { path })).status).toBe(200);
      expect(scene.seen.at(-1)?.headers.authorization).toBe(`Bearer ${key}`);
      expect(scene.test.of("endpoint-value")).toMatchObject([{ level: "warn", kept: true }]);
      scene.give("lal", "sk-afterwards-11");
      if (how === "away") await scene.comeBack();
      scene.store = "up";
      await until("the new value", async () => {
        await call(socket, { path });
        return scene.seen.at(-1)?.headers.authorization === "Bearer sk-afterwards-11";
      });
      expect(scene.test.of("endpoint-value")).toMatchObject([{ level: "warn" }, { level: "info" }]);
      expect(scene.test.text.join()).not.toMatch(/broken-off-key|sk-/);
    },
  );

  it.each(["away", "locked", "silent", "broken"] as const)(
    "where there never was one and the store is %s, the request gets a 503 with the reason",
    async (how) => {
      await using scene = await started();
      if (how === "away") await scene.goAway();
      else scene.store = how;
      const answer = await call(scene.test.socket("lal"), { path });
      expect([answer.status, reasonIn(answer)]).toEqual([503, "no-value"]);
      expect(JSON.parse(answer.text).message).toMatch(
        how === "locked" ? /The store is locked/ : /secret store/,
      );
      expect(answer.text).not.toContain("broken-off-key");
      expect(scene.wire.connected).toEqual([]);
      if (how === "away") await scene.comeBack();
      scene.store = "up";
      await until(
        "the value",
        async () => (await call(scene.test.socket("lal"), { path })).status === 200,
      );
    },
  );

  it("a store that hangs while it is known to be away keeps no request waiting that has a value", async () => {
    await using scene = await started({ limits: { storeMs: 600_000 } });
    const socket = scene.test.socket("lal");
    await call(socket, { path });
    scene.store = "locked";
    await until("the store to be known as away", async () => {
      await call(socket, { path });
      return scene.test.of("endpoint-value").length > 0;
    });
    scene.store = "silent";
    const asked = scene.asked.length;
    await until("a question without an answer", async () => {
      expect((await call(socket, { path })).status).toBe(200);
      return scene.asked.length > asked;
    });
    expect((await call(socket, { path })).status).toBe(200);
  });

  it("the real store, when it is slow, is asked by as many agents at once as there are, and none is turned away", async () => {
    const directory = await mkdtemp(join(tmpdir(), "berth-clients-"));
    const log = createLog("test", () => {});
    const { url, headers } = model;
    const views = {
      status: () => ({}),
      alerts: new Alerts(Date.now),
      endpoint: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { kind: "value", url, headers, version: "1" } as const;
      },
    };
    const owner = () => process.getuid?.() ?? 0;
    const end = await serveClients(views, log, { directory, owner });
    try {
      const ask = secretStore({ socketPath: join(directory, "egress-gateway/store.sock") }, 10_000);
      const agents = Array.from({ length: 200 }, (_, i) => `agent-${i}`);
      const answers = await Promise.all(agents.map((agent) => ask(agent, "model", model)));
      expect(new Set(answers.map(({ kind }) => kind))).toEqual(new Set(["value"]));
    } finally {
      end();
      await rm(directory, { recursive: true });
    }
  });

  it("a question that does not get its turn in time fails like one that gets no answer, and the turns come back", async () => {
    const silent = http.createServer();
    await using server = await listen(silent);
    const ask = secretStore({ host: "127.0.0.1", port: server.port }, 200);
    const all = await Promise.allSettled(
      Array.from({ length: 100 }, () => ask("lal", "model", model)),
    );
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set(["rejected"]));
    silent.on("request", (_, response) => sendJson(response, 200, { ...model, version: "1" }));
    expect(await ask("lal", "model", model)).toMatchObject({ kind: "value" });
  });

  it("one that was dropped is given to nobody, whatever the store says later", async () => {
    let tell = (_: StoreAnswer) => {};
    const ask = () =>
      new Promise<StoreAnswer>((done) => {
        tell = done;
      });
    const of = { agent: "lal", name: "model", declared: model };
    const injection = new Injection(
      of,
      ask,
      defaultLimits,
      createLog("test", () => {}),
    );
    const waiting = injection.get();
    injection.drop();
    tell({ kind: "value", injected: new Redacted({ authorization: key }) });
    expect(await waiting).toMatchObject({ kind: "unknown" });
    const after = injection.get();
    tell({ kind: "value", injected: new Redacted({ authorization: key }) });
    expect(await after).toMatchObject({ kind: "unknown" });
  });

  it("one that the store no longer knows is dropped: it does not come back when the store goes away", async () => {
    await using scene = await started();
    const socket = scene.test.socket("lal");
    await call(socket, { path });
    scene.values.clear();
    await until("the 404", async () => (await call(socket, { path })).status === 404);
    await scene.goAway();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect((await call(socket, { path })).status).toBe(503);
  });
});

describe("a declaration that goes or changes", () => {
  /** An endless answer that says when the gateway has let go of it. */
  const endless = (cut: () => void) => (_: http.IncomingMessage, response: http.ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write("data: tick\n\n"), 10);
    response.on("close", () => {
      clearInterval(timer);
      cut();
    });
  };

  it.each(["the agent", "the endpoint", "its URL", "its headers"])(
    "%s: what is open is cut, the value is forgotten, and another agent's stream goes on",
    async (what) => {
      let cuts = 0;
      await using scene = await EndpointScene.start({ handler: endless(() => cuts++) });
      scene.give("lal", key);
      scene.give("data", "key-of-data-111");
      await scene.apply(withModel("lal"), withModel("data"));
      const lal = await open(scene.test.socket("lal"));
      const data = await open(scene.test.socket("data"));
      await once(lal.answer, "data");
      await scene.goAway();
      const closed = new Promise((resolve) => lal.answer.on("close", resolve));
      lal.answer.on("error", () => {}).resume();
      const url = "https://api.example.com/v2";
      const headers = { authorization: "Bearer {{ op://agents/lal/other }}" };
      const after = {
        "the agent": [],
        "the endpoint": [declaration("lal")],
        "its URL": [withModel("lal", { ...model, url })],
        "its headers": [withModel("lal", { ...model, headers })],
      }[what];
      await scene.apply(...(after ?? []), withModel("data"));
      await closed;
      await until("the other side's end", () => cuts === 1);
      let more = "";
      data.answer.on("data", (part: Buffer) => {
        more += part;
      });
      await until("data's stream", () => more.length > 30);
      data.sent.destroy();
      if (what === "the agent") return;
      const answer = await call(scene.test.socket("lal"), { path });
      expect(answer.status).toBe(what === "the endpoint" ? 404 : 503);
      expect(scene.test.of("endpoint").filter(({ agent }) => agent === "lal")[0]).toMatchObject({
        end: "no longer declared",
        status: 200,
      });
    },
  );

  it("a change of something else cuts nothing and asks nothing", async () => {
    let cuts = 0;
    await using scene = await EndpointScene.start({ handler: endless(() => cuts++) });
    scene.give("lal", key);
    await scene.apply(withModel("lal"));
    const { answer, sent } = await open(scene.test.socket("lal"));
    await once(answer, "data");
    await scene.apply({ ...withModel("lal"), egress: ["a.example"] });
    await once(answer, "data");
    expect([cuts, scene.asked.length]).toEqual([0, 1]);
    sent.destroy();
  });

  it("a value that comes after the agent went is not used", async () => {
    await using scene = await started({ limits: { storeMs: 5_000 } });
    scene.store = "silent";
    const waiting = call(scene.test.socket("lal"), { path }).catch(() => undefined);
    await until("the question", () => scene.asked.length === 1);
    await scene.apply();
    await waiting;
    expect(scene.wire.connected).toEqual([]);
  });
});
