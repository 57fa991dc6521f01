/** Every name that more than one part must agree on: labels, containers, networks, sockets, paths. */

/** Label keys. Labels on an Engine object are how the parts find and own it. */
export const Label = {
  /** Stack that owns the object. On everything that berth makes. */
  stack: "berth.stack",
  /** What the object is: a service's name, `agent`, `workspace`, `declaration`, a network's name. */
  component: "berth.component",
  /** Agent that the object belongs to. */
  agent: "berth.agent",
  /** Canonical JSON of the agent's declaration; only on declaration volumes. */
  declaration: "berth.declaration",
  /** The `PidsLimit` to enforce, since the docker provider has no input for it. */
  pids: "berth.pids",
  /** Hash of the rendered container: a silent provider update becomes a replacement. On an instance: its template's. */
  config: "berth.config",
  /** Whole id of the template that an instance was made from. This and the labels below are the socket proxy's own. */
  template: "berth.template",
  /** Name of an instance among those of its template. */
  instance: "berth.instance",
  /** Client of the socket proxy that asked for the instance. */
  client: "berth.client",
  /** Canonical JSON of an instance's parameters. */
  parameters: "berth.parameters",
  /** When an instance's lease ends, in Unix seconds. */
  lease: "berth.lease",
} as const;

/** Names of agents, bots and socket directories. Two characters at least: the Engine's own rule for names. */
export const agentNamePattern = /^[a-z][a-z0-9-]{1,30}$/;
/** Names of stacks: they become part of container names and host paths. */
export const stackNamePattern = /^[a-z][a-z0-9-]{0,30}$/;
/** Names of an agent's templates. */
export const templateNamePattern = /^[a-z][a-z0-9-]{0,30}$/;
/** Names of instances, among those of a template. */
export const instanceNamePattern = /^[a-z0-9][a-z0-9-]{0,30}$/;
/** Names of the socket proxy's clients: listeners and directories are called after them. */
export const clientNamePattern = /^[a-z][a-z0-9-]{0,30}$/;
/** Names of environment variables, and so of secrets. */
export const environmentPattern = /^[A-Z][A-Z0-9_]{0,63}$/;
/** Names of an agent's config files. */
export const configFileNamePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Files of the secret store's own in the directory of an agent's config files. */
export const reservedConfigFiles: readonly string[] = ["generation", "status.json"];
/** Names of an agent's endpoints. */
export const endpointNamePattern = /^[a-z][a-z0-9-]{0,30}$/;
/** The template that every agent has: the agent itself. */
export const ownTemplate = "agent";
/** Names that the platform itself uses in Mattermost or on the networks; no agent may take one. */
export const reservedNames: readonly string[] = [
  "admin",
  "admin-bridge",
  "all",
  "berth",
  "channel",
  "docker-socket-proxy",
  "egress-gateway",
  "here",
  "localhost",
  "matterbot",
  "mattermost",
  "operator",
  "postgres",
  "secret-store",
  "system",
];

/** The services of the platform: component label, container suffix and network alias in one. */
export const Service = {
  socketProxy: "docker-socket-proxy",
  postgres: "postgres",
  mattermost: "mattermost",
  adminBridge: "admin-bridge",
  egressGateway: "egress-gateway",
  secretStore: "secret-store",
} as const;
export type Service = (typeof Service)[keyof typeof Service];

/** The networks of a stack. `mattermost-net` and `socket-proxy-net` are internal. */
export const Network = {
  mattermost: "mattermost-net",
  socketProxy: "socket-proxy-net",
  egress: "egress-net",
  ingress: "ingress-net",
} as const;
export type Network = (typeof Network)[keyof typeof Network];

/** What the names of images that berth builds begin with: they are on the Engine before `pulumi up`, and in no registry. */
export const ownImagePrefix = "localhost/berth/";

/** Name of an Engine object of a stack: `berth-dev-lal`. */
export function objectName(stack: string, part: string): string {
  return `berth-${stack}-${part}`;
}

/** What a template is called outside of its declaration: `lal.review`. Agent names hold no dot. */
export function templateId(agent: string, template: string): string {
  return `${agent}.${template}`;
}

