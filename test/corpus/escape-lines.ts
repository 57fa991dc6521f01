/** What an escape can name: objects that are there while it is tried. */
export interface Scene {
  readonly stack: string;
  /** Image of the template. */
  readonly image: string;
  /** The same image under a name that no declaration has. */
  readonly retagged: string;
  /** The declared agent's container, running. */
  readonly agent: string;
  /** A container that is none of the stack's, running, with a volume. */
  readonly neighbour: string;
  /** The stack's chat network. */
  readonly chatNetwork: string;
  /** An empty directory of the machine, for commands that want files. */
  readonly directory: string;
}

/** A `docker run -d` line that differs from one that is let through by these flags alone. */
export interface EscapeLine {
  readonly title: string;
  readonly flags: readonly string[] | ((scene: Scene) => readonly string[]);
  /** Image and what stands behind it. @default the template's image alone */
  readonly image?: (scene: Scene) => readonly string[];
  /** What the refusal says. */
  readonly says: string;
}

const mount = (options: string) => [
  "--mount",
  `type=volume,dst=/host,volume-driver=local,${options}`,
];
const localVolume = (type: string, o: string, device: string) =>
  mount(
    [`type=${type}`, `o=${o}`, `device=${device}`]
      .map((option) => `"volume-opt=${option}"`)
      .join(","),
  );

