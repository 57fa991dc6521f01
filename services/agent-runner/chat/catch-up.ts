import { type Log, reasonOf } from "../../common/log.ts";
import { MattermostError, type MattermostRest } from "../mattermost/rest.ts";
import type { Channel } from "../mattermost/types.ts";
import type { Timing } from "../settings.ts";
import type { State } from "../state.ts";
import { Backoff, pause } from "../wait.ts";
import { threadOf } from "./addressing.ts";
import type { Inbox } from "./inbox.ts";

/** Channels that are read at the same time. */
const atOnce = 4;
/** Posts are read again from this long before the newest one seen: order within it is not certain. */
const overlapMs = 2_000;

/** Finds messages that came while nobody listened, and offers those that nobody answered. */
export class CatchUp {
  readonly #rest: MattermostRest;
  readonly #state: State;
  readonly #timing: Timing;
  readonly #log: Log;
  readonly #inbox: Inbox;
  readonly #myId: string;
  readonly #startedAt = Date.now();
  #running: Promise<void> | undefined;
  #again = false;
  #behind = true;

  constructor(options: {
    readonly rest: MattermostRest;
    readonly state: State;
    readonly timing: Timing;
    readonly log: Log;
    readonly inbox: Inbox;
    readonly myId: string;
  }) {
    this.#rest = options.rest;
    this.#state = options.state;
    this.#timing = options.timing;
    this.#log = options.log;
    this.#inbox = options.inbox;
    this.#myId = options.myId;
  }

  /** Something may still have been missed: live messages must not move the cursors past it. */
  get behind(): boolean {
    return this.#behind;
  }

  /**
   * Reads what was missed, until it worked or the signal aborts; asked for while it runs, it runs once more. Never throws.
   * @param onChannels gets the channels that we are in, as soon as they are known
   */
  run(onChannels: (channels: readonly Channel[]) => void, signal: AbortSignal): Promise<void> {
    this.#behind = true;
    this.#again = true;
    this.#running ??= this.#loop(onChannels, signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #loop(
    onChannels: (channels: readonly Channel[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const backoff = new Backoff(500, 10_000);
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        const channels = await this.#rest.channels();
        onChannels(channels);
        await Promise.all([this.#inbox.recover(), this.#readAll(channels)]);
        if (!this.#again) this.#behind = false;
      } catch (error) {
        this.#log.warn("catch-up-failed", { reason: reasonOf(error) });
        this.#again = true;
        await pause(backoff.next(), signal);
      }
    }
  }

  async #readAll(channels: readonly Channel[]): Promise<void> {
    const left = channels.filter((channel) => this.#mayHoldNews(channel));
    const worker = async () => {
      for (let channel = left.shift(); channel; channel = left.shift()) {
        try {
          await this.#read(channel);
        } catch (error) {
          // A channel that we were just removed from must not stop the others.
          if (!(error instanceof MattermostError && error.final)) throw error;
          this.#log.warn("channel-unread", { channelId: channel.id, reason: reasonOf(error) });
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  }

  #mayHoldNews(channel: Channel): boolean {
    const cursor = this.#state.cursor(channel.id);
    if (channel.last_post_at === undefined) return true;
    return channel.last_post_at > Math.max(cursor ?? 0, this.#since(channel.id));
  }

  #since(channelId: string): number {
    const now = Date.now();
    const seen = this.#state.cursor(channelId) ?? this.#state.lastOnline;
    const from = seen > 0 ? seen - overlapMs : now - this.#timing.firstLookBack;
    return Math.max(from, now - this.#timing.longestLookBack);
  }

  async #read(channel: Channel): Promise<void> {
    const posts = await this.#rest.postsSince(channel.id, this.#since(channel.id));
    const answered = new Map<string, number>();
    if (this.#state.fresh) {
      // Without a memory of our own, a later word of ours in the thread says that it was answered.
      for (const post of posts) {
        if (post.user_id !== this.#myId || post.create_at > this.#startedAt) continue;
        answered.set(threadOf(post, channel.type), post.create_at);
      }
    }
    let missed = 0;
    for (const post of posts) {
      if ((answered.get(threadOf(post, channel.type)) ?? 0) > post.create_at) continue;
      const arrival = { channelType: channel.type };
      if (this.#inbox.isNews(post, arrival)) missed++;
      await this.#inbox.offer(post, arrival);
    }
    const newest = posts.at(-1);
    if (newest && !this.#inbox.closed) this.#state.advance(channel.id, newest.create_at);
    if (missed > 0) this.#log.info("missed", { channelId: channel.id, messages: missed });
  }
}
