import type { ContainerSpec, Healthcheck } from "./container.ts";

/** A rendered container as the body of the Engine's `POST /containers/create`. */
export type CreateBody = Readonly<Record<string, unknown>>;

/** One millisecond in the Engine's unit of durations. */
const nanoseconds = 1_000_000;

/**
 * The create body of a rendering. Pure: equal renderings give equal bodies. Every member stands there of its own accord,
 * so that neither the image nor the daemon's configuration fills it in.
 */
export function createBody(spec: ContainerSpec): CreateBody {
  const { HostConfig: host } = spec;
  const ports = host.PortBindings.map(({ hostIp, hostPort, containerPort }) => [
    `${containerPort}/tcp`,
    [{ HostIp: hostIp, HostPort: String(hostPort) }],
  ]);
  return {
    Image: spec.Image,
    User: spec.User,
    ...(spec.Entrypoint ? { Entrypoint: [...spec.Entrypoint] } : {}),
    ...(spec.Cmd && spec.Cmd.length > 0 ? { Cmd: [...spec.Cmd] } : {}),
    Env: [...spec.Env],
    ...(spec.WorkingDir ? { WorkingDir: spec.WorkingDir } : {}),
    Labels: { ...spec.Labels },
    StopSignal: spec.StopSignal,
    StopTimeout: spec.StopTimeout,
    Healthcheck: healthcheckBody(spec.Healthcheck),
    ...(ports.length > 0
      ? { ExposedPorts: Object.fromEntries(ports.map(([port]) => [port, {}])) }
      : {}),
    HostConfig: {
      Binds: [...host.Binds],
      NetworkMode: host.NetworkMode,
      RestartPolicy: { ...host.RestartPolicy },
      CapDrop: [...host.CapDrop],
      ...(host.CapAdd.length > 0 ? { CapAdd: [...host.CapAdd] } : {}),
      SecurityOpt: [...host.SecurityOpt],
      ReadonlyRootfs: host.ReadonlyRootfs,
      Tmpfs: { ...host.Tmpfs },
      Memory: host.Memory,
      MemorySwap: host.MemorySwap,
      NanoCpus: host.NanoCpus,
      PidsLimit: host.PidsLimit,
      Ulimits: host.Ulimits.map((limit) => ({ ...limit })),
      ShmSize: host.ShmSize,
      Init: host.Init,
      IpcMode: host.IpcMode,
      LogConfig: { Type: host.LogConfig.Type, Config: { ...host.LogConfig.Config } },
      ...(ports.length > 0 ? { PortBindings: Object.fromEntries(ports) } : {}),
    },
    ...(Object.keys(spec.Networks).length > 0
      ? {
          NetworkingConfig: {
            EndpointsConfig: Object.fromEntries(
              Object.entries(spec.Networks).map(([name, aliases]) => [
                name,
                { Aliases: [...aliases] },
              ]),
            ),
          },
        }
      : {}),
  };
}

function healthcheckBody(check: Healthcheck): object {
  if (!("intervalMs" in check)) return { Test: [...check.test] };
  return {
    Test: [...check.test],
    Interval: check.intervalMs * nanoseconds,
    Timeout: check.timeoutMs * nanoseconds,
    StartPeriod: check.startPeriodMs * nanoseconds,
    Retries: check.retries,
  };
}
