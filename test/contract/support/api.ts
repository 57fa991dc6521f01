import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { Server } from "./server.ts";

/** JSON as the tests look at it. */
export type Json = Readonly<Record<string, unknown>>;

/** An answer of the API, whatever its status. */
export interface Reply<T = Json> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** A user with a token: what the tests call the API as. */
export class Caller {
  readonly url: string;
  readonly token: string;
  readonly id: string;
  readonly username: string;

  constructor(url: string, token = "", id = "", username = "") {
    this.url = url;
    this.token = token;
    this.id = id;
    this.username = username;
  }

  /** One call, whatever its status. */
  async call<T = Json>(method: string, path: string, body?: unknown): Promise<Reply<T>> {
    const form = body instanceof FormData;
    const answer = await fetch(`${this.url}/api/v4${path}`, {
      method,
      headers: {
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(body === undefined || form ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: form ? body : JSON.stringify(body) }),
    });
    return {
      status: answer.status,
      headers: answer.headers,
      body: JSON.parse(await answer.text()) as T,
    };
  }

  /** A call that must succeed; its body. */
  async get<T = Json>(path: string): Promise<T> {
    return this.must<T>("GET", path);
  }

  async post<T = Json>(path: string, body?: unknown): Promise<T> {
    return this.must<T>("POST", path, body);
  }

  async put<T = Json>(path: string, body?: unknown): Promise<T> {
    return this.must<T>("PUT", path, body);
  }

  async delete<T = Json>(path: string): Promise<T> {
    return this.must<T>("DELETE", path);
  }

  async must<T = Json>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.call<T>(method, path, body);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}

/** Expects an error in Mattermost's shape. */
export function expectError(reply: Reply<unknown>, status: number, id: string): void {
  expect(reply.body).toMatchObject({ id, status_code: status });
  expect(reply.status).toBe(status);
  const body = reply.body as Json;
  for (const field of ["message", "detailed_error", "request_id"])
    expect(body[field], field).toBeTypeOf("string");
}

/** A name that no other test, and no other run on the same server, uses. */
export function unique(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString("hex")}`;
}

/** Logs in; the token is the session's. */
export async function login(server: Server, username: string, password: string): Promise<Caller> {
  const anyone = new Caller(server.url);
  const answer = await anyone.call("POST", "/users/login", { login_id: username, password });
  const token = answer.headers.get("token");
  if (answer.status !== 200 || !token) throw new Error(`login: ${JSON.stringify(answer.body)}`);
  return new Caller(server.url, token, String(answer.body.id), username);
}

export interface Thing {
  readonly id: string;
  readonly name: string;
}

/** A server with an administrator, a team and what tests need of people and bots. */
export class World {
  readonly server: Server;
  readonly admin: Caller;
  readonly team: Thing;
  readonly townSquare: Thing;

  private constructor(server: Server, admin: Caller, team: Thing, townSquare: Thing) {
    this.server = server;
    this.admin = admin;
    this.team = team;
    this.townSquare = townSquare;
  }

  static async open(server: Server): Promise<World> {
    const admin = await login(server, server.admin.username, server.admin.password);
    const name = unique("team");
    const team = await admin.post<Thing & Json>("/teams", { name, display_name: name, type: "I" });
    const square = await admin.get<Thing & Json>(`/teams/${team.id}/channels/name/town-square`);
    return new World(server, admin, team, square);
  }

  /** A new person, logged in; in the team unless `outside`. */
  async person(prefix = "person", outside = false): Promise<Caller & { password: string }> {
    const username = unique(prefix);
    const password = `Pw1!${username}`;
    const user = await this.admin.post("/users", {
      username,
      password,
      email: `${username}@example.org`,
    });
    if (!outside) await this.join(String(user.id));
    const caller = await login(this.server, username, password);
    return Object.assign(caller, { password });
  }

  /** A new bot with a token; in the team unless `outside`. */
  async bot(prefix = "bot", outside = false): Promise<Caller & { tokenId: string }> {
    const username = unique(prefix);
    const bot = await this.admin.post("/bots", { username, display_name: prefix });
    const id = String(bot.user_id);
    if (!outside) await this.join(id);
    const token = await this.admin.post(`/users/${id}/tokens`, { description: "contract" });
    const caller = new Caller(this.server.url, String(token.token), id, username);
    return Object.assign(caller, { tokenId: String(token.id) });
  }

  async join(userId: string): Promise<void> {
    await this.admin.post(`/teams/${this.team.id}/members`, {
      team_id: this.team.id,
      user_id: userId,
    });
  }

  /** A new channel with these members. */
  async channel(type: "O" | "P", ...members: readonly Caller[]): Promise<Thing> {
    const name = unique("channel");
    const channel = await this.admin.post<Thing & Json>("/channels", {
      team_id: this.team.id,
      name,
      display_name: name,
      type,
    });
    for (const member of members)
      await this.admin.post(`/channels/${channel.id}/members`, { user_id: member.id });
    return channel;
  }
}
