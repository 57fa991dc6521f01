import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Network, objectName, runDirectory, Service } from "../../../spec/names.ts";
import { exec, inspect } from "../engine.ts";
import { agentSource } from "../fleet.ts";
import type { Person } from "../person.ts";
import type { Stack } from "../stack.ts";
import { chatHistory } from "./chat.ts";
import { plantRow, sqlite, uprootRow } from "./database.ts";
import {
  type Containers,
  imageLayers,
  imagesOf,
  imageTexts,
  inspected,
  logs,
  objects,
  swapping,
  volumeContents,
} from "./engine-places.ts";
import { events } from "./events.ts";
import { files, ramFiles } from "./files.ts";
import { mask } from "./mask.ts";
import { type Planted, plant, plantValue } from "./plants.ts";
import { commandLines, dumping, environs, memories, processesOf } from "./processes.ts";
import { type Search, type Secret, type Sweep, sweep } from "./sweep.ts";

/** What is swept, and for what. */
export interface SweepTarget {
  readonly stack: Stack;
  /** Services and agents of the stack, by their names; those that do not run have no processes. */
  readonly parts: readonly string[];
  /** May grow until a search runs. */
  readonly secrets: readonly Secret[];
  /** Whose chat is read: an operator's. */
  readonly operator: Person;
  /** File of `recordEvents`, begun before the stack. */
  readonly events: string;
}

/**
 * Every search of a running stack for its secrets. Each plants a value where a leak would be and rejects where it does not
 * find it; what it returns are the leaks, and where a secret was found that belongs there.
 */
export class StackSweep {
  readonly #target: SweepTarget;
  readonly #planted: Planted;
  /** The stack's containers. */
  readonly #own: Containers;
  /** With the one that leaks on purpose. */
  readonly #all: Containers;

  private constructor(target: SweepTarget, planted: Planted) {
    this.#target = target;
    this.#planted = planted;
    const { stack, parts } = target;
    this.#own = Object.fromEntries(parts.map((part) => [part, stack.container(part)]));
    this.#all = { ...this.#own, planted: planted.container };
  }

  /** Starts a container that leaks beside the stack's, of one of its images. @param part an agent with Node */
  static async begin(target: SweepTarget, part: string): Promise<StackSweep> {
    const { Image } = await inspect(target.stack.container(part));
    return new StackSweep(target, await plant(Image));
  }

  end(): Promise<void> {
    return this.#planted.uproot();
  }

