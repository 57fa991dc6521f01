import { type Log, reasonOf } from "../common/log.ts";
import { revokeTokens, tokenPrefix } from "./accounts.ts";
import { ChatClient } from "./chat-client.ts";
import { ChatSocket, type Posted } from "./chat-socket.ts";
import type { LocalMode } from "./local-mode.ts";
import { isAlive } from "./session.ts";
import type { Store } from "./store.ts";

interface Listener {
  readonly userId: string;
  readonly tokenId: string;
  readonly socket: ChatSocket;
}

/** What the listeners work with. */
interface ListenersParts {
  readonly local: LocalMode;
  readonly url: string;
  readonly stack: string;
  readonly store: Store;
  readonly log: Log;
  /** A post in a direct channel of the agent's bot, its own posts included. */
  readonly onDirect: (agent: string, posted: Posted) => void;
}

/**
 * Ears of the agents that sleep on demand. Nobody but its members hears a direct message, so each such bot has one idle
 * WebSocket here, with a token of its own. Compared with asking for every bot's channels every second that is one ping in
 * 30 s instead of a request a second a bot, and a wake within milliseconds instead of within the second.
 * It stays open while the agent runs: so there is no moment at its end in which a message is heard by nobody.
 */
export class Listeners {
  readonly #options: ListenersParts;
  readonly #open = new Map<string, Listener>();
  #work: Promise<void> = Promise.resolve();

  constructor(options: ListenersParts) {
    this.#options = options;
  }

  /** Listens for exactly these bots: agent name → user id. */
  sync(wanted: ReadonlyMap<string, string>): Promise<void> {
    this.#work = this.#work.then(async () => {
      for (const [agent, listener] of this.#open) {
        if (wanted.get(agent) !== listener.userId) await this.#drop(agent);
      }
      for (const [agent, userId] of wanted) {
        if (this.#open.has(agent)) continue;
        await this.#listen(agent, userId).catch((error: unknown) =>
          this.#options.log.warn("not-listening", { agent, reason: reasonOf(error) }),
        );
      }
    });
    return this.#work;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Closes every socket and revokes its token; what cannot be revoked now is, at the next start. */
  async close(): Promise<void> {
    await this.#work;
    await Promise.all([...this.#open.keys()].map((agent) => this.#drop(agent)));
  }

  async #listen(agent: string, userId: string): Promise<void> {
    const { local, url, stack, store, log, onDirect } = this.#options;
    const prefix = tokenPrefix.wake(stack, agent);
    await revokeTokens(local, userId, prefix);
    const { id, token } = await local.createToken(userId, `${prefix}${store.nextGeneration()}`);
    const client = new ChatClient(url, token);
    // Where this bot's direct channels were read up to; the bridge's own mark for what was before this start.
    let seen = Number(store.meta("seen") ?? Date.now());
    const hear = (posted: Posted) => {
      seen = Math.max(seen, posted.post.create_at);
      if (posted.channelType === "D" || posted.channelType === "G") onDirect(agent, posted);
    };
    const socket = new ChatSocket({
      url,
      token,
      onPosted: hear,
      onNew: () => {
        missedDirect(client, seen, hear).catch((error: unknown) =>
          log.warn("direct-not-read", { agent, reason: reasonOf(error) }),
        );
      },
      onSuspect: () => {
        isAlive(client).then(
          (isSo) => {
            if (isSo || this.#open.get(agent)?.tokenId !== id) return;
            log.warn("listener-token-lost", { agent });
            this.#work = this.#work.then(async () => {
              await this.#drop(agent);
              await this.#listen(agent, userId).catch((error: unknown) =>
                log.warn("not-listening", { agent, reason: reasonOf(error) }),
              );
            });
          },
          () => undefined,
        );
      },
    });
    this.#open.set(agent, { userId, tokenId: id, socket });
    socket.open();
  }

  async #drop(agent: string): Promise<void> {
    const listener = this.#open.get(agent);
    if (!listener) return;
    this.#open.delete(agent);
    listener.socket.close();
    await this.#options.local
      .revokeToken(listener.tokenId)
      .catch((error: unknown) =>
        this.#options.log.info("token-not-revoked", { agent, reason: reasonOf(error) }),
      );
  }
}

/** Reads the direct messages of the client's own account since a time, oldest first. */
export async function missedDirect(
  client: ChatClient,
  since: number,
  hear: (posted: Posted) => void,
): Promise<void> {
  const channels = await client.getAllTeamsChannels();
  for (const channel of channels) {
    if ((channel.type !== "D" && channel.type !== "G") || channel.last_post_at <= since) continue;
    await missedPosts(client, channel.id, channel.type, since, hear);
  }
}

/** Reads the posts of a channel since a time, oldest first. */
export async function missedPosts(
  client: ChatClient,
  channelId: string,
  channelType: string,
  since: number,
  hear: (posted: Posted) => void,
): Promise<void> {
  const { posts } = await client.getPostsSince(channelId, since);
  const missed = Object.values(posts)
    .filter((post) => post.create_at > since && post.delete_at === 0)
    .sort((a, b) => a.create_at - b.create_at);
  for (const post of missed) hear({ post, channelType });
}
