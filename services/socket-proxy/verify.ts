import type { ContainerSpec } from "../../spec/container.ts";
import { Label } from "../../spec/names.ts";
import {
  anything,
  type Check,
  compareMembers,
  holdsAll,
  isUnset,
  keysAmong,
  oneOf,
  same,
  sameMembers,
  sameSet,
} from "./compare.ts";
import type { HostFacts } from "./host.ts";
import { asList, asNumber, asObject, asText, asTexts, type JsonObject } from "./json.ts";
import { areUlimits } from "./ulimits.ts";

/** All that the Engine says about a container that is to be started. */
export interface Evidence {
  readonly container: unknown;
  /** The image that the declaration names; not the one that the container says. */
  readonly image: unknown;
  readonly host: HostFacts;
  /** The volumes that the rendering mounts, by name. */
  readonly volumes: ReadonlyMap<string, unknown>;
  /** The networks that the rendering joins, by name. */
  readonly networks: ReadonlyMap<string, unknown>;
}

/** Labels that only berth sets: an image that brings one could pass for another stack's container. */
const reserved: ReadonlySet<string> = new Set<string>(Object.values(Label));
/** Parts of /proc and /sys that every supported Engine hides from, or makes read-only in, an ordinary container. */
const masked = [
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/sys/firmware",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/**
 * Compares what the Engine would run with what the declaration renders to.
 * @returns the names of all differing fields, sorted; none: they are the same
 */
export function differences(spec: ContainerSpec, stack: string, evidence: Evidence): string[] {
  const container = asObject(evidence.container);
  const image = asObject(evidence.image);
  const imageConfig = asObject(image.Config);
  return [
    ...compareTop(spec, container, image),
    ...compareMembers(
      asObject(container.HostConfig),
      hostConfigChecks(spec, container, evidence.host),
      "HostConfig.",
    ),
    ...compareMembers(
      asObject(container.Config),
      configChecks(spec, container, imageConfig),
      "Config.",
    ),
    ...compareLabels(spec, asObject(container.Config), imageConfig),
    ...compareMounts(spec, container, imageConfig),
    ...compareNetworks(spec, container),
    ...compareVolumes(spec, stack, evidence.volumes),
    ...compareNetworkObjects(spec, stack, container, evidence.networks),
  ].sort();
}

/**
 * What of a rendering's surroundings is not as it must be before a container of it is made: the image without labels of
 * berth's own, the volumes and networks those of this stack.
 */
export function unfitSurroundings(
  spec: ContainerSpec,
  stack: string,
  { image, volumes, networks }: Omit<Evidence, "container">,
): string[] {
  const inherited = asTexts(asObject(asObject(image).Config).Labels);
  return [
    ...(isImageId(asObject(image).Id) ? [] : ["Image"]),
    ...(Object.keys(inherited).some((key) => reserved.has(key)) ? ["Image.Labels"] : []),
    ...compareVolumes(spec, stack, volumes),
    ...compareNetworkObjects(spec, stack, {}, networks),
  ].sort();
}

function compareTop(spec: ContainerSpec, container: JsonObject, image: JsonObject): string[] {
  const [program, ...rest] = [...(spec.Entrypoint ?? []), ...(spec.Cmd ?? [])];
  const wrong: string[] = [];
  const check = (name: string, right: boolean) => right || wrong.push(name);
  check("Name", container.Name === `/${spec.name}`);
  check("Image", isImageId(image.Id) && container.Image === image.Id);
  check("Path", container.Path === program);
  check("Args", same(rest)(container.Args));
  check("Platform", oneOf("linux", "")(container.Platform));
  check("AppArmorProfile", oneOf("", "docker-default")(container.AppArmorProfile));
  return wrong;
}

const isImageId = (id: unknown) => typeof id === "string" && /^sha256:[0-9a-f]{64}$/.test(id);

function hostConfigChecks(
  spec: ContainerSpec,
  container: JsonObject,
  host: HostFacts,
): Record<string, Check> {
  const wanted = spec.HostConfig;
  const joins = Object.keys(spec.Networks).length > 0;
  return {
    Binds: sameSet(wanted.Binds.map(bindText), bindText),
    LogConfig: same(wanted.LogConfig),
    // The docker provider joins networks after the create; the mode it leaves behind has no effect without its network.
    NetworkMode: oneOf(wanted.NetworkMode, ...(joins ? ["default", "bridge"] : [])),
    RestartPolicy: sameMembers(wanted.RestartPolicy),
    CapDrop: sameSet(wanted.CapDrop),
    CapAdd: sameSet(wanted.CapAdd),
    SecurityOpt: sameSet(wanted.SecurityOpt),
    ReadonlyRootfs: same(wanted.ReadonlyRootfs),
    Tmpfs: same(wanted.Tmpfs),
    Memory: same(wanted.Memory),
    MemorySwap: oneOf(wanted.MemorySwap, ...(host.swapLimit ? [] : [-1])),
    NanoCpus: same(wanted.NanoCpus),
    // Not compared but enforced right after, and read back (pids.ts).
    PidsLimit: anything,
    ShmSize: same(wanted.ShmSize),
    Init: same(wanted.Init),
    IpcMode: same(wanted.IpcMode),
    PortBindings: wanted.PortBindings.length === 0 ? isUnset : () => false,
    CgroupnsMode: host.cgroupVersion === "2" ? same("private") : oneOf("private", "host", ""),
    Runtime: oneOf(host.defaultRuntime),
    MaskedPaths: holdsAll(masked),
    ReadonlyPaths: holdsAll(readonlyPaths),
    MemorySwappiness: oneOf(null, -1),
    Ulimits: areUlimits(wanted.Ulimits, wasStarted(container)),
    // Size of a terminal that does not exist.
    ConsoleSize: anything,
  };
}

function configChecks(
  spec: ContainerSpec,
  container: JsonObject,
  image: JsonObject,
): Record<string, Check> {
  const { Healthcheck } = spec;
  return {
    Hostname: same(asText(container.Id).slice(0, 12)),
    User: same(spec.User),
    Env: sameSet(mergedEnvironment(spec.Env, asList(image.Env))),
    Cmd: same(spec.Cmd),
    Entrypoint: same(spec.Entrypoint),
    WorkingDir: same(spec.WorkingDir),
    StopSignal: same(spec.StopSignal),
    StopTimeout: same(spec.StopTimeout),
    Healthcheck:
      "intervalMs" in Healthcheck ? () => false : sameMembers({ Test: Healthcheck.test }),
    Volumes: keysAmong([
      ...spec.HostConfig.Binds.map((bind) => bind.split(":")[1] ?? ""),
      ...Object.keys(asObject(image.Volumes)),
    ]),
    ExposedPorts: same(image.ExposedPorts),
    // Compared by compareLabels, and the image by its id.
    Labels: anything,
    Image: anything,
    // No effect on a container that exists: streams that nobody attaches to, build instructions, the build's shell.
    AttachStdout: anything,
    AttachStderr: anything,
    OnBuild: anything,
    Shell: anything,
  };
}

/** What the Engine makes of a container's environment: its own, then what the image sets beside it. */
function mergedEnvironment(own: readonly string[], image: readonly unknown[]): string[] {
  const key = (entry: string) => entry.split("=", 1)[0];
  const set = new Set(own.map(key));
  return [...own, ...image.map(String).filter((entry) => !set.has(key(entry)))];
}

function compareLabels(spec: ContainerSpec, config: JsonObject, image: JsonObject): string[] {
  const actual = asTexts(config.Labels);
  const inherited = asTexts(image.Labels);
  const wrong = Object.keys({ ...actual, ...spec.Labels }).some((key) =>
    Object.hasOwn(spec.Labels, key) || reserved.has(key)
      ? actual[key] !== spec.Labels[key]
      : actual[key] !== inherited[key],
  );
  return [
    ...(wrong ? ["Config.Labels"] : []),
    ...(Object.keys(inherited).some((key) => reserved.has(key)) ? ["Image.Labels"] : []),
  ];
}

/** A bind without the options that mean nothing: `rw` is the default. */
function bindText(bind: unknown): string {
  return String(bind).replace(/:rw$/, "");
}

function compareMounts(spec: ContainerSpec, container: JsonObject, image: JsonObject): string[] {
  const wanted = new Map(
    spec.HostConfig.Binds.map((bind) => {
      const [source = "", destination = "", mode] = bind.split(":");
      return [destination, { source, writable: mode !== "ro" }];
    }),
  );
  const declared = asObject(image.Volumes);
  // A volume that the image asks for must not lie on, above or below a place that the rendering says something of.
  const own = [...wanted.keys(), ...Object.keys(spec.HostConfig.Tmpfs)];
  const isApart = (path: string) =>
    own.every((place) => place !== path && !isBelow(place, path) && !isBelow(path, place));
  const isRight = (item: unknown) => {
    const mount = asObject(item);
    const destination = asText(mount.Destination);
    const bind = wanted.get(destination);
    if (!bind) {
      // An anonymous volume that the image itself asks for.
      const anonymous = mount.Type === "volume" && /^[0-9a-f]{64}$/.test(asText(mount.Name));
      const isAsked = Object.hasOwn(declared, destination) && isApart(destination);
      return anonymous && mount.Driver === "local" && isAsked;
    }
    wanted.delete(destination);
    if (mount.RW !== bind.writable || !oneOf("", "rprivate")(mount.Propagation)) return false;
    return bind.source.startsWith("/")
      ? mount.Type === "bind" && mount.Source === bind.source
      : mount.Type === "volume" && mount.Name === bind.source && mount.Driver === "local";
  };
  const right = asList(container.Mounts).map(isRight).every(Boolean);
  return right && wanted.size === 0 ? [] : ["Mounts"];
}

function isBelow(path: string, place: string): boolean {
  return path.startsWith(`${place.replace(/\/$/, "")}/`);
}

function compareNetworks(spec: ContainerSpec, container: JsonObject): string[] {
  const actual = asObject(asObject(container.NetworkSettings).Networks);
  const wanted = Object.keys(spec.Networks);
  const names = Object.keys(actual);
  const isSet =
    wanted.length === 0 ? names.every((name) => name === "none") : sameSet(wanted)(names);
  if (!isSet) return ["NetworkSettings.Networks"];
  const given = [asText(container.Id).slice(0, 12), spec.name];
  const isRight = (name: string) => {
    const endpoint = asObject(actual[name]);
    const aliases = asList(endpoint.Aliases).map(String);
    const own = spec.Networks[name] ?? [];
    return (
      own.every((alias) => aliases.includes(alias)) &&
      aliases.every((alias) => own.includes(alias) || given.includes(alias)) &&
      isUnset(endpoint.Links) &&
      isUnset(endpoint.DriverOpts) &&
      Object.values(asObject(endpoint.IPAMConfig)).every(isUnset)
    );
  };
  return wanted.every(isRight) ? [] : ["NetworkSettings.Networks"];
}

/** A volume made beforehand with driver options can be any host directory under an innocent name. */
function compareVolumes(
  spec: ContainerSpec,
  stack: string,
  volumes: ReadonlyMap<string, unknown>,
): string[] {
  const isRight = (name: string) => {
    const volume = asObject(volumes.get(name));
    return (
      volume.Name === name &&
      volume.Driver === "local" &&
      isUnset(volume.Options) &&
      asTexts(volume.Labels)[Label.stack] === stack
    );
  };
  return namedVolumes(spec).every(isRight) ? [] : ["Volumes"];
}

function compareNetworkObjects(
  spec: ContainerSpec,
  stack: string,
  container: JsonObject,
  networks: ReadonlyMap<string, unknown>,
): string[] {
  const endpoints = asObject(asObject(container.NetworkSettings).Networks);
  const isRight = (name: string) => {
    const network = asObject(networks.get(name));
    const joined = asObject(endpoints[name]).NetworkID;
    return (
      network.Name === name &&
      network.Internal === true &&
      asTexts(network.Labels)[Label.stack] === stack &&
      (isUnset(joined) || joined === network.Id)
    );
  };
  return Object.keys(spec.Networks).every(isRight) ? [] : ["Networks"];
}

/** The volumes among a rendering's binds: the sources that are no paths. */
export function namedVolumes(spec: ContainerSpec): string[] {
  return spec.HostConfig.Binds.map((bind) => bind.split(":")[0] ?? "").filter(
    (source) => !source.startsWith("/"),
  );
}

function wasStarted(container: JsonObject): boolean {
  const started = asText(asObject(container.State).StartedAt);
  return started !== "" && !started.startsWith("0001-") && asNumber(Date.parse(started)) > 0;
}
