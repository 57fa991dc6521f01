import { readMount } from "./docker-mount.ts";
import { bytes, cpus, duration, push, put, split, whole } from "./docker-values.ts";

/** A create body in the making, as the docker command would write it, without what says nothing. */
export interface Draft {
  name?: string;
  platform?: string;
  isDetached: boolean;
  readonly attached: string[];
  readonly config: Record<string, unknown>;
  readonly host: Record<string, unknown>;
  readonly healthcheck: Record<string, unknown>;
  /** Settings of the one network that `--network` names, by its name, where there are any. */
  readonly endpoints: Record<string, Record<string, unknown>>;
}

/** What a flag of `docker run` does to the body. @throws Error in words that follow the flag's name */
export type Flag =
  | { readonly takesValue: true; readonly put: (draft: Draft, value: string) => void }
  | { readonly takesValue: false; readonly put: (draft: Draft, isOn: boolean) => void };

type Part = "config" | "host" | "healthcheck";
type Read = (value: string) => unknown;

const takes = (set: (draft: Draft, value: string) => void): Flag => ({
  takesValue: true,
  put: set,
});
const turns = (set: (draft: Draft, isOn: boolean) => void): Flag => ({
  takesValue: false,
  put: set,
});
const nothing = () => undefined;
const asIs: Read = (value) => value;

const one = (part: Part, key: string, read: Read = asIs): Flag =>
  takes((draft, value) => {
    draft[part][key] = read(value);
  });
const many = (part: Part, key: string, read: Read = asIs): Flag =>
  takes((draft, value) => push(draft[part], key, read(value)));
const flag = (part: Part, key: string): Flag =>
  turns((draft, isOn) => {
    draft[part][key] = isOn;
  });

/** `key=value`; without `=` the value is empty. */
const pair = (part: Part, key: string): Flag =>
  takes((draft, value) => put(draft[part], key, ...split(value)));

/** Capabilities as the command sends them: `CAP_…` in capitals, sorted, each once. */
const capabilities = (key: string): Flag =>
  takes(({ host }, value) => {
    const name = value.toUpperCase();
    const full = name === "ALL" || name.startsWith("CAP_") ? name : `CAP_${name}`;
    const known = (host[key] as readonly string[] | undefined) ?? [];
    host[key] = [...new Set([...known, full])].sort();
  });

/** Of an address, a port of the host and one of the container, only the last must be there. */
const publish: Flag = takes(({ config, host }, value) => {
  const match = /^(?:(?:(\[[0-9a-f:]+\]|[0-9.]+):)?([0-9]*):)?([0-9]+)(?:\/(tcp|udp|sctp))?$/.exec(
    value,
  );
  if (!match) throw new Error("must be [address:][port:]port[/protocol], without ranges");
  const [, address = "", hostPort = "", port, protocol = "tcp"] = match;
  const key = `${port}/${protocol}`;
  put(config, "ExposedPorts", key, {});
  const bindings = host.PortBindings as Record<string, readonly object[]> | undefined;
  const binding = { HostIp: address.replace(/[[\]]/g, ""), HostPort: hostPort };
  put(host, "PortBindings", key, [...(bindings?.[key] ?? []), binding]);
});

const volume: Flag = takes(({ config, host }, value) => {
  if (value.includes(":")) push(host, "Binds", value);
  else put(config, "Volumes", value, {});
});

const mount: Flag = takes(({ host }, value) => push(host, "Mounts", readMount(value)));

const network: Flag = takes(({ host, endpoints }, value) => {
  if (!value.includes("=")) {
    host.NetworkMode ??= value;
    return;
  }
  const members = value.split(",").map((part) => split(part));
  const name = members.find(([key]) => key === "name")?.[1] ?? "";
  host.NetworkMode ??= name;
  const unknown = members.find(([key]) => key !== "name" && key !== "alias");
  if (name === "" || unknown) throw new Error('must be a name, or "name=…,alias=…"');
  const aliases = members.flatMap(([key, alias]) => (key === "alias" ? [alias] : []));
  if (aliases.length > 0) endpoints[name] = { ...endpoints[name], Aliases: aliases };
});

