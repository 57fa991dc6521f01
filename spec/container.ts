import { hashOf, type Json } from "./canonical.ts";
import type { AgentNetwork, Declaration, TemplateWorkspace } from "./declaration.ts";
import { agentDirectory, Label, Network, objectName, Path, Port, Uid } from "./names.ts";
import type { Limits } from "./presets.ts";
import { MiB } from "./units.ts";

/**
 * A container in the Engine's own words: the create body of its API, the members that berth sets.
 * Pulumi's components and the socket proxy both start from this, so both make the same container.
 */
export interface ContainerSpec {
  readonly name: string;
  readonly Image: string;
  readonly User: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env: readonly string[];
  readonly WorkingDir?: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly StopSignal: "SIGTERM" | "SIGINT";
  readonly StopTimeout: number;
  readonly Healthcheck: Healthcheck;
  readonly HostConfig: {
    readonly Binds: readonly string[];
    readonly NetworkMode: string;
    readonly RestartPolicy: { readonly Name: "no" | "unless-stopped" };
    readonly CapDrop: readonly ["ALL"];
    readonly CapAdd: readonly Capability[];
    readonly SecurityOpt: readonly ["no-new-privileges:true"];
    readonly ReadonlyRootfs: true;
    readonly Tmpfs: Readonly<Record<string, string>>;
    readonly Memory: number;
    readonly MemorySwap: number;
    readonly NanoCpus: number;
    readonly PidsLimit: number;
    readonly Ulimits: readonly Ulimit[];
    readonly ShmSize: number;
    readonly Init: boolean;
    readonly IpcMode: "private";
    readonly LogConfig: {
      readonly Type: "json-file";
      readonly Config: Readonly<Record<string, string>>;
    };
    readonly PortBindings: readonly PortBinding[];
  };
  /** Network → aliases. Empty: `NetworkMode` alone decides. */
  readonly Networks: Readonly<Record<string, readonly string[]>>;
}

/** A limit of `setrlimit(2)` by its name in lower case, without `RLIMIT_`. */
export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

/** Capabilities that a service may get back (requirement C5). Agents get none. */
export type Capability = "CAP_CHOWN" | "CAP_FOWNER" | "CAP_SETUID" | "CAP_SETGID";

/** Durations in milliseconds. `["NONE"]` turns off what the image brings. */
export type Healthcheck =
  | { readonly test: readonly ["NONE"] }
  | {
      readonly test: readonly ["CMD" | "CMD-SHELL", ...string[]];
      readonly intervalMs: number;
      readonly timeoutMs: number;
      readonly startPeriodMs: number;
      readonly retries: number;
    };

