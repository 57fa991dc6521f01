import type { Declaration } from "../../spec/declaration.ts";
import { type Log, reasonOf } from "../common/log.ts";
import type { Agent } from "./agent.ts";
import { sleepsOnDemand } from "./agent-state.ts";
import { pause } from "./engine.ts";
import type { Fleet } from "./fleet.ts";
import type { Identities } from "./identities.ts";
import type { Listeners } from "./listeners.ts";
import type { People } from "./people.ts";
import type { Provisioner } from "./provisioner.ts";
import type { Session } from "./session.ts";
import type { Speaker } from "./speaker.ts";
import type { Store } from "./store.ts";
import type { TokenMint } from "./token-mint.ts";
import { PlainError } from "./words.ts";

/** How long a declaration must be gone before its agent is taken for removed. */
const goneForMs = 2_000;
/** Agents that are provisioned at once: enough to be quick, few enough to leave the server to people. */
const atOnce = 4;

/** What the caretaker works with. */
interface CaretakerParts {
  readonly stack: string;
  readonly operators: readonly string[];
  readonly fleet: Fleet;
  readonly provisioner: Provisioner;
  readonly mint: TokenMint;
  readonly listeners: Listeners;
  readonly people: People;
  readonly identities: Identities;
  readonly speaker: Speaker;
  readonly store: Store;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The present session; undefined: none. */
  readonly session: () => Session | undefined;
  /** Called after every complete run. */
  readonly onDone: (session: Session) => void;
}

/** Brings the chat into line with the declarations, again and again: agents' bots, removals, the greeting, the listeners. */
export class Caretaker {
  readonly #options: CaretakerParts;
  #declared: readonly Declaration[] | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  /** The server's own list of our bots was compared: once a process is enough, later removals are seen as they come. */
  #compared = false;
  /** Agents without a gateway whose tokens are known to be revoked. */
  readonly #tokenless = new Set<string>();

  constructor(options: CaretakerParts) {
    this.#options = options;
  }

  /** Takes new declarations and acts on them. */
  declare(list: readonly Declaration[]): void {
    this.#declared = list;
    for (const { name, network } of list) if (network !== "none") this.#tokenless.delete(name);
    this.#options.log.info("declarations", { agents: list.map((d) => d.name) });
    this.#options.fleet.declare(list);
    this.run();
  }

  /** The declaration of an agent that has a gateway. @throws Error while the declarations are not known */
  find(name: string): Declaration | undefined {
    if (!this.#declared) throw new Error("the declarations are not known yet");
    return this.#declared.find((d) => d.name === name && d.network !== "none");
  }

  /** Begins a run, or one more after the present one. Does nothing while Mattermost or the declarations are missing. */
  run(): void {
    const session = this.#options.session();
    if (!session || !this.#declared || this.#options.signal.aborted) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = this.#all(session)
      .catch((error: unknown) =>
        this.#options.log.warn("provisioning", { reason: reasonOf(error) }),
      )
      .finally(() => {
        this.#running = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.run();
      });
  }

  /** Resolves when no run is going on. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #all(session: Session): Promise<void> {
    const { fleet, provisioner, people, identities, listeners, operators } = this.#options;
    const waiting = [...fleet.agents];
    const work = async () => {
      for (let agent = waiting.shift(); agent; agent = waiting.shift()) await this.#provide(agent);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    await this.#greet(session);
    const users = fleet.agents.flatMap((agent) => agent.declaration.chat.access.users ?? []);
    for (const name of new Set([...users, ...operators])) {
      identities.look(name, await people.named(name));
    }
    const wanted = new Map<string, string>();
    for (const agent of fleet.agents) {
      const userId = provisioner.place(agent.name)?.userId;
      if (userId && sleepsOnDemand(agent.declaration, agent.contained))
        wanted.set(agent.name, userId);
    }
    await listeners.sync(wanted);
    await this.#retireOthers();
    if (this.#options.session() === session) this.#options.onDone(session);
  }

  async #provide(agent: Agent): Promise<void> {
    const { provisioner, fleet, log } = this.#options;
    try {
      const { userId } = await provisioner.provision(agent.declaration);
      await this.#withhold(agent, userId);
      if (agent.provisioned) return;
      agent.provisioned = true;
      fleet.reconcile();
    } catch (error) {
      agent.provisioned = false;
      if (error instanceof PlainError) fleet.trouble(agent, error.message);
      else log.warn("not-provisioned", { agent: agent.name, reason: reasonOf(error) });
    }
  }

  /** An agent that has no gateway (any more) has no use for a token: one from before must not go on working. */
  async #withhold(agent: Agent, userId: string): Promise<void> {
    if (agent.declaration.network !== "none" || this.#tokenless.has(agent.name)) return;
    const revoked = await this.#options.mint.revoke(agent.name, userId);
    if (agent.declaration.network === "none") this.#tokenless.add(agent.name);
    if (revoked > 0) this.#options.log.info("tokens-revoked", { agent: agent.name, revoked });
  }

  /** Agents that were once declared and are no more, by our memory and by the server's own list of bots. */
  async #retireOthers(): Promise<void> {
    const { store, provisioner, fleet, signal } = this.#options;
    const declared = new Set((this.#declared ?? []).map((d) => d.name));
    const remembered = store.agents().filter((row) => row.standing === "active");
    const bots = this.#compared ? [] : await provisioner.enabledBots();
    const gone = new Set([...remembered.map((row) => row.name), ...bots]);
    for (const name of declared) gone.delete(name);
    // A second look after a while: a declaration that only moved is back by then.
    if (gone.size > 0) await pause(goneForMs, signal);
    for (const name of gone) {
      if (!fleet.find(name) && !signal.aborted) await this.#retire(name);
    }
    this.#compared = true;
  }

  async #retire(name: string): Promise<void> {
    const { provisioner, fleet, store, speaker, log } = this.#options;
    await fleet.stopOrphan(name);
    await provisioner.retire(name);
    const left = await fleet.hasContainer(name).catch(() => false);
    store.update(name, { standing: left ? "orphaned" : "removed", desired: "auto" });
    store.audit({ actor: "declarations", verb: "remove", agent: name, outcome: "done" });
    log.info("agent-removed", { agent: name });
    speaker.notice(
      `${name} is no longer declared: its bot is disabled and its tokens are revoked. Its workspace stays where its declaration said so.`,
    );
  }

  async #greet(session: Session): Promise<void> {
    const { store, speaker, stack } = this.#options;
    if (store.meta("greeted") === "1") return;
    await speaker.say(
      session.homeId,
      `I am berth, and I run the agents of this server (stack ${stack}). Operators: write \`@berth help\`, here or to me alone.`,
    );
    store.setMeta("greeted", "1");
  }
}
