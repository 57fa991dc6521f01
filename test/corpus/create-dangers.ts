import type { Json } from "../../spec/canonical.ts";

/** A create body, or a part of one. */
export type CreateBody = { readonly [key: string]: Json };

/** What the probes of one place try beside, or in place of, a value that its type alone gives. */
export interface Danger {
  /** Values for the place itself. They stand in for the type's own value. */
  readonly values?: readonly Json[];
  /** Parts of HostConfig in which the place does its worst together with others. */
  readonly host?: readonly CreateBody[];
}

const device = { PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "rwm" };
const bind = { Type: "bind", Source: "/", Target: "/host" };
const volume = { Type: "volume", Source: "berth-dev-lal-workspace", Target: "/host" };
const bindOptions = { Options: { type: "none", o: "bind", device: "/" } };
const rate = [{ Path: "/dev/sda", Rate: 1 }];

/** What is known to lead out of a container or into another one, by the place where it stands. */
export const dangers: ReadonlyMap<string, Danger> = new Map<string, Danger>([
  // Who and what runs.
  ["/Image", { values: ["localhost/other:latest", "alpine", `sha256:${"0".repeat(64)}`] }],
  ["/User", { values: ["root", "0", "00", "0:0", "0:5", "65534"] }],
  ["/Entrypoint/*", { values: ["/bin/sh", ""] }],
  ["/Cmd/*", { values: ["-c", ""] }],
  ["/Healthcheck/Test/*", { values: ["CMD-SHELL", "CMD"] }],
  ["/WorkingDir", { values: ["/", "/proc/self/fd/8"] }],
  ["/StopSignal", { values: ["SIGKILL", "SIGSTOP", "9"] }],
  ["/StopTimeout", { values: [86_400, -1] }],
  [
    "/Env/*",
    {
      values: [
        "PROBE=1",
        "PROBE",
        "LD_PRELOAD=/workspace/x.so",
        "NODE_OPTIONS=--require=/workspace/x.js",
        "PATH=/workspace",
        "HTTPS_PROXY=http://192.0.2.1:8080",
        "BERTH_AGENT=other",
      ],
    },
  ],
  ["/Labels/*", { values: ["mattermost", ""] }],

  // Names that others would take for a part of the platform.
  ["/Hostname", { values: ["mattermost", "docker-socket-proxy"] }],
  ["/NetworkingConfig/EndpointsConfig/*/Aliases/*", { values: ["mattermost"] }],
  ["/NetworkingConfig/EndpointsConfig/*/DNSNames/*", { values: ["mattermost"] }],
  ["/NetworkingConfig/EndpointsConfig/*/Links/*", { values: ["berth-dev-mattermost:db"] }],
  ["/NetworkingConfig/EndpointsConfig/*/MacAddress", { values: ["02:42:ac:11:00:02"] }],
  ["/NetworkingConfig/EndpointsConfig/*/IPAMConfig/IPv4Address", { values: ["192.0.2.7"] }],
  ["/NetworkingConfig/EndpointsConfig/*/IPAMConfig/IPv6Address", { values: ["2001:db8::7"] }],
  ["/NetworkingConfig/EndpointsConfig/*/IPAMConfig/LinkLocalIPs/*", { values: ["169.254.1.7"] }],
  ["/MacAddress", { values: ["02:42:ac:11:00:02"] }],
  ["/HostConfig/ExtraHosts/*", { values: ["mattermost:192.0.2.1", "x:host-gateway"] }],
  ["/HostConfig/Links/*", { values: ["berth-dev-mattermost:db"] }],
  ["/HostConfig/Dns/*", { values: ["192.0.2.53"] }],

  // The host's files.
  [
    "/HostConfig/Binds/*",
    {
      values: [
        "/:/host",
        "/:/host:ro",
        "/var/run/docker.sock:/var/run/docker.sock",
        "/run/berth/dev:/run/berth",
        "/proc/1/root:/host:rshared",
        "berth-dev-lal-workspace:/other",
        "../../..:/host",
      ],
    },
  ],
  ["/HostConfig/VolumesFrom/*", { values: ["berth-dev-socket-proxy", "berth-dev-postgres:rw"] }],
  ["/HostConfig/Tmpfs/*", { values: ["exec,suid,dev", "size=100g", ""] }],
  [
    "/HostConfig/Mounts/*/Source",
    {
      host: [
        { Mounts: [bind] },
        { Mounts: [volume] },
        { Mounts: [{ Type: "image", Source: "other", Target: "/x" }] },
      ],
    },
  ],
  [
    "/HostConfig/Mounts/*/BindOptions/Propagation",
    { host: [{ Mounts: [{ ...bind, BindOptions: { Propagation: "rshared" } }] }] },
  ],
  [
    "/HostConfig/Mounts/*/BindOptions/CreateMountpoint",
    { host: [{ Mounts: [{ ...bind, Source: "/x", BindOptions: { CreateMountpoint: true } }] }] },
  ],
  [
    "/HostConfig/Mounts/*/VolumeOptions/DriverConfig/Options/*",
    {
      values: ["/", "bind", "lowerdir=/,upperdir=/x,workdir=/y", "addr=192.0.2.1,rw"],
      host: [
        {
          Mounts: [
            { Type: "volume", Target: "/host", VolumeOptions: { DriverConfig: bindOptions } },
          ],
        },
      ],
    },
  ],
  [
    "/HostConfig/Mounts/*/VolumeOptions/Subpath",
    {
      values: ["../.."],
      host: [{ Mounts: [{ ...volume, VolumeOptions: { Subpath: "../other" } }] }],
    },
  ],
  ["/HostConfig/Mounts/*/ImageOptions/Subpath", { values: ["../.."] }],
  ["/HostConfig/Mounts/*/TmpfsOptions/Options/*/*", { values: ["exec", "suid", "dev"] }],

  // The host's namespaces, and those of other containers.
  ["/HostConfig/NetworkMode", { values: ["host", "container:berth-dev-socket-proxy", "other"] }],
  ["/HostConfig/PidMode", { values: ["host", "container:berth-dev-socket-proxy"] }],
  ["/HostConfig/IpcMode", { values: ["host", "shareable", "container:berth-dev-postgres"] }],
  ["/HostConfig/UTSMode", { values: ["host"] }],
  ["/HostConfig/UsernsMode", { values: ["host"] }],
  ["/HostConfig/Cgroup", { values: ["container:berth-dev-socket-proxy"] }],
  ["/HostConfig/CgroupParent", { values: ["/", "/system.slice", "../.."] }],

  // Privileges.
  ["/HostConfig/CapAdd/*", { values: ["ALL", "CAP_SYS_ADMIN", "sys_ptrace", "NET_RAW"] }],
  ["/HostConfig/CapAdd", { values: ["ALL"] }],
  ["/HostConfig/CapDrop/*", { values: ["CAP_KILL"] }],
  [
    "/HostConfig/SecurityOpt/*",
    {
      values: [
        "seccomp=unconfined",
        "seccomp:unconfined",
        "apparmor=unconfined",
        "label=disable",
        "systempaths=unconfined",
        "no-new-privileges:false",
        "no-new-privileges=false",
      ],
    },
  ],
  // An empty list is no zero value here: it uncovers all that the Engine hides of /proc and /sys.
  ["/HostConfig/MaskedPaths/*", { values: ["/proc/acpi"], host: [{ MaskedPaths: [] }] }],
  ["/HostConfig/ReadonlyPaths/*", { values: ["/proc/bus"], host: [{ ReadonlyPaths: [] }] }],
  ["/HostConfig/GroupAdd/*", { values: ["0", "docker", "disk"] }],
  ["/HostConfig/Sysctls/*", { values: ["1", ""] }],
  ["/HostConfig/Devices/*/PathOnHost", { host: [{ Devices: [device] }] }],
  ["/HostConfig/DeviceCgroupRules/*", { values: ["a *:* rwm", "b 8:* rwm"] }],
  [
    "/HostConfig/DeviceRequests/*/Count",
    { host: [{ DeviceRequests: [{ Driver: "", Count: -1, Capabilities: [["gpu"]] }] }] },
  ],
  ["/HostConfig/Runtime", { values: ["other", "io.containerd.runc.v2", "/workspace/runtime"] }],
  ["/HostConfig/Annotations/*", { values: ["true", ""] }],

  // What the daemon does for the container, outside of it.
  [
    "/HostConfig/LogConfig/Type",
    {
      values: ["example/logger:latest"],
      host: [
        { LogConfig: { Type: "syslog", Config: { "syslog-address": "tcp://192.0.2.1:514" } } },
      ],
    },
  ],
  [
    "/HostConfig/LogConfig/Config/*",
    {
      values: ["unixgram:///run/systemd/notify", ""],
      host: [{ LogConfig: { Type: "json-file", Config: { "max-size": "100g" } } }],
    },
  ],
  ["/HostConfig/VolumeDriver", { values: ["other"] }],
  ["/HostConfig/ContainerIDFile", { values: ["/etc/cron.d/x"] }],
  [
    "/HostConfig/PortBindings/*/*/HostPort",
    { values: ["22"], host: [{ PortBindings: { "22/tcp": [{ HostIp: "::", HostPort: "22" }] } }] },
  ],
  ["/HostConfig/PortBindings/*/*/HostIp", { values: ["0.0.0.0", "127.0.0.1"] }],

  // More than its share of the host.
  ["/HostConfig/Memory", { values: [2 ** 40, -1] }],
  ["/HostConfig/MemorySwap", { values: [-1, 2 ** 41] }],
  ["/HostConfig/MemorySwappiness", { values: [100] }],
  ["/HostConfig/NanoCpus", { values: [64_000_000_000] }],
  ["/HostConfig/PidsLimit", { values: [-1, 4_194_304] }],
  ["/HostConfig/ShmSize", { values: [2 ** 40] }],
  ["/HostConfig/StorageOpt/*", { values: ["100g"] }],
  ["/HostConfig/OomScoreAdj", { values: [-1000, 1000] }],
  ["/HostConfig/CpusetCpus", { values: ["0-63"] }],
  ["/HostConfig/CpusetMems", { values: ["0"] }],
  ["/HostConfig/BlkioDeviceReadBps/*/Rate", { host: [{ BlkioDeviceReadBps: rate }] }],
  [
    "/HostConfig/Ulimits/*/Hard",
    {
      host: [
        { Ulimits: [{ Name: "core", Soft: -1, Hard: -1 }] },
        // The Engine takes a name in any case, and the last of two counts.
        { Ulimits: [{ Name: "CORE", Soft: -1, Hard: -1 }] },
      ],
    },
  ],
]);

