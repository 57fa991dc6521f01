import { mkdir, readFile } from "node:fs/promises";
import { Path } from "../../spec/names.ts";
import { serveHealth } from "../common/health.ts";
import type { Endpoint } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Chat } from "./chat/chat.ts";
import { phrases } from "./chat/phrases.ts";
import { type Forwarder, forward } from "./forwarder.ts";
import { MattermostRest } from "./mattermost/rest.ts";
import { AcpProgram, type Launch } from "./program/acp-program.ts";
import { CommandProgram } from "./program/command-program.ts";
import { programEnvironment } from "./program/environment.ts";
import { waitForSecrets } from "./program/secrets.ts";
import { readSelf, type Self, waitForSelf } from "./self.ts";
import { type RunnerSettings, runPath } from "./settings.ts";
import { State } from "./state.ts";
import { pause } from "./wait.ts";

export interface RunnerContext {
  readonly log: Log;
  readonly env: NodeJS.ProcessEnv;
  readonly settings: RunnerSettings;
  /** Ends the agent: running turns may end first, within the declared stop grace. */
  readonly signal: AbortSignal;
}

/**
 * Runs one agent until the signal aborts: who am I, the loopback forwarders, then the declared program.
 * @throws Error where the gateway never comes or a loopback port is taken
 */
export async function runAgent(context: RunnerContext): Promise<void> {
  const { log, settings, signal } = context;
  const gateway = runPath(settings, Path.gatewaySocket);
  const first = await waitForSelf(gateway, {
    patienceMs: settings.timing.selfPatience,
    signal,
    log,
  });
  if (!first) return;
  const { name, program, network } = first.declaration;
  log.info("agent", { agent: name, network, kind: "acp" in program ? "acp" : "command" });
  const [mattermost, egress] = await Promise.all([
    // On Mattermost's own network the agent talks to the server directly.
    network === "mattermost" ? undefined : forward(settings.mattermostPort, gateway, log),
    forward(settings.egressPort, gateway, log),
  ]);
  const agent = new Agent(context, first, gateway, { mattermost, egress });
  const following = new AbortController();
  signal.addEventListener("abort", () => following.abort(), { once: true });
  void agent.follow(following.signal);
  try {
    await ("acp" in program ? agent.runAcp() : agent.runCommand());
  } finally {
    following.abort();
    mattermost?.close();
    egress.close();
  }
}

/** One agent and what it knows of itself, which the operator may change while it runs. */
class Agent {
  readonly #context: RunnerContext;
  readonly #gateway: string;
  readonly #forwarders: { readonly mattermost: Forwarder | undefined; readonly egress: Forwarder };
  #self: Self;
  #program: AcpProgram | CommandProgram | undefined;
  #chat: Chat | undefined;

  constructor(
    context: RunnerContext,
    self: Self,
    gateway: string,
    forwarders: { readonly mattermost: Forwarder | undefined; readonly egress: Forwarder },
  ) {
    this.#context = context;
    this.#self = self;
    this.#gateway = gateway;
    this.#forwarders = forwarders;
  }

