import type { WebSocket } from "ws";
import { newId } from "./ids.ts";

/** To whom an event went, as clients see it. */
export interface Broadcast {
  readonly user_id?: string;
  readonly channel_id?: string;
  readonly team_id?: string;
  readonly omit_users?: Readonly<Record<string, boolean>> | null;
}

/** Something that happened, for some users. */
export interface HubEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly broadcast: Broadcast;
  /** Ids of the users who hear it. */
  readonly to: Iterable<string>;
  /** Data for this receiver alone. */
  readonly only?: (userId: string) => Readonly<Record<string, unknown>> | undefined;
}

/** Events kept for a connection that comes back. */
const bufferSize = 128;
/** How long a connection that broke is kept. */
const keepMs = 5 * 60_000;
/** Bytes that a receiver may be behind before its connection is cut (it can resume). */
const maxBehind = 1024 * 1024;
/** Broken connections kept for one user. */
const maxKept = 32;

/** A client's stream of events. It outlives its socket for a while, if the client may resume it. */
export class Connection {
  readonly id = newId();
  readonly userId: string;
  /** Whether the upgrade carried the token; only then can the client come back to this stream. */
  readonly resumable: boolean;
  readonly key: string;
  readonly #expiresAt: number;
  #socket: WebSocket | undefined;
  #detachedAt = 0;
  #deaf = false;
  #next = 0;
  #sent: { readonly seq: number; readonly text: string }[] = [];

  constructor(
    socket: WebSocket,
    owner: { userId: string; key: string; expiresAt: number },
    resumable: boolean,
  ) {
    this.#socket = socket;
    this.userId = owner.userId;
    this.key = owner.key;
    this.#expiresAt = owner.expiresAt;
    this.resumable = resumable;
  }

  /** False once the credential is revoked, the account off or the session over: the stream is deaf for good. */
  get authenticated(): boolean {
    return !this.#deaf && (this.#expiresAt === 0 || this.#expiresAt > Date.now());
  }

  get attached(): boolean {
    return this.#socket !== undefined;
  }

  get detachedAt(): number {
    return this.#detachedAt;
  }

  deafen(): void {
    this.#deaf = true;
    this.#sent = [];
  }

  detach(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#detachedAt = Date.now();
  }

  /** Sends what the client has missed from `seq` on. False where something of it is no longer kept. */
  resume(socket: WebSocket, seq: number): boolean {
    const oldest = this.#sent[0]?.seq ?? this.#next;
    if (seq < oldest || seq > this.#next) return false;
    this.#socket?.terminate();
    this.#socket = socket;
    for (const { seq: sent, text } of this.#sent) if (sent >= seq) socket.send(text);
    return true;
  }

  /** Sends an event whose JSON lacks only the sequence number. */
  send(body: string): void {
    if (!this.authenticated) return;
    const seq = this.#next++;
    const text = `${body.slice(0, -1)},"seq":${seq}}`;
    this.#sent.push({ seq, text });
    if (this.#sent.length > bufferSize) this.#sent.shift();
    const socket = this.#socket;
    if (!socket) return;
    if (socket.bufferedAmount > maxBehind) socket.terminate();
    else socket.send(text);
  }
}

/** JSON of an event, without the sequence number. */
export function eventBody(
  event: string,
  data: Readonly<Record<string, unknown>>,
  broadcast: Broadcast,
): string {
  return JSON.stringify({
    event,
    data,
    broadcast: {
      omit_users: broadcast.omit_users ?? null,
      user_id: broadcast.user_id ?? "",
      channel_id: broadcast.channel_id ?? "",
      team_id: broadcast.team_id ?? "",
      connection_id: "",
      omit_connection_id: "",
    },
  });
}

/** All live connections, and who hears what. */
export class Hub {
  readonly #byUser = new Map<string, Set<Connection>>();

  add(connection: Connection): void {
    const own = this.#byUser.get(connection.userId) ?? new Set();
    own.add(connection);
    this.#byUser.set(connection.userId, own);
  }

  remove(connection: Connection): void {
    const own = this.#byUser.get(connection.userId);
    own?.delete(connection);
    if (own?.size === 0) this.#byUser.delete(connection.userId);
  }

  /** A user's stream that can be resumed. */
  find(userId: string, id: string): Connection | undefined {
    for (const connection of this.#byUser.get(userId) ?? [])
      if (connection.id === id && connection.resumable && connection.authenticated)
        return connection;
    return undefined;
  }

  /** Whether the user has an open connection. */
  online(userId: string): boolean {
    for (const connection of this.#byUser.get(userId) ?? [])
      if (connection.attached && connection.authenticated) return true;
    return false;
  }

  publish(event: HubEvent): void {
    let common: string | undefined;
    const omitted = event.broadcast.omit_users ?? {};
    for (const userId of event.to) {
      const own = this.#byUser.get(userId);
      if (!own || omitted[userId]) continue;
      const extra = event.only?.(userId);
      common ??= eventBody(event.event, event.data, event.broadcast);
      const body = extra
        ? eventBody(event.event, { ...event.data, ...extra }, event.broadcast)
        : common;
      for (const connection of own) connection.send(body);
    }
  }

  /** Every connection made with a credential goes deaf. */
  revoke(userId: string, key: string): void {
    for (const connection of this.#byUser.get(userId) ?? [])
      if (connection.key === key) connection.deafen();
  }

  /** Every connection of a user goes deaf, but those of one credential. */
  revokeUser(userId: string, exceptKey?: string): void {
    for (const connection of this.#byUser.get(userId) ?? [])
      if (connection.key !== exceptKey) connection.deafen();
  }

  /** Forgets streams that nobody came back to. Called now and then. */
  sweep(): void {
    for (const own of [...this.#byUser.values()]) {
      const broken = [...own].filter((connection) => !connection.attached);
      broken.sort((a, b) => b.detachedAt - a.detachedAt);
      for (const [index, connection] of broken.entries()) {
        const old = connection.detachedAt < Date.now() - keepMs;
        if (old || index >= maxKept || !connection.resumable || !connection.authenticated)
          this.remove(connection);
      }
    }
  }
}
