import { type Log, reasonOf } from "../common/log.ts";
import { ChatSocket } from "./chat-socket.ts";
import { pause } from "./engine.ts";
import { missedDirect, missedPosts } from "./listeners.ts";
import type { Metrics } from "./metrics.ts";
import type { People } from "./people.ts";
import type { Provisioner } from "./provisioner.ts";
import type { Router } from "./router.ts";
import { isAlive, type Session } from "./session.ts";
import type { Speaker } from "./speaker.ts";

const longestWaitMs = 10_000;
/** The longest timer that Node knows. */
const forEver = 2 ** 31 - 1;

/** What the conversation works with. */
interface ConversationParts {
  readonly url: string;
  readonly open: () => Promise<Session>;
  readonly router: Router;
  readonly provisioner: Provisioner;
  readonly people: People;
  readonly speaker: Speaker;
  readonly metrics: Metrics;
  readonly log: Log;
  /** A session began: provisioning is due. */
  readonly onSession: () => void;
}

/** Keeps a session with Mattermost and hears what is written, for as long as the signal allows. */
export class Conversation {
  readonly #options: ConversationParts;
  #session: Session | undefined;
  #socket: ChatSocket | undefined;
  #hearing = false;
  /** The session's channels are provisioned, so what is heard can be acted on. */
  #settled = false;
  /** Server time from which posts are still to be read; undefined: none are missing. */
  #unreadSince: number | undefined;

  constructor(options: ConversationParts) {
    this.#options = options;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** The WebSocket is open and hears. */
  get hearing(): boolean {
    return this.#hearing;
  }

  /** Opens sessions one after the other until the signal ends. Mattermost's absence is waited for, however long. */
  async keep(signal: AbortSignal): Promise<void> {
    const { log, metrics } = this.#options;
    let waitMs = 200;
    while (!signal.aborted) {
      const lost = new AbortController();
      try {
        const session = await this.#options.open();
        metrics.add("berth_chat_sessions_total");
        waitMs = 200;
        this.#begin(session, lost);
        await pause(forEver, AbortSignal.any([signal, lost.signal]));
      } catch (error) {
        log.warn("mattermost-awaited", { reason: reasonOf(error), retryMs: waitMs });
      }
      this.#socket?.close();
      this.#socket = undefined;
      this.#hears(false);
      if (signal.aborted) return;
      this.#session = undefined;
      this.#options.speaker.use(undefined);
      await pause(waitMs, signal);
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    }
  }

  /** The session is provisioned: from now on what is written is acted on, and what was missed is read. */
  settled(session: Session): void {
    if (session !== this.#session) return;
    this.#settled = true;
    this.#catchUp(session);
  }

  #begin(session: Session, lost: AbortController): void {
    const { router, people, provisioner, speaker, log } = this.#options;
    this.#session = session;
    this.#settled = false;
    this.#unreadSince = router.seen || Date.now();
    people.use(session.client);
    provisioner.use(session);
    speaker.use(session);
    router.self = session.userId;
    const socket = new ChatSocket({
      url: this.#options.url,
      token: session.token,
      // Before that, it is left to the reading of missed posts.
      onPosted: (posted) => (this.#settled ? router.heard(posted) : undefined),
      onEdited: (post) => router.edited(post),
      onUser: (user) => people.forget(user.id),
      onNew: () => {
        this.#hears(true);
        this.#unreadSince ??= router.seen;
        if (this.#settled) this.#catchUp(session);
      },
      onAlive: () => this.#hears(true),
      onClose: () => this.#hears(false),
      onSuspect: () => {
        isAlive(session.client).then(
          (alive) => {
            if (alive || this.#session !== session) return;
            log.warn("own-token-lost");
            lost.abort();
          },
          () => undefined,
        );
      },
    });
    this.#socket = socket;
    socket.open();
    this.#options.onSession();
  }

  #hears(hearing: boolean): void {
    if (this.#hearing === hearing) return;
    this.#hearing = hearing;
    const again = (this.#socket?.connections ?? 0) > 1;
    if (hearing && again) this.#options.metrics.add("berth_chat_reconnects_total");
    this.#options.log.info(hearing ? "chat-connected" : "chat-lost");
  }

  /** Reads what was written while nobody listened: a mention then still wakes its agent. */
  #catchUp(session: Session): void {
    const since = this.#unreadSince;
    if (since === undefined) return;
    this.#unreadSince = undefined;
    const { provisioner, router, log } = this.#options;
    const read = async () => {
      for (const id of provisioner.channelIds()) {
        await missedPosts(session.client, id, "O", since, (posted) => router.heard(posted));
      }
      await missedDirect(session.client, since, (posted) => router.heard(posted));
    };
    read().catch((error: unknown) => {
      this.#unreadSince ??= since;
      log.warn("missed-not-read", { reason: reasonOf(error) });
    });
  }
}
