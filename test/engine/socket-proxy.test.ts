import http from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEndpoint } from "../../services/common/http.ts";
import { agentContainer, workspaceVolume } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import type { Declaration } from "../../spec/declaration.ts";
import { Label, Network } from "../../spec/names.ts";
import { dockerHost, engine, type Inspected, inspect, until } from "../support/engine.ts";
import { type Body, type RealProxy, startRealProxy } from "../support/real-proxy.ts";

let proxy: RealProxy;
let stack: string;
let image: string;
let port: number;

beforeAll(async () => {
  proxy = await startRealProxy("socket-proxy");
  ({ stack, image, port } = proxy);
});
afterAll(() => proxy.close());

const ask = (path: string, method = "GET") => proxy.ask(path, method);
const name = (agent: string) => proxy.name(agent);
const declarationOf = (agent: string, changes: Partial<Declaration> = {}) =>
  proxy.declarationOf(agent, changes);
const declare = (declaration: Declaration, suffix?: string) => proxy.declare(declaration, suffix);
const make = (declaration: Declaration, spoil?: (body: Body) => void) =>
  proxy.make(declaration, spoil);

/** Bytes of an answer, from the proxy or from the Engine itself. */
function bytesOf(options: http.RequestOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...options, agent: false }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("end", () => resolve(Buffer.concat(parts)));
      })
      .on("error", reject);
  });
}

