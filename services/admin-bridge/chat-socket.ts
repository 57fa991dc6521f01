import { WebSocketClient } from "@mattermost/client";
import type { Post } from "@mattermost/types/posts";

/** A post as its event brings it. */
export interface Posted {
  readonly post: Post;
  /** `O`, `P`, `D` or `G`. */
  readonly channelType: string;
}

export interface ChatSocketOptions {
  /** Base URL of the server, `http://…`. */
  readonly url: string;
  readonly token: string;
  readonly onPosted: (posted: Posted) => void;
  /** A post was edited: its present text. */
  readonly onEdited?: (post: Post) => void;
  /** A user's account changed, its name perhaps. */
  readonly onUser?: (user: { readonly id: string; readonly username: string }) => void;
  /** A connection began, and what was written before it was not heard: also at the first one. */
  readonly onNew: () => void;
  /** The server answered a question on the socket: a connection, new or resumed, that hears. */
  readonly onAlive?: () => void;
  readonly onClose?: () => void;
  /** Something says that the token may be dead; the receiver asks the server and decides. */
  readonly onSuspect: () => void;
}

/** Between two questions whether the socket still hears. */
const checkEveryMs = 30_000;
/** Longest wait for the server's `hello` on a new connection, above its own 5 s for authentication. */
const helloWithinMs = 6_000;

type SocketInit = { readonly headers: Readonly<Record<string, string>> };

/**
 * `WebSocketClient` with its traps closed (facts: Mattermost, section 4): the token goes with the upgrade, so that a
 * reconnection resumes; a missed-message listener is set, without which it loops after a reconnection; a socket that is
 * open but deaf, since its token was revoked, is found by its ping's failure.
 */
export class ChatSocket {
  readonly #options: ChatSocketOptions;
  readonly #client: WebSocketClient;
  #socket: WebSocket | undefined;
  #check: NodeJS.Timeout | undefined;
  #hello: NodeJS.Timeout | undefined;
  #closed = false;
  /** The present connection was accepted, and something was heard on it. */
  #accepted = false;
  #heard = false;
  #connections = 0;

  constructor(options: ChatSocketOptions) {
    this.#options = options;
    this.#client = new WebSocketClient({
      newWebSocketFn: (url) => this.#connect(url),
      minWebSocketRetryTime: 500,
      reconnectJitterRange: 500,
      maxWebSocketRetryTime: 5_000,
      clientPingInterval: checkEveryMs,
    });
    // Without such a listener the client keeps no connection id; what it would do is done at the `hello`.
    this.#client.addMissedMessageListener(() => undefined);
    const opened = () => {
      this.#connections += 1;
      this.#accepted = true;
      this.#watch();
    };
    this.#client.addFirstConnectListener(opened);
    this.#client.addReconnectListener(opened);
    this.#client.addCloseListener((failures) => {
      this.#unwatch();
      if (this.#closed) return;
      // The server takes any token at the upgrade and closes a bad one's socket without a word; what stands between
      // may refuse the upgrade itself.
      const speechless = this.#accepted && !this.#heard;
      this.#accepted = false;
      this.#heard = false;
      options.onClose?.();
      if (speechless || failures % 10 === 0) options.onSuspect();
    });
    this.#client.addMessageListener((message) => {
      if (this.#closed) return;
      this.#hears();
      if (message.event === "hello") {
        // A resumed connection has none: so every `hello` means that posts may have been missed.
        options.onNew();
        return;
      }
      this.#receive(message.event, message.data);
    });
  }

  /** Connects, and reconnects until it is closed. */
  open(): void {
    this.#client.initialize(`${this.#options.url.replace(/^http/, "ws")}/api/v4/websocket`);
  }

  /** Closes for good; nothing is called any more. */
  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#client.close();
    // The client leaves alone a socket that is still connecting.
    const socket = this.#socket;
    if (socket && socket.readyState <= WebSocket.OPEN) {
      socket.onopen = null;
      socket.onclose = null;
      socket.onerror = null;
      socket.onmessage = null;
      socket.close();
    }
  }

  /** How often a connection came about. */
  get connections(): number {
    return this.#connections;
  }

  #connect(url: string): WebSocket {
    const init: SocketInit = { headers: { authorization: `Bearer ${this.#options.token}` } };
    // Node's WebSocket takes headers in place of protocols; the browser's type does not know that.
    const socket = new WebSocket(url, init as unknown as string[]);
    this.#socket = socket;
    return socket;
  }

  #watch(): void {
    this.#unwatch();
    const ask = () =>
      this.#client.sendMessage("ping", {}, (reply: unknown) => {
        if ((reply as { status?: string }).status === "FAIL") {
          this.#options.onSuspect();
          return;
        }
        this.#hears();
        this.#options.onAlive?.();
      });
    ask();
    this.#check = setInterval(ask, checkEveryMs);
    this.#hello = setTimeout(() => this.#options.onSuspect(), helloWithinMs);
  }

  #hears(): void {
    this.#heard = true;
    clearTimeout(this.#hello);
  }

  #unwatch(): void {
    clearInterval(this.#check);
    clearTimeout(this.#hello);
  }

  #receive(event: string, data: unknown): void {
    if (event === "posted") {
      const { post, channel_type } = data as { post: string; channel_type: string };
      this.#options.onPosted({ post: JSON.parse(post) as Post, channelType: channel_type });
    } else if (event === "post_edited") {
      this.#options.onEdited?.(JSON.parse((data as { post: string }).post) as Post);
    } else if (event === "user_updated") {
      this.#options.onUser?.((data as { user: { id: string; username: string } }).user);
    }
  }
}
