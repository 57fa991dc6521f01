import { randomBytes } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import type { EnginePort } from "../../services/socket-proxy/engine.ts";
import { EngineError } from "../../services/socket-proxy/engine-error.ts";
import type { EngineCall } from "../../services/socket-proxy/upstream.ts";
import type { ContainerSpec } from "../../spec/container.ts";
import { encodeDeclaration } from "../../spec/declaration.ts";
import { Label } from "../../spec/names.ts";
import { imageOf, inspectOf } from "../unit/socket-proxy/engine-double.ts";
import { canary, declarations, type Member, members, withSecrets } from "./stack.ts";
import { turn } from "./wire.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers of the Engine are put together and spoilt here
type Loose = any;

/** What goes wrong at the Engine. */
export const faults = ["none", "drift", "down", "late", "wrong-id", "no-answer", "slow"] as const;
export type Fault = (typeof faults)[number];

const image = imageOf();
const image_ = "localhost/berth/node:0123456789ab";
const stackLabels = { [Label.stack]: "dev" };
const volumeList = {
  Volumes: declarations.map((declaration) => ({
    Name: `${declaration.name}-0`,
    Driver: "local",
    Options: null,
    CreatedAt: "2026-01-01T00:00:00Z",
    Labels: {
      ...stackLabels,
      [Label.agent]: declaration.name,
      [Label.declaration]: encodeDeclaration(declaration),
    },
  })),
};

/** An Engine in memory that notes every call and answers as the double of the unit tests does, without a socket. */
export class MemoryEngine implements EnginePort {
  readonly containers = new Map<string, Loose>();
  readonly #note: (call: EngineCall) => void;
  readonly #fault: Fault;
  /** Ids that a create has made. */
  readonly made = new Set<string>();
  activity = 0;

  constructor(
    fault: Fault,
    note: (call: EngineCall) => void,
    present: readonly Member[] = members,
  ) {
    this.#fault = fault;
    this.#note = note;
    for (const { id, inspect } of present) this.containers.set(id, inspect);
  }

  async json(call: EngineCall): Promise<unknown> {
    await this.#begin(call);
    return this.#answer(call);
  }

  async bytes(call: EngineCall): Promise<Buffer> {
    await this.#begin(call);
    return frame(1, "last words\n");
  }

  async status(call: EngineCall): Promise<number> {
    await this.#begin(call);
    return this.#change(call);
  }

  async stream(call: EngineCall, signal: AbortSignal): Promise<Readable> {
    await this.#begin(call);
    if (call.path.includes("/logs?")) {
      return Readable.from([frame(1, "hello\n"), frame(2, "")]);
    }
    const open = new PassThrough();
    open.on("error", () => undefined);
    signal.addEventListener("abort", () => open.destroy(), { once: true });
    if (signal.aborted) open.destroy();
    if (call.path.includes("/wait?") && !this.#stateOf(call).Running) {
      open.end('{"StatusCode":0}\n');
    }
    return open;
  }

  async #begin(call: EngineCall): Promise<void> {
    this.activity += 1;
    this.#note(call);
    if (this.#fault === "slow") await turn();
    if (this.#fault === "down" && call.path.includes("/containers/")) {
      throw new EngineError("down", canary);
    }
    if (this.#fault === "late" && call.method !== "GET") throw new EngineError("late", canary);
    this.activity += 1;
  }

  #found({ path }: EngineCall): Loose {
    const id = /\/containers\/([0-9a-f]{64})/.exec(path)?.[1] ?? "";
    const inspect = this.containers.get(id);
    if (!inspect) throw new EngineError("refused", `No such container: ${canary}`, 404);
    return inspect;
  }

