import type { DoubleContainer } from "./engine-double.ts";

/** Answers of the Engine as full as real ones are (Engine 26.1), for tests of what of them leaves the proxy. */

const id = (digit: string) => digit.repeat(64);

/** An inspect answer with all that a busy container's holds. */
export function fullInspect({ inspect }: DoubleContainer): object {
  const { State, Config, HostConfig, NetworkSettings } = inspect;
  return {
    ...inspect,
    Path: "/usr/local/bin/node",
    Args: ["--token", "t0p"],
    ResolvConfPath: "/var/lib/docker/containers/x/resolv.conf",
    HostnamePath: "/var/lib/docker/containers/x/hostname",
    HostsPath: "/var/lib/docker/containers/x/hosts",
    LogPath: "/var/lib/docker/containers/x/x-json.log",
    Driver: "overlay2",
    MountLabel: "label",
    ProcessLabel: "label",
    AppArmorProfile: "docker-default",
    ExecIDs: [id("d")],
    GraphDriver: {
      Name: "overlay2",
      Data: { LowerDir: "/var/lib/docker/a", MergedDir: "/var/lib/docker/b", UpperDir: "/c" },
    },
    State: {
      ...(State as object),
      Error: "exec: no such file",
      Health: {
        Status: "healthy",
        FailingStreak: 0,
        Log: [{ Start: "s", End: "e", ExitCode: 0, Output: "token=t0p" }],
      },
    },
    Config: {
      ...(Config as object),
      Domainname: "example",
      Env: ["TOKEN=t0p", "PATH=/usr/bin"],
      Cmd: ["sh", "-c", "echo t0p"],
      Entrypoint: ["/entry", "t0p"],
      Shell: ["/bin/sh"],
      OnBuild: ["RUN t0p"],
      Healthcheck: { Test: ["CMD", "curl", "-H", "t0p"] },
      MacAddress: "02:42:ac:11:00:02",
      Labels: {
        ...(Config as { Labels: object }).Labels,
        "com.example.secret": "t0p",
        maintainer: "someone",
      },
    },
    HostConfig: {
      ...(HostConfig as object),
      ContainerIDFile: "/run/x.cid",
      VolumeDriver: "driver",
      VolumesFrom: ["other"],
      Dns: ["192.0.2.1"],
      DnsOptions: ["o"],
      DnsSearch: ["corp"],
      ExtraHosts: ["host:192.0.2.9"],
      GroupAdd: ["docker"],
      Links: ["/a:/b"],
      CgroupParent: "parent",
      Runtime: "runc",
      Isolation: "default",
      Sysctls: { "net.ipv4.x": "1" },
      StorageOpt: { size: "1G" },
      LogConfig: { Type: "json-file", Config: { tag: "t0p", "max-size": "10m" } },
      Mounts: [{ Type: "bind", Source: "/srv/t0p", Target: "/x" }],
      Devices: [{ PathOnHost: "/dev/x", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }],
      DeviceRequests: [{ Driver: "nvidia", DeviceIDs: ["0"], Capabilities: [["gpu"]] }],
      Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
      PortBindings: { "80/tcp": [{ HostIp: "192.0.2.3", HostPort: "80" }] },
      Annotations: { a: "b" },
      CapAdd: ["NET_RAW"],
      SecurityOpt: ["no-new-privileges", "label=x"],
    },
    Mounts: [
      {
        Type: "volume",
        Name: "berth-dev-lal-workspace",
        Source: "/var/lib/docker/volumes/x/_data",
        Destination: "/workspace",
        Driver: "local",
        Mode: "z",
        RW: true,
        Propagation: "rprivate",
      },
    ],
    NetworkSettings: {
      ...(NetworkSettings as object),
      Bridge: "br0",
      SandboxID: id("e"),
      SandboxKey: "/var/run/docker/netns/x",
      Gateway: "172.17.0.1",
      IPAddress: "172.17.0.2",
      MacAddress: "02:42:ac:11:00:02",
      Ports: { "80/tcp": [{ HostIp: "192.0.2.3", HostPort: "80" }] },
      Networks: {
        "berth-dev-mattermost-net": {
          Aliases: ["alias"],
          Links: ["link"],
          NetworkID: id("f"),
          EndpointID: id("1"),
          Gateway: "172.18.0.1",
          IPAddress: "172.18.0.2",
          GlobalIPv6Address: "2001:db8::2",
          MacAddress: "02:42:ac:12:00:02",
          DriverOpts: { opt: "t0p" },
          DNSNames: ["name"],
        },
      },
    },
  };
}

