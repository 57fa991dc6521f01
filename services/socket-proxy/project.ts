import { Label } from "../../spec/names.ts";
import type { Filters } from "./intent.ts";
import { asList, asNumber, asObject, asText, type JsonObject } from "./json.ts";
import type { OwnContainer } from "./ownership.ts";
import { oldestVersion } from "./route.ts";
import { apiVersion } from "./upstream.ts";

/**
 * What clients get to see, built member by member. A member that is not named here does not leave: no environment, no
 * command line, no host path, no health output, no text that the Engine composed.
 */

/** Labels that are shown. The rest may come from an image. */
const shownLabels = [
  Label.stack,
  Label.component,
  Label.agent,
  Label.pids,
  Label.config,
  Label.template,
  Label.instance,
  Label.lease,
];
const plain = /^[A-Za-z0-9 ._:/@+-]*$/;
const time = /^[0-9TZ:.+-]*$/;
const digest = /^sha256:[0-9a-f]{64}$/;

function showLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    shownLabels.flatMap((key) =>
      labels[key] === undefined ? [] : [[key, asText(labels[key], plain)]],
    ),
  );
}

function networkNames(settings: unknown): string[] {
  return Object.keys(asObject(asObject(settings).Networks)).filter((name) => plain.test(name));
}

/** A list entry. */
function projectEntry(own: OwnContainer): JsonObject {
  const { entry } = own;
  return {
    Id: own.id,
    Names: [`/${own.name}`],
    Image: asText(entry.Image, plain),
    ImageID: asText(entry.ImageID, digest),
    Command: "",
    Created: asNumber(entry.Created),
    Ports: [],
    Labels: showLabels(own.labels),
    State: asText(entry.State, /^[a-z]+$/),
    Status: asText(entry.Status, /^[A-Za-z0-9 ():]*$/),
    HostConfig: { NetworkMode: asText(asObject(entry.HostConfig).NetworkMode, plain) },
    NetworkSettings: {
      Networks: Object.fromEntries(networkNames(entry.NetworkSettings).map((name) => [name, {}])),
    },
    Mounts: [],
  };
}

/** An inspect answer. */
export function projectInspect(own: OwnContainer, answer: unknown): JsonObject {
  const inspected = asObject(answer);
  const state = asObject(inspected.State);
  const config = asObject(inspected.Config);
  const host = asObject(inspected.HostConfig);
  const health = asObject(state.Health);
  return {
    Id: own.id,
    Name: `/${own.name}`,
    Created: asText(inspected.Created, time),
    Image: asText(inspected.Image, digest),
    RestartCount: asNumber(inspected.RestartCount),
    Platform: asText(inspected.Platform, /^[a-z]*$/),
    State: {
      Status: asText(state.Status, /^[a-z]+$/),
      Running: state.Running === true,
      Paused: state.Paused === true,
      Restarting: state.Restarting === true,
      OOMKilled: state.OOMKilled === true,
      Dead: state.Dead === true,
      Pid: asNumber(state.Pid),
      ExitCode: asNumber(state.ExitCode),
      Error: "",
      StartedAt: asText(state.StartedAt, time),
      FinishedAt: asText(state.FinishedAt, time),
      ...(state.Health === undefined
        ? {}
        : {
            Health: {
              Status: asText(health.Status, /^[a-z]+$/),
              FailingStreak: asNumber(health.FailingStreak),
            },
          }),
    },
    Config: {
      Image: asText(config.Image, plain),
      User: asText(config.User, plain),
      Tty: config.Tty === true,
      Labels: showLabels(own.labels),
      StopSignal: asText(config.StopSignal, /^[A-Z0-9]*$/),
      StopTimeout: asNumber(config.StopTimeout),
    },
    HostConfig: {
      NetworkMode: asText(host.NetworkMode, plain),
      RestartPolicy: { Name: asText(asObject(host.RestartPolicy).Name, /^[a-z-]*$/) },
      ReadonlyRootfs: host.ReadonlyRootfs === true,
      Privileged: host.Privileged === true,
      CapAdd: asList(host.CapAdd).map((item) => asText(item, /^[A-Z_]+$/)),
      CapDrop: asList(host.CapDrop).map((item) => asText(item, /^[A-Z_]+$/)),
      Memory: asNumber(host.Memory),
      MemorySwap: asNumber(host.MemorySwap),
      NanoCpus: asNumber(host.NanoCpus),
      PidsLimit: asNumber(host.PidsLimit),
      LogConfig: { Type: asText(asObject(host.LogConfig).Type, /^[a-z-]*$/) },
    },
    Mounts: asList(inspected.Mounts).map((item) => {
      const mount = asObject(item);
      return {
        Type: asText(mount.Type, /^[a-z]+$/),
        Destination: asText(mount.Destination, plain),
        RW: mount.RW === true,
      };
    }),
    NetworkSettings: {
      Networks: Object.fromEntries(
        networkNames(inspected.NetworkSettings).map((name) => [name, {}]),
      ),
    },
  };
}

