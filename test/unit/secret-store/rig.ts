import { mkdtempSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../../../services/common/log.ts";
import { Redacted } from "../../../services/common/redacted.ts";
import { Alerts } from "../../../services/secret-store/alerts.ts";
import { Resolver } from "../../../services/secret-store/onepassword/resolver.ts";
import { Operations } from "../../../services/secret-store/operations.ts";
import { PushedValues } from "../../../services/secret-store/pushed.ts";
import { openRounds } from "../../../services/secret-store/rounds.ts";
import { openSeed } from "../../../services/secret-store/seed.ts";
import type { Sources } from "../../../services/secret-store/source.ts";
import { SecretStore } from "../../../services/secret-store/store.ts";
import { Watch } from "../../../services/secret-store/watch.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { Uid } from "../../../spec/names.ts";
import { presets } from "../../../spec/presets.ts";
import { FakeClock, FakeOnePassword, settled } from "./fake-onepassword.ts";

/** A value that must be nowhere but where it belongs, with characters that templates and shells like to change. */
export const canary = "canary-3b9d1f70-a&\"'$x-do-not-leak";
/** User of the test. */
export const me = process.getuid?.() ?? 0;
/** Root gives the files to the agents' user; elsewhere they stay the tester's own. */
export const owner = me === 0 ? Uid.agent : me;

/** One start of the store's process, and what came of it. */
export interface Running {
  readonly store: SecretStore;
  readonly operations: Operations;
  readonly alerts: Alerts;
  readonly watch: Watch;
  /** Undefined in a stack without 1Password. */
  readonly resolver: Resolver | undefined;
}

/** A host with directories of its own, and stores that are started on it one after the other. */
export class Rig {
  readonly root = mkdtempSync(join(tmpdir(), "secrets-"));
  readonly agents = join(this.root, "agents");
  readonly own = join(this.root, "secret-store");
  /** Directory of the operator's secret files. */
  readonly files = join(this.root, "files");
  readonly log: string[] = [];
  readonly clock = new FakeClock();
  readonly onepassword = new FakeOnePassword();
  pushed = new PushedValues();
  readonly #running: Running[] = [];
  /** Passes over the files that a look at 1Password waits for. */
  #reads = 0;

  async open(): Promise<this> {
    for (const path of [this.agents, this.own, this.files]) await mkdir(path);
    this.clock.settle = () => this.settle();
    return this;
  }

  /** Resolves when nothing is under way any more, beside what a test holds back. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet++) {
      await settled();
      if (this.#reads > 0 || this.onepassword.isBusy) quiet = -1;
    }
  }

  async close(): Promise<void> {
    for (const { resolver, watch } of this.#running) {
      resolver?.close();
      watch.close();
    }
    await this.settle();
    await rm(this.root, { recursive: true });
  }

  /** A store as after a start of the process: files and seed are on disk, everything else is new. */
  async start(
    options: { readonly onepassword?: boolean; readonly development?: boolean } = {},
  ): Promise<Running> {
    const { onepassword = false, development = true } = options;
    const log = createLog("secret-store", (line) => this.log.push(line));
    const alerts = new Alerts(() => this.clock.now());
    const watch = new Watch(alerts, this.clock);
    const resolver = onepassword
      ? new Resolver({
          makeBackend: (token) => this.onepassword.make(token),
          pollMs: 60_000,
          clock: this.clock,
          random: () => 0.5,
          log,
          onRead: async () => {
            this.#reads += 1;
            await store.refresh();
            this.#reads -= 1;
          },
          onState: (status, failures) => watch.state(status, failures),
        })
      : undefined;
    if (resolver) watch.state(resolver.status, 0);
    const sources: Sources = {
      development,
      directory: this.files,
      pushed: this.pushed,
      seed: await openSeed(this.own),
      rounds: await openRounds(this.own),
      op: resolver,
    };
    const store = new SecretStore({
      directory: this.agents,
      stack: "test",
      sources,
      log,
      owner,
      onStates: (outcomes) => watch.outcomes(outcomes),
    });
    const provider = onepassword ? "onepassword" : "development";
    const since = new Date(this.clock.now()).toISOString();
    const operations = new Operations({ store, sources, resolver, provider, via: "sdk", since });
    const running = { store, operations, alerts, watch, resolver };
    this.#running.push(running);
    return running;
  }

  /** A store with 1Password that was unlocked already, and these agents. */
  async unlocked(declarations: readonly Declaration[] = []) {
    const running = await this.start({ onepassword: true });
    await running.store.declare(declarations);
    await running.operations.unlock(new Redacted("good", "token"));
    return running;
  }

  /** Where a secret of an agent is. */
  place(agent: string, file: string): string {
    return join(this.agents, agent, "secrets", file);
  }
  configPlace(agent: string, file: string): string {
    return join(this.agents, agent, "config", file);
  }
  /** Content of an agent's secret. Readable for root, or where files stay the tester's own. */
  text(agent: string, file: string): Promise<string> {
    return readFile(this.place(agent, file), "utf8");
  }
  config(agent: string, file: string): Promise<string> {
    return readFile(this.configPlace(agent, file), "utf8");
  }
  async list(agent: string, folder = "secrets"): Promise<string[]> {
    return (await readdir(join(this.agents, agent, folder))).sort();
  }
}

/** What an agent has beside the default. */
export type More = Partial<Declaration>;

export function agent(
  name: string,
  secrets: Declaration["secrets"] = {},
  more: More = {},
): Declaration {
  return {
    version: 1,
    stack: "test",
    name,
    driver: "docker",
    image: "localhost/berth/node:0123456789ab",
    runner: true,
    program: { acp: ["demo-agent"] },
    activation: "on-demand",
    preset: "agent",
    limits: presets.agent,
    chat: { channels: [], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets,
    vaults: [`agents/${name}`],
    workspace: { retain: false },
    ...more,
  };
}

/** Whether nothing is at a path. */
export function gone(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    () => true,
  );
}

/** The alerts that a store has raised, as `kind: text`. */
export function raised({ alerts }: Running): string[] {
  const all: string[] = [];
  alerts.subscribe(({ kind, text }) => all.push(`${kind}: ${text}`))();
  return all;
}

/** How everything stands, as `agent name state`. */
export function stands({ store }: Running): string[] {
  return store.states.map(({ agent: whose, name, state }) => `${whose} ${name} ${state}`);
}