export interface PortBinding {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** Log files of a container: three of 10 MB. */
const logConfig = { Type: "json-file", Config: { "max-file": "3", "max-size": "10m" } } as const;

/** Default Docker shared memory; set, so that a daemon's default cannot change it. */
const shmSize = 64 * MiB;

/** No core dumps: one would write a process's memory, secrets with it, to a disk. */
const ulimits: readonly Ulimit[] = [{ Name: "core", Soft: 0, Hard: 0 }];

/** What the parts of a container that no caller may choose look like. */
function hardened(limits: Limits, capabilities: readonly Capability[]) {
  return {
    RestartPolicy: { Name: "unless-stopped" },
    CapDrop: ["ALL"],
    CapAdd: [...capabilities].sort(),
    SecurityOpt: ["no-new-privileges:true"],
    ReadonlyRootfs: true,
    Memory: limits.memoryBytes,
    // Both together: what is beyond the memory is swap, so there is none.
    MemorySwap: limits.memoryBytes,
    NanoCpus: limits.nanoCpus,
    PidsLimit: limits.pids,
    Ulimits: ulimits,
    ShmSize: shmSize,
    Init: true,
    IpcMode: "private",
    LogConfig: logConfig,
  } as const;
}

/** Adds the labels that berth reads: the pids limit to enforce and the hash of all the rest. */
function sealLabels(spec: ContainerSpec): ContainerSpec {
  const labels = { ...spec.Labels, [Label.pids]: String(spec.HostConfig.PidsLimit) };
  const hash = hashOf({ ...spec, Labels: labels } as unknown as Json).slice(0, 16);
  return { ...spec, Labels: { ...labels, [Label.config]: hash } };
}

/** A platform service's own part of its container; the hardening is not its choice. */
export interface ServiceArgs {
  readonly stack: string;
  /** Component name; also container suffix and network alias. */
  readonly service: string;
  readonly image: string;
  readonly limits: Limits;
  /** `uid:gid`, or `0:0` where the service drops its rights itself. */
  readonly user: string;
  readonly command?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly binds: readonly string[];
  readonly capabilities?: readonly Capability[];
  /** Networks by their Engine names. None: no network at all. */
  readonly networks: readonly string[];
  readonly tmpfs?: Readonly<Record<string, string>>;
  readonly ports?: readonly PortBinding[];
  readonly healthcheck: Healthcheck;
  /**
   * An init as process 1. Off for a service that changes its user: the init keeps the first one and may then not pass
   * on a signal ("Operation not permitted"), so that every stop would be a kill.
   * @default true
   */
  readonly init?: boolean;
}

/** Networks that lead outside. */
const outward = [Network.egress, Network.ingress] as const;

/** Renders a platform service: hardened like an agent, with the reach that it declares. */
export function serviceContainer(args: ServiceArgs): ContainerSpec {
  return sealLabels({
    name: objectName(args.stack, args.service),
    Image: args.image,
    User: args.user,
    ...(args.command ? { Cmd: args.command } : {}),
    Env: environment(args.env),
    Labels: { [Label.stack]: args.stack, [Label.component]: args.service },
    StopSignal: "SIGTERM",
    StopTimeout: args.limits.stopGraceSeconds,
    Healthcheck: args.healthcheck,
    HostConfig: {
      ...hardened(args.limits, args.capabilities ?? []),
      Init: args.init ?? true,
      Binds: [...args.binds].sort(),
      NetworkMode: [...args.networks].sort()[0] ?? "none",
      Tmpfs: { "/tmp": tmpfsOptions(args.limits.tmpBytes), ...args.tmpfs },
      PortBindings: [...(args.ports ?? [])].sort((a, b) => a.containerPort - b.containerPort),
    },
    Networks: Object.fromEntries(
      // No names on the networks that lead outside: the parts do not talk to each other there, and a name that is on
      // two networks of a container comes out as either address.
      [...args.networks]
        .sort()
        .map((network) => [
          network,
          outward.some((name) => network === objectName(args.stack, name)) ? [] : [args.service],
        ]),
    ),
  });
}

/** What makes one program of an agent's different from another; the hardening is not its choice. */
export interface ProgramArgs {
  readonly name: string;
  readonly image: string;
  readonly entrypoint: readonly string[];
  /** Beside what every program of the agent gets. */
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly limits: Limits;
  readonly network: AgentNetwork;
  readonly workspace: TemplateWorkspace;
  readonly restart: "no" | "unless-stopped";
}

/**
 * Renders an agent from its declaration alone: what Pulumi makes and what the socket proxy compares with.
 * Nothing in the result depends on chat, egress or secrets, so a change of those leaves the container alone.
 */
export function agentContainer(declaration: Declaration): ContainerSpec {
  const { stack, name } = declaration;
  const command = "command" in declaration.program ? declaration.program.command : undefined;
  return programContainer(declaration, {
    name: objectName(stack, name),
    image: declaration.image,
    entrypoint:
      declaration.runner || !command
        ? ["/usr/local/bin/node", "/opt/berth/agent-runner.mjs"]
        : command,
    env: {},
    labels: { [Label.component]: "agent" },
    limits: declaration.limits,
    network: declaration.network,
    workspace: "shared",
    restart: "unless-stopped",
  });
}

/** Renders a program of an agent's: sealed as the agent is, with no more of the agent's than `args` says. */
export function programContainer(declaration: Declaration, args: ProgramArgs): ContainerSpec {
  const { stack, name: agent } = declaration;
  const onNetwork =
    args.network === "mattermost" ? objectName(stack, Network.mattermost) : undefined;
  const readOnly = args.workspace === "read-only" ? ":ro" : "";
  const binds = [
    ...(args.workspace === "scratch"
      ? []
      : [`${workspaceVolume(stack, agent)}:${Path.workspace}${readOnly}`]),
    ...(args.network === "none" ? [] : [`${agentDirectory(stack, agent)}:${Path.agentRun}:ro`]),
  ];
  const tmpfs = tmpfsOptions(args.limits.tmpBytes);
  return sealLabels({
    name: args.name,
    Image: args.image,
    User: `${Uid.agent}:${Uid.agent}`,
    Entrypoint: args.entrypoint,
    Cmd: [],
    Env: environment({ ...args.env, ...agentEnvironment(agent, args.network) }),
    WorkingDir: Path.workspace,
    Labels: { ...args.labels, [Label.stack]: stack, [Label.agent]: agent },
    StopSignal: "SIGTERM",
    StopTimeout: args.limits.stopGraceSeconds,
    Healthcheck: { test: ["NONE"] },
    HostConfig: {
      ...hardened(args.limits, []),
      RestartPolicy: { Name: args.restart },
      Binds: binds.sort(),
      NetworkMode: onNetwork ?? "none",
      Tmpfs: {
        "/tmp": tmpfs,
        ...(args.workspace === "scratch" ? { [Path.workspace]: tmpfs } : {}),
      },
      PortBindings: [],
    },
    Networks: onNetwork ? { [onNetwork]: [agent] } : {},
  });
}

/** Name of an agent's workspace volume. */
export function workspaceVolume(stack: string, agent: string): string {
  return objectName(stack, `${agent}-workspace`);
}

function agentEnvironment(agent: string, network: AgentNetwork): Record<string, string> {
  const own = { BERTH_AGENT: agent, HOME: Path.workspace };
  if (network === "none") return own;
  const proxy = `http://127.0.0.1:${Port.egressProxy}`;
  const direct = "127.0.0.1,localhost,mattermost";
  return {
    ...own,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
    MATTERMOST_URL:
      network === "mattermost"
        ? `http://mattermost:${Port.mattermost}`
        : `http://127.0.0.1:${Port.mattermost}`,
  };
}

/** `KEY=value`, sorted. */
export function environment(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .sort();
}

function tmpfsOptions(bytes: number): string {
  return `rw,noexec,nosuid,nodev,size=${bytes},mode=1777`;
}
