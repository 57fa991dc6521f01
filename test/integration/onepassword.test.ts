import { readFileSync, rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { runDirectory, Service } from "../../spec/names.ts";
import { engine, exec, inspect, logsOf, until } from "../support/engine.ts";
import { leaks } from "../support/leaks.ts";
import { SecretStack, sha256, template, values } from "../support/onepassword/stack.ts";
import type { Person } from "../support/person.ts";
import { StackSweep } from "../support/sweep/stack-sweep.ts";

let secrets: SecretStack;
let operator: Person;
const everyValue = Object.values(values);

beforeAll(async () => {
  secrets = await SecretStack.up();
  operator = await secrets.operator();
});
afterAll(() => secrets?.remove());

const rendered = (token: string, key: string) => {
  const json = JSON.parse(template) as {
    platforms: { mattermost: { bots: { alpha: { token: string } } } };
    signing: string;
  };
  json.platforms.mattermost.bots.alpha.token = token;
  json.signing = key;
  return json;
};
const unlocked = () =>
  until("the store to be ready", async () => (await secrets.status()).state === "ready");
const delivered = (agent: string) =>
  until(`${agent}'s secrets`, async () =>
    Object.values(await secrets.states(agent)).every((state) => state === "delivered"),
  );
const has = (value: string) => (note: { sha256?: string }) => note.sha256 === sha256(value);
/** A request of alpha's program to its endpoint, through its own loopback. */
async function askEndpoint(agent: string, path: string): Promise<{ status: number; text: string }> {
  const script = `
    fetch("http://127.0.0.1:3128" + process.argv[1]).then(async (answer) =>
      console.log(JSON.stringify({ status: answer.status, text: (await answer.text()) + JSON.stringify([...answer.headers]) })));`;
  const { output } = await exec(secrets.stack.container(agent), [
    "/usr/local/bin/node",
    "-e",
    script,
    path,
  ]);
  return JSON.parse(output.trim()) as { status: number; text: string };
}

describe("a stack whose secrets are in 1Password", () => {
  it("waits where it is locked, and every part says so", async () => {
    const { state } = await secrets.status();
    expect(state).toBe("locked");
    expect(await secrets.states("alpha")).toMatchObject({ TOKEN: "missing", KEY: "missing" });
    const { text } = secrets.file("alpha", "secrets/status.json");
    expect(text).toMatch(/berth secrets unlock/);
    const square = await operator.channel("town-square");
    const question = await operator.say(square, "@berth status alpha");
    const answer = await operator.answer(square, "berth", question, /TOKEN/);
    expect(answer.message).toMatch(/locked|unlock/);
    expect(await secrets.notes("alpha")).toEqual([]);
  });

  it("B8, B7: a sealed token unlocks it by way of standard input, and config.json is rendered on RAM", async () => {
    const sealed = await secrets.berth(["secrets", "seal", "--from-stdin"], values.connectToken);
    expect(sealed.code, sealed.stderr).toBe(0);
    const path = `${secrets.credentials}/${secrets.stack.name}/op-token.cred`;
    expect(leaks({ path: readFileSync(path) }, [values.connectToken])).toEqual([]);
    // What the systemd unit runs: it stays and unlocks again after every start of the store.
    secrets.start(["secrets", "unlock", "--watch"]);
    await unlocked();
    await delivered("alpha");
    await secrets.note("alpha", "start", has(values.alphaToken));
    await secrets.note("alpha", "key", has(values.alphaKey));
    const config = secrets.file("alpha", "config/config.json");
    expect(JSON.parse(config.text)).toEqual(rendered(values.alphaToken, values.alphaKey));
    expect([config.mode, config.uid]).toEqual([0o400, 10100]);
  });

  it("what berth may make up is written to 1Password on request, and never over what is there", async () => {
    await until("beta's token", async () => (await secrets.states("beta")).TOKEN === "delivered");
    expect((await secrets.states("beta")).KEY).toBe("missing");
    expect(await secrets.notes("beta")).toEqual([]);
    const made = await secrets.berth(["secrets", "create"]);
    expect([made.code, made.stdout], made.stderr).toEqual([0, "written: beta.KEY\n"]);
    await delivered("beta");
    const key = secrets.file("beta", "secrets/KEY").text;
    expect(key).toMatch(/^[\w-]{43}$/);
    await secrets.note("beta", "key", has(key));
    const again = await secrets.berth(["secrets", "create"]);
    expect(again.stdout).toMatch(/^nothing was written\nleft as it is: beta\.KEY: /);
    expect(secrets.file("beta", "secrets/KEY").text).toBe(key);
  });

  it("A15, B16: the program has the token by its environment, the file by its path, and neither is in inspect", async () => {
    const [start] = await secrets.notes("alpha");
    expect(start?.names).toContain("TOKEN");
    expect(start?.names).toContain("KEY_FILE");
    expect(start?.names).not.toContain("KEY");
    expect(secrets.file("alpha", "secrets/KEY")).toEqual({
      text: values.alphaKey,
      mode: 0o400,
      uid: 10100,
    });
    const places: Record<string, string> = { state: await secrets.stack.state() };
    for (const part of [...Object.values(Service), "alpha", "beta"]) {
      places[`inspect ${part}`] = JSON.stringify(await inspect(secrets.stack.container(part)));
      places[`logs ${part}`] = await logsOf(secrets.stack.container(part));
    }
    expect(leaks(places, everyValue)).toEqual([]);
  });

  it("A4: a preview holds the references and no value", async () => {
    const { output } = await secrets.stack.previewDiff();
    expect(leaks({ output }, everyValue)).toEqual([]);
    expect(await secrets.stack.state()).toContain("op://agents/alpha/token");
  });

  it("a sealed agent uses a key that it never has: the gateway adds it outside", async () => {
    const answer = await askEndpoint("alpha", "/endpoints/model/chat");
    expect(answer.status).toBe(200);
    expect(answer.text).toContain(`"path":"/v1/chat"`);
    expect(answer.text).toContain(sha256(`Bearer ${values.alphaModel}`));
    // The service sends the header back; the gateway does not pass it on.
    expect(leaks({ answer: answer.text }, [values.alphaModel])).toEqual([]);
  });
});

describe("no value anywhere but with who is to have it", () => {
  let sweep: StackSweep;

  beforeAll(async () => {
    const { stack } = secrets;
    const host = runDirectory(stack.name);
    const memoryOf = (...parts: readonly string[]) =>
      new RegExp(`^memory of (${parts.join("|")}):`);
    const ofAgent = (agent: string, file: string) =>
      new RegExp(`^host ${host}/agents/${agent}/${file}$`);
    const { connectToken, alphaToken, alphaKey, alphaModel, betaToken } = values;
    sweep = await StackSweep.begin(
      {
        stack,
        parts: [...Object.values(Service), "alpha", "beta"],
        operator,
        events: inject("events"),
        secrets: [
          { name: "the token", value: connectToken, belongs: [memoryOf(Service.secretStore)] },
          {
            name: "alpha's variable",
            value: alphaToken,
            belongs: [
              memoryOf(Service.secretStore, "alpha"),
              /^environ of alpha:/,
              ofAgent("alpha", "(secrets/TOKEN|config/config.json)"),
            ],
          },
          {
            name: "alpha's file",
            value: alphaKey,
            belongs: [memoryOf(Service.secretStore, "alpha"), ofAgent("alpha", "secrets/KEY")],
          },
          {
            name: "what the gateway adds for alpha",
            value: alphaModel,
            belongs: [memoryOf(Service.secretStore, Service.egressGateway)],
          },
          {
            name: "beta's variable",
            value: betaToken,
            belongs: [
              memoryOf(Service.secretStore, "beta"),
              /^environ of beta:/,
              ofAgent("beta", "secrets/TOKEN"),
            ],
          },
          {
            name: "beta's file, which berth made up",
            value: secrets.file("beta", "secrets/KEY").text,
            belongs: [memoryOf(Service.secretStore, "beta"), ofAgent("beta", "secrets/KEY")],
          },
        ],
      },
      "alpha",
    );
  });
  afterAll(() => sweep?.end());

  it("A7, B16: not in environments, arguments and memory of other processes, nor in logs, events and inspect", async () => {
    const memories = await sweep.memories();
    const holders = (secret: string) =>
      memories.known
        .filter((line) => line.startsWith(`${secret} in `))
        .map((line) => /memory of ([^:]+):/.exec(line)?.[1]);
    expect(new Set(holders("the token"))).toEqual(new Set([Service.secretStore]));
    expect(holders("what the gateway adds for alpha")).toContain(Service.egressGateway);
    expect(holders("alpha's file")).toContain("alpha");
    const others = [sweep.environs, sweep.commandLines, sweep.logs, sweep.events, sweep.inspects];
    const leaks = [...memories.leaks];
    for (const search of others) leaks.push(...(await search.call(sweep)).leaks);
    expect(leaks).toEqual([]);
  });

  it("B16, B20: not in volumes, files of the host, the state, the bridge's database and the chat", async () => {
    const searches = [
      sweep.volumes,
      sweep.ramFiles,
      sweep.hostFiles,
      sweep.bridgeDatabase,
      sweep.chat,
      sweep.project,
      sweep.state,
    ];
    const leaks: string[] = [];
    for (const search of searches) leaks.push(...(await search.call(sweep)).leaks);
    expect(leaks).toEqual([]);
  });
});

describe("rotation", () => {
  it("B13: a new value restarts the program that has it in its environment, and nothing else", async () => {
    const lives = await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)));
    const before = await secrets.notes("beta");
    await secrets.putItems({ alphaToken: "second-token" });
    await secrets.note("alpha", "start", has("second-token"));
    expect((await secrets.notes("alpha")).map(({ event }) => event)).toContain("term");
    expect(await secrets.notes("beta")).toEqual(before);
    expect(await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)))).toEqual(lives);
    const config = JSON.parse(secrets.file("alpha", "config/config.json").text);
    expect(config).toEqual(rendered("second-token", values.alphaKey));
  });

  it("B13: a program that rereads its file is not restarted, and a refresh takes it at once", async () => {
    const starts = async () =>
      (await secrets.notes("alpha")).filter(({ event }) => event === "start").length;
    const before = await starts();
    await secrets.putItems({ alphaToken: "second-token", alphaKey: "second key" });
    const { code, stderr } = await secrets.berth(["secrets", "refresh"]);
    expect(code, stderr).toBe(0);
    expect(secrets.file("alpha", "secrets/KEY").text).toBe("second key");
    await secrets.note("alpha", "key", has("second key"));
    expect(await starts()).toBe(before);
  });

  it("B13: rotate gives one agent new values and a new bot token, the old token is dead, and no other agent notices", async () => {
    const { stack } = secrets;
    const heldBy = (agent: string) =>
      ["secrets/KEY", "bot-token"].map((path) => secrets.file(agent, path).text.trim());
    const me = (token: string) =>
      fetch(`${stack.mattermostUrl}/api/v4/users/me`, {
        headers: { authorization: `Bearer ${token}` },
      });
    const starts = async () =>
      (await secrets.notes("beta")).filter(({ event }) => event === "start").length;
    const minted = async (agent: string) =>
      (await logsOf(stack.container(Service.egressGateway)))
        .split("\n")
        .filter((line) => line.includes('"event":"token"') && line.includes(`"agent":"${agent}"`));
    const [key = "", token = ""] = heldBy("beta");
    expect((await me(token)).status).toBe(200);
    const lives = await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)));
    const [notes, started, before] = [
      await secrets.notes("alpha"),
      await starts(),
      await minted("alpha"),
    ];
    const { code, stdout, stderr } = await secrets.berth(["secrets", "rotate", "beta"]);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^KEY: has a new value$/m);
    expect(stdout).toMatch(/^not changed: TOKEN: /m);
    const [nextKey = "", nextToken = ""] = heldBy("beta");
    expect(nextKey).not.toBe(key);
    await secrets.note("beta", "key", has(nextKey));
    expect((await me(token)).status).toBe(401);
    expect(await (await me(nextToken)).json()).toMatchObject({ username: "beta" });
    const { status, text } = await askEndpoint("beta", "/api/v4/users/me");
    expect([status, text]).toEqual([200, expect.stringContaining('"username":"beta"')]);
    expect(await starts()).toBe(started);
    expect(await secrets.notes("alpha")).toEqual(notes);
    expect(before.length).toBeGreaterThan(0);
    expect(await minted("alpha")).toEqual(before);
    expect(await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)))).toEqual(lives);
    const places: Record<string, string> = { stdout, stderr };
    for (const part of [...Object.values(Service), "alpha", "beta"])
      places[`logs ${part}`] = await logsOf(stack.container(part));
    expect(leaks(places, [key, nextKey, token, nextToken])).toEqual([]);
  });

  it("checks every reference and shows no value", async () => {
    const good = await secrets.berth(["secrets", "check"]);
    expect(good.code, good.stdout + good.stderr).toBe(0);
    await secrets.world.connect.control("rename", { vault: "agents", title: "beta", to: "gamma" });
    const bad = await secrets.berth(["secrets", "check"]);
    expect(bad.code).not.toBe(0);
    expect(bad.stdout + bad.stderr).toMatch(/op:\/\/agents\/beta\/token/);
    expect(leaks({ good: good.stdout, bad: bad.stdout + bad.stderr }, everyValue)).toEqual([]);
    await secrets.world.connect.control("rename", { vault: "agents", title: "gamma", to: "beta" });
    await secrets.berth(["secrets", "refresh"]);
    await delivered("beta");
  });
});