/** Ways out of a container, or into another one, that a `docker run` line can say. */
export const escapeLines: readonly EscapeLine[] = [
  // All at once.
  { title: "--privileged", flags: ["--privileged"], says: "/HostConfig/Privileged" },

  // The host's files.
  { title: "a bind of /", flags: ["-v", "/:/host"], says: "/HostConfig/Binds" },
  { title: "a read-only bind of /", flags: ["-v", "/:/host:ro"], says: "/HostConfig/Binds" },
  {
    title: "a bind of the Docker socket",
    flags: ["-v", "/var/run/docker.sock:/var/run/docker.sock"],
    says: "/HostConfig/Binds",
  },
  {
    title: "a bind of the directory of all agents' sockets",
    flags: ({ stack }) => ["-v", `/run/berth/${stack}/agents:/run/berth`],
    says: "/HostConfig/Binds",
  },
  { title: "a bind of /proc", flags: ["-v", "/proc:/host/proc"], says: "/HostConfig/Binds" },
  {
    title: "a bind that hands mounts back to the host",
    flags: ["--mount", "type=bind,src=/run,dst=/host,bind-propagation=rshared"],
    says: "/HostConfig/Mounts",
  },
  {
    title: "a volume of somebody else",
    flags: ({ neighbour }) => ["-v", `${neighbour}:/theirs`],
    says: "/HostConfig/Binds",
  },
  {
    title: "the volumes of another container",
    flags: ({ neighbour }) => ["--volumes-from", neighbour],
    says: "/HostConfig/VolumesFrom",
  },
  {
    title: "an inline volume that is a bind of /",
    flags: localVolume("none", "bind", "/"),
    says: "/HostConfig/Mounts",
  },
  {
    title: "an inline volume that is an overlay over /",
    flags: localVolume("overlay", "lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w", "overlay"),
    says: "/HostConfig/Mounts",
  },
  {
    title: "an inline volume that is a block device",
    flags: localVolume("ext4", "ro", "/dev/sda1"),
    says: "/HostConfig/Mounts",
  },
  {
    title: "an inline volume from an NFS server",
    flags: localVolume("nfs", "addr=192.0.2.1,rw", ":/export"),
    says: "/HostConfig/Mounts",
  },
  {
    title: "an inline volume from a CIFS server",
    flags: localVolume("cifs", "addr=192.0.2.1,username=x,password=y", "//192.0.2.1/share"),
    says: "/HostConfig/Mounts",
  },
  { title: "an anonymous volume", flags: ["-v", "/data"], says: "/Volumes" },
  {
    title: "a volume driver that is a plugin",
    flags: ["--volume-driver", "local2"],
    says: "/HostConfig/VolumeDriver",
  },
  { title: "a tmpfs over /usr", flags: ["--tmpfs", "/usr:exec,suid"], says: "/HostConfig/Tmpfs" },
  {
    title: "a tmpfs without limits in the place of the template's",
    flags: ["--tmpfs", "/tmp:rw,exec,suid,size=100g"],
    says: "/HostConfig/Tmpfs",
  },
  {
    title: "a root file system of another size",
    flags: ["--storage-opt", "size=120G"],
    says: "/HostConfig/StorageOpt",
  },

  // The host's namespaces, and those of others.
  { title: "the host's network", flags: ["--network", "host"], says: "/HostConfig/NetworkMode" },
  {
    title: "the default bridge network",
    flags: ["--network", "bridge"],
    says: "/HostConfig/NetworkMode",
  },
  {
    title: "the chat network",
    flags: ({ chatNetwork }) => ["--network", chatNetwork],
    says: "/HostConfig/NetworkMode",
  },
  {
    title: "the name of a service on the chat network",
    flags: ({ chatNetwork }) => ["--network", chatNetwork, "--network-alias", "mattermost"],
    says: "/NetworkingConfig/EndpointsConfig",
  },
  {
    title: "the network of another container",
    flags: ({ neighbour }) => ["--network", `container:${neighbour}`],
    says: "/HostConfig/NetworkMode",
  },
  { title: "the host's processes", flags: ["--pid", "host"], says: "/HostConfig/PidMode" },
  {
    title: "the processes of another container",
    flags: ({ neighbour }) => ["--pid", `container:${neighbour}`],
    says: "/HostConfig/PidMode",
  },
  { title: "the host's shared memory", flags: ["--ipc", "host"], says: "/HostConfig/IpcMode" },
  {
    title: "the shared memory of another container",
    flags: ({ neighbour }) => ["--ipc", `container:${neighbour}`],
    says: "/HostConfig/IpcMode",
  },
  {
    title: "shared memory that others may join",
    flags: ["--ipc", "shareable"],
    says: "/HostConfig/IpcMode",
  },
  { title: "the host's name", flags: ["--uts", "host"], says: "/HostConfig/UTSMode" },
  { title: "the host's users", flags: ["--userns", "host"], says: "/HostConfig/UsernsMode" },
  { title: "the host's cgroups", flags: ["--cgroupns", "host"], says: "/HostConfig/CgroupnsMode" },
  {
    title: "another parent cgroup",
    flags: ["--cgroup-parent", "/system.slice"],
    says: "/HostConfig/CgroupParent",
  },

  // Rights.
  { title: "all capabilities", flags: ["--cap-add", "ALL"], says: "/HostConfig/CapAdd" },
  { title: "one capability", flags: ["--cap-add", "SYS_ADMIN"], says: "/HostConfig/CapAdd" },
  {
    title: "another list of dropped ones",
    flags: ["--cap-drop", "KILL"],
    says: "/HostConfig/CapDrop",
  },
  { title: "a device of the host", flags: ["--device", "/dev/mem"], says: "/HostConfig/Devices" },
  {
    title: "a rule for devices",
    flags: ["--device-cgroup-rule", "a *:* rwm"],
    says: "/HostConfig/DeviceCgroupRules",
  },
  { title: "all GPUs", flags: ["--gpus", "all"], says: "/HostConfig/DeviceRequests" },
  {
    title: "no seccomp",
    flags: ["--security-opt", "seccomp=unconfined"],
    says: "/HostConfig/SecurityOpt",
  },
  {
    title: "no AppArmor",
    flags: ["--security-opt", "apparmor=unconfined"],
    says: "/HostConfig/SecurityOpt",
  },
  {
    title: "no SELinux label",
    flags: ["--security-opt", "label=disable"],
    says: "/HostConfig/SecurityOpt",
  },
  {
    title: "new privileges",
    flags: ["--security-opt", "no-new-privileges=false"],
    says: "/HostConfig/SecurityOpt",
  },
  {
    title: "nothing of /proc and /sys hidden",
    flags: ["--security-opt", "systempaths=unconfined"],
    says: "/HostConfig/MaskedPaths",
  },
  { title: "root", flags: ["--user", "0"], says: "/User" },
  { title: "root spelled 00:0", flags: ["--user", "00:0"], says: "/User" },
  { title: "a further group", flags: ["--group-add", "0"], says: "/HostConfig/GroupAdd" },
  {
    title: "another runtime",
    flags: ["--runtime", "io.containerd.runc.v2"],
    says: "/HostConfig/Runtime",
  },
  {
    title: "a kernel parameter",
    flags: ["--sysctl", "net.ipv4.ip_forward=1"],
    says: "/HostConfig/Sysctls",
  },

  // What runs.
  {
    title: "another entry point",
    flags: ["--entrypoint", "/usr/local/bin/node"],
    says: "/Entrypoint",
  },
  {
    title: "arguments",
    flags: [],
    image: ({ image }) => [image, "-e", "1"],
    says: "/Cmd",
  },
  {
    title: "a library that is loaded first",
    flags: ["-e", "LD_PRELOAD=/workspace/x.so"],
    says: "/Env/",
  },
  {
    title: "options of the interpreter",
    flags: ["-e", "NODE_OPTIONS=--require=/workspace/x.js"],
    says: "/Env/",
  },
  { title: "another proxy", flags: ["-e", "HTTPS_PROXY=http://192.0.2.1:8080"], says: "/Env/" },
  { title: "another agent's name", flags: ["-e", "BERTH_AGENT=data"], says: "/Env/" },
  {
    title: "a value that its parameter does not allow",
    flags: ["-e", "TASK_NOTE=a\nLD_PRELOAD=/workspace/x.so"],
    says: "TASK_NOTE: does not look like",
  },
  {
    title: "a health check, which is a command that the Engine runs",
    flags: ["--health-cmd", "/usr/local/bin/node -e 1", "--health-interval", "1s"],
    says: "/Healthcheck/Test",
  },
  {
    title: "another working directory",
    flags: ["--workdir", "/proc/self/fd"],
    says: "/WorkingDir",
  },
  { title: "another stop signal", flags: ["--stop-signal", "SIGSTOP"], says: "/StopSignal" },
  { title: "a day to stop", flags: ["--stop-timeout", "86400"], says: "/StopTimeout" },
  {
    title: "another image",
    flags: [],
    image: ({ retagged }) => [retagged],
    says: "/Image",
  },

  // Names that steer others.
  {
    title: "a label for a reverse proxy",
    flags: ["--label", "traefik.enable=true"],
    says: "/Labels/traefik.enable",
  },
  {
    title: "a label for an updater",
    flags: ["--label", "com.centurylinklabs.watchtower.enable=true"],
    says: "/Labels/com.centurylinklabs.watchtower.enable",
  },
  {
    title: "a lease for ever",
    flags: ["--label", "berth.lease=99999999999"],
    says: "/Labels/berth.lease",
  },
  {
    title: "another client's name",
    flags: ["--label", "berth.client=egress-gateway"],
    says: "/Labels/berth.client",
  },
  {
    title: "another agent's label",
    flags: ["--label", "berth.agent=data"],
    says: "/Labels/berth.agent",
  },
  {
    title: "another limit of processes in its label",
    flags: ["--label", "berth.pids=100000"],
    says: "/Labels/berth.pids",
  },
  {
    title: "the name of a service as host name",
    flags: ["--hostname", "mattermost"],
    says: "/Hostname",
  },
  { title: "a domain name", flags: ["--domainname", "example.test"], says: "/Domainname" },
  {
    title: "a further host name",
    flags: ["--add-host", "mattermost:192.0.2.1"],
    says: "/HostConfig/ExtraHosts",
  },
  { title: "another name server", flags: ["--dns", "192.0.2.53"], says: "/HostConfig/Dns" },
  {
    title: "another search domain",
    flags: ["--dns-search", "example.test"],
    says: "/HostConfig/DnsSearch",
  },
  {
    title: "options of name resolution",
    flags: ["--dns-option", "ndots:9"],
    says: "/HostConfig/DnsOptions",
  },
  {
    title: "a link to another container",
    flags: ({ neighbour }) => ["--link", `${neighbour}:db`],
    says: "/HostConfig/Links",
  },
  { title: "a published port", flags: ["-p", "127.0.0.1::8080"], says: "/HostConfig/PortBindings" },
  { title: "all ports published", flags: ["-P"], says: "/HostConfig/PublishAllPorts" },
  { title: "an open port", flags: ["--expose", "8080"], says: "/ExposedPorts" },

  // What the host has to give.
  { title: "more memory", flags: ["--memory", "64g"], says: "/HostConfig/Memory" },
  {
    title: "unlimited swap",
    flags: ["--memory", "512m", "--memory-swap", "-1"],
    says: "/HostConfig/MemorySwap",
  },
  { title: "more CPUs", flags: ["--cpus", "64"], says: "/HostConfig/NanoCpus" },
  {
    title: "all shares of the CPUs",
    flags: ["--cpu-shares", "262144"],
    says: "/HostConfig/CpuShares",
  },
  {
    title: "processes without a limit",
    flags: ["--pids-limit", "-1"],
    says: "/HostConfig/PidsLimit",
  },
  { title: "more processes", flags: ["--pids-limit", "100000"], says: "/HostConfig/PidsLimit" },
  {
    title: "another limit of open files",
    flags: ["--ulimit", "nofile=1048576"],
    says: "/HostConfig/Ulimits",
  },
  {
    title: "core dumps",
    flags: ["--ulimit", "core=-1"],
    says: "/HostConfig/Ulimits",
  },
  {
    title: "life when memory runs out",
    flags: ["--oom-kill-disable"],
    says: "/HostConfig/OomKillDisable",
  },
  {
    title: "the last to die when memory runs out",
    flags: ["--oom-score-adj", "-1000"],
    says: "/HostConfig/OomScoreAdj",
  },
  { title: "more shared memory", flags: ["--shm-size", "64g"], says: "/HostConfig/ShmSize" },
  {
    title: "a log driver that has the Engine call an address",
    flags: ["--log-driver", "syslog", "--log-opt", "syslog-address=tcp://192.0.2.1:514"],
    says: "/HostConfig/LogConfig/Type",
  },
  {
    title: "log files without a limit",
    flags: ["--log-opt", "max-size=100g"],
    says: "/HostConfig/LogConfig/Config/max-size",
  },
  {
    title: "a restart for ever",
    flags: ["--restart", "always"],
    says: "/HostConfig/RestartPolicy/Name",
  },
  { title: "its own removal, which is a delete", flags: ["--rm"], says: "/HostConfig/AutoRemove" },
  { title: "another platform", flags: ["--platform", "linux/arm64"], says: "query-key" },
  { title: "an open standard input", flags: ["-i"], says: "/OpenStdin" },
  { title: "a terminal", flags: ["-t"], says: "/Tty" },
];

