import { readFileSync, statSync } from "node:fs";
import http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkAtStart, checkDockerHealth } from "../../../services/admin-bridge/docker-health.ts";
import { Engine } from "../../../services/admin-bridge/engine.ts";
import { userAdd } from "../../../services/admin-bridge/operator.ts";
import { createLog } from "../../../services/common/log.ts";
import { declare, image, until } from "./fake-proxy.ts";
import { Rig } from "./rig.ts";

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.open();
});
afterEach(() => rig.close());

const get = async (path: string, init?: RequestInit) => {
  const answer = await fetch(`http://127.0.0.1:${rig.bridge.port}${path}`, init);
  return { status: answer.status, body: await answer.json() };
};
/** `fetch` does not let a caller write `host`. */
const statusUnder = (host: string) =>
  new Promise<number>((resolve, reject) => {
    http
      .get({ port: rig.bridge.port, path: "/api/status", headers: { host } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      })
      .on("error", reject);
  });

describe("/api/health", () => {
  it("E15: has exactly its shape, with 200 where all is there", async () => {
    await rig.start();
    expect(await get("/api/health")).toEqual({
      status: 200,
      body: {
        ok: true,
        mode: "docker",
        docker: {
          socketConnected: true,
          imageAvailable: true,
          imageName: image,
          networkExists: true,
        },
      },
    });
  });

  for (const [what, spoil, docker] of [
    [
      "image",
      () => {
        rig.proxy.imageStatus = 404;
      },
      { socketConnected: true, imageAvailable: false, networkExists: true },
    ],
    [
      "network",
      () => {
        rig.proxy.networkStatus = 404;
      },
      { socketConnected: true, imageAvailable: true, networkExists: false },
    ],
    [
      "socket",
      () => rig.proxy.close(),
      { socketConnected: false, imageAvailable: false, networkExists: false },
    ],
  ] as const) {
    it(`E15: a missing ${what} shows in the same shape, with 503`, async () => {
      rig.proxy.declare(declare("lal"));
      await rig.start();
      await spoil();
      expect(await get("/api/health")).toEqual({
        status: 503,
        body: { ok: false, mode: "docker", docker: { ...docker, imageName: image } },
      });
    });
  }

  it("E16: checkDockerHealth never throws, whatever the proxy does", async () => {
    const engine = new Engine({ host: "127.0.0.1", port: 1 }, "t");
    expect(await checkDockerHealth(engine, "t", image)).toEqual({
      socketConnected: false,
      imageAvailable: false,
      imageName: image,
      networkExists: false,
    });
  });
});

describe("the check at the start", () => {
  const check = (patienceMs: number, engine = new Engine(rig.proxy.endpoint, "t")) =>
    checkAtStart(engine, {
      stack: "t",
      image,
      log: createLog("test", () => undefined),
      signal: new AbortController().signal,
      patienceMs,
    });

  it("E13: passes where socket, image and network are there", async () => {
    await check(0);
  });
  it("E13: an unreachable socket proxy is waited for and then named, with its cure", async () => {
    const engine = new Engine({ host: "127.0.0.1", port: 1 }, "t");
    const begin = Date.now();
    await expect(check(400, engine)).rejects.toThrow(
      /socket proxy does not answer at DOCKER_HOST.*docker-socket-proxy runs.*pulumi up/,
    );
    expect(Date.now() - begin).toBeGreaterThanOrEqual(400);
  });
  it("E13: a missing network has its own sentence", async () => {
    rig.proxy.networkStatus = 404;
    await expect(check(0)).rejects.toThrow("the network berth-t-mattermost-net does not exist");
  });
  it("E13: a missing image has its own sentence", async () => {
    rig.proxy.declare(declare("lal"));
    rig.proxy.imageStatus = 404;
    await expect(check(0)).rejects.toThrow(
      `the default agent image ${image} is not on this host ("No such image"): \`pulumi up\` builds it`,
    );
  });
  it("an image that no declaration names, and so the proxy hides, is no reason to stop or to be unwell", async () => {
    rig.proxy.imageStatus = 404;
    await check(0);
    await rig.start();
    expect((await get("/api/health")).status).toBe(200);
  });
});

