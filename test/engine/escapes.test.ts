import { mkdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Network } from "../../spec/names.ts";
import { presets } from "../../spec/presets.ts";
import { type EscapeCall, escapeCalls } from "../corpus/escape-calls.ts";
import { escapeCommands, escapeLines, nameTricks, type Scene } from "../corpus/escape-lines.ts";
import { docker, dockerCommand } from "../support/docker-cli.ts";
import { dockerHost, engine, engineAnswer, inspect, until } from "../support/engine.ts";
import { type World, worldOf } from "../support/engine-world.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

const command = dockerCommand();
const node = "/usr/local/bin/node";
let proxy: RealProxy;
let scene: Scene;
let imageId: string;
/** What there is, what the agent and the neighbour are, and how many records were written, before an escape is tried. */
let before: { readonly world: World; readonly living: unknown; readonly records: number };

const throughProxy = (args: readonly string[], input?: string) =>
  docker(command, `tcp://127.0.0.1:${proxy.port}`, args, input === undefined ? {} : { input });
const straight = (args: readonly string[]) => docker(command, dockerHost, args);

/** The agent and the neighbour, all that the Engine says of them, and what was written in their root file systems. */
function living(): Promise<unknown> {
  return Promise.all(
    [scene.agent, scene.neighbour].map(async (name) => [
      await inspectSorted(name),
      (await engine<{ Kind: number; Path: string }[]>(`/containers/${name}/changes`))
        .map(({ Kind, Path }) => `${Kind} ${Path}`)
        .sort(),
    ]),
  );
}

/** The Engine gives mounts in any order. */
async function inspectSorted(name: string): Promise<unknown> {
  const { Mounts, ...rest } = await inspect(name);
  return { ...rest, Mounts: Mounts.toSorted((a, b) => (a.Destination < b.Destination ? -1 : 1)) };
}

async function expectNothingHappened(): Promise<void> {
  const records = proxy.audit.slice(before.records);
  expect(records.some(({ decision }) => decision === "deny")).toBe(true);
  expect(
    records.filter(
      ({ decision, verb }) =>
        decision === "allow" && ["create", "start", "stop", "kill"].includes(String(verb)),
    ),
  ).toEqual([]);
  expect(await worldOf(scene.stack, imageId)).toEqual(before.world);
  expect(await living()).toEqual(before.living);
}

/** A line that is let through but for what is added to it. */
function line(name: string, flags: readonly string[], image: readonly string[]): string[] {
  return ["run", "-d", "--name", name, "-e", "TASK_ID=7", ...flags, ...image];
}

function flagsOf(flags: (typeof escapeLines)[number]["flags"]): readonly string[] {
  return typeof flags === "function" ? flags(scene) : flags;
}

