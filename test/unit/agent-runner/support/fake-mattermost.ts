import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import http from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import type { Declaration } from "../../../../spec/declaration.ts";

export interface FakePost {
  readonly id: string;
  readonly create_at: number;
  readonly user_id: string;
  readonly channel_id: string;
  readonly root_id: string;
  readonly type: string;
  readonly props: Record<string, unknown>;
  message: string;
  /** Every text this post ever had, with the time in ms. */
  readonly history: { readonly text: string; readonly at: number }[];
}

interface Client {
  readonly id: string;
  seq: number;
  readonly sent: { readonly seq: number; readonly text: string }[];
  socket: WebSocket | undefined;
}

const newId = () => randomBytes(13).toString("hex");

/**
 * The part of Mattermost and of the gateway that one agent sees, on one unix socket, with faults to order.
 * It cannot prove that a real server answers alike: the contract suite does that for the stand-in.
 */
export class FakeMattermost {
  readonly botId = newId();
  readonly users = new Map<string, { id: string; username: string; is_bot: boolean }>();
  readonly channels = new Map<
    string,
    { id: string; name: string; type: string; members: number }
  >();
  readonly posts: FakePost[] = [];
  readonly typing: string[] = [];
  readonly requests: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  /** The socket stays open and answers nothing but FAIL: the bot's token was revoked. */
  deaf = false;
  /** Events are counted but not sent: the runner sees a gap. */
  muted = false;
  /** A new connection may take up an old one. */
  resumable = true;
  /** REST answers this status instead. */
  failing: number | undefined;
  selfStatus = 200;
  connections = 0;
  declaration: Declaration;
  readonly #socketPath: string;
  readonly #clients: Client[] = [];
  readonly #server: http.Server;
  #clock = 0;