/** One reading of a container's counters. */
export function projectStats(own: OwnContainer, answer: unknown): JsonObject {
  const stats = asObject(answer);
  const cpu = asObject(stats.cpu_stats);
  const memory = asObject(stats.memory_stats);
  const pids = asObject(stats.pids_stats);
  return {
    id: own.id,
    name: `/${own.name}`,
    read: asText(stats.read, time),
    num_procs: asNumber(stats.num_procs),
    pids_stats: { current: asNumber(pids.current), limit: asNumber(pids.limit) },
    cpu_stats: {
      cpu_usage: { total_usage: asNumber(asObject(cpu.cpu_usage).total_usage) },
      system_cpu_usage: asNumber(cpu.system_cpu_usage),
      online_cpus: asNumber(cpu.online_cpus),
    },
    precpu_stats: { cpu_usage: { total_usage: 0 } },
    memory_stats: { usage: asNumber(memory.usage), limit: asNumber(memory.limit) },
  };
}

/** An image of a declaration. */
export function projectImage(answer: unknown): JsonObject {
  const image = asObject(answer);
  return {
    Id: asText(image.Id, digest),
    RepoTags: asList(image.RepoTags)
      .map((tag) => asText(tag, plain))
      .filter((tag) => tag !== ""),
    Created: asText(image.Created, time),
    Size: asNumber(image.Size),
  };
}

/** A network of the stack. */
export function projectNetwork(name: string, answer: unknown): JsonObject {
  const network = asObject(answer);
  return {
    Name: name,
    Id: asText(network.Id, /^[0-9a-f]{64}$/),
    Internal: network.Internal === true,
  };
}

/** The answer to `wait`. */
export function projectWait(answer: unknown): JsonObject {
  const wait = asObject(answer);
  const failed = (asObject(wait.Error).Message ?? "") !== "";
  return {
    StatusCode: asNumber(wait.StatusCode),
    Error: failed ? { Message: "the Engine could not wait for it" } : null,
  };
}

/** The proxy's own version answer: what the docker command needs to agree on an API version. */
export function projectVersion(): JsonObject {
  const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64" };
  return {
    Platform: { Name: "berth socket proxy" },
    Version: "berth",
    ApiVersion: apiVersion,
    MinAPIVersion: oldestVersion,
    Os: "linux",
    Arch: architectures[process.arch] ?? process.arch,
  };
}

/** Actions of container events that are given out; others carry command lines or are nobody's business. */
const shownActions =
  /^(create|start|restart|stop|die|kill|oom|pause|unpause|destroy|rename|health_status: (healthy|unhealthy|starting))$/;

/** An event of one of the stack's containers; undefined: it is not shown. */
export function projectEvent(event: {
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly name: string;
  readonly time: number;
  readonly timeNano: number;
}): JsonObject | undefined {
  if (!shownActions.test(event.action)) return undefined;
  const exitCode = asText(event.attributes.exitCode, /^[0-9]{1,3}$/);
  return {
    status: event.action,
    id: event.id,
    Type: "container",
    Action: event.action,
    Actor: {
      ID: event.id,
      Attributes: {
        name: event.name,
        ...showLabels(event.attributes),
        ...(exitCode === "" ? {} : { exitCode }),
      },
    },
    scope: "local",
    time: event.time,
    timeNano: event.timeNano,
  };
}

/** Whether labels hold all that a client's filter wants. */
export function labelsMatch(labels: Readonly<Record<string, string>>, filters: Filters): boolean {
  const shown = showLabels(labels);
  return filters.labels.every((wanted) => {
    const at = wanted.indexOf("=");
    const key = at < 0 ? wanted : wanted.slice(0, at);
    return Object.hasOwn(shown, key) && (at < 0 || shown[key] === wanted.slice(at + 1));
  });
}

/** Applies the client's own choice to the stack's containers. */
export function selectEntries(
  own: readonly OwnContainer[],
  choice: { readonly all: boolean; readonly limit: number; readonly filters: Filters },
): JsonObject[] {
  const { filters } = choice;
  const states: readonly string[] =
    filters.states.length > 0
      ? filters.states
      : choice.all || choice.limit > 0
        ? []
        : ["running", "paused", "restarting"];
  const chosen = own
    .filter((container) => states.length === 0 || states.includes(String(container.entry.State)))
    .filter((container) => labelsMatch(container.labels, filters))
    .filter(
      ({ name }) =>
        filters.names.length === 0 || filters.names.some((part) => `/${name}`.includes(part)),
    )
    .map(projectEntry);
  return choice.limit > 0 ? chosen.slice(0, choice.limit) : chosen;
}
