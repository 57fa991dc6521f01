import { mkdir, readFile } from "node:fs/promises";
import { Path } from "../../spec/names.ts";
import { type Forwarder, forward } from "../common/forwarder.ts";
import { serveHealth } from "../common/health.ts";
import type { Endpoint } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { Chat } from "./chat/chat.ts";
import { phrases } from "./chat/phrases.ts";
import { MattermostRest } from "./mattermost/rest.ts";
import { AcpProgram, type Launch } from "./program/acp-program.ts";
import { CommandProgram } from "./program/command-program.ts";
import { Deliveries, startsAlike } from "./program/deliveries.ts";
import { programEnvironment } from "./program/environment.ts";
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
  // Beside each other: someone may be waiting for this agent to wake.
  const [first, state] = await Promise.all([
    waitForSelf(gateway, { patienceMs: settings.timing.selfPatience, signal, log }),
    State.open(settings.workspace, log),
    mkdir(settings.workspace, { recursive: true }).catch(() => {}),
  ]);
  if (!first) return;
  const { name, program, network } = first.declaration;
  log.info("agent", { agent: name, network, kind: "acp" in program ? "acp" : "command" });
  const toGateway = (port: number) =>
    forward({ port, socketPath: gateway, far: "The gateway of this agent", log });
  const [mattermost, egress] = await Promise.all([
    // On Mattermost's own network the agent talks to the server directly.
    network === "mattermost" ? undefined : toGateway(settings.mattermostPort),
    toGateway(settings.egressPort),
  ]);
  const agent = new Agent(context, first, gateway, { mattermost, egress });
  const following = new AbortController();
  signal.addEventListener("abort", () => following.abort(), { once: true });
  void agent.follow(following.signal);
  try {
    await ("acp" in program ? agent.runAcp(state) : agent.runCommand());
  } finally {
    following.abort();
    mattermost?.close();
    egress.close();
  }
}

/** One stay in the chat, as one bot on one server. */
interface Stay {
  readonly chat: Chat;
  readonly rest: MattermostRest;
  readonly state: State;
  readonly ended: Promise<void>;
}