/** Another name for what is made, or another template. */
export const nameTricks: readonly {
  readonly title: string;
  readonly name: (scene: Scene) => string;
  readonly flags?: readonly string[];
  readonly says: string;
}[] = [
  {
    title: "the agent's own container name",
    name: ({ agent }) => agent,
    flags: ["--label", "berth.template=lal.review"],
    says: "[instance]",
  },
  {
    title: "the name of a service",
    name: ({ stack }) => `berth-${stack}-mattermost`,
    flags: ["--label", "berth.template=lal.review"],
    says: "[instance]",
  },
  {
    title: "the name of another stack's instance",
    name: () => "berth-other-lal.review.x1",
    says: "[template]",
  },
  { title: "a neighbour's name", name: ({ neighbour }) => neighbour, says: "[template]" },
  {
    title: "a name of four parts",
    name: () => "lal.review.x1.y",
    says: "[instance]",
  },
  { title: "a name with capitals", name: () => "lal.review.X1", says: "[instance]" },
  { title: "a name with an underscore", name: () => "lal.review.x_1", says: "[instance]" },
  { title: "a template that is not declared", name: () => "lal.builder.x1", says: "[template]" },
  {
    title: "a template of an agent that is not there",
    name: () => "nobody.agent.x1",
    says: "[template]",
  },
  {
    title: "a name of one template and the label of another",
    name: () => "lal.agent.x1",
    flags: ["--label", "berth.template=lal.review"],
    says: "?name",
  },
  {
    title: "a template of a prototype's name",
    name: () => "lal.constructor.x1",
    says: "[template]",
  },
];