/** Keys that mean something, for the `*` of a map at the end of these pointers. */
export const keysOf: ReadonlyMap<string, string> = new Map([
  ["/ExposedPorts/*", "22/tcp"],
  ["/Volumes/*", "/host"],
  ["/Labels/*", "berth.component"],
  ["/HostConfig/Annotations/*", "com.example.sandbox.config"],
  ["/HostConfig/LogConfig/Config/*", "syslog-address"],
  ["/HostConfig/Mounts/*/VolumeOptions/DriverConfig/Options/*", "device"],
  ["/HostConfig/Mounts/*/VolumeOptions/Labels/*", "berth.stack"],
  ["/HostConfig/DeviceRequests/*/Options/*", "other"],
  ["/HostConfig/PortBindings/*", "22/tcp"],
  ["/HostConfig/StorageOpt/*", "size"],
  ["/HostConfig/Sysctls/*", "net.ipv4.ip_forward"],
  ["/HostConfig/Tmpfs/*", "/run"],
  ["/NetworkingConfig/EndpointsConfig/*", "host"],
  ["/NetworkingConfig/EndpointsConfig/*/DriverOpts/*", "com.docker.network.endpoint.ifname"],
]);

/** Listed values that ask for what an instance gets without asking. */
export const usualValues: ReadonlyMap<string, readonly string[]> = new Map([
  ["/HostConfig/CgroupnsMode", ["private"]],
  ["/HostConfig/Isolation", ["default"]],
  ["/HostConfig/LogConfig/Type", ["json-file"]],
  ["/HostConfig/RestartPolicy/Name", ["no"]],
]);

/** Flags that every rendering sets: a body that sets them, too, asks for nothing else. */
export const alwaysSet: ReadonlySet<string> = new Set([
  "/HostConfig/Init",
  "/HostConfig/ReadonlyRootfs",
]);