  /** Environments of all processes. */
  async environs(): Promise<Sweep> {
    const processes = await processesOf(this.#all);
    return this.#search(() => environs(processes), this.#planted.values.environ);
  }

  /** Arguments of all processes. */
  async commandLines(): Promise<Sweep> {
    const processes = await processesOf(this.#all);
    return this.#search(() => commandLines(processes), this.#planted.values.argument);
  }

  /** Memory of all processes. */
  async memories(): Promise<Sweep> {
    const processes = await processesOf(this.#all);
    return this.#search(() => memories(processes), this.#planted.values.memory);
  }

  /** `docker inspect` of all containers. */
  inspects(): Promise<Sweep> {
    return this.#search(() => inspected(this.#all), this.#planted.values.environ);
  }

  logs(): Promise<Sweep> {
    return this.#search(() => logs(this.#all), this.#planted.values.log);
  }

  /** Volumes and networks with their labels. */
  objects(): Promise<Sweep> {
    return this.#search(objects, this.#planted.values.label);
  }

  /** The Engine's events since before the stack. */
  events(): Promise<Sweep> {
    const { stack, events: file } = this.#target;
    const first = objectName(stack.name, Network.egress);
    return this.#search(() => events(file, first), this.#planted.values.label);
  }

  /** Histories and configurations of the stack's images. */
  async imageTexts(): Promise<Sweep> {
    const ids = await imagesOf(this.#own, [this.#planted.image]);
    await this.#search(() => imageTexts(ids), this.#planted.values.environ);
    return this.#search(() => imageTexts(ids), this.#planted.values.comment);
  }

  /** All layers of the stack's images. */
  async imageLayers(): Promise<Sweep> {
    const ids = await imagesOf(this.#own, [this.#planted.image]);
    return this.#search(() => imageLayers(ids), this.#planted.values.layer);
  }

  /** What is in all volumes. */
  volumes(): Promise<Sweep> {
    return this.#search(() => volumeContents(this.#all), this.#planted.values.volume);
  }

  /** Files on the containers' own RAM. */
  ramFiles(): Promise<Sweep> {
    return this.#search(() => ramFiles(this.#all), this.#planted.values.ram);
  }

  /** Files of the host's directory of sockets and secrets. */
  hostFiles(): Promise<Sweep> {
    const directory = runDirectory(this.#target.stack.name);
    return this.#withFile(join(directory, "planted"), () => files("host", directory));
  }

  /** The admin bridge's database, by rows and by files. */
  async bridgeDatabase(): Promise<Sweep> {
    const container = this.#target.stack.container(Service.adminBridge);
    const database = { container, path: "/data/bridge.db" };
    const value = plantValue();
    await plantRow(database, mask(value));
    try {
      const seen = await this.#search(() => sqlite(database), value);
      if (!seen.planted.includes(`sqlite file ${database.path}-wal`)) {
        throw new Error("the search does not find what stands in the write-ahead log alone");
      }
      return seen;
    } finally {
      await uprootRow(database);
    }
  }

  /** The chat as an operator reads it, and as Postgres keeps it. */
  async chat(): Promise<Sweep> {
    const { operator, stack } = this.#target;
    const value = plantValue();
    const dump = ["pg_dump", "-h", "/run/postgresql", "-U", "mattermost", "mattermost"];
    const post = await operator.say(await operator.channel("town-square"), `planted: ${value}`);
    try {
      const asRead = await this.#search(() => chatHistory(operator), value);
      const { output } = await exec(stack.container(Service.postgres), dump, "2000");
      const asKept = await this.#search(() => [{ name: "postgres: dump", content: output }], value);
      return {
        leaks: [...asRead.leaks, ...asKept.leaks],
        known: [...asRead.known, ...asKept.known],
        planted: [...asRead.planted, ...asKept.planted],
        places: [...asRead.places, ...asKept.places],
      };
    } finally {
      await operator.client.deletePost(post.id);
    }
  }

  /** The project's copy with Pulumi's backend in it: state, history, backups, gzip opened. */
  async project(): Promise<Sweep> {
    const { directory } = this.#target.stack;
    const search = () => files("project", directory, ["node_modules"]);
    const folder = join(directory, ".state/.pulumi");
    await this.#withFile(join(folder, "planted.json.gz"), search, (value) => gzipSync(value));
    return this.#withFile(join(folder, "planted.json"), search);
  }

  /** The state as `pulumi stack export` shows it. */
  async state(): Promise<Sweep> {
    const state = await this.#target.stack.state();
    const value = plantValue();
    return this.#search(() => [{ name: "state", content: `${state}\n${value}` }], value);
  }

  /** A preview with every field, of a change, and its event log. */
  async preview(): Promise<Sweep> {
    const { stack } = this.#target;
    const value = plantValue();
    const list = stack.read("agents/index.ts");
    // The last of any fleet, which is sorted.
    const name = "zzplanted";
    stack.write(`agents/${name}.ts`, agentSource(name, `egress: ["${value}.example.test"],`));
    stack.write(
      "agents/index.ts",
      `import { ${name} } from "./${name}.ts";\n${list.replace(/,?\s*\]\);\s*$/, `, ${name}]);\n`)}`,
    );
    try {
      const { output, eventLog } = await stack.previewDiff();
      return await this.#search(
        () => [
          { name: "preview: shown", content: output },
          { name: "preview: event log", content: eventLog },
        ],
        value,
      );
    } finally {
      stack.write("agents/index.ts", list);
      rmSync(join(stack.directory, `agents/${name}.ts`));
    }
  }

  /** Processes of the stack that may write a core dump. @throws Error where the one is missed that may */
  async dumping(): Promise<string[]> {
    return withoutPlanted(dumping(await processesOf(this.#all)), /^core of planted:/);
  }

  /** Containers of the stack that may swap. @throws Error where the one is missed that may */
  async swapping(): Promise<string[]> {
    return withoutPlanted(await swapping(this.#all), /^planted:/);
  }

  #search(search: Search, value: string): Promise<Sweep> {
    return sweep(search, this.#target.secrets, value);
  }

  /** A search with a planted file. */
  async #withFile(
    path: string,
    search: Search,
    encode: (value: string) => string | Buffer = (value) => value,
  ): Promise<Sweep> {
    const value = plantValue();
    writeFileSync(path, encode(value), { mode: 0o600 });
    try {
      return await this.#search(search, value);
    } finally {
      rmSync(path);
    }
  }
}

function withoutPlanted(found: readonly string[], planted: RegExp): string[] {
  if (!found.some((line) => planted.test(line))) {
    throw new Error("the search does not find the container that was made to be found");
  }
  return found.filter((line) => !planted.test(line));
}