/** A list entry of a container. */
export function fullEntry({ inspect }: DoubleContainer): object {
  return {
    Id: inspect.Id,
    Names: [inspect.Name],
    Image: "localhost/berth/node:0123456789ab",
    ImageID: inspect.Image,
    Command: "sh -c 'echo t0p'",
    Created: 1,
    Ports: [{ IP: "192.0.2.3", PrivatePort: 80, PublicPort: 80, Type: "tcp" }],
    Labels: {
      ...(inspect.Config as { Labels: object }).Labels,
      "com.example.secret": "t0p",
    },
    State: "running",
    Status: "Up 2 minutes (healthy)",
    HostConfig: { NetworkMode: "none", Annotations: { a: "b" } },
    NetworkSettings: {
      Networks: { "berth-dev-mattermost-net": { IPAddress: "172.18.0.2", Aliases: ["alias"] } },
    },
    Mounts: [{ Type: "bind", Source: "/srv/t0p", Destination: "/x", Driver: "local", Mode: "z" }],
  };
}

export const fullImage = {
  Id: `sha256:${id("c")}`,
  RepoTags: ["localhost/berth/node:0123456789ab"],
  RepoDigests: [`example.test/node@sha256:${id("d")}`],
  Parent: `sha256:${id("e")}`,
  Comment: "made by t0p",
  Created: "2026-01-01T00:00:00Z",
  DockerVersion: "26.1.5",
  Author: "someone",
  Architecture: "amd64",
  Os: "linux",
  Size: 5,
  Config: { Env: ["TOKEN=t0p"], Cmd: ["t0p"], Labels: { secret: "t0p" }, Volumes: { "/x": {} } },
  GraphDriver: { Name: "overlay2", Data: { UpperDir: "/var/lib/docker/x" } },
  RootFS: { Type: "layers", Layers: [`sha256:${id("f")}`] },
  Metadata: { LastTagTime: "2026-01-01T00:00:00Z" },
};

export const fullNetwork = {
  Name: "berth-dev-mattermost-net",
  Id: id("e"),
  Created: "2026-01-01T00:00:00Z",
  Scope: "local",
  Driver: "bridge",
  EnableIPv6: false,
  IPAM: {
    Driver: "default",
    Options: { o: "p" },
    Config: [{ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" }],
  },
  Internal: true,
  ConfigFrom: { Network: "other" },
  Containers: { [id("b")]: { Name: "other", EndpointID: id("1"), IPv4Address: "172.18.0.2/16" } },
  Options: { "com.docker.network.bridge.name": "br-t0p" },
  Labels: { "berth.stack": "dev", secret: "t0p" },
};

export const fullStats = {
  id: id("a"),
  name: "/berth-dev-lal",
  read: "2026-01-01T00:00:00Z",
  preread: "0001-01-01T00:00:00Z",
  num_procs: 0,
  pids_stats: { current: 3, limit: 512 },
  cpu_stats: { cpu_usage: { total_usage: 1, usage_in_usermode: 1 }, online_cpus: 2 },
  memory_stats: { usage: 1, limit: 2, stats: { cache: 1 } },
  blkio_stats: { io_service_bytes_recursive: [{ major: 8, minor: 0, op: "Read", value: 1 }] },
  storage_stats: { note: "t0p" },
  networks: { eth0: { rx_bytes: 1, endpoint_id: "t0p" } },
};

/** A volume that holds a declaration, as the volume list shows it. */
export function fullVolume(volume: object): object {
  return {
    ...volume,
    Mountpoint: "/var/lib/docker/volumes/x/_data",
    Scope: "local",
    Options: { device: "/srv/t0p", o: "bind" },
    Status: { note: "t0p" },
    UsageData: { Size: 1, RefCount: 1 },
    ClusterVolume: { ID: "t0p" },
  };
}

/** An event of a container. */
export function fullEvent({ inspect }: DoubleContainer): object {
  return {
    status: "die",
    id: inspect.Id,
    from: "localhost/berth/node:0123456789ab",
    Type: "container",
    Action: "die",
    Actor: {
      ID: inspect.Id,
      Attributes: {
        ...(inspect.Config as { Labels: object }).Labels,
        name: inspect.Name.slice(1),
        image: "localhost/berth/node:0123456789ab",
        exitCode: "3",
        execID: "t0p",
        signal: "15",
        "com.example.secret": "t0p",
      },
    },
    scope: "local",
    time: 5,
    timeNano: 5e9,
  };
}
