import type { Scene } from "./escape-lines.ts";

/** An API call that no docker command makes. */
export interface EscapeCall {
  readonly title: string;
  readonly method: string;
  readonly path: string | ((scene: Scene) => string);
  /** JSON, or bytes as they are. */
  readonly body?: unknown | ((scene: Scene) => unknown);
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** What the refusal says. */
  readonly says: string;
}

const tar = { "content-type": "application/x-tar" };
const upgrade = { connection: "Upgrade", upgrade: "tcp" };

/** A create that is refused for one member alone. */
function create(title: string, says: string, members: object, version = ""): EscapeCall {
  return {
    title,
    method: "POST",
    path: `${version}/containers/create?name=lal.review.x1`,
    body: ({ image }: Scene) => ({ Image: image, Env: ["TASK_ID=7"], ...members }),
    status: 403,
    says,
  };
}

/** A create of JSON that is not read by everybody alike. */
function written(title: string, status: number, says: string, text: string): EscapeCall {
  return {
    title,
    method: "POST",
    path: "/containers/create?name=lal.review.x1",
    body: ({ image }: Scene) => Buffer.from(text.replaceAll("IMAGE", image)),
    headers: { "content-type": "application/json" },
    status,
    says,
  };
}

/** The native create, with something more or something else. */
function native(title: string, status: number, says: string, body: object): EscapeCall {
  return { title, method: "POST", path: "/berth/instances", body, status, says };
}

function call(
  method: string,
  path: EscapeCall["path"],
  more: Partial<EscapeCall> = {},
): EscapeCall {
  const shown = typeof path === "string" ? path : path(shownScene);
  const title = more.title ?? `${method} ${shown}`;
  return { method, path, status: 403, says: "[verb]", ...more, title };
}

/** Stands in for the real names in titles. */
const shownScene: Scene = {
  stack: "STACK",
  image: "IMAGE",
  retagged: "RETAGGED",
  agent: "AGENT",
  neighbour: "NEIGHBOUR",
  chatNetwork: "CHAT",
  directory: "DIRECTORY",
};