  #stateOf(call: EngineCall): Loose {
    return this.#found(call).State;
  }

  #answer(call: EngineCall): unknown {
    const path = call.path.replace("/v1.41", "").split("?", 1)[0] ?? "";
    if (path === "/volumes") return volumeList;
    if (path === "/info") return { DefaultRuntime: "runc", CgroupVersion: "2", SwapLimit: true };
    if (path === "/version") return { ApiVersion: "1.45", MinAPIVersion: "1.24" };
    if (path === "/containers/json") return this.#list(call);
    if (path === "/containers/create") return this.#create(call);
    if (path.startsWith("/images/")) return image;
    if (path.startsWith("/volumes/")) {
      const Name = path.slice("/volumes/".length);
      return { Name, Driver: "local", Options: null, Labels: stackLabels, Mountpoint: canary };
    }
    if (path.startsWith("/networks/")) {
      const Name = path.slice("/networks/".length);
      return { Name, Id: "e".repeat(64), Internal: true, Labels: stackLabels, Secret: canary };
    }
    const inspect = this.#found(call);
    if (path.endsWith("/stats")) {
      return { name: canary, pids_stats: { current: 3 }, networks: { secret: canary } };
    }
    return inspect;
  }

  #change(call: EngineCall): number {
    const path = call.path.split("?", 1)[0] ?? "";
    if (path.endsWith("/_ping") || path.endsWith("/containers/json")) return 200;
    const inspect = this.#found(call);
    const { State: state } = inspect;
    if (call.method === "DELETE") {
      this.containers.delete(inspect.Id);
      return 204;
    }
    if (path.endsWith("/update")) {
      const HostConfig = { ...inspect.HostConfig, ...JSON.parse(call.body ?? "") };
      this.containers.set(inspect.Id, { ...inspect, HostConfig });
      return 200;
    }
    const isRunning = path.endsWith("/start");
    if (isRunning === state.Running) return 304;
    if (path.endsWith("/kill") && !state.Running) {
      throw new EngineError("refused", canary, 409);
    }
    const State = { ...state, Running: isRunning, Status: isRunning ? "running" : "exited" };
    this.containers.set(inspect.Id, { ...inspect, State });
    return 204;
  }

  #create(call: EngineCall): unknown {
    const name = /name=([^&]*)/.exec(call.path)?.[1] ?? "";
    const body = JSON.parse(call.body ?? "") as Loose;
    const isTaken = [...this.containers.values()].some(({ Name }) => Name === `/${name}`);
    if (isTaken) throw new EngineError("refused", canary, 409);
    const id = randomBytes(32).toString("hex");
    const endpoints = Object.entries<Loose>(body.NetworkingConfig?.EndpointsConfig ?? {});
    const Networks = Object.fromEntries(endpoints.map(([net, { Aliases }]) => [net, Aliases]));
    const spec = { ...body, name, Networks } as ContainerSpec;
    const inspect = withSecrets(inspectOf(spec, id)) as Loose;
    inspect.HostConfig.PidsLimit = body.HostConfig.PidsLimit;
    if (this.#fault === "drift") inspect.HostConfig.Privileged = true;
    this.containers.set(id, inspect);
    this.made.add(id);
    if (this.#fault === "no-answer") throw new EngineError("down", canary);
    return { Id: this.#fault === "wrong-id" ? "b".repeat(64) : id, Warnings: [canary] };
  }

  #list({ path }: EngineCall): unknown {
    const text = /filters=([^&]*)/.exec(path)?.[1] ?? "%7B%7D";
    const filters = JSON.parse(decodeURIComponent(text)) as Record<string, string[]>;
    const names = filters.name?.map((name) => new RegExp(name));
    return [...this.containers.values()]
      .filter(
        ({ Id, Name, Config }) =>
          (filters.id?.includes(Id) ?? true) &&
          (names?.every((name) => name.test(Name)) ?? true) &&
          (filters.label ?? []).every((wanted) => {
            const [key = "", value] = wanted.split("=");
            return Config.Labels[key] === value;
          }),
      )
      .map((inspect) => ({
        Id: inspect.Id,
        Names: [inspect.Name],
        Image: image_,
        ImageID: inspect.Image,
        Command: canary,
        Created: 1,
        Labels: inspect.Config.Labels,
        State: inspect.State.Status,
        Status: "Up 2 minutes",
        HostConfig: { NetworkMode: inspect.HostConfig.NetworkMode },
        NetworkSettings: inspect.NetworkSettings,
        Mounts: inspect.Mounts,
      }));
  }
}

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}