describe("what one agent can do to get another's secret", () => {
  const asAlpha = (script: string) =>
    exec(secrets.stack.container("alpha"), ["/usr/local/bin/node", "-e", script], "10100");

  it("B18: no path leads there: not guessed, not by a symlink, not by a reference of its own writing", async () => {
    const { output } = await asAlpha(`
      const fs = require("node:fs");
      const paths = ["/run/berth/agents/beta/secrets/TOKEN", "/run/berth/../beta/secrets/TOKEN", "/proc/1/" + "root/run/berth/agents/beta/secrets/TOKEN"];
      fs.writeFileSync("/workspace/config.json.tpl", '{"token":"{{ op://agents/beta/token }}"}');
      try { fs.symlinkSync("/run/berth/agents/beta/secrets", "/workspace/link"); } catch {}
      paths.push("/workspace/link/TOKEN");
      for (const path of paths) try { console.log("READ " + fs.readFileSync(path)); } catch (e) { console.log(e.code); }
      for (const path of ["/run/berth/secrets/x", "/run/berth/config/x"]) try { fs.writeFileSync(path, "x"); console.log("WROTE"); } catch (e) { console.log(e.code); }
      try { fs.unlinkSync("/run/berth/secrets/KEY"); console.log("WROTE"); } catch (e) { console.log(e.code); }
      console.log(fs.readdirSync("/run/berth").join(" "));`);
    expect(output).not.toMatch(/READ|WROTE/);
    expect(output.trim().split("\n").at(-1)).toBe("config gateway.sock secrets");
    expect(leaks({ output }, everyValue)).toEqual([]);
  });

  it("its gateway knows no other agent's endpoint and no way to the store, whatever name it gives", async () => {
    for (const path of [
      "/endpoints/beta/chat",
      "/endpoints/../beta/model",
      "/endpoints/model/../../secrets/beta/TOKEN",
      "/endpoints/beta%2Fmodel/chat",
      "/status",
      "/push",
      "/unlock",
    ]) {
      const { status, text } = await askEndpoint("alpha", path);
      expect(status, path).toBeGreaterThanOrEqual(400);
      expect(leaks({ text }, everyValue), path).toEqual([]);
    }
    const beta = await askEndpoint("beta", "/endpoints/model/chat");
    expect(beta.status).toBe(404);
  });

  it("a declaration that names another's item is refused by the preview, with agent and place", async () => {
    secrets.declare(
      ["alpha", "beta"],
      `\n  vaults: ["agents/beta"], endpoints: { steal: { url: "https://x.example.com", headers: { authorization: "{{ op://agents/alpha/token }}" } } },`,
    );
    const { code, output } = await secrets.stack.preview(true);
    secrets.declare(["alpha", "beta"]);
    expect(code).not.toBe(0);
    expect(output).toMatch(/agents\/beta\.ts/);
    expect(output).toMatch(/endpoints\.steal\.headers\.authorization/);
    expect(output).not.toMatch(/^\s+at /m);
  });
});