beforeAll(async () => {
  proxy = await startRealProxy("escapes");
  const { stack, image } = proxy;
  const directory = join(proxy.scratch, "files");
  mkdirSync(directory);
  writeFileSync(join(directory, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  scene = {
    stack,
    image,
    directory,
    retagged: `localhost/berth/${stack}:other`,
    agent: proxy.name("lal"),
    neighbour: `neighbour-${stack}`,
    chatNetwork: proxy.name(Network.mattermost),
  };
  imageId = (await engine<{ Id: string }>(`/images/${image}/json`)).Id;
  await engine(`/images/${image}/tag?repo=localhost/berth/${stack}&tag=other`, "POST");
  const lal = proxy.declarationOf("lal", {
    instances: { max: 2, timeoutSeconds: 300 },
    templates: {
      review: {
        preset: "worker",
        image,
        command: [node, "-e", "console.log('task ' + process.env.TASK_ID)"],
        env: {},
        parameters: {
          TASK_ID: { pattern: "[a-z0-9-]{1,40}", maxLength: 40 },
          TASK_NOTE: { pattern: "[ -~]{0,80}", maxLength: 80, optional: true },
        },
        limits: presets.worker,
        network: "sealed",
        workspace: "shared",
        instances: { max: 8, timeoutSeconds: 300 },
      },
    },
  });
  await proxy.declare(lal);
  await proxy.make(lal);
  const started = await proxy.ask(`/containers/${scene.agent}/start`, "POST");
  expect([started.status, started.text]).toEqual([204, ""]);
  await engine("/volumes/create", "POST", { Name: scene.neighbour });
  await engine(`/containers/create?name=${scene.neighbour}`, "POST", {
    Image: image,
    Cmd: [node, "-e", "setInterval(() => {}, 1000)"],
    HostConfig: { Binds: [`${scene.neighbour}:/data`], NetworkMode: "none", IpcMode: "shareable" },
  });
  await engine(`/containers/${scene.neighbour}/start`, "POST");
  await until("the agent to be set up", async () =>
    (await proxy.ask(`/containers/${scene.agent}/logs?stderr=1`)).text.includes("standard error"),
  );
});

afterAll(async () => {
  await engineAnswer(`/containers/${scene.neighbour}?force=1`, "DELETE");
  await engineAnswer(`/volumes/${scene.neighbour}`, "DELETE");
  await engineAnswer(`/images/${scene.retagged}`, "DELETE");
  await proxy.close();
});

beforeEach(async () => {
  before = {
    world: await worldOf(scene.stack, imageId),
    living: await living(),
    records: proxy.audit.length,
  };
});

describe("T6: a `docker run` line", () => {
  it("T6: is let through without an escape in it, so that what follows is refused for its flags", async () => {
    const { code, stdout, stderr } = await throughProxy(
      line("lal.review.plain", [], [scene.image]),
    );
    expect([code, stderr]).toEqual([0, ""]);
    const id = stdout.trim();
    expect((await inspect(id)).Name).toBe(`/${proxy.name("lal.review.plain")}`);
    await until("its end", async () => (await inspect(id)).State.Status === "exited");
  });

  it.each(escapeLines)(
    "T6: with $title is refused, and nothing exists afterwards",
    async ({ flags, image, says }) => {
      const run = await throughProxy(
        line("lal.review.x1", flagsOf(flags), image?.(scene) ?? [scene.image]),
      );
      expect([run.code, run.stdout]).toEqual([125, ""]);
      expect(run.stderr).toContain("berth: create denied: ");
      expect(run.stderr).toContain(says);
      await expectNothingHappened();
    },
  );

  it.each(nameTricks)(
    "T6: with $title is refused, and nothing exists afterwards",
    async ({ name, flags, says }) => {
      const run = await throughProxy(line(name(scene), flags ?? [], [scene.image]));
      expect([run.code, run.stdout]).toEqual([125, ""]);
      expect(run.stderr).toContain("berth: create denied: ");
      expect(run.stderr).toContain(says);
      await expectNothingHappened();
    },
  );
});

describe("T6: a docker command", () => {
  it.each(escapeCommands)(
    "T6: $title is refused, and nothing is changed by it",
    async ({ args, input, says }) => {
      const run = await throughProxy(args(scene), input);
      expect([run.code !== 0, run.stderr]).toEqual([true, expect.stringContaining(says)]);
      await expectNothingHappened();
    },
  );
});

describe("T6: a call of the API", () => {
  it.each(escapeCalls)("T6: $title is refused, and nothing exists afterwards", async (tried) => {
    const answer = await send(tried);
    expect([answer.status, answer.text]).toEqual([
      tried.status,
      expect.stringContaining(tried.says),
    ]);
    await expectNothingHappened();
  });
});

describe("the escapes are real", () => {
  const tried = [
    "--privileged",
    "a bind of /",
    "a bind of the Docker socket",
    "the volumes of another container",
    "an inline volume that is a bind of /",
    "the host's network",
    "the network of another container",
    "the host's processes",
    "the shared memory of another container",
    "one capability",
    "a device of the host",
    "no seccomp",
    "nothing of /proc and /sys hidden",
    "root",
    "a library that is loaded first",
    "a label for a reverse proxy",
    "a log driver that has the Engine call an address",
  ];
  it.each(escapeLines.filter(({ title }) => tried.includes(title)))(
    "the line with $title makes a container where the Engine itself is asked",
    async ({ flags, image }) => {
      const name = `lal.review.${scene.stack}`;
      const words = [...(image?.(scene) ?? [scene.image]), node, "-e", "1"];
      const run = await straight(["create", ...line(name, flagsOf(flags), words).slice(2)]);
      const after = await worldOf(scene.stack, imageId);
      await engineAnswer(`/containers/${name}?force=1&v=1`, "DELETE");
      expect([run.code, run.stderr]).toEqual([0, expect.anything()]);
      expect(after.containers.filter((item) => !before.world.containers.includes(item))).toEqual([
        `/${name} ${run.stdout.trim()}`,
      ]);
      expect((await worldOf(scene.stack, imageId)).containers).toEqual(before.world.containers);
    },
  );

  it("exec, cp, commit, tag, volume create and network create do what they say there", async () => {
    const { agent, stack, directory, image } = scene;
    const ran = await straight(["exec", agent, node, "-p", "6 * 7"]);
    expect([ran.code, ran.stdout]).toEqual([0, "42\n"]);
    expect((await straight(["cp", `${agent}:${node}`, directory])).code).toBe(0);
    expect((await straight(["commit", agent, `localhost/${stack}:made`])).code).toBe(0);
    expect((await straight(["tag", image, `localhost/${stack}:tagged`])).code).toBe(0);
    expect((await straight(["volume", "create", `${stack}-made`])).code).toBe(0);
    expect((await straight(["network", "create", `${stack}-made`])).code).toBe(0);
    const { images, volumes, networks } = await worldOf(stack, imageId);
    await engine(`/images/localhost/${stack}:made`, "DELETE");
    await engine(`/images/localhost/${stack}:tagged`, "DELETE");
    await engine(`/volumes/${stack}-made`, "DELETE");
    await engine(`/networks/${stack}-made`, "DELETE");
    expect(images.join()).toContain(`localhost/${stack}:made`);
    expect(images.join()).toContain(`localhost/${stack}:tagged`);
    expect(volumes).toContain(`${stack}-made`);
    expect(networks.join()).toContain(`${stack}-made`);
    expect(await worldOf(stack, imageId)).toEqual(before.world);
  });
});

/** Sends a call as it stands. */
function send({ method, path, body, headers }: EscapeCall) {
  const value: unknown = typeof body === "function" ? body(scene) : body;
  const bytes =
    value === undefined || value instanceof Buffer ? value : Buffer.from(JSON.stringify(value));
  return new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const sent = http.request(
      {
        host: "127.0.0.1",
        port: proxy.port,
        method,
        path: typeof path === "function" ? path(scene) : path,
        agent: false,
        headers: {
          ...(bytes ? { "content-type": "application/json", "content-length": bytes.length } : {}),
          ...headers,
        },
      },
      (answer) => {
        let text = "";
        answer.on("data", (part: Buffer) => {
          text += part.toString();
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    sent.on("upgrade", (_answer, socket) => {
      socket.destroy();
      resolve({ status: 101, text: "" });
    });
    sent.on("error", reject);
    sent.end(bytes);
  });
}
