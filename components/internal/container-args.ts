import type * as docker from "@pulumi/docker";
import type * as pulumi from "@pulumi/pulumi";
import type { ContainerSpec, Healthcheck } from "../../spec/container.ts";
import { CPU, goDuration, MiB } from "../../spec/units.ts";

/**
 * Who runs the container, and what `pulumi up` waits for.
 * `running`: the Engine has started it. `healthy`: its healthcheck has passed, so `dependsOn` means healthy.
 * `created`: it is there and Pulumi never starts it; the admin bridge does, through the socket proxy.
 */
export type Run = "running" | "healthy" | "created";

/** Gives the name of a volume or network as Pulumi should see it. */
type NameOf = (name: string) => pulumi.Input<string>;

/** How long `healthy` is waited for, in seconds: a first start of the official server makes its whole database. */
const healthySeconds = 240;

/**
 * Changes of these are reported as updates and not applied by the provider, so they must replace.
 * `#initerror`: a container whose start or wait failed would otherwise count as done at the next `up`.
 */
const replaceOnChanges = [
  "#initerror",
  "cpuPeriod",
  "cpuQuota",
  "healthcheck",
  "init",
  "mounts",
  "rm",
  "tmpfs",
];

/**
 * The one mapping from a rendered container to the docker provider's inputs.
 * Spellings are those that the provider reads back unchanged; any other would be a diff at every run.
 * `PidsLimit` has no input: it stands in a label and the socket proxy enforces it.
 * @param nameOf the name of a volume or network as its resource gives it, where there is one
 */
export function containerArgs(
  spec: ContainerSpec,
  run: Run,
  nameOf: NameOf = (name) => name,
): docker.ContainerArgs {
  const { HostConfig: host } = spec;
  const networks = Object.entries(spec.Networks).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    name: spec.name,
    image: spec.Image,
    user: spec.User,
    ...(spec.Entrypoint ? { entrypoints: [...spec.Entrypoint] } : {}),
    // An empty list reads back as none.
    ...(spec.Cmd && spec.Cmd.length > 0 ? { command: [...spec.Cmd] } : {}),
    ...(spec.WorkingDir ? { workingDir: spec.WorkingDir } : {}),
    envs: [...spec.Env].sort(),
    labels: Object.entries(spec.Labels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([label, value]) => ({ label, value })),
    healthcheck: healthcheckArgs(spec.Healthcheck),
    stopSignal: spec.StopSignal,
    stopTimeout: spec.StopTimeout,
    // Without it a delete or replacement kills at once, whatever `stopTimeout` says.
    destroyGraceSeconds: spec.StopTimeout,
    restart: host.RestartPolicy.Name,
    readOnly: host.ReadonlyRootfs,
    capabilities: { adds: [...host.CapAdd], drops: [...host.CapDrop] },
    securityOpts: [...host.SecurityOpt],
    memory: mebibytes(host.Memory),
    memorySwap: mebibytes(host.MemorySwap),
    // Those of the daemon's own configuration are read back among them, and would be a diff at every run.
    ulimits: host.Ulimits.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
    shmSize: mebibytes(host.ShmSize),
    cpus: cpuText(host.NanoCpus),
    init: host.Init,
    ipcMode: host.IpcMode,
    logDriver: host.LogConfig.Type,
    logOpts: { ...host.LogConfig.Config },
    tmpfs: { ...host.Tmpfs },
    volumes: [...host.Binds].sort().map((bind) => volumeArgs(bind, nameOf)),
    // Beside `networksAdvanced` the provider must decide the mode itself.
    ...(networks.length > 0
      ? {
          networksAdvanced: networks.map(([name, aliases]) => ({
            name: nameOf(name),
            ...(aliases.length > 0 ? { aliases: [...aliases] } : {}),
          })),
        }
      : { networkMode: host.NetworkMode }),
    ...(host.PortBindings.length > 0
      ? {
          ports: [...host.PortBindings]
            .sort((a, b) => a.containerPort - b.containerPort)
            .map((port) => ({
              internal: port.containerPort,
              external: port.hostPort,
              ip: port.hostIp,
              protocol: "tcp",
            })),
        }
      : {}),
    start: run !== "created",
    mustRun: run !== "created",
    // Services keep their data in named volumes; an image's own anonymous ones go with an agent's container.
    removeVolumes: run === "created",
    ...(run === "healthy" ? { wait: true, waitTimeout: healthySeconds } : {}),
  };
}

/** Options of every container. Names and ports are fixed, so the old one must go before the new one comes. */
export function containerOptions(opts: pulumi.CustomResourceOptions): pulumi.CustomResourceOptions {
  return { ...opts, deleteBeforeReplace: true, replaceOnChanges };
}

/** `source:target[:ro]`, as the Engine writes binds; a path is a host directory, anything else a volume. */
function volumeArgs(bind: string, nameOf: NameOf) {
  const [source = "", containerPath = "", mode] = bind.split(":");
  const readOnly = mode === "ro";
  return source.startsWith("/")
    ? { containerPath, hostPath: source, readOnly }
    : { containerPath, volumeName: nameOf(source), readOnly };
}

function healthcheckArgs(check: Healthcheck) {
  if (!("intervalMs" in check)) return { tests: [...check.test] };
  return {
    tests: [...check.test],
    interval: goDuration(check.intervalMs),
    timeout: goDuration(check.timeoutMs),
    startPeriod: goDuration(check.startPeriodMs),
    retries: check.retries,
  };
}

/** The provider counts sizes in MiB; a size that it cannot say would silently be another one. */
function mebibytes(bytes: number): number {
  if (bytes % MiB !== 0) throw new Error(`${bytes} bytes are no whole number of MiB`);
  return bytes / MiB;
}

/** `1.0`, `0.5`, `1.25`: as the provider writes what it reads. */
function cpuText(nanoCpus: number): string {
  const cpus = nanoCpus / CPU;
  return Number.isInteger(cpus) ? cpus.toFixed(1) : String(cpus);
}
