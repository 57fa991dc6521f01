import { type Log, reasonOf } from "../../common/log.ts";
import { EventSocket } from "../mattermost/event-socket.ts";
import type { MattermostRest } from "../mattermost/rest.ts";
import type { Channel, Frame, Post } from "../mattermost/types.ts";
import type { AcpProgram } from "../program/acp-program.ts";
import type { Self } from "../self.ts";
import type { Timing } from "../settings.ts";
import type { State } from "../state.ts";
import { CatchUp } from "./catch-up.ts";
import { Conversations } from "./conversations.ts";
import { Inbox } from "./inbox.ts";
import { phrases } from "./phrases.ts";

export interface ChatOptions {
  readonly rest: MattermostRest;
  readonly program: AcpProgram;
  readonly state: State;
  readonly log: Log;
  readonly timing: Timing;
  readonly workspace: string;
  readonly self: () => Self;
  readonly socketUrl: string;
  readonly socketHeaders: () => Promise<Readonly<Record<string, string>>>;
}

/** The chat's side of an agent: hears messages, has them answered, greets once. */
export class Chat {
  readonly #options: ChatOptions;
  readonly #conversations: Conversations;
  readonly #inbox: Inbox;
  readonly #catchUp: CatchUp;
  readonly #socket: EventSocket;
  readonly #ending = new AbortController();
  #greeting = false;
  /** What comes from now on belongs to the next start: nothing may note it as seen. */
  #closed = false;

  constructor(options: ChatOptions) {
    this.#options = options;
    this.#conversations = new Conversations(options);
    this.#inbox = new Inbox({ ...options, conversations: this.#conversations });
    this.#catchUp = new CatchUp({
      ...options,
      inbox: this.#inbox,
      myId: options.self().userId,
    });
    this.#socket = new EventSocket({
      url: options.socketUrl,
      headers: options.socketHeaders,
      log: options.log,
      timing: options.timing,
      onEvent: (frame) => this.#event(frame),
      onMissed: () => this.#readMissed(),
    });
  }

  get connected(): boolean {
    return this.#socket.connected;
  }
  get running(): number {
    return this.#conversations.running;
  }

  /** Connects anew at once and reads what was missed; what runs goes on. */
  reconnect(why: string): void {
    this.#socket.reconnect(why);
  }

  /** Connects and reads what was missed, beside each other; goes on until {@link stop}. */
  async run(): Promise<void> {
    this.#readMissed();
    const online = setInterval(() => {
      this.#noteOnline();
    }, this.#options.timing.onlineEvery);
    await this.#socket.run(this.#ending.signal);
    clearInterval(online);
  }

  /** Takes nothing more and ends what runs: softly until `softMs`, hard until `hardMs` (clock times). */
  async stop(softMs: number, hardMs: number): Promise<void> {
    this.#closed = true;
    this.#inbox.close();
    await this.#conversations.drain(softMs, hardMs);
    this.#ending.abort();
  }

  #readMissed(): void {
    void this.#catchUp
      .run((channels) => void this.#greet(channels), this.#ending.signal)
      .then(() => this.#noteOnline());
  }

  /** Remembers until when nothing was missed: a connection may have gone silent since the server was last heard. */
  #noteOnline(): void {
    if (this.#closed) return;
    const { connected, aliveAt } = this.#socket;
    if (connected && !this.#catchUp.behind) this.#options.state.online(aliveAt);
  }

  #event(frame: Frame): void {
    if (this.#closed) return;
    const { data = {} } = frame;
    if (frame.event === "posted") {
      const post = parsePost(data.post);
      if (!post) return;
      if (!this.#catchUp.behind) this.#options.state.advance(post.channel_id, post.create_at);
      const channelType = String(data.channel_type ?? "");
      void this.#inbox.offer(post, { channelType, mentions: parseMentions(data.mentions) });
    } else if (frame.event === "user_added" && data.user_id === this.#options.self().userId) {
      // The first declared channel may only now be ours to greet in.
      this.#readMissed();
    }
  }

  /** Says hello in the first declared channel, once in the workspace's life, when the program runs. */
  async #greet(channels: readonly Channel[]): Promise<void> {
    const { state, rest, program, log, self } = this.#options;
    const { declaration, username } = self();
    const channel = channels.find(
      ({ name, type }) => name === declaration.chat.channels[0] && type !== "D",
    );
    if (!channel || state.greeted || this.#greeting) return;
    this.#greeting = true;
    try {
      await program.life();
      const message = phrases.greeting(username, declaration.chat.trigger);
      await rest.createPost({ channelId: channel.id, rootId: "", message });
      state.setGreeted();
      log.info("greeted", { channelId: channel.id });
    } catch (error) {
      log.warn("not-greeted", { reason: reasonOf(error) });
    } finally {
      this.#greeting = false;
    }
  }
}

function parsePost(text: unknown): Post | undefined {
  try {
    const post = JSON.parse(String(text)) as Post;
    return typeof post.id === "string" && typeof post.message === "string" ? post : undefined;
  } catch {
    return undefined;
  }
}

/** Absent in the event means that nobody was mentioned. */
function parseMentions(text: unknown): readonly string[] {
  try {
    const mentions = JSON.parse(String(text ?? "[]")) as unknown;
    return Array.isArray(mentions) ? mentions.map(String) : [];
  } catch {
    return [];
  }
}