  constructor(socketPath: string, declaration: Declaration) {
    this.#socketPath = socketPath;
    this.declaration = declaration;
    this.users.set(this.botId, { id: this.botId, username: declaration.name, is_bot: true });
    this.addChannel("town-square");
    const sockets = new WebSocketServer({ noServer: true });
    this.#server = http.createServer((request, response) => this.#rest(request, response));
    this.#server.on("upgrade", (request, socket, head) => {
      this.authorizations.add(request.headers.authorization);
      sockets.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, request.url ?? ""));
    });
  }

  async listen(): Promise<void> {
    rmSync(this.#socketPath, { force: true });
    await new Promise<void>((resolve) => this.#server.listen(this.#socketPath, resolve));
  }

  async listenTcp(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    this.dropSockets();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  addUser(username: string, isBot = false): string {
    const known = [...this.users.values()].find((user) => user.username === username);
    if (known) return known.id;
    const id = newId();
    this.users.set(id, { id, username, is_bot: isBot });
    return id;
  }

  addChannel(name: string, type = "O"): string {
    const known = [...this.channels.values()].find((channel) => channel.name === name);
    if (known) return known.id;
    const id = newId();
    this.channels.set(id, { id, name, type, members: 2 });
    return id;
  }

  directWith(username: string): string {
    return this.addChannel(`${this.addUser(username)}__${this.botId}`, "D");
  }

  /** A person writes. Silent: the server keeps it, and no event is sent. */
  say(
    username: string,
    message: string,
    options: {
      readonly channel?: string;
      readonly root?: string;
      readonly silent?: boolean;
      readonly fromBot?: boolean;
      readonly at?: number;
    } = {},
  ): FakePost {
    const post = this.#add({
      user_id: this.addUser(username),
      channel_id: options.channel ?? this.addChannel("town-square"),
      root_id: options.root ?? "",
      message,
      props: options.fromBot ? { from_bot: "true" } : {},
      ...(options.at ? { at: options.at } : {}),
    });
    if (!options.silent) this.#publish(post);
    return post;
  }

  /** What the agent wrote, in order; only in one thread where its root is given. */
  answers(root?: string): FakePost[] {
    return this.posts.filter(
      (post) => post.user_id === this.botId && (root === undefined || post.root_id === root),
    );
  }

  dropSockets(): void {
    for (const client of this.#clients) client.socket?.terminate();
  }

  get open(): number {
    return this.#clients.filter(({ socket }) => socket?.readyState === 1).length;
  }

  #add(post: {
    user_id: string;
    channel_id: string;
    root_id: string;
    message: string;
    props: Record<string, unknown>;
    at?: number;
  }): FakePost {
    this.#clock = Math.max(Date.now(), this.#clock + 1);
    const { at = this.#clock, ...rest } = post;
    const made = {
      ...rest,
      id: newId(),
      create_at: at,
      type: "",
      history: [{ text: post.message, at: Date.now() }],
    };
    this.posts.push(made);
    return made;
  }

  #publish(post: FakePost): void {
    const channel = this.channels.get(post.channel_id);
    const named = new RegExp(`@(${this.declaration.name}(?![\\w-])|all|channel|here)`, "i");
    this.#event("posted", post.channel_id, {
      channel_type: channel?.type,
      channel_name: channel?.name,
      post: JSON.stringify(wire(post)),
      sender_name: `@${this.users.get(post.user_id)?.username}`,
      ...(named.test(post.message) ? { mentions: JSON.stringify([this.botId]) } : {}),
    });
  }

  #event(event: string, channelId: string, data: Record<string, unknown>): void {
    for (const client of this.#clients) {
      if (!client.socket && !this.resumable) continue;
      const seq = ++client.seq;
      const text = JSON.stringify({ event, data, broadcast: { channel_id: channelId }, seq });
      client.sent.push({ seq, text });
      if (!this.deaf && !this.muted) client.socket?.send(text);
    }
  }

  #accept(socket: WebSocket, url: string): void {
    this.connections++;
    const query = new URL(url, "http://x").searchParams;
    const wanted = query.get("connection_id");
    const from = Number(query.get("sequence_number"));
    const known = this.#clients.find(({ id }) => id === wanted && this.resumable);
    const client = known ?? { id: newId(), seq: 0, sent: [], socket };
    client.socket = socket;
    if (known) {
      for (const { seq, text } of known.sent) if (seq >= from) socket.send(text);
    } else {
      this.#clients.push(client);
      const data = { connection_id: client.id, server_version: "11.7.0" };
      if (!this.deaf) socket.send(JSON.stringify({ event: "hello", data, broadcast: {}, seq: 0 }));
    }
    socket.on("close", () => {
      if (client.socket === socket) client.socket = undefined;
    });
    socket.on("message", (text) => {
      const frame = JSON.parse(String(text)) as { seq: number; action: string };
      const reply = this.deaf
        ? {
            status: "FAIL",
            error: {
              id: "api.web_socket_router.not_authenticated.app_error",
              status_code: 401,
            },
          }
        : { status: "OK", data: { text: "pong" } };
      socket.send(JSON.stringify({ ...reply, seq_reply: frame.seq }));
    });
  }

  #rest(request: http.IncomingMessage, response: http.ServerResponse): void {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const text = Buffer.concat(parts).toString("utf8");
      const url = new URL(request.url ?? "/", "http://x");
      this.requests.push(`${request.method} ${url.pathname}`);
      if (url.pathname.startsWith("/api/")) this.authorizations.add(request.headers.authorization);
      const send = (status: number, value: unknown) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify(value));
      };
      if (url.pathname === "/berth/self") {
        return send(this.selfStatus, {
          declaration: this.declaration,
          userId: this.botId,
          username: this.declaration.name,
          team: "berth",
        });
      }
      if (this.failing)
        return send(this.failing, { id: "fault.ordered", status_code: this.failing });
      const body = text ? (JSON.parse(text) as Record<string, string>) : {};
      const call = `${request.method} ${url.pathname.replace("/api/v4", "")}`;
      send(...this.#answer(call, url, body));
    });
  }

  #answer(call: string, url: URL, body: Record<string, string>): readonly [number, unknown] {
    const [, id = ""] = /^[A-Z]+ \/[a-z]+\/([^/]+)/.exec(call) ?? [];
    const missing = [404, { id: "app.missing", status_code: 404 }] as const;
    if (call === "POST /posts") {
      if ([...(body.message ?? "")].length > 16_383) {
        return [400, { id: "model.post.is_valid.message_length.app_error" }];
      }
      if (!body.message?.trim()) return [400, { id: "model.post.is_valid.message.app_error" }];
      const root = this.posts.find((post) => post.id === body.root_id);
      if (body.root_id && (!root || root.root_id)) {
        return [400, { id: "api.post.create_post.root_id.app_error" }];
      }
      const post = this.#add({
        user_id: this.botId,
        channel_id: body.channel_id ?? "",
        root_id: body.root_id ?? "",
        message: body.message ?? "",
        props: { from_bot: "true" },
      });
      setImmediate(() => this.#publish(post));
      return [201, wire(post)];
    }
    if (call.startsWith("PUT /posts/")) {
      const post = this.posts.find((item) => item.id === id);
      if (!post) return missing;
      post.message = body.message ?? "";
      post.history.push({ text: post.message, at: Date.now() });
      return [200, wire(post)];
    }
    if (call.startsWith("GET /posts/")) {
      const post = this.posts.find((item) => item.id === id);
      return post ? [200, wire(post)] : missing;
    }
    if (call.endsWith("/channels")) {
      return [
        200,
        [...this.channels.values()].map(({ id: channelId, name, type }) => ({
          id: channelId,
          name,
          type,
          last_post_at: this.posts
            .filter((post) => post.channel_id === channelId)
            .reduce((latest, post) => Math.max(latest, post.create_at), 0),
        })),
      ];
    }
    if (/^GET \/channels\/[^/]+\/posts$/.test(call)) {
      const since = Number(url.searchParams.get("since"));
      const posts = this.posts.filter((p) => p.channel_id === id && p.create_at > since);
      return [
        200,
        {
          order: posts.map((post) => post.id),
          posts: Object.fromEntries(posts.map((post) => [post.id, wire(post)])),
        },
      ];
    }
    if (call === "POST /users/me/typing") {
      this.typing.push(body.channel_id ?? "");
      return [200, { status: "OK" }];
    }
    if (call.startsWith("GET /users/")) {
      const user = this.users.get(id);
      return user ? [200, user] : missing;
    }
    return missing;
  }
}

function wire({ history: _, ...post }: FakePost): object {
  return { ...post, update_at: post.create_at, delete_at: 0 };
}
