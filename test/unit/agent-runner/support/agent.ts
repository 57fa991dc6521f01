import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runAgent } from "../../../../services/agent-runner/runner.ts";
import {
  defaultTiming,
  type RunnerSettings,
  type Timing,
} from "../../../../services/agent-runner/settings.ts";
import { createLog } from "../../../../services/common/log.ts";
import type { Declaration } from "../../../../spec/declaration.ts";
import { presets } from "../../../../spec/presets.ts";
import { FakeMattermost } from "./fake-mattermost.ts";

export const demoAgent = [
  process.execPath,
  resolve(import.meta.dirname, "../../../../services/agent-runner/demo-agent/main.ts"),
] as const;

export function declare(changes: Partial<Declaration> = {}): Declaration {
  return {
    version: 1,
    stack: "test",
    name: "data",
    driver: "docker",
    image: "localhost/berth/agent-node:0123456789ab",
    runner: true,
    program: { acp: demoAgent },
    activation: "always",
    preset: "agent",
    limits: presets.agent,
    chat: { channels: ["town-square"], trigger: "mention", access: { mode: "open" } },
    network: "sealed",
    egress: [],
    secrets: {},
    workspace: { retain: false },
    ...changes,
  };
}

/** Waits until a condition holds. @throws Error with the label when it does not within `ms` */
export async function until(
  label: string | (() => string),
  holds: () => boolean,
  ms = 10_000,
): Promise<void> {
  const giveUpAt = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > giveUpAt) {
      throw new Error(`not within ${ms} ms: ${typeof label === "string" ? label : label()}`);
    }
    await new Promise((wake) => setTimeout(wake, 10));
  }
}

const quickTiming: Timing = {
  ...defaultTiming,
  reconnectFirst: 20,
  reconnectMost: 200,
  restartFirst: 20,
  restartMost: 100,
  secretPatience: 100,
  selfEvery: 100,
  secretsEvery: 50,
};

/** A place with a fake server in which an agent can be run, stopped and run again on the same workspace. */
export class Bench {
  /** As the secret store sees it: every agent's directory. */
  readonly agents: string;
  readonly directory: string;
  server: FakeMattermost;
  readonly lines: string[] = [];
  #ending: AbortController | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** @param agents directory of another bench, to be in one stack with its agent */
  constructor(declaration: Declaration = declare(), agents?: string) {
    this.agents = agents ?? mkdtempSync(join(tmpdir(), "berth-runner-"));
    this.directory = join(this.agents, declaration.name);
    mkdirSync(this.directory);
    this.server = new FakeMattermost(join(this.directory, "gateway.sock"), declaration);
  }

  /** Takes the chat server away and puts a new one in its place, which knows nobody: the bot is another user there. */
  async newServer(): Promise<void> {
    const { declaration } = this.server;
    await this.server.close();
    this.server = new FakeMattermost(join(this.directory, "gateway.sock"), declaration);
    await this.server.listen();
  }

  get workspace(): string {
    return join(this.directory, "workspace");
  }
  get log(): string {
    return this.lines.join("\n");
  }

  settings(timing: Partial<Timing> = {}): RunnerSettings {
    return {
      runDirectory: this.directory,
      workspace: this.workspace,
      mattermostPort: 0,
      egressPort: 0,
      healthSocket: join(this.directory, "health.sock"),
      timing: { ...quickTiming, ...timing },
    };
  }

  /** Starts the runner in this process. */
  async start(
    options: {
      readonly timing?: Partial<Timing>;
      readonly env?: NodeJS.ProcessEnv;
      readonly listen?: boolean;
    } = {},
  ): Promise<void> {
    await mkdir(this.workspace, { recursive: true });
    if (options.listen ?? !this.#ending) await this.server.listen();
    this.#ending = new AbortController();
    this.#ended = runAgent({
      log: createLog("agent-runner", (line) => this.lines.push(line)),
      env: options.env ?? { PATH: process.env.PATH, HOME: this.workspace, TMPDIR: this.directory },
      settings: this.settings(options.timing),
      signal: this.#ending.signal,
    });
    this.#ended.catch(() => {});
  }

  /** SIGTERM, in effect. Waits for the runner's end. */
  async stop(): Promise<void> {
    this.#ending?.abort();
    await this.#ended;
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Waits for the greeting, so that what follows is not mixed with it. */
  async greeted(): Promise<void> {
    await until("greeting", () => this.server.answers("").length > 0);
  }

  async answered(root: string, text: string | RegExp, ms?: number): Promise<void> {
    const holds = (message: string) =>
      typeof text === "string" ? message.includes(text) : text.test(message);
    await until(
      () =>
        `an answer with ${text}; there is ${JSON.stringify(this.server.answers(root).map((p) => p.message.slice(0, 200)))}`,
      () => this.server.answers(root).some((post) => holds(post.message)),
      ms,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
    await this.server.close();
    rmSync(this.agents, { recursive: true, force: true });
  }
}
