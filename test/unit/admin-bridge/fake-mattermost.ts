import { randomBytes } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";

interface User {
  id: string;
  username: string;
  email: string;
  roles: string;
  is_bot: boolean;
  delete_at: number;
  password: string;
  description?: string;
  bot_description?: string;
}
interface Channel {
  id: string;
  team_id: string;
  name: string;
  type: string;
  delete_at: number;
  last_post_at: number;
  members: Set<string>;
}
export interface Post {
  id: string;
  create_at: number;
  delete_at: number;
  user_id: string;
  channel_id: string;
  root_id: string;
  message: string;
  type: string;
  props: Record<string, unknown>;
}
interface Token {
  id: string;
  token: string;
  user_id: string;
  description: string;
}
type Reply = { status?: number; body: unknown };

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, id: string) {
    super(id);
    this.status = status;
  }
}

/** So much of Mattermost, in memory, as the admin bridge needs: REST on TCP and on the local-mode socket, and events. */
export class FakeMattermost {
  readonly users = new Map<string, User>();
  readonly tokens = new Map<string, Token>();
  readonly channels = new Map<string, Channel>();
  readonly posts: Post[] = [];
  /** Every change asked for, by either way. */
  readonly changes: string[] = [];
  /** Every call on the local-mode socket, with ids replaced. */
  readonly localCalls = new Set<string>();
  /** Whether tokens can be revoked. */
  revoking = true;
  readonly team = { id: id(), name: "", delete_at: 0, members: new Set<string>() };
  readonly #servers: http.Server[] = [];
  readonly #sockets = new Map<WebSocket, { token: string; userId: string; seq: number }>();
  #teams = 0;
  #port = 0;
  #clock = Date.now();

  async open(localSocket: string, port = 0): Promise<this> {
    const tcp = http.createServer((q, r) => void this.#serve(q, r, false));
    const local = http.createServer((q, r) => void this.#serve(q, r, true));
    const sockets = new WebSocketServer({ server: tcp });
    sockets.on("connection", (socket, request) => {
      const token = bearer(request);
      const userId = this.#owner(token)?.id;
      if (!userId) {
        setTimeout(() => socket.close(), 100);
        return;
      }
      const known = { token, userId, seq: 0 };
      this.#sockets.set(socket, known);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("message", (data) => {
        const { seq } = JSON.parse(String(data));
        const ok = this.#owner(token) !== undefined;
        const error = { id: "api.web_socket_router.not_authenticated.app_error", status_code: 401 };
        socket.send(
          JSON.stringify(
            ok
              ? { status: "OK", seq_reply: seq, data: { text: "pong" } }
              : { status: "FAIL", seq_reply: seq, error },
          ),
        );
      });
      this.#emit(socket, known, "hello", { connection_id: id(), server_version: "11.7" });
    });
    await new Promise<void>((resolve) => tcp.listen(port, "127.0.0.1", resolve));
    await new Promise<void>((resolve) => local.listen(localSocket, resolve));
    this.#servers.push(tcp, local);
    this.#port = (tcp.address() as AddressInfo).port;
    return this;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get socketCount(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets.keys()) socket.terminate();
    for (const server of this.#servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Cuts every WebSocket without a word. */
  cut(): void {
    for (const socket of this.#sockets.keys()) socket.terminate();
  }

  person(username: string): User {
    const user = this.#user(username, `${username}@example.test`, "password-of-a-person");
    this.team.members.add(user.id);
    for (const channel of this.channels.values())
      if (channel.type === "O") channel.members.add(user.id);
    return user;
  }

  byName(username: string): User | undefined {
    return [...this.users.values()].find((user) => user.username === username);
  }

  channel(name: string): Channel {
    const found = [...this.channels.values()].find((c) => c.name === name);
    if (!found) throw new Error(`no channel ${name}`);
    return found;
  }

  direct(a: string, b: string): Channel {
    const name = [a, b].sort().join("__");
    const found = [...this.channels.values()].find((c) => c.name === name);
    if (found) return found;
    return this.#channel("", name, "D", [a, b]);
  }

  tokensOf(username: string): Token[] {
    const user = this.byName(username);
    return [...this.tokens.values()].filter((t) => t.user_id === user?.id);
  }

  /** A user writes; the members hear it. */
  say(user: User, channelId: string, message: string, change: Partial<Post> = {}): Post {
    this.#clock = Math.max(Date.now(), this.#clock + 1);
    const post: Post = {
      id: id(),
      create_at: this.#clock,
      delete_at: 0,
      user_id: user.id,
      channel_id: channelId,
      root_id: "",
      message,
      type: "",
      props: user.is_bot ? { from_bot: "true" } : {},
      ...change,
    };
    this.posts.push(post);
    const channel = this.channels.get(channelId);
    if (!channel) throw new Error("no such channel");
    channel.last_post_at = post.create_at;
    for (const [socket, known] of this.#sockets) {
      if (!channel.members.has(known.userId) || !this.#owner(known.token)) continue;
      this.#emit(socket, known, "posted", {
        post: JSON.stringify(post),
        channel_type: channel.type,
        channel_name: channel.name,
        sender_name: `@${user.username}`,
      });
    }
    return post;
  }

  /** Posts of a user after another post. */
  answers(username: string, after: Post): Post[] {
    const user = this.byName(username);
    return this.posts.filter((p) => p.user_id === user?.id && p.create_at > after.create_at);
  }

  #emit(socket: WebSocket, known: { seq: number }, event: string, data: unknown): void {
    socket.send(JSON.stringify({ event, data, broadcast: {}, seq: known.seq }));
    known.seq += 1;
  }

  #owner(token: string): User | undefined {
    const found = [...this.tokens.values()].find((t) => t.token === token);
    const user = found && this.users.get(found.user_id);
    return user && user.delete_at === 0 ? user : undefined;
  }

