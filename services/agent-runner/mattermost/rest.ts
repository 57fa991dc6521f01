import http from "node:http";
import type { Endpoint } from "../../common/http.ts";
import { pause } from "../wait.ts";
import type { Channel, Post, PostList, User } from "./types.ts";

/** Mattermost's refusal: `id` is what to compare, never the message. */
export class MattermostError extends Error {
  readonly status: number;
  readonly id: string;

  constructor(call: string, status: number, id: string) {
    super(`Mattermost answered ${status} ${id} to ${call}`);
    this.status = status;
    this.id = id;
  }

  /** The same call would fail again: nothing was only away for a moment. */
  get final(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 401 && this.status !== 429;
  }
}

export interface CallOptions {
  /** How long to go on trying while the server is away, in milliseconds. 0: one attempt. */
  readonly patienceMs?: number;
}

/** Largest answer that is read: a thousand long posts. */
const maxAnswerBytes = 64 * 1024 * 1024;
const requestTimeoutMs = 15_000;

/**
 * The few REST calls that the runner makes. The gateway adds the bot's token; only an agent on Mattermost's own network adds it itself.
 */
export class MattermostRest {
  readonly #endpoint: Endpoint;
  readonly #authorization: () => Promise<string | undefined>;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  readonly #userId: string;
  #lastPending = 0;

  constructor(options: {
    readonly endpoint: Endpoint;
    readonly userId: string;
    readonly authorization: () => Promise<string | undefined>;
  }) {
    this.#endpoint = options.endpoint;
    this.#userId = options.userId;
    this.#authorization = options.authorization;
  }

  channels(): Promise<readonly Channel[]> {
    return this.#call("GET", `/users/${this.#userId}/channels`);
  }

  /** Posts made or changed since a time in ms, in the order in which they were made. */
  async postsSince(channelId: string, since: number): Promise<readonly Post[]> {
    const list = await this.#call<PostList>("GET", `/channels/${channelId}/posts?since=${since}`);
    return Object.values(list.posts ?? {}).sort((a, b) => a.create_at - b.create_at);
  }

  post(id: string): Promise<Post> {
    return this.#call("GET", `/posts/${id}`);
  }

  user(id: string): Promise<User> {
    return this.#call("GET", `/users/${id}`);
  }

  /** Writes a post. A repeated attempt carries the same pending id, by which the server knows it. */
  createPost(
    post: { readonly channelId: string; readonly rootId: string; readonly message: string },
    options?: CallOptions,
  ): Promise<Post> {
    this.#lastPending = Math.max(Date.now(), this.#lastPending + 1);
    const body = {
      channel_id: post.channelId,
      root_id: post.rootId,
      message: post.message,
      pending_post_id: `${this.#userId}:${this.#lastPending}`,
    };
    return this.#call("POST", "/posts", body, options);
  }

  editPost(id: string, message: string, options?: CallOptions): Promise<Post> {
    return this.#call("PUT", `/posts/${id}/patch`, { message }, options);
  }

  async typing(channelId: string, parentId: string): Promise<void> {
    await this.#call(
      "POST",
      "/users/me/typing",
      { channel_id: channelId, parent_id: parentId },
      { patienceMs: 0 },
    );
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call<T>(
    method: string,
    path: string,
    body?: unknown,
    options: CallOptions = {},
  ): Promise<T> {
    const giveUpAt = Date.now() + (options.patienceMs ?? 20_000);
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 3_000)) {
      try {
        return await this.#once<T>(method, path, body);
      } catch (error) {
        if (error instanceof MattermostError && error.final) throw error;
        if (Date.now() + waitMs > giveUpAt) throw error;
      }
      await pause(waitMs);
    }
  }

  async #once<T>(method: string, path: string, body: unknown): Promise<T> {
    const authorization = await this.#authorization();
    const data = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise<T>((resolve, reject) => {
      const sent = http.request(
        {
          ...this.#endpoint,
          agent: this.#agent,
          method,
          path: `/api/v4${path}`,
          timeout: requestTimeoutMs,
          headers: {
            host: "mattermost",
            ...(authorization ? { authorization } : {}),
            ...(data ? { "content-type": "application/json", "content-length": data.length } : {}),
          },
        },
        (answer) => {
          const parts: Buffer[] = [];
          let size = 0;
          answer.on("data", (part: Buffer) => {
            size += part.length;
            if (size > maxAnswerBytes) answer.destroy(new Error("the answer is too large"));
            else parts.push(part);
          });
          answer.on("error", reject);
          answer.on("end", () => {
            const call = `${method} ${path.split("?")[0]}`;
            const value = parse(Buffer.concat(parts).toString("utf8"));
            const status = answer.statusCode ?? 0;
            if (status >= 200 && status < 300 && value !== undefined) return resolve(value as T);
            const id = (value as { id?: unknown } | undefined)?.id;
            reject(
              new MattermostError(call, status, typeof id === "string" ? id : "(no error id)"),
            );
          });
        },
      );
      sent.on("timeout", () => sent.destroy(new Error("Mattermost did not answer in time")));
      sent.on("error", reject);
      sent.end(data);
    });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