/** Other commands that would get a client further than it is. */
export const escapeCommands: readonly {
  readonly title: string;
  readonly args: (scene: Scene) => readonly string[];
  readonly input?: string;
  readonly says: string;
}[] = [
  { title: "exec in the agent", args: ({ agent }) => ["exec", agent, "id"], says: "exec denied" },
  {
    title: "exec as root with all privileges",
    args: ({ agent }) => ["exec", "--privileged", "--user", "0", "-d", agent, "id"],
    says: "exec denied",
  },
  {
    title: "exec in a neighbour",
    args: ({ neighbour }) => ["exec", neighbour, "id"],
    says: "berth: ",
  },
  {
    title: "attach",
    args: ({ agent }) => ["attach", "--no-stdin", agent],
    // Of a refused attach the docker command shows its status only.
    says: "received 403",
  },
  {
    title: "cp out",
    args: ({ agent, directory }) => ["cp", `${agent}:/etc/passwd`, directory],
    says: "archive denied",
  },
  {
    title: "cp in",
    args: ({ agent, directory }) => ["cp", directory, `${agent}:/workspace`],
    says: "archive denied",
  },
  { title: "export", args: ({ agent }) => ["export", agent], says: "export denied" },
  { title: "diff", args: ({ agent }) => ["diff", agent], says: "changes denied" },
  { title: "top", args: ({ agent }) => ["top", agent], says: "top denied" },
  {
    title: "commit",
    args: ({ agent, stack }) => ["commit", agent, `${stack}:x`],
    says: "commit denied",
  },
  { title: "rm", args: ({ agent }) => ["rm", agent], says: "delete denied" },
  { title: "rm -f -v", args: ({ agent }) => ["rm", "-f", "-v", agent], says: "delete denied" },
  { title: "kill", args: ({ agent }) => ["kill", agent], says: "kill denied" },
  { title: "pause", args: ({ agent }) => ["pause", agent], says: "pause denied" },
  { title: "restart", args: ({ agent }) => ["restart", agent], says: "restart denied" },
  { title: "rename", args: ({ agent }) => ["rename", agent, "mattermost"], says: "rename denied" },
  {
    title: "update",
    args: ({ agent }) => ["update", "--pids-limit", "-1", "--memory", "64g", agent],
    says: "update denied",
  },
  {
    title: "build",
    args: ({ directory, stack }) => ["build", "-t", `${stack}:x`, directory],
    says: "build denied",
  },
  { title: "pull", args: ({ stack }) => ["pull", `localhost/${stack}:x`], says: "create denied" },
  { title: "push", args: ({ image }) => ["push", image], says: "push denied" },
  {
    title: "tag",
    args: ({ image, stack }) => ["tag", image, `localhost/${stack}:x`],
    says: "tag denied",
  },
  { title: "rmi", args: ({ image }) => ["rmi", "-f", image], says: "delete denied" },
  { title: "save", args: ({ image }) => ["save", image], says: "get denied" },
  { title: "load", args: () => ["load"], input: "x", says: "load denied" },
  {
    title: "import",
    args: ({ stack }) => ["import", "-", `localhost/${stack}:x`],
    input: "x",
    says: "create denied",
  },
  { title: "images", args: () => ["images"], says: "images denied" },
  { title: "history", args: ({ image }) => ["history", image], says: "history denied" },
  { title: "image prune", args: () => ["image", "prune", "-a", "-f"], says: "prune denied" },
  {
    title: "volume create",
    args: ({ stack }) => ["volume", "create", `${stack}-x`],
    says: "create denied",
  },
  {
    title: "volume create of a host directory",
    args: ({ stack }) => [
      "volume",
      "create",
      "-o",
      "type=none",
      "-o",
      "o=bind",
      "-o",
      "device=/",
      `${stack}-x`,
    ],
    says: "create denied",
  },
  {
    title: "volume rm",
    args: ({ neighbour }) => ["volume", "rm", "-f", neighbour],
    says: "delete denied",
  },
  { title: "volume ls", args: () => ["volume", "ls"], says: "volumes denied" },
  { title: "volume prune", args: () => ["volume", "prune", "-f"], says: "prune denied" },
  {
    title: "network create",
    args: ({ stack }) => ["network", "create", `${stack}-x`],
    says: "create denied",
  },
  {
    title: "network connect",
    args: ({ chatNetwork, agent }) => [
      "network",
      "connect",
      "--alias",
      "mattermost",
      chatNetwork,
      agent,
    ],
    says: "connect denied",
  },
  {
    title: "network disconnect",
    args: ({ chatNetwork, agent }) => ["network", "disconnect", "-f", chatNetwork, agent],
    says: "disconnect denied",
  },
  {
    title: "network rm",
    args: ({ chatNetwork }) => ["network", "rm", chatNetwork],
    says: "delete denied",
  },
  {
    title: "system prune",
    args: () => ["system", "prune", "-a", "-f", "--volumes"],
    says: "prune denied",
  },
  { title: "system df", args: () => ["system", "df"], says: "system denied" },
  { title: "info", args: () => ["info"], says: "info denied" },
  {
    title: "plugin install",
    args: () => ["plugin", "install", "--grant-all-permissions", "localhost/x:1"],
    says: "denied",
  },
  { title: "plugin ls", args: () => ["plugin", "ls"], says: "plugins denied" },
  {
    title: "swarm init",
    args: () => ["swarm", "init", "--advertise-addr", "127.0.0.1"],
    says: "swarm denied",
  },
  {
    title: "swarm join",
    args: () => ["swarm", "join", "--token", "SWMTKN-1-x", "192.0.2.1:2377"],
    says: "swarm denied",
  },
  {
    title: "secret create",
    args: () => ["secret", "create", "x", "-"],
    input: "x",
    says: "create denied",
  },
  { title: "secret ls", args: () => ["secret", "ls"], says: "secrets denied" },
  {
    title: "config create",
    args: () => ["config", "create", "x", "-"],
    input: "x",
    says: "create denied",
  },
  { title: "service create", args: ({ image }) => ["service", "create", image], says: "denied" },
  { title: "node ls", args: () => ["node", "ls"], says: "nodes denied" },
  { title: "search", args: () => ["search", "x"], says: "denied" },
  {
    title: "inspect of a neighbour",
    args: ({ neighbour }) => ["inspect", "--type", "container", neighbour],
    says: "no such",
  },
  { title: "logs of a neighbour", args: ({ neighbour }) => ["logs", neighbour], says: "no such" },
  { title: "start of a neighbour", args: ({ neighbour }) => ["start", neighbour], says: "no such" },
  { title: "stop of a neighbour", args: ({ neighbour }) => ["stop", neighbour], says: "no such" },
  { title: "wait for a neighbour", args: ({ neighbour }) => ["wait", neighbour], says: "no such" },
];