/** What belongs to the network that is joined; which one that is, is known at the end. */
const ofEndpoint = (set: (endpoint: Record<string, unknown>, value: string) => void): Flag =>
  takes(({ endpoints }, value) => {
    const endpoint = { ...endpoints[""] };
    set(endpoint, value);
    endpoints[""] = endpoint;
  });
const address = (key: string): Flag =>
  ofEndpoint((endpoint, value) => put(endpoint, "IPAMConfig", key, value));

const device: Flag = takes(({ host }, value) => {
  const [source = "", second, third] = value.split(":");
  if (!source.startsWith("/")) throw new Error("must be a path like /dev/x[:/dev/y][:rwm]");
  const isMode = second !== undefined && third === undefined && /^[rwm]+$/.test(second);
  push(host, "Devices", {
    PathOnHost: source,
    PathInContainer: isMode ? source : (second ?? source),
    CgroupPermissions: (isMode ? second : third) ?? "rwm",
  });
});

const gpus: Flag = takes(({ host }, value) => {
  const count = value === "all" ? -1 : whole(value);
  push(host, "DeviceRequests", {
    Driver: "",
    Count: count,
    DeviceIDs: null,
    Capabilities: [["gpu"]],
    Options: {},
  });
});

const security: Flag = takes(({ host }, value) => {
  if (value === "systempaths=unconfined") {
    Object.assign(host, { MaskedPaths: [], ReadonlyPaths: [] });
  } else if (/^seccomp=(?!unconfined$|builtin$)/.test(value)) {
    throw new Error("the profile's file is not read here");
  } else push(host, "SecurityOpt", value);
});