describe("what happens when something is away", () => {
  it("the store restarts: files stay, it is unlocked again by itself, agents notice nothing", async () => {
    const lives = await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)));
    const notes = await secrets.notes("alpha");
    await secrets.crash(Service.secretStore);
    expect(secrets.file("alpha", "secrets/KEY").text).toBe("second key");
    await unlocked();
    await secrets.putItems({ alphaToken: "second-token", alphaKey: "third key" });
    await secrets.note("alpha", "key", has("third key"));
    expect(await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)))).toEqual(lives);
    expect((await secrets.notes("alpha")).slice(0, notes.length)).toEqual(notes);
    expect((await secrets.notes("alpha")).filter((n) => n.event === "start").length).toBe(
      notes.filter((n) => n.event === "start").length,
    );
  });

  it("the token is revoked: agents run on with what they have, and an alert in the chat names it", async () => {
    const square = await operator.channel("town-square");
    const { id } = await operator.client.getUserByUsername("berth");
    const lives = await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)));
    const { control } = secrets.world.connect;
    await control("token", { token: values.connectToken, revoked: true });
    await secrets.berth(["secrets", "refresh"]);
    await until("the store to say refused", async () =>
      /refused/.test((await secrets.status()).state),
    );
    await until("the alert", async () =>
      (await operator.posts(square)).find(
        (post) =>
          post.user_id === id && /1Password/i.test(post.message) && /refus/i.test(post.message),
      ),
    );
    expect(Object.values(await secrets.states("alpha"))).not.toContain("missing");
    expect(secrets.file("alpha", "secrets/KEY").text).toBe("third key");
    expect((await askEndpoint("alpha", "/endpoints/model/chat")).status).toBe(200);
    expect(await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)))).toEqual(lives);
    await control("token", { token: values.connectToken });
    await secrets.berth(["secrets", "unlock", "--from-stdin"], values.connectToken);
    await unlocked();
  });

  it("1Password limits the requests: agents run on, the status says so, and nothing is asked until the pause is over", async () => {
    const { control } = secrets.world.connect;
    const lives = await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)));
    await control("behaviour", { limit: { after: 0, retryAfter: 9 } });
    await secrets.berth(["secrets", "refresh"]);
    const { state, reason, since, nextRead = "" } = await secrets.status();
    expect([state, reason]).toEqual(["limited", expect.stringMatching(/request|limit/i)]);
    // As long as the answer asked for, and not the store's own first pause.
    expect(Date.parse(nextRead) - Date.parse(since)).toBeGreaterThan(8_000);
    // From now on it would answer again.
    await control("behaviour", {});
    await secrets.putItems({ alphaToken: "second-token", alphaKey: "fourth key" });
    await control("forget");
    const askedEarly: number[] = [];
    expect(Object.values(await secrets.states("alpha"))).not.toContain("missing");
    expect((await askEndpoint("alpha", "/endpoints/model/chat")).status).toBe(200);
    await until("the end of the pause", async () => {
      const { count } = await control("requests");
      if (Date.now() < Date.parse(nextRead)) askedEarly.push(count);
      return count > 0;
    });
    expect(new Set(askedEarly)).toEqual(new Set([0]));
    await unlocked();
    await secrets.note("alpha", "key", has("fourth key"));
    expect(await Promise.all(["alpha", "beta"].map((agent) => secrets.life(agent)))).toEqual(lives);
  });

  it("the host reboots while 1Password is away: agents wait and say why, and go on by themselves", async () => {
    const { control } = secrets.world.connect;
    await control("behaviour", { away: true });
    for (const part of ["alpha", Service.secretStore]) await secrets.turn(part, "stop");
    // What a reboot takes: all of RAM.
    for (const path of ["agents/alpha/secrets", "agents/alpha/config", "secret-store"])
      rmSync(`/run/berth/${secrets.stack.name}/${path}`, { recursive: true, force: true });
    // The Engine makes a bound directory at a container's start.
    for (const part of [Service.secretStore, "alpha"]) await secrets.turn(part, "start");
    const starts = (await secrets.notes("alpha")).filter((n) => n.event === "start").length;
    await until("a reason for the wait", async () =>
      /TOKEN/.test(secrets.file("alpha", "secrets/status.json").text),
    );
    expect(secrets.file("alpha", "secrets/status.json").text).toMatch(/1Password|Connect|unlock/);
    expect((await secrets.notes("alpha")).filter((n) => n.event === "start").length).toBe(starts);
    await control("behaviour", {});
    await unlocked();
    await delivered("alpha");
    await until(
      "the program to start",
      async () => (await secrets.notes("alpha")).filter((n) => n.event === "start").length > starts,
    );
  });

  it("an agent is removed: its files and what was injected for it are gone within a second", async () => {
    secrets.declare(["beta"]);
    const gone = until(
      "alpha's declaration to go",
      async () => {
        const filters = encodeURIComponent(
          JSON.stringify({
            label: [`berth.stack=${secrets.stack.name}`, "berth.agent=alpha", "berth.declaration"],
          }),
        );
        const { Volumes } = await engine<{ Volumes: unknown[] | null }>(
          `/volumes?filters=${filters}`,
        );
        return (Volumes ?? []).length === 0 ? Date.now() : undefined;
      },
      120_000,
    );
    const up = secrets.stack.up();
    await gone;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    for (const path of ["secrets/TOKEN", "secrets/KEY", "config/config.json"])
      expect(() => secrets.file("alpha", path), path).toThrow(/ENOENT/);
    await up;
    expect(await secrets.states("alpha")).toEqual({});
    expect((await secrets.status()).state).toBe("ready");
  });
});
