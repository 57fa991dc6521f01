import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEndpoint, request } from "../../services/common/http.ts";
import { serviceContainer } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import { encodeGrants, renderGrants } from "../../spec/grants.ts";
import {
  Label,
  Network,
  objectName,
  Path,
  Port,
  runDirectory,
  Service,
  Uid,
} from "../../spec/names.ts";
import { serviceLimits } from "../../spec/presets.ts";
import { dockerHost, engine, engineAnswer, exec, inspect, until } from "../support/engine.ts";
import { type RealProxy, startRealProxy } from "../support/real-proxy.ts";

/*
 * The socket proxy as a container of its own: what only that shows. The stack's objects are made by a proxy in this
 * process, which also cleans up.
 */
let proxy: RealProxy;
let stack: string;
let image: string;

beforeAll(async () => {
  proxy = await startRealProxy("own-container");
  ({ stack, image } = proxy);
  await proxy.declare(proxy.declarationOf("lal"));
});
afterAll(() => proxy.close());

describe("in its own container", () => {
  let self = "";
  let mounted = "";

  beforeAll(async () => {
    self = proxy.name(Service.socketProxy);
    mounted = runDirectory(stack);
    const where = parseEndpoint(dockerHost);
    const spec = serviceContainer({
      stack,
      service: Service.socketProxy,
      image,
      limits: serviceLimits,
      user: "0:0",
      capabilities: ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"],
      command: ["/usr/local/bin/node", "/opt/berth/socket-proxy.mjs"],
      env: { BERTH_STACK: stack, BERTH_GRANTS: encodeGrants(renderGrants()) },
      binds: [
        `${"socketPath" in where ? where.socketPath : ""}:${Path.dockerSocket}`,
        `${mounted}/proxy:${Path.proxyRun}`,
      ],
      networks: [objectName(stack, Network.socketProxy)],
      healthcheck: { test: ["NONE"] },
    });
    await engine(`/containers/create?name=${self}`, "POST", createBody(spec));
    await engine(`/containers/${self}/start`, "POST");
    await until("the proxy to be healthy", async () => {
      const health = await exec(self, ["/usr/local/bin/node", "/opt/berth/health.mjs"]);
      return health.exitCode === 0;
    });
  });

  it("C8: the proxy is not root, has the socket's group, no capability and no way back", async () => {
    const script = `
      const fs = require("node:fs");
      const socket = fs.statSync("${Path.dockerSocket}").gid;
      for (const pid of fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))) {
        const argv = fs.readFileSync("/proc/" + pid + "/cmdline", "utf8").split("\\0");
        if (argv[0] !== "/usr/local/bin/node" || argv[1] !== "/opt/berth/socket-proxy.mjs") continue;
        const status = fs.readFileSync("/proc/" + pid + "/status", "utf8");
        const field = (name) => new RegExp("^" + name + ":\\\\s*(.*)$", "m").exec(status)[1].trim();
        console.log(JSON.stringify({
          uid: field("Uid").split(/\\s+/), groups: field("Groups"), socket: String(socket),
          permitted: field("CapPrm"), effective: field("CapEff"), locked: field("NoNewPrivs"),
        }));
      }`;
    const { output } = await exec(self, ["/usr/local/bin/node", "-e", script]);
    const [line = "", ...more] = output.trim().split("\n");
    expect(more).toEqual([]);
    const found = JSON.parse(line) as Record<string, unknown>;
    expect(found).toEqual({
      uid: Array.from({ length: 4 }, () => String(Uid.socketProxy)),
      groups: found.socket,
      socket: found.socket,
      permitted: "0000000000000000",
      effective: "0000000000000000",
      locked: "1",
    });
  });

  it("a client that mounts its own directory, root without capabilities, is served there and granted only its verbs", async () => {
    const script = `
      const http = require("node:http");
      const ask = (path) => new Promise((resolve) => http.get({ socketPath: "${Path.proxySocket}", path }, (answer) => {
        let text = ""; answer.on("data", (part) => text += part); answer.on("end", () => resolve(answer.statusCode + " " + text.trim()));
      }));
      ask("/berth/declarations").then((first) => ask("/containers/json").then((second) => console.log(first + "\\n" + second)));`;
    const { Id } = await engine<{ Id: string }>("/containers/create", "POST", {
      Image: image,
      User: "0:0",
      Cmd: ["/usr/local/bin/node", "-e", script],
      Labels: { [Label.stack]: stack },
      HostConfig: {
        NetworkMode: "none",
        CapDrop: ["ALL"],
        Binds: [`${mounted}/proxy/${Service.egressGateway}:${Path.proxyRun}`],
      },
    });
    await engine(`/containers/${Id}/start`, "POST");
    await engine(`/containers/${Id}/wait`, "POST");
    const output = (await engineAnswer(`/containers/${Id}/logs?stdout=1`)).text;
    expect(output).toMatch(/200 \[.*"name":"lal"/);
    expect(output).toMatch(/403 \{"message":"berth: list denied: .* \[grant\]/);
  });

  it("its own pids limit is in force, too", async () => {
    await until(
      "its limit",
      async () => (await inspect(self)).HostConfig.PidsLimit === serviceLimits.pids,
    );
  });

  it("T14: it has one network, a root that cannot be written, one writable volume and no shell", async () => {
    const shown = await inspect(self);
    expect(Object.keys(shown.NetworkSettings.Networks)).toEqual([
      objectName(stack, Network.socketProxy),
    ]);
    expect(shown.HostConfig.ReadonlyRootfs).toBe(true);
    const script = `
      const fs = require("node:fs");
      const tried = ["/x", "/opt/berth/x", "/usr/local/bin/x", "/etc/x"].filter((path) => {
        try { fs.writeFileSync(path, ""); return true } catch { return false }
      });
      console.log(JSON.stringify({ tried, shells: ["sh", "bash", "busybox"].filter((name) => fs.existsSync("/bin/" + name)) }));`;
    const { output } = await exec(self, ["/usr/local/bin/node", "-e", script]);
    expect(JSON.parse(output)).toEqual({ tried: [], shells: [] });
  });

  it("T13: its port answers the admin bridge's container, and nobody who only reaches the network: not even the host", async () => {
    const address = (await inspect(self)).NetworkSettings.Networks[
      objectName(stack, Network.socketProxy)
    ]?.IPAddress;
    if (!address) throw new Error("no address");
    const fromHost = await request(
      { host: address, port: Port.socketProxy },
      { path: "/_ping", timeoutMs: 5_000 },
    );
    expect([fromHost.status, fromHost.text]).toEqual([403, expect.stringContaining("[source]")]);
    const script = `require("node:http").get({ host: "${address}", port: ${Port.socketProxy}, path: "/_ping" }, (a) => console.log("answered " + a.statusCode));`;
    const from = async (component: string) => {
      const named = objectName(stack, component);
      await engine(`/containers/create?name=${named}`, "POST", {
        Image: image,
        User: "10001:10001",
        Cmd: ["/usr/local/bin/node", "-e", `setTimeout(() => { ${script} }, 1500)`],
        Labels: { [Label.stack]: stack, [Label.component]: component },
        HostConfig: { NetworkMode: objectName(stack, Network.socketProxy), CapDrop: ["ALL"] },
      });
      await engine(`/containers/${named}/start`, "POST");
      await engine(`/containers/${named}/wait`, "POST");
      return (await engineAnswer(`/containers/${named}/logs?stdout=1`)).text;
    };
    expect(await from("stranger")).toContain("answered 403");
    expect(await from(Service.adminBridge)).toContain("answered 200");
  });
});
