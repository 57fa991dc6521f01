import type { Chat } from "../../../spec/declaration.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import type { Limits } from "../limits.ts";
import type { FindChannels } from "./tokens.ts";

/** Reads something of Mattermost as the bot. @returns undefined: there is none, or the bot may not see it */
export type Ask = (path: string) => Promise<unknown>;

/** A user who could be on the other side of a direct channel. */
interface Person {
  readonly isBot: boolean;
  readonly username: string;
}

/** Entries of each memory. What falls out is asked for again. */
const maxRemembered = 1_000;

/**
 * Where one agent may read and write: the channels that its declaration gives it, and the direct channels that its
 * bot has with people. A direct channel with another bot is none: two sealed agents would have a way to each other.
 */
export class Scope {
  readonly #agent: string;
  readonly #findChannels: FindChannels;
  readonly #userId: () => string | undefined;
  readonly #ask: Ask;
  readonly #limits: Limits;
  readonly #log: Log;
  #given: ReadonlySet<string> = new Set();
  /** When the admin bridge was last asked, also in vain. */
  #askedAt = Number.NEGATIVE_INFINITY;
  #hurryUntil = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  readonly #direct = new Memory<true>();
  readonly #posts = new Memory<string>();
  readonly #bots = new Memory<boolean>();

  /** @param options.userId the bot's own, where it is known */
  constructor(options: {
    readonly agent: string;
    readonly findChannels: FindChannels;
    readonly userId: () => string | undefined;
    readonly ask: Ask;
    readonly limits: Limits;
    readonly log: Log;
  }) {
    this.#agent = options.agent;
    this.#findChannels = options.findChannels;
    this.#userId = options.userId;
    this.#ask = options.ask;
    this.#limits = options.limits;
    this.#log = options.log;
  }

  /** Takes the agent's channels as they are now. */
  learn(channelIds: readonly string[]): void {
    this.#given = new Set(channelIds);
    this.#askedAt = performance.now();
  }

  /** The declaration has changed: the channels may have. The admin bridge may hear of it a little later than we. */
  changed(): void {
    this.#hurryUntil = performance.now() + 15 * this.#limits.channelsHurryMs;
    this.#askedAt = Number.NEGATIVE_INFINITY;
    void this.#refresh(0);
  }

  /** May the agent use the channel of that id? */
  async holds(id: unknown): Promise<boolean> {
    if (typeof id !== "string" || !/^[a-z0-9]{26}$/.test(id)) return false;
    await this.#refreshStale();
    if (this.#given.has(id) || this.#direct.get(id)) return true;
    await this.#refresh(this.#limits.channelsHurryMs);
    if (this.#given.has(id)) return true;
    return this.#isDirect(await this.#ask(`/channels/${id}`), id);
  }

  /** The same for a channel as Mattermost describes it, which is not asked for again. */
  async holdsChannel(channel: unknown): Promise<boolean> {
    const { id, type } = fieldsOf(channel);
    if (type !== "D") return this.holdsGiven(id);
    return typeof id === "string" && this.#isDirect(channel, id);
  }

  /** Is it the channel of a post, or of its file, that the agent may use? */
  async holdsPost(id: unknown): Promise<boolean> {
    if (typeof id !== "string" || !/^[a-z0-9]{26}$/.test(id)) return false;
    const channel = this.#posts.get(id) ?? fieldsOf(await this.#ask(`/posts/${id}`)).channel_id;
    if (typeof channel !== "string" || !(await this.holds(channel))) return false;
    this.#posts.set(id, channel);
    return true;
  }

  async holdsFile(id: string): Promise<boolean> {
    return this.holds(fieldsOf(await this.#ask(`/files/${id}/info`)).channel_id);
  }

  /** May the agent open a direct channel with that user? */
  async mayMeet(userId: string, access: Chat["access"]): Promise<boolean> {
    const person = await this.#person(userId);
    if (!person || person.isBot) return false;
    const listed = (access.users ?? []).includes(person.username.toLowerCase());
    return access.mode === "open" || listed === (access.mode === "allowlist");
  }

  async holdsGiven(id: unknown): Promise<boolean> {
    if (typeof id !== "string") return false;
    await this.#refreshStale();
    if (!this.#given.has(id)) await this.#refresh(this.#limits.channelsHurryMs);
    return this.#given.has(id);
  }

  /** Names of direct channels are the ids of their two members. */
  async #isDirect(channel: unknown, id: string): Promise<boolean> {
    const fields = fieldsOf(channel);
    const own = this.#userId();
    if (fields.id !== id || fields.type !== "D" || typeof fields.name !== "string") return false;
    const members = fields.name.split("__");
    if (!own || members.length !== 2 || !members.includes(own)) return false;
    const other = members.find((member) => member !== own);
    if (!other || !/^[a-z0-9]{26}$/.test(other)) return false;
    // A person never becomes a bot unseen: the agents' bots are made by the platform.
    const isBot = this.#bots.get(other) ?? (await this.#person(other))?.isBot ?? true;
    if (!isBot) this.#direct.set(id, true);
    return !isBot;
  }

  async #person(id: string): Promise<Person | undefined> {
    const { username, is_bot, delete_at, id: found } = fieldsOf(await this.#ask(`/users/${id}`));
    if (found !== id || typeof username !== "string") return undefined;
    const isBot = is_bot === true;
    this.#bots.set(id, isBot);
    return typeof delete_at === "number" && delete_at > 0 ? undefined : { isBot, username };
  }

  #refreshStale(): Promise<void> {
    const { channelsFreshMs, channelsHurryMs } = this.#limits;
    return this.#refresh(performance.now() < this.#hurryUntil ? channelsHurryMs : channelsFreshMs);
  }

  /** Asks the admin bridge, unless it was asked less than `olderMs` ago. While it is away what was known stays. */
  async #refresh(olderMs: number): Promise<void> {
    if (!this.#asking && performance.now() - this.#askedAt < olderMs) return;
    this.#asking ??= this.#findChannels(this.#agent)
      .then((ids) => this.learn(ids))
      .catch((error: unknown) => {
        this.#log.warn("channels-unknown", { agent: this.#agent, reason: reasonOf(error) });
      })
      .finally(() => {
        this.#askedAt = performance.now();
        this.#asking = undefined;
      });
    await this.#asking;
  }
}

/** The members of a JSON object; none of anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** A map that forgets what came first. */
class Memory<T> {
  readonly #map = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#map.get(key);
  }

  set(key: string, value: T): void {
    this.#map.set(key, value);
    const [first] = this.#map.keys();
    if (this.#map.size > maxRemembered && first !== undefined) this.#map.delete(first);
  }
}
