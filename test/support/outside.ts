import { readFileSync } from "node:fs";
import { imageReference } from "../../images/catalog.ts";
import { engine, engineAnswer, logsOf, stackName, until } from "./engine.ts";

/** What stands in for the internet in a test: one host with several names, outside every stack. */
export interface OutsideWorld {
  /** Engine name of its container, whose log holds one line a request. */
  readonly container: string;
  /** Its address, of the ranges for documentation: public as far as the egress gateway is concerned. */
  readonly address: string;
  /** Ports that it listens on. HTTPS has a certificate for all its names, signed by itself. */
  readonly ports: { readonly http: 80; readonly https: 443; readonly echo: 7 };
  /** The certificate, in PEM. */
  readonly certificate: string;
  /** What reached it so far, in order: `GET http://host/path`, `POST https://…`, `TCP echo`. */
  requests(): Promise<string[]>;
  /** Takes it away again, its network included. */
  close(): Promise<void>;
}

export interface OutsideOptions {
  /** Engine name of the network whose containers are to reach it: a stack's egress network. */
  readonly network: string;
  /** Names under which those containers find it. */
  readonly names: readonly string[];
}

/** Label of what this file makes. No stack's label: a stack's removal must not depend on it, nor find it. */
const label = "berth.test.outside";

/**
 * Starts the outside world, from the agents' image. It stands on an internal network of its own with documentation
 * addresses, because the addresses of a stack's networks are private and the egress gateway refuses them; the containers
 * that are on `network` now are connected to it as well.
 */
export async function startOutside({ network, names }: OutsideOptions): Promise<OutsideWorld> {
  const name = `berth-outside-${stackName(network)}`;
  const close = async () => {
    await engineAnswer(`/containers/${name}?force=1&v=1`, "DELETE");
    await disconnectAll(name);
    await engineAnswer(`/networks/${name}`, "DELETE");
  };
  try {
    await createNetwork(name);
    await startContainer(name, names);
    await connectNeighbours(name, network);
    const ready = await until("the outside world to listen", () => readyLine(name), 30_000);
    const { NetworkSettings } = await engine<{
      NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
    }>(`/containers/${name}/json`);
    const address = NetworkSettings.Networks[name]?.IPAddress;
    if (!address) throw new Error(`${name} has no address`);
    return {
      container: name,
      address,
      ports: { http: 80, https: 443, echo: 7 },
      certificate: ready.certificate,
      requests: async () =>
        (await linesOf(name)).filter((line) => /^(?:TCP|[A-Z]+ http)/.test(line)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A free sixteenth of 203.0.113.0/24 (RFC 5737), so that several test runs fit on one Engine. */
async function createNetwork(name: string): Promise<void> {
  const first = Math.floor(Math.random() * 16);
  for (let step = 0; step < 16; step++) {
    const Subnet = `203.0.113.${((first + step) % 16) * 16}/28`;
    const answer = await engineAnswer("/networks/create", "POST", {
      Name: name,
      Driver: "bridge",
      // Internal: it must neither become the gateway's default route nor have a way out itself.
      Internal: true,
      Labels: { [label]: "network" },
      IPAM: { Config: [{ Subnet }] },
    });
    if (answer.status === 201) return;
    if (!/overlap/i.test(answer.text)) throw new Error(`network ${name}: ${answer.text}`);
  }
  throw new Error(`no sixteenth of 203.0.113.0/24 is free: remove networks with label ${label}`);
}

async function startContainer(name: string, names: readonly string[]): Promise<void> {
  const script = readFileSync(new URL("./outside-server.mjs", import.meta.url), "utf8");
  await engine(`/containers/create?name=${name}`, "POST", {
    Image: imageReference("agent-base"),
    User: "0:0",
    // A terminal, so that its log is plain lines.
    Tty: true,
    Entrypoint: ["/usr/local/bin/node", "--input-type=module", "-e", script, "--"],
    Cmd: names,
    Labels: { [label]: "container" },
    HostConfig: { NetworkMode: name, Init: true, Tmpfs: { "/tmp": "rw" } },
    NetworkingConfig: { EndpointsConfig: { [name]: { Aliases: names } } },
  });
  await engine(`/containers/${name}/start`, "POST");
}

/** Connects every container of a network to the outside world's. */
async function connectNeighbours(name: string, network: string): Promise<void> {
  for (const id of await membersOf(network))
    await engine(`/networks/${name}/connect`, "POST", { Container: id });
}

async function disconnectAll(name: string): Promise<void> {
  for (const id of await membersOf(name))
    await engineAnswer(`/networks/${name}/disconnect`, "POST", { Container: id, Force: true });
}

async function membersOf(network: string): Promise<string[]> {
  const answer = await engineAnswer(`/networks/${network}`);
  if (answer.status === 404) return [];
  return Object.keys((JSON.parse(answer.text) as { Containers?: object }).Containers ?? {});
}

async function readyLine(name: string): Promise<{ certificate: string } | undefined> {
  const line = (await linesOf(name)).find((text) => text.startsWith('{"certificate"'));
  return line === undefined ? undefined : (JSON.parse(line) as { certificate: string });
}

async function linesOf(name: string): Promise<string[]> {
  return (await logsOf(name)).split(/\r?\n/);
}
