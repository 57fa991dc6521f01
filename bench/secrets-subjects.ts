import { mkdir, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { root } from "../cli/paths.ts";
import { bundleProgram } from "../images/bundle.ts";
import { declarationsPath } from "../services/common/declarations.ts";
import { listenUnix, request } from "../services/common/http.ts";
import { Path, Uid } from "../spec/names.ts";
import type { Behaviour, ItemContent } from "../test/support/onepassword/connect-double.d.mts";
import { type Fleet, stack, vault } from "./secrets-fleet.ts";
import type { NaiveWork } from "./secrets-naive.ts";
import { heapFlags, Program, unshare } from "./secrets-process.ts";

/** The bench's own directory; on RAM, as all of `/run` is in its namespace. */
const folder = "/run/bench";
/** What the store sees as its `/tmp`, where the operator's socket is. */
const storeTmp = join(folder, "tmp");
const naiveFiles = join(folder, "naive");
const [storeBundle, naiveBundle] = [join(folder, "secret-store.mjs"), join(folder, "naive.mjs")];

const token = "token-of-the-bench";
const [port, controlPort] = [8080, 8081];
const connectUrl = `http://127.0.0.1:${port}`;
/** Requests that the store has under way at most. */
const atATime = 4;
const patienceMs = 60_000;

/** Bundles what is measured as its image has it. */
export async function prepare(): Promise<void> {
  await mkdir(storeTmp, { recursive: true });
  await writeFile(storeBundle, await bundleProgram(root, "services/secret-store/main.ts"));
  await writeFile(naiveBundle, await bundleProgram(root, "bench/secrets-naive.ts"));
}

/** The Connect server, in a process of its own. */
export class Double {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(fleet: Fleet): Promise<Double> {
    const options = { host: "127.0.0.1", port, controlPort, token, vaults: [vault] };
    const path = join(root, "test/support/onepassword/connect-double.mjs");
    const program = new Program(process.execPath, [path, JSON.stringify(options)]);
    await program.hear();
    const double = new Double(program);
    for (const item of fleet.items) await double.item(item);
    return double;
  }

  item(content: ItemContent): Promise<unknown> {
    return this.#control("item", content);
  }

  behave(behaviour: Behaviour): Promise<unknown> {
    return this.#control("behaviour", behaviour);
  }

  /** How many requests it has had. */
  async requests(): Promise<number> {
    return ((await this.#control("requests")) as { count: number }).count;
  }

  end(): Promise<void> {
    return this.#program.end();
  }

  async #control(name: string, body: unknown = {}): Promise<unknown> {
    const path = `/${name}`;
    const answer = await request(
      { host: "127.0.0.1", port: controlPort },
      { method: "POST", path, body },
    );
    if (answer.status !== 200) throw new Error(`the Connect double: ${answer.text}`);
    return JSON.parse(answer.text);
  }
}

/** A host whose directories nobody has used yet, with a socket proxy that tells the fleet's declarations. @returns ends it */
export async function openHost(fleet: Fleet): Promise<() => Promise<void>> {
  await rm(Path.agentRun, { recursive: true, force: true });
  for (const path of [
    Path.agentsRun,
    Path.secretStoreRun,
    Path.storeRun,
    dirname(Path.proxySocket),
  ])
    await mkdir(path, { recursive: true });
  const line = `${JSON.stringify(fleet.declarations)}\n`;
  const server = http.createServer((incoming, response) => {
    response.writeHead(incoming.url === declarationsPath ? 200 : 404);
    // Open for as long as the client reads, like the socket proxy's.
    response.write(line);
  });
  await listenUnix(server, Path.proxySocket, 0o600);
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

/** The secret store: its own program on the paths of its container. */
export class Store {
  readonly #program: Program;
  /** From its start until it knows what is declared. */
  readonly startSeconds: number;

  private constructor(program: Program, startSeconds: number) {
    this.#program = program;
    this.startSeconds = startSeconds;
  }

  /** Starts it, locked. @throws Error where it does not know the fleet in time */
  static async start(fleet: Fleet): Promise<Store> {
    const begin = performance.now();
    // Its way out takes a port that stands in its code, and its own sockets are in /tmp.
    const inside = 'mount --bind "$0" /tmp && exec "$@"';
    const node = [process.execPath, ...heapFlags, storeBundle];
    const namespace = ["--mount", "--propagation", "private", "sh", "-euc", inside, storeTmp];
    const program = new Program(unshare, [...namespace, ...node], storeEnvironment());
    for (;;) {
      const seconds = (performance.now() - begin) / 1000;
      const { secrets } = (await ask("GET", "/status").catch(() => ({}))) as {
        secrets?: unknown[];
      };
      if (secrets?.length === fleet.placed.length) return new Store(program, seconds);
      if (seconds * 1000 > patienceMs) throw new Error("the secret store does not start");
      await sleep(5);
    }
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** Ends when every file agrees with 1Password. */
  unlock(): Promise<unknown> {
    return ask("POST", "/unlock", { token });
  }

  /** Looks at 1Password as it does when it is time to; ends when the files agree. */
  refresh(): Promise<unknown> {
    return ask("POST", "/refresh");
  }

  end(): Promise<void> {
    return this.#program.end();
  }
}

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const endpoint = { socketPath: join(storeTmp, Path.operatorSocket.replace(/^\/tmp\//, "")) };
  const call = { method, path, timeoutMs: patienceMs, ...(body === undefined ? {} : { body }) };
  const answer = await request(endpoint, call);
  if (answer.status !== 200) throw new Error(`the secret store: ${answer.text}`);
  return JSON.parse(answer.text);
}

/** That of the container (components/secret-store.ts), but for the polls: none comes by itself. */
function storeEnvironment(): NodeJS.ProcessEnv {
  const settings = {
    provider: "onepassword",
    via: "connect",
    connectUrl,
    pollSeconds: 3600,
    development: false,
  };
  return {
    PATH: process.env.PATH,
    BERTH_STACK: stack,
    BERTH_SECRETS: JSON.stringify(settings),
    // The double is on loopback and so asked straight, without the gateway in between.
    NO_PROXY: "127.0.0.1,localhost",
    NODE_USE_ENV_PROXY: "1",
  };
}

/** The naive client, ready to begin. */
export class Naive {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  static async start(fleet: Fleet): Promise<Naive> {
    await rm(naiveFiles, { recursive: true, force: true });
    await mkdir(naiveFiles);
    const program = new Program(process.execPath, [...heapFlags, naiveBundle]);
    const references = fleet.placed.map(({ item, field }) => ({ item, field }));
    const work = { url: connectUrl, token, vault, references, atATime } as const;
    const more: NaiveWork = { ...work, folder: naiveFiles, owner: Uid.agent };
    program.tell(JSON.stringify(more));
    await program.hear();
    return new Naive(program);
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** Reads every reference and writes every file. */
  async readAll(): Promise<void> {
    this.#program.tell("go");
    await this.#program.hear();
  }

  /** @throws Error where a file is not as it must be */
  check(fleet: Fleet): Promise<void> {
    return fleet.checkNaive(naiveFiles);
  }

  end(): Promise<void> {
    return this.#program.end();
  }
}
