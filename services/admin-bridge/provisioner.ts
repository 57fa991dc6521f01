import { type Declaration, declarationHash } from "../../spec/declaration.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { type Claim, ensureBot, revokeTokens, tokenPrefix } from "./accounts.ts";
import { orMissing } from "./chat-client.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Metrics } from "./metrics.ts";
import { ensureChannel, ensureChannelMember, ensureTeamMember, type Session } from "./session.ts";
import type { Store } from "./store.ts";
import { PlainError } from "./words.ts";

/** An agent's place in the chat. */
export interface Place {
  readonly userId: string;
  readonly channelIds: ReadonlySet<string>;
}

/** How a bot's description begins, by which bots of a stack are known even after the database is lost. */
const marker = (stack: string) => `Agent of the berth stack ${stack}`;

/** Makes the chat what the declarations say: channels, bots, memberships. Everything by name, everything repeatable. */
export class Provisioner {
  readonly #local: LocalMode;
  readonly #stack: string;
  readonly #store: Store;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #places = new Map<string, Place & { readonly hash: string }>();
  readonly #channels = new Map<string, string>();
  /** The last provisioning of each agent. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #session: Session | undefined;

  constructor(options: {
    readonly local: LocalMode;
    readonly stack: string;
    readonly store: Store;
    readonly metrics: Metrics;
    readonly log: Log;
  }) {
    this.#local = options.local;
    this.#stack = options.stack;
    this.#store = options.store;
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  /** Begins anew with a session: the server may have lost what was there before. */
  use(session: Session): void {
    this.#session = session;
    this.#places.clear();
    this.#channels.clear();
  }

  place(agent: string): Place | undefined {
    return this.#places.get(agent);
  }

  /** Ids of all channels in which an agent of ours is, and the home channel. */
  channelIds(): string[] {
    return [
      ...new Set([...(this.#session ? [this.#session.homeId] : []), ...this.#channels.values()]),
    ];
  }

  /**
   * Provisions one agent: bot, team, channels. Does nothing where that is done for this very declaration, and one thing at
   * a time for an agent: the gateway may ask for its token while the declarations are being acted on.
   * @throws PlainError with the reason and the cure where a person must act
   */
  provision(declaration: Declaration): Promise<Place> {
    const turn = (this.#turns.get(declaration.name) ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => this.#provision(declaration));
    this.#turns.set(declaration.name, turn);
    return turn;
  }

  async #provision(declaration: Declaration): Promise<Place> {
    const session = this.#session;
    if (!session) throw new Error("Mattermost is not ready");
    const hash = declarationHash(declaration);
    const before = this.#places.get(declaration.name);
    if (before?.hash === hash) return before;
    try {
      const bot = await ensureBot(this.#local, declaration.name, this.#claim(declaration.name));
      await session.client.patchBot(bot.id, {
        username: declaration.name,
        display_name: declaration.name,
        description: `${marker(this.#stack)}: ${declaration.activation}`,
      });
      await ensureTeamMember(session.client, session.teamId, bot.id);
      const channelIds = new Set<string>();
      for (const name of declaration.chat.channels) {
        const id = await this.#channel(session, name);
        await ensureChannelMember(session.client, id, bot.id);
        channelIds.add(id);
      }
      for (const left of before?.channelIds ?? []) {
        if (!channelIds.has(left)) await this.#leave(session, left, bot.id);
      }
      const place = { userId: bot.id, channelIds, hash };
      this.#places.set(declaration.name, place);
      return place;
    } catch (error) {
      this.#metrics.add("berth_provisioning_errors_total");
      throw worded(error);
    }
  }

  /** An agent is no longer declared: its bot is disabled and no token of it works any more. */
  async retire(agent: string): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error("Mattermost is not ready");
    this.#places.delete(agent);
    const user = await this.#local.findUser(agent);
    const { knownId, isOurs } = this.#claim(agent);
    // The name of a removed agent may have been another's all the time.
    if (!user?.is_bot || (user.id !== knownId && !isOurs(user))) return;
    await revokeTokens(this.#local, user.id, tokenPrefix.agent(this.#stack, agent));
    await revokeTokens(this.#local, user.id, tokenPrefix.wake(this.#stack, agent));
    if (user.delete_at === 0) await session.client.disableBot(user.id);
  }

  #claim(agent: string): Claim {
    return {
      knownId: this.#store.agent(agent)?.botUserId ?? undefined,
      keep: (botUserId) => this.#store.update(agent, { botUserId }),
      isOurs: (bot) => bot.bot_description?.startsWith(`${marker(this.#stack)}:`) === true,
    };
  }

  /** Names of this stack's bots that are enabled, read from the server. */
  async enabledBots(): Promise<string[]> {
    const session = this.#session;
    if (!session) return [];
    const names: string[] = [];
    for (let page = 0; page < 50; page++) {
      const bots = await session.client.getBots(page, 200);
      for (const bot of bots) {
        if (bot.description?.startsWith(`${marker(this.#stack)}:`)) names.push(bot.username);
      }
      if (bots.length < 200) break;
    }
    return names;
  }

  /** A person's memberships: team, home channel and every channel of an agent. */
  async welcome(userId: string): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error("Mattermost is not ready");
    await ensureTeamMember(session.client, session.teamId, userId);
    for (const id of this.channelIds()) await ensureChannelMember(session.client, id, userId);
  }

  async #channel(session: Session, name: string): Promise<string> {
    const known = this.#channels.get(name);
    if (known) return known;
    const id = await ensureChannel(session.client, session.teamId, name);
    await ensureChannelMember(session.client, id, session.userId);
    this.#channels.set(name, id);
    return id;
  }

  async #leave(session: Session, channelId: string, userId: string): Promise<void> {
    try {
      await orMissing(session.client.removeFromChannel(userId, channelId));
    } catch (error) {
      // The team's default channel cannot be left; every member of the team is in it.
      this.#log.info("channel-not-left", { reason: reasonOf(error) });
    }
  }
}

function worded(error: unknown): unknown {
  const id = (error as { server_error_id?: string }).server_error_id ?? "";
  if (id === "app.team.join_user_to_team.max_accounts.app_error") {
    return new PlainError(
      "The team is full: raise MM_TEAMSETTINGS_MAXUSERSPERTEAM of Mattermost, bots count too.",
    );
  }
  return error;
}
