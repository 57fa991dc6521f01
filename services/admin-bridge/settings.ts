import { Path } from "../../spec/names.ts";
import { type Endpoint, parseEndpoint } from "../common/http.ts";
import { settings } from "../common/service.ts";
import type { RotationWaits } from "./token-mint.ts";

/** All that the admin bridge reads from its environment. */
export interface BridgeSettings {
  readonly stack: string;
  /** The socket proxy. */
  readonly proxy: Endpoint;
  readonly mattermostUrl: string;
  readonly localSocket: string;
  readonly tokenSocket: string;
  readonly operatorSocket: string;
  /** The secret store's socket for us. */
  readonly storeSocket: string;
  readonly team: string;
  /** Home channel: greeting and notices. */
  readonly channel: string;
  /** User names that may give commands. */
  readonly operators: readonly string[];
  /** Directory of the database. */
  readonly data: string;
  readonly defaultImage: string;
  /** Host names, beside the loopback ones, under which the HTTP interface may be asked. */
  readonly allowedHosts: readonly string[];
  /** Waits of a token's rotation; only tests set others. */
  readonly tokenWaits?: Partial<RotationWaits>;
}

/**
 * Where the socket proxy is. The bridge must not hold the Engine's own socket (requirement A10), so only `tcp://` is taken.
 * @throws Error whose text tells the operator what to set
 */
export function proxyEndpoint(dockerHost: string | undefined): Endpoint {
  const cure = "set it to the socket proxy, for example tcp://docker-socket-proxy:2375";
  if (!dockerHost) {
    throw new Error(`DOCKER_HOST is not set, which means the Engine's own socket; ${cure}`);
  }
  if (!dockerHost.startsWith("tcp://")) {
    throw new Error(
      `DOCKER_HOST is "${dockerHost}", but the admin bridge never uses the Engine's own socket; ${cure}`,
    );
  }
  try {
    return parseEndpoint(dockerHost);
  } catch {
    throw new Error(`DOCKER_HOST is "${dockerHost}", which is no tcp://host:port; ${cure}`);
  }
}

/** Reads the environment. @throws Error that names what is missing or wrong, and its cure */
export function readSettings(env: NodeJS.ProcessEnv): BridgeSettings {
  const proxy = proxyEndpoint(env.DOCKER_HOST);
  const needed = settings(env, [
    "BERTH_STACK",
    "MATTERMOST_URL",
    "BERTH_TEAM",
    "BERTH_DEFAULT_IMAGE",
  ]);
  if (!URL.canParse(needed.MATTERMOST_URL)) {
    throw new Error(`MATTERMOST_URL is "${needed.MATTERMOST_URL}"; write http://host:port`);
  }
  return {
    stack: needed.BERTH_STACK,
    proxy,
    mattermostUrl: needed.MATTERMOST_URL.replace(/\/+$/, ""),
    localSocket: env.MATTERMOST_LOCAL_SOCKET || Path.mattermostLocal,
    tokenSocket: env.BERTH_TOKEN_SOCKET || Path.tokenSocket,
    operatorSocket: env.BERTH_OPERATOR_SOCKET || Path.operatorSocket,
    storeSocket: env.BERTH_STORE_SOCKET || Path.storeSocket,
    team: needed.BERTH_TEAM,
    channel: env.BERTH_CHANNEL || "town-square",
    operators: words(env.BERTH_OPERATORS),
    data: env.BERTH_DATA || "/data",
    defaultImage: needed.BERTH_DEFAULT_IMAGE,
    allowedHosts: words(env.BERTH_ALLOWED_HOSTS),
  };
}

function words(list: string | undefined): string[] {
  return (list ?? "")
    .split(",")
    .map((word) => word.trim().toLowerCase())
    .filter((word) => word !== "");
}