  #user(username: string, email: string, password: string): User {
    const user = {
      id: id(),
      username,
      email,
      password,
      roles: "system_user",
      is_bot: false,
      delete_at: 0,
    };
    this.users.set(user.id, user);
    return user;
  }

  #channel(teamId: string, name: string, type: string, members: string[]): Channel {
    const channel = {
      id: id(),
      team_id: teamId,
      name,
      type,
      delete_at: 0,
      last_post_at: 0,
      members: new Set(members),
    };
    this.channels.set(channel.id, channel);
    return channel;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse, local: boolean) {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const send = ({ status = 200, body }: Reply) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    try {
      const text = Buffer.concat(parts).toString();
      const url = new URL(request.url ?? "/", "http://x");
      const path = url.pathname.replace("/api/v4/", "");
      const me = local ? undefined : this.#owner(bearer(request));
      if (local)
        this.localCalls.add(`${request.method} ${path.replaceAll(/[a-z0-9]{26}/g, "{id}")}`);
      if (!local && !me) throw new Refusal(401, "api.context.session_expired.app_error");
      const call = `${request.method} ${path}`;
      if (request.method !== "GET") this.changes.push(call);
      send(this.#answer(call, text === "" ? {} : JSON.parse(text), me, url));
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500;
      send({
        status,
        body: { id: String((error as Error).message), message: "refused", status_code: status },
      });
    }
  }

  #answer(call: string, body: Record<string, string>, me: User | undefined, url: URL): Reply {
    for (const [pattern, act] of this.#routes) {
      const match = pattern.exec(call);
      if (match) return act(match.slice(1), body, me, url);
    }
    throw new Refusal(404, `not faked: ${call}`);
  }

  #must<T>(value: T | undefined, kind = "missing"): T {
    if (value === undefined) throw new Refusal(404, kind);
    return value;
  }

  readonly #ok: Reply = { body: { status: "OK" } };

  readonly #routes: [
    RegExp,
    (ids: string[], body: Record<string, string>, me: User | undefined, url: URL) => Reply,
  ][] = [
    [/^GET system\/ping$/, () => this.#ok],
    [/^GET users\/me$/, (_i, _b, me) => ({ body: this.#must(me) })],
    [
      /^GET users\/me\/channels$/,
      (_i, _b, me) => ({
        body: [...this.channels.values()]
          .filter((c) => me && c.members.has(me.id))
          .map((c) => ({ ...c, members: undefined })),
      }),
    ],
    [/^GET users\/username\/(.+)$/, ([name = ""]) => ({ body: this.#must(this.byName(name)) })],
    [/^GET users\/(\w{26})$/, ([u = ""]) => ({ body: this.#must(this.users.get(u)) })],
    [
      /^POST users$/,
      (_i, { username = "", email = "", password = "" }) => {
        if (this.byName(username))
          throw new Refusal(400, "app.user.save.username_exists.app_error");
        return { status: 201, body: this.#user(username, email, password) };
      },
    ],
    [
      /^POST users\/(\w+)\/convert_to_bot$/,
      ([u = ""]) => {
        this.#must(this.users.get(u)).is_bot = true;
        return this.#ok;
      },
    ],
    [
      /^PUT users\/(\w+)\/roles$/,
      ([u = ""], { roles = "" }) => {
        this.#must(this.users.get(u)).roles = roles;
        return this.#ok;
      },
    ],
    [
      /^GET users\/(\w+)\/tokens$/,
      ([u]) => ({
        body: [...this.tokens.values()]
          .filter((t) => t.user_id === u)
          .map((t) => ({ ...t, token: undefined })),
      }),
    ],
    [
      /^POST users\/(\w+)\/tokens$/,
      ([u = ""], { description = "" }) => {
        const token = { id: id(), token: id(), user_id: u, description };
        this.tokens.set(token.id, token);
        return { body: token };
      },
    ],
    [
      /^POST users\/tokens\/revoke$/,
      (_i, { token_id = "" }) => {
        if (!this.revoking) throw new Refusal(500, "app.user_access_token.delete.app_error");
        this.#must(this.tokens.get(token_id));
        this.tokens.delete(token_id);
        return this.#ok;
      },
    ],
    [
      /^PUT bots\/(\w+)$/,
      ([u = ""], { description = "" }) => {
        const bot = this.#must(this.users.get(u));
        [bot.description, bot.bot_description] = [description, description];
        return { body: {} };
      },
    ],
    [
      /^POST bots\/(\w+)\/(enable|disable)$/,
      ([u = "", verb]) => {
        this.#must(this.users.get(u)).delete_at = verb === "disable" ? Date.now() : 0;
        return { body: {} };
      },
    ],
    [
      /^GET bots$/,
      () => ({
        body: [...this.users.values()]
          .filter((u) => u.is_bot && u.delete_at === 0)
          .map((u) => ({ user_id: u.id, username: u.username, description: u.description ?? "" })),
      }),
    ],
    [
      /^GET teams\/name\/(.+)$/,
      ([name]) => ({
        body: this.#must(this.#teams > 0 && name === this.team.name ? this.#teamView : undefined),
      }),
    ],
    [
      /^POST teams$/,
      (_i, { name = "" }, me) => {
        this.#teams += 1;
        this.team.name = name;
        if (me) this.team.members.add(me.id);
        this.#channel(this.team.id, "town-square", "O", me ? [me.id] : []);
        return { status: 201, body: this.#teamView };
      },
    ],
    [
      /^GET teams\/\w+\/members\/(\w+)$/,
      ([u = ""]) => ({ body: this.#must(this.team.members.has(u) ? { delete_at: 0 } : undefined) }),
    ],
    [
      /^POST teams\/\w+\/members$/,
      (_i, { user_id = "" }) => {
        this.team.members.add(user_id);
        return { status: 201, body: {} };
      },
    ],
    [
      /^GET teams\/\w+\/channels\/name\/(.+)$/,
      ([name]) => ({
        body: {
          ...this.#must([...this.channels.values()].find((c) => c.name === name)),
          members: undefined,
        },
      }),
    ],
    [
      /^POST channels$/,
      (_i, { name = "", team_id = "" }, me) => ({
        status: 201,
        body: { ...this.#channel(team_id, name, "O", me ? [me.id] : []), members: undefined },
      }),
    ],
    [
      /^POST channels\/(\w{26})\/restore$/,
      ([c = ""]) => {
        this.#must(this.channels.get(c)).delete_at = 0;
        return { body: {} };
      },
    ],
    [
      /^POST channels\/direct$/,
      (_i, body) => {
        const [a = "", b = ""] = body as unknown as string[];
        return { status: 201, body: { ...this.direct(a, b), members: undefined } };
      },
    ],
    [
      /^GET channels\/(\w+)\/members\/(\w+)$/,
      ([c = "", u = ""]) => ({
        body: this.#must(this.channels.get(c)?.members.has(u) ? {} : undefined),
      }),
    ],
    [
      /^POST channels\/(\w+)\/members$/,
      ([c = ""], { user_id = "" }) => {
        const channel = this.#must(this.channels.get(c));
        if (!this.team.members.has(user_id)) throw new Refusal(403, "not a member of the team");
        channel.members.add(user_id);
        return { status: 201, body: {} };
      },
    ],
    [
      /^DELETE channels\/(\w+)\/members\/(\w+)$/,
      ([c = "", u = ""]) => {
        this.#must(this.channels.get(c)).members.delete(u);
        return this.#ok;
      },
    ],
    [
      /^GET channels\/(\w+)\/posts$/,
      ([c], _b, _me, url) => {
        const since = Number(url.searchParams.get("since"));
        const found = this.posts.filter((p) => p.channel_id === c && p.create_at > since);
        return {
          body: {
            order: found.map((p) => p.id),
            posts: Object.fromEntries(found.map((p) => [p.id, p])),
          },
        };
      },
    ],
    [
      /^POST posts$/,
      (_i, { channel_id = "", message = "", root_id = "" }, me) => ({
        status: 201,
        body: this.say(this.#must(me), channel_id, message, { root_id }),
      }),
    ],
  ];

  get #teamView() {
    return { ...this.team, members: undefined };
  }
}

function bearer(request: http.IncomingMessage): string {
  return (request.headers.authorization ?? "").replace(/^bearer /i, "");
}

function id(): string {
  return randomBytes(13).toString("hex");
}