const ulimit: Flag = takes(({ host }, value) => {
  const match = /^([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?$/.exec(value);
  if (!match) throw new Error("must be name=soft[:hard]");
  const [, Name = "", soft, hard = soft] = match;
  push(host, "Ulimits", { Name, Hard: Number(hard), Soft: Number(soft) });
  (host.Ulimits as { Name: string }[]).sort((a, b) => (a.Name < b.Name ? -1 : 1));
});

const restart: Flag = takes(({ host }, value) => {
  const [name, count] = split(value, ":");
  const retries = count === "" ? {} : { MaximumRetryCount: whole(count) };
  host.RestartPolicy = { Name: name, ...retries };
});

const environment: Flag = takes(({ config }, value) => {
  if (!value.includes("=")) throw new Error(`say the value of ${value}: ${value}=…`);
  push(config, "Env", value);
});

const deviceRate = (key: string, read: Read): Flag =>
  takes(({ host }, value) => {
    const [Path, rate] = split(value, ":");
    push(host, key, { Path, Rate: read(rate) });
  });

/** Every flag that is understood, without its dashes. What is not here is named as not understood, never passed over. */
export const flags: Readonly<Record<string, Flag>> = {
  "add-host": many("host", "ExtraHosts", (value) => split(value).join(":").replace(/:$/, "")),
  attach: takes(({ attached }, value) => void attached.push(value.toLowerCase())),
  "blkio-weight": one("host", "BlkioWeight", whole),
  "cap-add": capabilities("CapAdd"),
  "cap-drop": capabilities("CapDrop"),
  "cgroup-parent": one("host", "CgroupParent"),
  cgroupns: one("host", "CgroupnsMode"),
  cidfile: one("host", "ContainerIDFile"),
  "cpu-period": one("host", "CpuPeriod", whole),
  "cpu-quota": one("host", "CpuQuota", whole),
  "cpu-rt-period": one("host", "CpuRealtimePeriod", whole),
  "cpu-rt-runtime": one("host", "CpuRealtimeRuntime", whole),
  "cpu-shares": one("host", "CpuShares", whole),
  cpus: one("host", "NanoCpus", cpus),
  "cpuset-cpus": one("host", "CpusetCpus"),
  "cpuset-mems": one("host", "CpusetMems"),
  detach: turns((draft, isOn) => {
    draft.isDetached = isOn;
  }),
  "detach-keys": takes(nothing),
  device,
  "device-cgroup-rule": many("host", "DeviceCgroupRules"),
  "device-read-bps": deviceRate("BlkioDeviceReadBps", bytes),
  "device-read-iops": deviceRate("BlkioDeviceReadIOps", whole),
  "device-write-bps": deviceRate("BlkioDeviceWriteBps", bytes),
  "device-write-iops": deviceRate("BlkioDeviceWriteIOps", whole),
  dns: many("host", "Dns"),
  "dns-option": many("host", "DnsOptions"),
  "dns-search": many("host", "DnsSearch"),
  domainname: one("config", "Domainname"),
  entrypoint: one("config", "Entrypoint", (value) => [value]),
  env: environment,
  expose: takes(({ config }, value) =>
    put(config, "ExposedPorts", value.includes("/") ? value : `${value}/tcp`, {}),
  ),
  gpus,
  "group-add": many("host", "GroupAdd"),
  "health-cmd": one("healthcheck", "Test", (value) => ["CMD-SHELL", value]),
  "health-interval": one("healthcheck", "Interval", duration),
  "health-retries": one("healthcheck", "Retries", whole),
  "health-start-period": one("healthcheck", "StartPeriod", duration),
  "health-timeout": one("healthcheck", "Timeout", duration),
  hostname: one("config", "Hostname"),
  init: flag("host", "Init"),
  interactive: flag("config", "OpenStdin"),
  ip: address("IPv4Address"),
  ip6: address("IPv6Address"),
  ipc: one("host", "IpcMode"),
  isolation: one("host", "Isolation", (value) => (value === "default" ? "" : value)),
  "kernel-memory": one("host", "KernelMemory", bytes),
  label: pair("config", "Labels"),
  link: many("host", "Links"),
  "log-driver": takes(({ host }, value) => put(host, "LogConfig", "Type", value)),
  "log-opt": takes(({ host }, value) => {
    const known = (host.LogConfig as { Config?: object } | undefined)?.Config;
    const [key, option] = split(value);
    put(host, "LogConfig", "Config", { ...known, [key]: option });
  }),
  "mac-address": one("config", "MacAddress"),
  memory: one("host", "Memory", bytes),
  "memory-reservation": one("host", "MemoryReservation", bytes),
  "memory-swap": one("host", "MemorySwap", bytes),
  "memory-swappiness": one("host", "MemorySwappiness", whole),
  mount,
  name: takes((draft, value) => {
    draft.name = value;
  }),
  network,
  "network-alias": ofEndpoint((endpoint, value) => push(endpoint, "Aliases", value)),
  "no-healthcheck": turns(({ healthcheck }) => {
    healthcheck.Test = ["NONE"];
  }),
  "oom-kill-disable": flag("host", "OomKillDisable"),
  "oom-score-adj": one("host", "OomScoreAdj", whole),
  pid: one("host", "PidMode"),
  "pids-limit": one("host", "PidsLimit", whole),
  platform: takes((draft, value) => {
    draft.platform = value;
  }),
  privileged: flag("host", "Privileged"),
  publish,
  "publish-all": flag("host", "PublishAllPorts"),
  pull: takes(nothing),
  quiet: turns(nothing),
  "read-only": flag("host", "ReadonlyRootfs"),
  restart,
  rm: flag("host", "AutoRemove"),
  runtime: one("host", "Runtime"),
  "security-opt": security,
  "shm-size": one("host", "ShmSize", bytes),
  "sig-proxy": turns(nothing),
  "stop-signal": one("config", "StopSignal"),
  "stop-timeout": one("config", "StopTimeout", whole),
  "storage-opt": pair("host", "StorageOpt"),
  sysctl: pair("host", "Sysctls"),
  tmpfs: takes(({ host }, value) => put(host, "Tmpfs", ...split(value, ":"))),
  tty: flag("config", "Tty"),
  ulimit,
  user: one("config", "User"),
  userns: one("host", "UsernsMode"),
  uts: one("host", "UTSMode"),
  volume,
  "volume-driver": one("host", "VolumeDriver"),
  "volumes-from": many("host", "VolumesFrom"),
  workdir: one("config", "WorkingDir"),
};

/** Other names of flags; those of one letter come behind a single dash. */
export const aliases: Readonly<Record<string, string>> = {
  a: "attach",
  c: "cpu-shares",
  d: "detach",
  e: "env",
  h: "hostname",
  i: "interactive",
  l: "label",
  m: "memory",
  p: "publish",
  P: "publish-all",
  q: "quiet",
  t: "tty",
  u: "user",
  v: "volume",
  w: "workdir",
  "dns-opt": "dns-option",
  net: "network",
  "net-alias": "network-alias",
};
