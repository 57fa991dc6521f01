import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { settings } from "../common/service.ts";
import { normaliseHost } from "./egress/target.ts";

/** The gateway's settings; everything else it learns from the declarations. */
export interface GatewaySettings {
  readonly mattermostUrl: URL;
  /** Team that the agents are told of. */
  readonly team: string;
  readonly stack: string | undefined;
  /** Hosts whose names may lead to private addresses. */
  readonly privateHosts: ReadonlySet<string>;
}

/**
 * Reads `MATTERMOST_URL`, `BERTH_TEAM`, and where they are set `BERTH_STACK` and `BERTH_PRIVATE_EGRESS`
 * (hosts, with commas between).
 * @throws Error that names the variable and what it must be
 */
export function readSettings(env: NodeJS.ProcessEnv): GatewaySettings {
  const { MATTERMOST_URL, BERTH_TEAM } = settings(env, ["MATTERMOST_URL", "BERTH_TEAM"]);
  const url = URL.canParse(MATTERMOST_URL) ? new URL(MATTERMOST_URL) : undefined;
  if (url?.protocol !== "http:" || url.pathname !== "/" || url.username || url.password) {
    throw new Error(`MATTERMOST_URL must be http://host:port`);
  }
  const hosts = (env.BERTH_PRIVATE_EGRESS ?? "")
    .split(",")
    .map((host) => host.trim())
    .filter(Boolean);
  const wrong = hosts.filter((host) => normaliseHost(host)?.literal !== 0);
  if (wrong.length > 0) {
    throw new Error(
      `BERTH_PRIVATE_EGRESS: not host names: ${wrong.join(", ")}; a private address is declared in the agent's own egress list, with its port`,
    );
  }
  return {
    mattermostUrl: url,
    team: BERTH_TEAM,
    stack: env.BERTH_STACK || undefined,
    privateHosts: new Set(hosts.map((host) => normaliseHost(host)?.host ?? "")),
  };
}

/**
 * Addresses that lead back here or to the Docker host: the container's own, and its routers', which are the host.
 * Private ones are refused by their class anyway; a network may also have been given a public range.
 */
export async function ownAddresses(routes = "/proc/net/route"): Promise<ReadonlySet<string>> {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const table = await readFile(routes, "utf8").catch(() => "");
  const routers = table
    .split("\n")
    .map((line) => line.split("\t")[2] ?? "")
    .filter((field) => /^[0-9A-F]{8}$/.test(field) && field !== "00000000")
    .map((field) => [...Buffer.from(field, "hex").reverse()].join("."));
  return new Set([...own.map(({ address }) => address), ...routers]);
}