describe("/api/status and /metrics", () => {
  it("status has its shape, and an agent's first post is its greeting", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    expect((await get("/api/status")).body).toEqual({
      stack: "t",
      ready: true,
      secrets: { state: "away" },
      agents: [
        {
          name: "lal",
          activation: "on-demand",
          driver: "docker",
          state: "asleep",
          answered: false,
        },
      ],
    });
    const lal = rig.mattermost.byName("lal");
    if (!lal) throw new Error("no lal");
    const square = rig.mattermost.channel("town-square").id;
    rig.mattermost.say(lal, square, "I am lal");
    await until("the greeting", async () => {
      const { body } = await get("/api/status");
      return body.agents[0].answered === true && body.agents[0].greeting === "I am lal";
    });
    rig.mattermost.say(lal, square, "something else");
    await rig.stop();
    await rig.start();
    expect((await get("/api/status")).body.agents[0]).toMatchObject({
      answered: true,
      greeting: "I am lal",
    });
  });

  it("metrics count agents by state", async () => {
    rig.proxy.declare(declare("lal"), declare("home", { driver: "local" }));
    await rig.start();
    const text = await (await fetch(`http://127.0.0.1:${rig.bridge.port}/metrics`)).text();
    expect(text).toContain('berth_agents{state="asleep"} 1');
    expect(text).toContain('berth_agents{state="local"} 1');
    expect(text).toContain("berth_chat_up 1");
  });

  it("only GET is served, and only under names that are ours", async () => {
    await rig.start({ allowedHosts: ["bridge.example.test", "fd00::1"] });
    expect((await get("/api/status", { method: "POST" })).status).toBe(405);
    expect((await get("/secrets")).status).toBe(404);
    expect(await statusUnder("localhost:8066")).toBe(200);
    expect(await statusUnder("bridge.example.test")).toBe(200);
    expect(await statusUnder("[::1]:8066")).toBe(200);
    expect(await statusUnder("[fd00::1]:8066")).toBe(200);
    expect(await statusUnder("evil.example.test:8066")).toBe(403);
  });
});

describe("user-add", () => {
  async function run(name: string | undefined) {
    const [out, errors]: [string[], string[]] = [[], []];
    const code = await userAdd(name, {
      socketPath: rig.path("operator.sock"),
      patienceMs: 300,
      out: (line) => out.push(line),
      error: (line) => errors.push(line),
    });
    return { code, out: out.join("\n"), errors: errors.join("\n") };
  }

  it("makes a person, a member of team and channels, and prints the password once", async () => {
    rig.proxy.declare(declare("lal", { chat: { ...declare("lal").chat, channels: ["builds"] } }));
    await rig.start();
    const first = await run("operator");
    const [, password = ""] = /^user: operator\npassword: (\S{20,})$/.exec(first.out) ?? [];
    const made = rig.mattermost.byName("operator");
    expect(made).toMatchObject({ password, is_bot: false, roles: "system_user" });
    for (const name of ["town-square", "builds"]) {
      expect(rig.mattermost.channel(name).members).toContain(made?.id);
    }
    expect(await run("operator")).toEqual({ code: 0, out: "exists", errors: "" });
    expect(rig.lines.join("\n")).not.toContain(password);
    expect(readFileSync(rig.path("bridge.db")).includes(password)).toBe(false);
  });

  it("ties the name to the account it made: another that takes the name is refused, a new one of ours is not", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    await run("grace");
    const grace = rig.mattermost.byName("grace");
    if (!grace) throw new Error("no grace");
    grace.username = "gracia";
    const eve = rig.mattermost.person("eve");
    eve.username = "grace";
    expect(await run("grace")).toMatchObject({
      code: 1,
      errors: expect.stringMatching(/somebody took it/),
    });
    eve.username = "eve";
    expect((await run("grace")).code).toBe(0);
    expect(await run("grace")).toEqual({ code: 0, out: "exists", errors: "" });
  });

  it("a name that is the platform's, an agent's or no name is refused with a sentence and exit code 1", async () => {
    rig.proxy.declare(declare("lal"));
    await rig.start();
    for (const [name, words] of [
      ["berth", /belongs to the platform or to an agent/],
      ["lal", /belongs to the platform or to an agent/],
      ["all", /belongs to the platform/],
      ["X", /is no user name/],
      ["a b", /is no user name/],
    ] as const) {
      const { code, out, errors } = await run(name);
      expect([code, out]).toEqual([1, ""]);
      expect(errors).toMatch(words);
    }
    expect((await run(undefined)).code).toBe(2);
  });

  it("a bridge that does not run is said, with exit code 1", async () => {
    const { code, errors } = await run("ada");
    expect(code).toBe(1);
    expect(errors).toMatch(/the admin bridge does not answer/);
  });

  it("its socket is the owner's alone, the token socket everybody's who has the volume", async () => {
    await rig.start();
    expect(statSync(rig.path("operator.sock")).mode & 0o777).toBe(0o600);
    expect(statSync(rig.path("tokens.sock")).mode & 0o777).toBe(0o666);
  });
});
