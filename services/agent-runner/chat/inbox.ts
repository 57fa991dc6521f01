import type { Chat } from "../../../spec/declaration.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import { MattermostError, type MattermostRest } from "../mattermost/rest.ts";
import type { Post } from "../mattermost/types.ts";
import type { Self } from "../self.ts";
import type { State, Taken } from "../state.ts";
import { type Arrival, addressed, isAllowed, promptText, threadOf } from "./addressing.ts";
import type { Conversations } from "./conversations.ts";
import { phrases } from "./phrases.ts";

/** User names that are kept; a name that changes is seen after the next start at the latest. */
const maxNames = 2_000;

/** Looks at every message once: is it for us, may this person ask, and then hands it on. */
export class Inbox {
  readonly #rest: MattermostRest;
  readonly #state: State;
  readonly #log: Log;
  readonly #conversations: Conversations;
  readonly #self: () => Self;
  readonly #names = new Map<string, Promise<string | undefined>>();
  /** Messages that are being looked at, wait in a queue, or are being answered. */
  readonly #inHand = new Set<string>();
  #closed = false;

  constructor(options: {
    readonly rest: MattermostRest;
    readonly state: State;
    readonly log: Log;
    readonly conversations: Conversations;
    /** Who we are and what is declared now: it may change while we run. */
    readonly self: () => Self;
  }) {
    this.#rest = options.rest;
    this.#state = options.state;
    this.#log = options.log;
    this.#conversations = options.conversations;
    this.#self = options.self;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Takes nothing more; what comes from now on is found at the next start. */
  close(): void {
    this.#closed = true;
  }

  /** Whether a message is for us and new. */
  isNews(post: Post, arrival: Arrival): boolean {
    const self = this.#self();
    return (
      !this.#state.knows(post.id) &&
      addressed(post, arrival, self, self.declaration.chat.trigger) !== "no"
    );
  }

  /** Takes a message, however often it comes. Never throws. */
  async offer(post: Post, arrival: Arrival): Promise<void> {
    if (!this.#closed && this.isNews(post, arrival)) await this.#hold(post, arrival);
  }

  /**
   * Goes on with what was taken and not finished: by an earlier life of the runner, or by this one while the server was away.
   * What the program had already begun is reported as cut, never given to it twice. Never throws.
   */
  async recover(): Promise<void> {
    for (const [postId, taken] of this.#state.taken()) {
      if (this.#closed || this.#inHand.has(postId)) continue;
      try {
        if (taken.started) await this.#reportCut(postId, taken);
        else {
          const post = await this.#rest.post(postId);
          await this.#hold(post, { channelType: taken.direct ? "D" : "O" });
        }
      } catch (error) {
        this.#log.warn("not-recovered", { postId, reason: reasonOf(error) });
        // Deleted, or no longer ours to read.
        if (error instanceof MattermostError && error.final) this.#state.finish(postId);
      }
    }
    const open = new Set(this.#state.taken().map(([postId]) => postId));
    for (const postId of this.#inHand) if (!open.has(postId)) this.#inHand.delete(postId);
  }

  async #hold(post: Post, arrival: Arrival): Promise<void> {
    this.#inHand.add(post.id);
    this.#note(post, arrival.channelType);
    try {
      await this.#take(post, arrival);
    } catch (error) {
      this.#inHand.delete(post.id);
      this.#log.error("message-not-taken", { postId: post.id, reason: reasonOf(error) });
    }
  }

  async #reportCut(postId: string, taken: Taken): Promise<void> {
    const { channelId, rootId, answerId } = taken;
    if (answerId) {
      const begun = await this.#rest.post(answerId);
      await this.#rest.editPost(answerId, `${begun.message}\n\n${phrases.cutByRestart}`);
    } else {
      await this.#rest.createPost({ channelId, rootId, message: phrases.cutByRestart });
    }
    this.#log.warn("turn-cut", { postId });
    this.#state.finish(postId);
  }

  /** From now on a restart does not lose the message. */
  #note(post: Post, channelType: string): void {
    this.#state.take(post.id, {
      channelId: post.channel_id,
      rootId: rootFor(post, channelType),
      direct: channelType === "D",
      started: false,
    });
  }

  async #take(post: Post, arrival: Arrival): Promise<void> {
    const self = this.#self();
    const { chat } = self.declaration;
    if (chat.access.mode !== "open") {
      const name = await this.#nameOf(post.user_id);
      if (this.#closed) return;
      if (name === undefined || !this.#mayAsk(name, post.user_id, chat.access)) {
        this.#log.info("refused", { postId: post.id, userId: post.user_id });
        this.#state.finish(post.id);
        // To a word that was not said to us a refusal would only be noise.
        const called = addressed(post, arrival, self, chat.trigger) === "called";
        if (called) await this.#reply(post, arrival.channelType, phrases.refusal);
        return;
      }
    }
    this.#ask(post, arrival.channelType);
  }

  /** Names change hands, users do not: a listed name counts for the user who first had it here, and for nobody else. */
  #mayAsk(name: string, userId: string, access: Chat["access"]): boolean {
    const listed = access.users ?? [];
    if (listed.includes(name) && this.#state.ownerOf(name, userId) !== userId) {
      this.#log.warn("name-changed-hands", { name, userId });
      return false;
    }
    if (access.mode === "blocklist" && this.#state.owns(userId, listed)) return false;
    return isAllowed(name, access);
  }

  #ask(post: Post, channelType: string): void {
    const direct = channelType === "D";
    const rootId = rootFor(post, channelType);
    this.#log.info("message", { postId: post.id, channelId: post.channel_id, direct });
    const taken = this.#conversations.add({
      postId: post.id,
      channelId: post.channel_id,
      rootId,
      thread: threadOf(post, channelType),
      direct,
      text: promptText(post.message, this.#self().username),
    });
    if (taken) return;
    this.#log.warn("queue-full", { postId: post.id });
    this.#state.finish(post.id);
    void this.#reply(post, channelType, phrases.busy);
  }

  async #reply(post: Post, channelType: string, message: string): Promise<void> {
    const rootId = rootFor(post, channelType);
    try {
      await this.#rest.createPost({ channelId: post.channel_id, rootId, message });
    } catch (error) {
      this.#log.warn("reply-not-written", { postId: post.id, reason: reasonOf(error) });
    }
  }

  /** A person's user name; nothing for a bot. */
  #nameOf(userId: string): Promise<string | undefined> {
    const known = this.#names.get(userId);
    if (known) return known;
    const asked = this.#rest
      .user(userId)
      .then((user) => (user.is_bot ? undefined : user.username.toLowerCase()));
    this.#names.set(userId, asked);
    asked.catch(() => this.#names.delete(userId));
    const [oldest] = this.#names.keys();
    if (this.#names.size > maxNames && oldest !== undefined) this.#names.delete(oldest);
    return asked;
  }
}

/** Where an answer belongs: a thread in channels, the conversation itself in direct messages. */
function rootFor(post: Post, channelType: string): string {
  return post.root_id || (channelType === "D" ? "" : post.id);
}
