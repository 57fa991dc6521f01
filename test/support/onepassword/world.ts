import { readFileSync } from "node:fs";
import { connectEngine, execIn } from "../../../cli/engine-api.ts";
import { imageReference } from "../../../images/catalog.ts";
import { dockerHost, engine, engineAnswer, logsOf, stackName, until } from "../engine.ts";
import type { Control } from "./connect-double.d.mts";

/** Name of the Connect server for the secret store. */
const connectName = "connect.example.test";
const node = "/usr/local/bin/node";

/**
 * A Connect server and an HTTP service beside a stack, each a container of ours on a network of our own with addresses of the
 * shared range (RFC 6598), which a stack's gateway takes for private ones.
 */
export interface World {
  readonly connect: {
    readonly url: string;
    /** PEM, for `connectCa`. */
    readonly certificate: string;
    /** Engine name of its container. */
    readonly container: string;
    /** Calls a function of the control API; see connect-double.mjs. */
    control<K extends keyof Control>(
      name: K,
      ...argument: Parameters<Control[K]>
    ): Promise<ReturnType<Control[K]>>;
  };
  /** Answers with the SHA-256 of the `authorization` that it got, and never with the value. */
  readonly service: { readonly url: string; readonly container: string };
  /** Lets a container reach both. */
  join(container: string): Promise<void>;
  close(): Promise<void>;
}

/** A service that tells who asks by a hash only, so that nobody learns a value from its answer. */
const serviceScript = `
import { createHash } from "node:crypto";
import http from "node:http";
http.createServer((request, response) => {
  const { authorization = "" } = request.headers;
  response.setHeader("x-echo", authorization);
  response.end(JSON.stringify({ path: request.url, sha256: createHash("sha256").update(authorization).digest("hex") }));
}).listen(8080, "0.0.0.0", () => console.log("ready"));
process.on("SIGTERM", () => process.exit(0));`;

/** Starts both. @throws Error where the Engine has no room for the network */
export async function startWorld(options: {
  readonly seed: string;
  readonly token: string;
  readonly vaults: readonly string[];
}): Promise<World> {
  const network = `berth-world-${stackName(options.seed)}`;
  const [connect, service] = [`${network}-connect`, `${network}-service`];
  const close = async () => {
    for (const name of [connect, service])
      await engineAnswer(`/containers/${name}?force=1&v=1`, "DELETE");
    const found = await engineAnswer(`/networks/${network}`);
    if (found.status === 404) return;
    const { Containers } = JSON.parse(found.text) as { Containers?: Record<string, unknown> };
    for (const Container of Object.keys(Containers ?? {}))
      await engineAnswer(`/networks/${network}/disconnect`, "POST", { Container, Force: true });
    await engineAnswer(`/networks/${network}`, "DELETE");
  };
  try {
    const address = await makeNetwork(network);
    const script = readFileSync(new URL("./connect-double.mjs", import.meta.url), "utf8");
    const { token, vaults } = options;
    const settings = JSON.stringify({ names: [connectName], token, vaults });
    await run(connect, { network, script, argument: settings, alias: connectName });
    await run(service, { network, script: serviceScript, argument: "", address });
    const line = await until("the Connect double to listen", async () =>
      (await logsOf(connect)).split(/\r?\n/).find((text) => text.startsWith("{")),
    );
    const { certificate } = JSON.parse(line) as { certificate: string };
    await until("the service to listen", async () => (await logsOf(service)).includes("ready"));
    return {
      connect: {
        url: `https://${connectName}:8080`,
        certificate,
        container: connect,
        control: (name, ...argument) => control(connect, name, argument[0]),
      },
      service: { url: `http://${address}:8080`, container: service },
      join: async (Container) => {
        await engine(`/networks/${network}/connect`, "POST", { Container });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A free sixteenth of 100.64.213.0/24. @returns the address in it for the service */
async function makeNetwork(Name: string): Promise<string> {
  const first = Math.floor(Math.random() * 16);
  for (let step = 0; step < 16; step++) {
    const start = ((first + step) % 16) * 16;
    const answer = await engineAnswer("/networks/create", "POST", {
      Name,
      Driver: "bridge",
      // Internal: it must neither become a joining container's default route nor have a way out itself.
      Internal: true,
      Labels: { "berth.test.world": "network" },
      IPAM: { Config: [{ Subnet: `100.64.213.${start}/28` }] },
    });
    if (answer.status === 201) return `100.64.213.${start + 10}`;
    if (!/overlap/i.test(answer.text)) throw new Error(`network ${Name}: ${answer.text}`);
  }
  throw new Error("no sixteenth of 100.64.213.0/24 is free: remove networks berth-world-…");
}

async function run(
  name: string,
  with_: {
    readonly network: string;
    readonly script: string;
    readonly argument: string;
    readonly alias?: string;
    readonly address?: string;
  },
): Promise<void> {
  const { network, script, argument, alias, address } = with_;
  await engine(`/containers/create?name=${name}`, "POST", {
    Image: imageReference("agent-base"),
    User: "0:0",
    // A terminal, so that its log is plain lines.
    Tty: true,
    Entrypoint: [node, "--input-type=module", "-e", script, "--"],
    Cmd: argument === "" ? [] : [argument],
    Labels: { "berth.test.world": "container" },
    HostConfig: { NetworkMode: network, Init: true, Tmpfs: { "/tmp": "rw" } },
    NetworkingConfig: {
      EndpointsConfig: {
        [network]: {
          ...(alias ? { Aliases: [alias] } : {}),
          ...(address ? { IPAMConfig: { IPv4Address: address } } : {}),
        },
      },
    },
  });
  await engine(`/containers/${name}/start`, "POST");
}

/**
 * Runs in the double's own container: its control port is nobody else's business. The argument goes by standard input, since
 * the arguments of a command stand in the Engine's events.
 */
async function control<T>(container: string, name: string, argument: unknown): Promise<T> {
  const script = `
    let body = "";
    for await (const part of process.stdin) body += part;
    const answer = await fetch("http://127.0.0.1:8081/" + process.argv[1], { method: "POST", body });
    console.log(await answer.text());
    process.exit(answer.ok ? 0 : 1);`;
  const { exitCode, stdout, stderr } = await execIn(
    connectEngine(dockerHost),
    container,
    [node, "--input-type=module", "-e", script, name],
    JSON.stringify(argument ?? {}),
  );
  if (exitCode !== 0) throw new Error(`control ${name}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
}