/** Ways out that only a call of the API can say. */
export const escapeCalls: readonly EscapeCall[] = [
  // Members of the host's part on the top of the body: Engines read them there once.
  create("Binds on top of the body", "/Binds", { Binds: ["/:/host"] }),
  create("Privileged on top of the body", "/Privileged", { Privileged: true }, "/v1.24"),
  create("Memory on top of the body", "/Memory", { Memory: 2 ** 36 }),
  create("Capabilities, which are CapAdd and CapDrop in one", "/HostConfig/Capabilities", {
    HostConfig: { Capabilities: ["CAP_SYS_ADMIN"] },
  }),
  create("annotations for the runtime", "/HostConfig/Annotations", {
    HostConfig: { Annotations: { "io.katacontainers.config.hypervisor.path": "/x" } },
  }),
  create("no masked paths", "/HostConfig/MaskedPaths", { HostConfig: { MaskedPaths: [] } }),
  create("no read-only paths", "/HostConfig/ReadonlyPaths", { HostConfig: { ReadonlyPaths: [] } }),
  create("another container's cgroup", "/HostConfig/Cgroup", {
    HostConfig: { Cgroup: "container:x" },
  }),
  create("a mount of an image", "/HostConfig/Mounts", {
    HostConfig: { Mounts: [{ Type: "image", Source: "x", Target: "/x" }] },
  }),
  create("a subpath of a volume", "/HostConfig/Mounts", {
    HostConfig: {
      Mounts: [{ Type: "volume", Source: "x", Target: "/x", VolumeOptions: { Subpath: ".." } }],
    },
  }),
  create("a cluster volume", "/HostConfig/Mounts", {
    HostConfig: { Mounts: [{ Type: "cluster", Source: "x", Target: "/x" }] },
  }),
  create("a health check while it starts", "/Healthcheck/StartInterval", {
    Healthcheck: { StartInterval: 1e9 },
  }),
  create("a hardware address", "/MacAddress", { MacAddress: "02:42:ac:11:00:02" }, "/v1.41"),
  create("a parameter twice", "/Env/1", { Env: ["TASK_ID=7", "TASK_ID=8"] }),
  create("no network at all", "/NetworkDisabled", { NetworkDisabled: true }),
  create("build instructions", "/OnBuild", { OnBuild: ["RUN x"] }),
  create("a member that does not exist yet", "/HostConfig/Tomorrow", {
    HostConfig: { Tomorrow: { Anything: 1 } },
  }),
  create("a device of the CPUs' time", "/HostConfig/CpuRealtimeRuntime", {
    HostConfig: { CpuRealtimeRuntime: 950_000 },
  }),
  create("a member in small letters", "/hostconfig", { hostconfig: { privileged: true } }),
  written(
    "a member twice",
    400,
    "[json-duplicate]",
    '{"Image":"IMAGE","Env":["TASK_ID=7"],"HostConfig":{},"HostConfig":{"Privileged":true}}',
  ),
  written(
    "a member with an escaped name",
    400,
    "[json-duplicate]",
    '{"Image":"IMAGE","Env":["TASK_ID=7"],"HostConfig":{},"\\u0048ostConfig":{"Privileged":true}}',
  ),
  written("something behind the body", 400, "[json-syntax]", '{"Image":"IMAGE"}{"HostConfig":{}}'),
  call("POST", "/containers/create?name=lal.review.x1&checkpoint=x", {
    title: "a create from a checkpoint",
    body: ({ image }: Scene) => ({ Image: image }),
    status: 400,
    says: "[query-key]",
  }),
  call("POST", "/containers/create?name=lal.review.x1&Privileged=true", {
    title: "a member in the query alone",
    body: ({ image }: Scene) => ({ Image: image, Env: ["TASK_ID=7"] }),
    status: 400,
    says: "[query-key]",
  }),
  call("POST", "/containers/create?name=lal.review.x1", {
    title: "another name in the body",
    body: ({ image }: Scene) => ({ Image: image, Env: ["TASK_ID=7"], name: "mattermost" }),
    status: 400,
    says: "[query-value]",
  }),
  call("POST", "/containers/create?name=lal.review.x1", {
    title: "a form in the place of the body",
    body: Buffer.from("name=x&Privileged=true"),
    headers: { "content-type": "application/x-www-form-urlencoded" },
    status: 415,
    says: "[body-type]",
  }),

  // The proxy's own create.
  native("a native create with a body of its own", 400, "[template]", {
    template: "lal.review",
    instance: "x1",
    parameters: { TASK_ID: "7" },
    HostConfig: { Privileged: true },
  }),
  native("a native create with LD_PRELOAD", 400, "[parameters]", {
    template: "lal.review",
    instance: "x1",
    parameters: { TASK_ID: "7", LD_PRELOAD: "/workspace/x.so" },
  }),
  native("a native create with a second line", 400, "[parameters]", {
    template: "lal.review",
    instance: "x1",
    parameters: { TASK_ID: "7\nLD_PRELOAD=/workspace/x.so" },
  }),
  native("a native create of another path", 400, "[instance]", {
    template: "lal.review",
    instance: "../x1",
    parameters: { TASK_ID: "7" },
  }),
  native("a native create of a platform service", 403, "[template]", {
    template: "docker-socket-proxy.agent",
    instance: "x1",
  }),

  // A start that says more than to start.
  call("POST", ({ agent }) => `/containers/${agent}/start`, {
    title: "a start with the host's part in its body",
    body: { Binds: ["/:/host"], Privileged: true },
    status: 400,
    says: "[body]",
  }),
  call("POST", ({ agent }) => `/containers/${agent}/start?checkpoint=x&checkpoint-dir=/tmp`, {
    title: "a start from a checkpoint in a host directory",
    status: 400,
    says: "[query-key]",
  }),
  call("POST", ({ agent }) => `/containers/${agent}/checkpoints`, {
    body: { CheckpointID: "x", CheckpointDir: "/tmp" },
  }),

  // Commands in a container.
  call("POST", ({ agent }) => `/containers/${agent}/exec`, {
    title: "a privileged exec is made",
    body: { Cmd: ["id"], Privileged: true, User: "0", AttachStdout: true },
  }),
  call("POST", ({ agent }) => `/v1.24/containers/${agent}/exec`, { body: { Cmd: ["id"] } }),
  call("POST", `/exec/${"0".repeat(64)}/start`, { body: { Detach: true } }),
  call("POST", ({ agent }) => `/containers/${agent}/attach?stream=1&stdin=1`, {
    title: "attach with a changed protocol",
    headers: upgrade,
  }),
  call("GET", ({ agent }) => `/containers/${agent}/attach/ws?stream=1`, {
    headers: { ...upgrade, upgrade: "websocket" },
  }),
  call("POST", ({ agent }) => `/containers/${agent}/start`, {
    title: "a start that changes the protocol",
    headers: upgrade,
    says: "[upgrade]",
  }),
  call("PUT", ({ agent }) => `/containers/${agent}/archive?path=/workspace`, {
    body: Buffer.alloc(1024),
    headers: tar,
  }),
  call("HEAD", ({ agent }) => `/containers/${agent}/archive?path=/etc/passwd`, { says: "" }),
  call("POST", ({ agent }) => `/containers/${agent}/copy`, { body: { Resource: "/etc/passwd" } }),
  call("GET", ({ agent }) => `/containers/${agent}/export`),
  call("POST", ({ agent }) => `/containers/${agent}/update`, { body: { PidsLimit: -1 } }),
  call("POST", ({ agent }) => `/containers/${agent}/rename?name=mattermost`),
  call("DELETE", ({ agent }) => `/containers/${agent}?force=1&v=1&link=1`),
  call("DELETE", ({ agent }) => `//containers/${agent}`, { says: "[target]" }),
  call("POST", ({ agent }) => `/containers/x/../${agent}/exec`, { says: "[target]" }),
  call("POST", ({ agent }) => `/containers/${agent}%2fexec`, { says: "[target]" }),

  // Images.
  call("POST", ({ agent }) => `/commit?container=${agent}&repo=localhost/x`, { body: {} }),
  call("POST", "/build?t=localhost/x&remote=http://192.0.2.1/x", {
    body: Buffer.alloc(1024),
    headers: tar,
  }),
  call("POST", "/build/prune?all=1"),
  call("POST", "/session", { headers: { ...upgrade, upgrade: "h2c" } }),
  call("POST", "/grpc", { headers: { ...upgrade, upgrade: "h2c" } }),
  call("POST", "/images/load", { body: Buffer.alloc(1024), headers: tar }),
  call("POST", "/images/create?fromImage=localhost/x&tag=1"),
  call("POST", "/images/create?fromSrc=http://192.0.2.1/x.tar&repo=localhost/x"),
  call("GET", ({ image }) => `/images/${image}/get`),
  call("POST", ({ image }) => `/images/${image}/tag?repo=localhost/x&tag=1`),
  call("DELETE", ({ image }) => `/images/${image}?force=1`),
  call("GET", "/images/json"),
  call("GET", ({ retagged }) => `/images/${retagged}/json`, { status: 404, says: "[not-found]" }),
  call("GET", "/distribution/localhost/x/json"),

  // The host and its parts.
  call("POST", "/auth", { body: { username: "x", password: "y", serveraddress: "192.0.2.1" } }),
  call("POST", "/volumes/create", {
    body: { Name: "x", DriverOpts: { type: "none", o: "bind", device: "/" } },
  }),
  call("PUT", "/volumes/x?version=1", { body: {} }),
  call("POST", "/networks/create", { body: { Name: "x", Driver: "macvlan" } }),
  call("POST", ({ chatNetwork }) => `/networks/${chatNetwork}/connect`, {
    body: ({ agent }: Scene) => ({ Container: agent }),
  }),
  call("POST", "/plugins/pull?remote=localhost/x&name=x", { body: [] }),
  call("POST", "/plugins/create?name=x", { body: Buffer.alloc(1024), headers: tar }),
  call("POST", "/swarm/init", { body: { ListenAddr: "127.0.0.1:2377" } }),
  call("GET", "/swarm/unlockkey"),
  call("POST", "/services/create", { body: { Name: "x" } }),
  call("POST", "/secrets/create", { body: { Name: "x", Data: "eA==" } }),
  call("GET", "/configs"),
  call("POST", "/containers/prune"),
  call("GET", "/debug/pprof/heap"),
  call("GET", "/info"),
  call("POST", "/berth/grants", { body: {} }),
];