describe("on a real Engine", () => {
  it("A11: start, inspect, wait and stop work on a declared container", async () => {
    await declare(declarationOf("lal"));
    const id = await make(declarationOf("lal"));
    await until("the pids limit", async () => (await inspect(id)).HostConfig.PidsLimit === 77);

    expect((await ask(`/v1.41/containers/${name("lal")}/start`, "POST")).status).toBe(204);
    expect((await ask(`/containers/${id}/start`, "POST")).status).toBe(304);
    const shown = JSON.parse((await ask(`/containers/${name("lal")}/json`)).text) as Inspected;
    expect([shown.Id, shown.State.Running, shown.HostConfig.PidsLimit]).toEqual([id, true, 77]);

    await until("its handler of SIGTERM", async () =>
      (await ask(`/containers/${id}/logs?stdout=1`)).text.includes("pids.max"),
    );
    const waiting = ask(`/containers/${id}/wait`, "POST");
    expect((await ask(`/containers/${id}/stop?t=20`, "POST")).status).toBe(204);
    expect(JSON.parse((await waiting).text)).toEqual({ StatusCode: 7, Error: null });
  });

  it("A11: the same fail on a container that is not declared, or not of this stack", async () => {
    await make(declarationOf("undeclared"));
    for (const verb of ["start", "stop"]) {
      const answer = await ask(`/containers/${name("undeclared")}/${verb}`, "POST");
      expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("[undeclared]")]);
    }
    const labels = agentContainer(declarationOf("undeclared")).Labels;
    const { Id } = await engine<{ Id: string }>(
      `/containers/create?name=foreign-${stack}`,
      "POST",
      { Image: image, Cmd: ["/usr/local/bin/node", "--version"], Labels: labels },
    );
    for (const [method, verb] of [
      ["POST", "start"],
      ["POST", "stop"],
      ["POST", "wait"],
      ["GET", "json"],
    ] as const) {
      expect((await ask(`/containers/${Id}/${verb}`, method)).status).toBe(404);
      expect((await ask(`/containers/foreign-${stack}/${verb}`, method)).status).toBe(404);
    }
    expect((await inspect(Id)).State.Status).toBe("created");
    expect((await inspect(name("undeclared"))).State.Status).toBe("created");
  });

  it("the limit that the container itself sees is the declared one", async () => {
    await ask(`/containers/${name("lal")}/start`, "POST");
    const text = await until("its output", async () => {
      const { text: logs } = await ask(`/containers/${name("lal")}/logs?stdout=1`);
      return logs.includes("pids.max") && logs;
    });
    expect(text).toContain("pids.max 77");
  });

  it("logs are the Engine's own bytes", async () => {
    const path = `/v1.41/containers/${name("lal")}/logs?stdout=1&stderr=1&timestamps=1`;
    // Two starts, a line on each stream at each.
    await until("all of its output", async () => {
      const { text } = await ask(path);
      return text.split("pids.max").length === 3 && text.split("standard error").length === 3;
    });
    const [ours, theirs] = await Promise.all([
      bytesOf({ host: "127.0.0.1", port, path }),
      bytesOf({ ...parseEndpoint(dockerHost), path }),
    ]);
    expect(ours.length).toBeGreaterThan(50);
    expect(ours.equals(theirs)).toBe(true);
  });

  it("A12: delete and exec answer 403 with a record in every spelling, and the container is unharmed", async () => {
    const before = await inspect(name("lal"));
    const tried: [string, string][] = [];
    for (const own of [name("lal"), before.Id]) {
      for (const prefix of ["", "/v1.41", "/v1.45", "/v1.24", "//", "/v1.41/."]) {
        tried.push(["DELETE", `${prefix}/containers/${own}?force=1&v=1`]);
        for (const verb of [
          "exec",
          "%65xec",
          "exec/",
          "update",
          "rename?name=x",
          "restart",
          "pause",
          "attach",
          "start/../kill",
        ]) {
          tried.push(["POST", `${prefix}/containers/${own}/${verb}`]);
        }
        for (const method of ["GET", "HEAD", "PUT"])
          tried.push([method, `${prefix}/containers/${own}/archive?path=/`]);
      }
    }
    const records = proxy.audit.length;
    for (const [method, path] of tried) {
      expect([method, path, (await ask(path, method)).status]).toEqual([method, path, 403]);
    }
    expect(proxy.audit.slice(records).filter(({ decision }) => decision === "deny")).toHaveLength(
      tried.length,
    );
    const after = await inspect(name("lal"));
    expect([after.Id, after.State.Pid, after.State.StartedAt, after.Name]).toEqual([
      before.Id,
      before.State.Pid,
      before.State.StartedAt,
      before.Name,
    ]);
  });

  const spoiled: [
    string,
    string,
    (body: Record<string, unknown> & { HostConfig: object }) => void,
  ][] = [
    [
      "privileged",
      "HostConfig.Privileged",
      (b) => Object.assign(b.HostConfig, { Privileged: true }),
    ],
    [
      "a bind of the host",
      "HostConfig.Binds",
      (b) => Object.assign(b.HostConfig, { Binds: ["/:/host"] }),
    ],
    [
      "a mount",
      "HostConfig.Mounts",
      (b) =>
        Object.assign(b.HostConfig, { Mounts: [{ Type: "bind", Source: "/tmp", Target: "/x" }] }),
    ],
    [
      "a capability",
      "HostConfig.CapAdd",
      (b) => Object.assign(b.HostConfig, { CapAdd: ["SYS_ADMIN"] }),
    ],
    [
      "the host's network",
      "HostConfig.NetworkMode",
      (b) => Object.assign(b.HostConfig, { NetworkMode: "host" }),
    ],
    [
      "the host's processes",
      "HostConfig.PidMode",
      (b) => Object.assign(b.HostConfig, { PidMode: "host" }),
    ],
    [
      "no seccomp",
      "HostConfig.SecurityOpt",
      (b) =>
        Object.assign(b.HostConfig, {
          SecurityOpt: ["no-new-privileges:true", "seccomp=unconfined"],
        }),
    ],
    [
      "a device",
      "HostConfig.Devices",
      (b) =>
        Object.assign(b.HostConfig, {
          Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "r" }],
        }),
    ],
    [
      "more memory",
      "HostConfig.Memory",
      (b) => Object.assign(b.HostConfig, { Memory: 2 ** 30, MemorySwap: 2 ** 30 }),
    ],
    [
      "a writable root",
      "HostConfig.ReadonlyRootfs",
      (b) => Object.assign(b.HostConfig, { ReadonlyRootfs: false }),
    ],
    [
      "no masked paths",
      "HostConfig.MaskedPaths",
      (b) => Object.assign(b.HostConfig, { MaskedPaths: [] }),
    ],
    ["root", "Config.User", (b) => Object.assign(b, { User: "0" })],
    [
      "a preload",
      "Config.Env",
      (b) => Object.assign(b, { Env: [...(b.Env as string[]), "LD_PRELOAD=/x"] }),
    ],
    [
      "another program",
      "Config.Entrypoint",
      (b) => Object.assign(b, { Entrypoint: ["/usr/local/bin/node"] }),
    ],
    [
      "a healthcheck",
      "Config.Healthcheck",
      (b) => Object.assign(b, { Healthcheck: { Test: ["CMD", "x"], Interval: 1e9 } }),
    ],
    ["a host name", "Config.Hostname", (b) => Object.assign(b, { Hostname: "mattermost" })],
    [
      "a label of another tool",
      "Config.Labels",
      (b) => Object.assign(b, { Labels: { ...(b.Labels as object), "traefik.enable": "true" } }),
    ],
  ];
  it.each(spoiled)("a container made with %s is not started: %s", async (_title, field, spoil) => {
    const declaration = declarationOf("spoiled");
    await declare(declaration);
    const id = await make(declaration, spoil);
    const answer = await ask(`/containers/${id}/start`, "POST");
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining(field)]);
    expect((await inspect(id)).State.Status).toBe("created");
    expect(proxy.audit.findLast(({ phase }) => phase === "alert")).toMatchObject({
      fields: expect.arrayContaining([field]),
    });
    await engine(`/containers/${id}?force=1&v=1`, "DELETE");
  });

  it("a workspace volume that is a host directory in disguise is not mounted", async () => {
    const declaration = declarationOf("disguised");
    await declare(declaration);
    await engine("/volumes/create", "POST", {
      Name: workspaceVolume(stack, "disguised"),
      Labels: { [Label.stack]: stack },
      DriverOpts: { type: "none", o: "bind", device: "/tmp" },
    });
    const spec = agentContainer(declaration);
    const body = createBody(spec);
    await engine(`/containers/create?name=${spec.name}`, "POST", body);
    const answer = await ask(`/containers/${spec.name}/start`, "POST");
    expect([answer.status, answer.text]).toEqual([
      403,
      expect.stringContaining("declared: Volumes ["),
    ]);
  });

  it("an agent on mattermost-net starts on that network alone, and starts again", async () => {
    const declaration = declarationOf("scout", { network: "mattermost" });
    await declare(declaration);
    const id = await make(declaration);
    for (const _ of [1, 2]) {
      const started = await ask(`/containers/${id}/start`, "POST");
      expect([started.status, started.text]).toEqual([204, ""]);
      const { NetworkSettings } = await inspect(id);
      expect(Object.keys(NetworkSettings.Networks)).toEqual([name(Network.mattermost)]);
      expect((await ask(`/containers/${id}/stop?t=0`, "POST")).status).toBe(204);
    }
    const network = JSON.parse((await ask(`/networks/${name(Network.mattermost)}`)).text) as object;
    expect(network).toMatchObject({ Name: name(Network.mattermost), Internal: true });
  });

  it("events of the stack come, of others not, and a stopped agent is seen to die", async () => {
    const events: { Action: string; Actor: { Attributes: Record<string, string> } }[] = [];
    const isItsEnd = ({ Action, Actor }: (typeof events)[number]) =>
      Action === "die" && Actor.Attributes.name === name("lal");
    const stream = http.get(
      { host: "127.0.0.1", port, path: "/events", agent: false },
      (answer) => {
        answer.on("error", () => undefined);
        answer.on("data", (part: Buffer) => {
          for (const line of part.toString().split("\n").filter(Boolean))
            events.push(JSON.parse(line));
        });
      },
    );
    stream.on("error", () => undefined);
    await until("the subscription", async () => stream.socket?.bytesRead);
    await engine(`/containers/foreign-${stack}/start`, "POST");
    await ask(`/containers/${name("lal")}/stop`, "POST");
    await until("its end", async () => events.some(isItsEnd));
    stream.destroy();
    const die = events.find(isItsEnd);
    expect(die?.Actor.Attributes).toMatchObject({ name: name("lal"), exitCode: "7" });
    expect(events.map(({ Actor }) => Actor.Attributes.name)).not.toContain(`foreign-${stack}`);
    await engine(`/containers/foreign-${stack}?force=1`, "DELETE");
  });

  it("declarations follow the volumes: a changed one is seen before the old one is gone", async () => {
    const list = async () => {
      const answer = await ask("/berth/declarations");
      return (JSON.parse(answer.text) as Declaration[]).find((item) => item.name === "data");
    };
    await declare(declarationOf("data", { activation: "manual" }), "declaration-1");
    expect((await list())?.activation).toBe("manual");
    // Engine times are whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await declare(declarationOf("data", { activation: "always" }), "declaration-0");
    expect((await list())?.activation).toBe("always");
    await engine(`/volumes/${name("data-declaration-1")}`, "DELETE");
    expect((await list())?.activation).toBe("always");
  });

  it("the image that a declaration names is shown, without its environment", async () => {
    const { status, text } = await ask(`/images/${image}/json`);
    expect([status, JSON.parse(text)]).toEqual([
      200,
      expect.objectContaining({ RepoTags: [image] }),
    ]);
    expect(text).not.toContain("FROM_IMAGE");
  });
});