/** Name of an instance's container: `berth-dev-lal.review.7f3a`. */
export function instanceName(stack: string, template: string, instance: string): string {
  return `${objectName(stack, template)}.${instance}`;
}

/** Variable in which an agent's program finds the URL of an endpoint: `ENDPOINT_BIG_MODEL_URL`. */
export function endpointVariable(endpoint: string): string {
  return `ENDPOINT_${endpoint.toUpperCase().replaceAll("-", "_")}_URL`;
}

/** Variable in which an agent's program finds the directory of its config files. */
export const configVariable = "BERTH_CONFIG_DIRECTORY";

/** Host directory of a stack's sockets. On RAM; the toolchain makes the parent 0700. */
export function runDirectory(stack: string): string {
  return `/run/berth/${stack}`;
}

/** Host directory that one agent mounts (read-only) and nobody else but the gateway and the secret store. */
export function agentDirectory(stack: string, agent: string): string {
  return `${runDirectory(stack)}/agents/${agent}`;
}

/** Host directory with a directory of the secret store's socket for each of its clients; or one client's. */
export function storeDirectory(stack: string, client?: string): string {
  const all = `${runDirectory(stack)}/store`;
  return client === undefined ? all : `${all}/${client}`;
}

/** Host directory of the socket that is the secret store's own way out. */
export function storeEgressDirectory(stack: string): string {
  return `${runDirectory(stack)}/store-egress`;
}

/** Paths inside containers. */
export const Path = {
  /** Where an agent sees its own socket directory. */
  agentRun: "/run/berth",
  /** The agent's gateway: Mattermost, model and egress traffic. */
  gatewaySocket: "/run/berth/gateway.sock",
  /** Secret files of an agent, one a name. */
  agentSecrets: "/run/berth/secrets",
  /** Rendered config files of an agent, one a name. */
  agentConfig: "/run/berth/config",
  /** The bot token of an agent that talks to Mattermost itself (`network: "mattermost"`). */
  botToken: "/run/berth/bot-token",
  workspace: "/workspace",
  /** Where gateway and secret store see every agent's directory. */
  agentsRun: "/run/berth/agents",
  /** Where the secret store keeps what it must find again after a restart; nobody else mounts it. */
  secretStoreRun: "/run/berth/secret-store",
  /** In the secret store: the directories of its clients' sockets. In a client: its own of them. */
  storeRun: "/run/berth/store",
  /** Where a client of the secret store finds its own socket. */
  storeSocket: "/run/berth/store/store.sock",
  /** Where gateway and secret store have the socket of the store's own way out. */
  storeEgressRun: "/run/berth/store-egress",
  storeEgressSocket: "/run/berth/store-egress/gateway.sock",
  /** Where the socket proxy sees the directories of its unix-socket clients. */
  proxyRun: "/run/berth/proxy",
  /** Where the socket proxy keeps its audit; nobody else mounts it. */
  audit: "/audit",
  /** Where a client of the socket proxy finds its own socket. */
  proxySocket: "/run/berth/proxy/docker.sock",
  /** The admin bridge's socket on which the gateway asks for bot tokens. */
  tokenSocket: "/run/berth/tokens/tokens.sock",
  /** The admin bridge's socket for the operator, inside its own container only. */
  operatorSocket: "/tmp/operator.sock",
  dockerSocket: "/var/run/docker.sock",
  postgresRun: "/run/postgresql",
  /** Mattermost's local-mode socket. */
  mattermostLocal: "/var/tmp/mattermost_local.socket",
} as const;

/** Ports inside the stack. */
export const Port = {
  mattermost: 8065,
  egressProxy: 3128,
  socketProxy: 2375,
  adminBridge: 8066,
} as const;

/**
 * User ids inside containers, and so on the host: none that a person there is likely to have, who could then look into the
 * processes. 2000 is the official Mattermost image's own.
 */
export const Uid = {
  agent: 10100,
  mattermost: 2000,
  socketProxy: 10001,
  postgres: 10002,
} as const;
