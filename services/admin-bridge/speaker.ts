import { type Log, reasonOf } from "../common/log.ts";
import { maxPostCharacters } from "./sanitise.ts";
import type { Session } from "./session.ts";

/** Notices that wait for Mattermost; older ones are dropped. */
const mostWaiting = 50;

/** Writes posts as `@berth`. */
export class Speaker {
  readonly #log: Log;
  readonly #waiting: string[] = [];
  #session: Session | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The session to speak in; undefined: there is none now. Notices that waited are said. */
  use(session: Session | undefined): void {
    this.#session = session;
    if (!session) return;
    for (const text of this.#waiting.splice(0)) this.notice(text);
  }

  /** Says something in the home channel, later where Mattermost is away. */
  notice(text: string): void {
    const session = this.#session;
    if (!session) {
      this.#keep(text);
      return;
    }
    this.say(session.homeId, text).catch((error: unknown) => {
      this.#log.warn("notice-waits", { reason: reasonOf(error) });
      this.#keep(text);
    });
  }

  /** Writes a post; in a thread where `rootId` is given. */
  async say(channelId: string, text: string, rootId = ""): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error("Mattermost is not ready");
    const message =
      text.length > maxPostCharacters + 500 ? `${text.slice(0, maxPostCharacters)}…` : text;
    await session.client.createPost({ channel_id: channelId, message, root_id: rootId });
  }

  /** Writes to one person alone. */
  async whisper(userId: string, text: string): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error("Mattermost is not ready");
    const channel = await session.client.createDirectChannel([session.userId, userId]);
    await this.say(channel.id, text);
  }

  #keep(text: string): void {
    this.#waiting.push(text);
    if (this.#waiting.length > mostWaiting) this.#waiting.shift();
  }
}
