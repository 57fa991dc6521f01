import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { settings } from "../common/service.ts";
import { parseRule } from "./egress/rules.ts";
import { normaliseHost } from "./egress/target.ts";

/** The gateway's settings; everything else it learns from the declarations. */
export interface GatewaySettings {
  readonly mattermostUrl: URL;
  /** Team that the agents are told of. */
  readonly team: string;
  readonly stack: string | undefined;
  /** Hosts whose names may lead to private addresses. */
  readonly privateHosts: ReadonlySet<string>;
  /** The secret store's own way out: its list, and hosts of it that may lead to private addresses. Absent: none. */
  readonly store:
    | { readonly rules: readonly string[]; readonly privateHosts: ReadonlySet<string> }
    | undefined;
}

/**
 * Reads `MATTERMOST_URL`, `BERTH_TEAM`, and where they are set `BERTH_STACK`, `BERTH_PRIVATE_EGRESS` (hosts),
 * `BERTH_STORE_EGRESS` (entries like an agent's egress) and `BERTH_STORE_PRIVATE` (hosts); lists with commas between.
 * @throws Error that names the variables and what they must be
 */
export function readSettings(env: NodeJS.ProcessEnv): GatewaySettings {
  const { MATTERMOST_URL, BERTH_TEAM } = settings(env, ["MATTERMOST_URL", "BERTH_TEAM"]);
  const url = URL.canParse(MATTERMOST_URL) ? new URL(MATTERMOST_URL) : undefined;
  const problems: string[] = [];
  if (url?.protocol !== "http:" || url.pathname !== "/" || url.username || url.password)
    problems.push("MATTERMOST_URL must be http://host:port");
  const hosts = listIn(env.BERTH_PRIVATE_EGRESS);
  const noNames = hosts.filter((host) => normaliseHost(host)?.literal !== 0);
  if (noNames.length > 0)
    problems.push(
      `BERTH_PRIVATE_EGRESS: not host names: ${noNames.join(", ")}; a private address is declared in the agent's own egress list, with its port`,
    );
  const rules = listIn(env.BERTH_STORE_EGRESS);
  const noRules = rules.filter((rule) => !parseRule(rule));
  if (noRules.length > 0)
    problems.push(
      `BERTH_STORE_EGRESS: nothing matches ${noRules.join(", ")}; write host, host:port or *.suffix`,
    );
  // An address is fine as well: it stands in the list itself, with its port, and needs no more.
  const own = listIn(env.BERTH_STORE_PRIVATE);
  const noHosts = own.filter((host) => !normaliseHost(host));
  if (noHosts.length > 0) problems.push(`BERTH_STORE_PRIVATE: not hosts: ${noHosts.join(", ")}`);
  if (!url || problems.length > 0) throw new Error(problems.join("; "));
  return {
    mattermostUrl: url,
    team: BERTH_TEAM,
    stack: env.BERTH_STACK || undefined,
    privateHosts: normalised(hosts),
    store: rules.length === 0 ? undefined : { rules, privateHosts: normalised(own) },
  };
}

function listIn(text: string | undefined): readonly string[] {
  return (text ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean);
}

function normalised(hosts: readonly string[]): ReadonlySet<string> {
  return new Set(hosts.flatMap((host) => normaliseHost(host)?.host ?? []));
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