/** One agent and what it knows of itself, which the operator may change while it runs. */
class Agent {
  readonly #context: RunnerContext;
  readonly #gateway: string;
  readonly #forwarders: { readonly mattermost: Forwarder | undefined; readonly egress: Forwarder };
  #self: Self;
  #program: AcpProgram | CommandProgram | undefined;
  #stay: Stay | undefined;
  #move: (() => Promise<void>) | undefined;
  readonly #deliveries: Deliveries;
  /** What the chat's connection was made with, where the bot's token is ours. */
  #connectedWith: string | undefined;

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
    this.#deliveries = new Deliveries({
      secrets: runPath(context.settings, Path.agentSecrets),
      config: runPath(context.settings, Path.agentConfig),
    });
  }

  /** A program behind the Agent Client Protocol: we are its chat. */
  async runAcp(state: State): Promise<void> {
    const { log, settings, signal } = this.#context;
    const { timing } = settings;
    const program = new AcpProgram({
      log,
      timing,
      prepare: () => this.#launch(),
      redact: this.#deliveries.redact,
    });
    this.#program = program;
    const programEnded = program.run();
    let stay = this.#enter(program, state);
    this.#move = async () => {
      const now = Date.now();
      await stay.chat.stop(now, now + 2_000);
      stay.rest.close();
      if (!signal.aborted) stay = this.#enter(program, state);
    };
    await this.#serveHealth(async () => {
      if (!stay.chat.connected) throw new Error("not connected to Mattermost");
      if (!program.running) throw new Error("the program does not run");
    });

    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    }
    const graceMs = this.#self.declaration.limits.stopGraceSeconds * 1_000;
    const now = Date.now();
    const deadline = now + graceMs - timing.stopSpare;
    const { chat, rest, ended } = stay;
    log.info("stopping", { turns: chat.running, graceMs });
    await chat.stop(now + graceMs - timing.stopEnding, deadline - timing.stopEnding / 2);
    await program.stop(Math.max(500, deadline - Date.now()));
    await Promise.all([programEnded, ended, state.flush()]);
    rest.close();
  }

  /** Goes into the chat as the bot that we are now. */
  #enter(program: AcpProgram, state: State): Stay {
    const { log, settings } = this.#context;
    const { timing, workspace } = settings;
    const { userId, declaration } = this.#self;
    state.belongTo(userId);
    state.keepPersons(declaration.chat.access.users ?? []);
    const authorization = () => this.#authorization();
    const rest = new MattermostRest({
      endpoint: this.#mattermostEndpoint(),
      userId,
      authorization,
    });
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
        this.#connectedWith = value;
        return value ? { authorization: value } : {};
      },
    });
    this.#stay = { chat, rest, state, ended: chat.run() };
    return this.#stay;
  }

  /** A program with a bridge of its own: we only keep it running. */
  async runCommand(): Promise<void> {
    const { log, settings, signal } = this.#context;
    const program = new CommandProgram({
      log,
      timing: settings.timing,
      prepare: () => this.#launch(),
      redact: this.#deliveries.redact,
    });
    this.#program = program;
    await this.#serveHealth(async () => {
      if (!program.running) throw new Error("the program does not run");
    });
    const graceMs =
      this.#self.declaration.limits.stopGraceSeconds * 1_000 - settings.timing.stopSpare;
    await program.run(signal, graceMs);
  }

  /** Looks again and again at what can change while we run: who we are, who may talk to us, our program and its secrets. */
  async follow(signal: AbortSignal): Promise<void> {
    const { selfEvery, secretsEvery } = this.#context.settings.timing;
    let lookAt = Date.now() + selfEvery;
    while (!signal.aborted) {
      await pause(Math.min(selfEvery, secretsEvery), signal);
      if (signal.aborted) return;
      if (Date.now() >= lookAt) {
        await this.#followDeclaration(signal);
        lookAt = Date.now() + selfEvery;
      }
      await this.#followToken();
      await this.#followSecrets(signal);
    }
  }

  /** A server to which the bot's token is nothing any more stays silent on the connection that was made with it. */
  async #followToken(): Promise<void> {
    const token = await this.#authorization().catch(() => undefined);
    if (token === undefined || this.#connectedWith === undefined) return;
    if (token !== this.#connectedWith) this.#stay?.chat.reconnect("the bot has another token");
  }

  async #followDeclaration(signal: AbortSignal): Promise<void> {
    const { log } = this.#context;
    // While the gateway is away the last declaration stands.
    const next = await readSelf(this.#gateway).catch(() => undefined);
    if (!next || signal.aborted || sameText(next, this.#self)) return;
    const before = this.#self;
    this.#self = next;
    if (next.userId !== before.userId) {
      log.warn("another-chat", { userId: next.userId });
      await this.#move?.();
    }
    if (sameText(next.declaration, before.declaration)) return;
    log.info("declaration-changed", { agent: next.declaration.name });
    this.#stay?.state.keepPersons(next.declaration.chat.access.users ?? []);
    if (startsAlike(next.declaration, before.declaration)) return;
    await this.#idle(signal);
    if (!signal.aborted) await this.#replace("its declaration changed");
  }

  /** Starts the program anew when it was started with something else than there is now. It never cuts a turn for that. */
  async #followSecrets(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const restartFor = await this.#deliveries.look(this.#self.declaration);
    if (restartFor.length === 0 || !(await this.#idle(signal)) || signal.aborted) return;
    await this.#replace(`new value of ${restartFor.join(", ")}`);
  }

  async #replace(why: string): Promise<void> {
    this.#deliveries.ending();
    await this.#program?.replace(why);
  }

  /** Gives running turns a minute to end by themselves. @returns whether they did */
  async #idle(signal: AbortSignal): Promise<boolean> {
    const running = () => (this.#stay?.chat.running ?? 0) > 0;
    const patience = Date.now() + 60_000;
    while (running() && Date.now() < patience && !signal.aborted) await pause(200, signal);
    return !running();
  }

  /** All that the next start of the program needs. Waits for its secrets and config files; nothing when we are to stop. */
  async #launch(): Promise<Launch | undefined> {
    const { log, settings, signal, env } = this.#context;
    const delivered = await this.#deliveries.awaited(() => this.#self.declaration, {
      patienceMs: settings.timing.secretPatience,
      signal,
      onMissing: (missing) => {
        log.error("secrets-missing", {
          names: missing.map(({ name }) => name),
          reasons: missing.map(({ reason }) => reason ?? "the secret store has said nothing"),
        });
        if (this.#program instanceof AcpProgram) {
          this.#program.report(phrases.missingSecrets(missing));
        }
      },
    });
    if (!delivered) return undefined;
    const { declaration } = this.#self;
    const { program } = declaration;
    return {
      command: "acp" in program ? program.acp : program.command,
      cwd: settings.workspace,
      env: programEnvironment({
        declaration,
        inherited: env,
        workspace: settings.workspace,
        egressPort: this.#forwarders.egress.port,
        mattermostUrl: this.#mattermostUrl(),
        directories: this.#deliveries.directories,
        delivered,
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