  /** A program behind the Agent Client Protocol: we are its chat. */
  async runAcp(): Promise<void> {
    const { log, settings, signal } = this.#context;
    const { timing, workspace } = settings;
    const program = new AcpProgram({ log, timing, prepare: () => this.#launch() });
    this.#program = program;
    const programEnded = program.run();
    const endpoint = this.#mattermostEndpoint();
    const authorization = () => this.#authorization();
    const rest = new MattermostRest({ endpoint, userId: this.#self.userId, authorization });
    const state = await State.open(workspace, log);
    const chat = new Chat({
      rest,
      program,
      state,
      log,
      timing,
      workspace,
      self: () => this.#self,
      socketUrl: this.#mattermostUrl().replace(/^http/, "ws"),
      socketHeaders: async () => {
        const value = await authorization();
        return value ? { authorization: value } : {};
      },
    });
    this.#chat = chat;
    const chatEnded = chat.run();
    await this.#serveHealth(async () => {
      if (!chat.connected) throw new Error("not connected to Mattermost");
      if (!program.running) throw new Error("the program does not run");
    });

    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    }
    const graceMs = this.#self.declaration.limits.stopGraceSeconds * 1_000;
    const now = Date.now();
    const deadline = now + graceMs - timing.stopSpare;
    log.info("stopping", { turns: chat.running, graceMs });
    await chat.stop(now + graceMs - timing.stopEnding, deadline - timing.stopEnding / 2);
    await program.stop(Math.max(500, deadline - Date.now()));
    await Promise.all([programEnded, chatEnded, state.flush()]);
    rest.close();
  }

  /** A program with a bridge of its own: we only keep it running. */
  async runCommand(): Promise<void> {
    const { log, settings, signal } = this.#context;
    const program = new CommandProgram({
      log,
      timing: settings.timing,
      prepare: () => this.#launch(),
    });
    this.#program = program;
    await this.#serveHealth(async () => {
      if (!program.running) throw new Error("the program does not run");
    });
    const graceMs =
      this.#self.declaration.limits.stopGraceSeconds * 1_000 - settings.timing.stopSpare;
    await program.run(signal, graceMs);
  }

  /** Looks at the declaration again and again: who may talk to the agent, its program and its secrets can change. */
  async follow(signal: AbortSignal): Promise<void> {
    const { settings, log } = this.#context;
    while (!signal.aborted) {
      await pause(settings.timing.selfEvery, signal);
      if (signal.aborted) return;
      // While the gateway is away the last declaration stands.
      const next = await readSelf(this.#gateway).catch(() => undefined);
      if (!next || sameText(next, this.#self)) continue;
      const before = this.#self.declaration;
      this.#self = next;
      log.info("declaration-changed", { agent: next.declaration.name });
      const { program, secrets } = next.declaration;
      if (sameText([program, secrets], [before.program, before.secrets])) continue;
      await this.#untilIdle(signal);
      if (!signal.aborted) await this.#program?.replace("its declaration changed");
    }
  }

  /** Gives running turns a minute to end by themselves. */
  async #untilIdle(signal: AbortSignal): Promise<void> {
    const patience = Date.now() + 60_000;
    while ((this.#chat?.running ?? 0) > 0 && Date.now() < patience && !signal.aborted) {
      await pause(200, signal);
    }
  }

  /** All that the next start of the program needs. Waits for its secrets; nothing when we are to stop. */
  async #launch(): Promise<Launch | undefined> {
    const { log, settings, signal, env } = this.#context;
    const { declaration } = this.#self;
    const names = Object.keys(declaration.secrets).sort();
    const secrets = await waitForSecrets(runPath(settings, Path.agentSecrets), names, {
      patienceMs: settings.timing.secretPatience,
      signal,
      onMissing: (missing) => {
        log.error("secrets-missing", { names: missing });
        if (this.#program instanceof AcpProgram) {
          this.#program.report(phrases.missingSecrets(missing));
        }
      },
    });
    if (!secrets) return undefined;
    const { program } = declaration;
    await mkdir(settings.workspace, { recursive: true }).catch(() => {});
    return {
      command: "acp" in program ? program.acp : program.command,
      cwd: settings.workspace,
      secrets,
      env: programEnvironment({
        declaration,
        inherited: env,
        workspace: settings.workspace,
        egressPort: this.#forwarders.egress.port,
        mattermostUrl: this.#mattermostUrl(),
        secrets,
      }),
    };
  }

  #mattermostUrl(): string {
    const { mattermost } = this.#forwarders;
    if (mattermost) return `http://127.0.0.1:${mattermost.port}`;
    return this.#context.env.MATTERMOST_URL ?? "http://mattermost:8065";
  }

  /** REST goes to the gateway's socket without a hop, except on Mattermost's own network. */
  #mattermostEndpoint(): Endpoint {
    if (this.#forwarders.mattermost) return { socketPath: this.#gateway };
    const url = new URL(this.#mattermostUrl());
    return { host: url.hostname, port: Number(url.port || 80) };
  }

  /** The bot's token, for an agent that talks to Mattermost itself; read each time, because it may be replaced. */
  async #authorization(): Promise<string | undefined> {
    if (this.#forwarders.mattermost) return undefined;
    const token = await readFile(runPath(this.#context.settings, Path.botToken), "utf8");
    return `Bearer ${token.trim()}`;
  }

  async #serveHealth(check: () => Promise<void>): Promise<void> {
    const { settings, log } = this.#context;
    try {
      await serveHealth(check, settings.healthSocket);
    } catch (error) {
      log.warn("health-not-served", { reason: reasonOf(error) });
    }
  }
}

/** The gateway always writes equal declarations in the same way. */
function sameText(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
