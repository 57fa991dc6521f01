import type { UserAccessToken, UserProfile } from "@mattermost/types/users";
import { type Answer, request } from "../common/http.ts";

/**
 * Mattermost's local-mode socket. Every caller there is an unrestricted administrator, and `DELETE /users` there deletes
 * every user for good: so only this module opens it, and only by the closed list of functions below.
 */
export class LocalMode {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Resolves when the server answers. */
  async ping(): Promise<void> {
    await this.#call("GET", "/system/ping");
  }

  /** The user of that name, deactivated or not, person or bot. */
  async findUser(username: string): Promise<UserProfile | undefined> {
    const answer = await this.#send("GET", `/users/username/${encodeURIComponent(username)}`);
    return answer.status === 404 ? undefined : read<UserProfile>(answer);
  }

  /** Makes an account; the sign-up switches do not apply here. */
  async createUser(user: {
    readonly username: string;
    readonly email: string;
    readonly password: string;
  }): Promise<UserProfile> {
    return read(await this.#send("POST", "/users", user));
  }

  /** Makes an account a bot that owns itself. `POST /bots` does not exist on this socket. */
  async convertToBot(userId: string): Promise<void> {
    await this.#call("POST", `/users/${userId}/convert_to_bot`, {});
  }

  /** Brings a disabled bot back. Its old tokens come back with it: revoke them first. */
  async enableBot(userId: string): Promise<void> {
    await this.#call("POST", `/bots/${userId}/enable`);
  }

  /** Sets an account's roles, separated by spaces. */
  async setRoles(userId: string, roles: string): Promise<void> {
    await this.#call("PUT", `/users/${userId}/roles`, { roles });
  }

  /** Every access token of a user, without the secret part. */
  async listTokens(userId: string): Promise<UserAccessToken[]> {
    const all: UserAccessToken[] = [];
    for (let page = 0; page < 50; page++) {
      const part = read<UserAccessToken[]>(
        await this.#send("GET", `/users/${userId}/tokens?page=${page}&per_page=200`),
      );
      all.push(...part);
      if (part.length < 200) break;
    }
    return all;
  }

  /** Mints an access token; its secret part is in the answer and nowhere else. */
  async createToken(userId: string, description: string): Promise<{ id: string; token: string }> {
    const made = read<UserAccessToken>(
      await this.#send("POST", `/users/${userId}/tokens`, { description }),
    );
    if (!made.token) throw new Error("Mattermost answered a new token without its secret part");
    return { id: made.id, token: made.token };
  }

  async revokeToken(tokenId: string): Promise<void> {
    const answer = await this.#send("POST", "/users/tokens/revoke", { token_id: tokenId });
    // Gone already is what was wanted.
    if (answer.status !== 404) read(answer);
  }

  #send(method: string, path: string, body?: unknown): Promise<Answer> {
    return request(
      { socketPath: this.#socketPath },
      {
        method,
        path: `/api/v4${path}`,
        timeoutMs: 15_000,
        ...(body === undefined ? {} : { body }),
      },
    );
  }

  async #call(method: string, path: string, body?: unknown): Promise<void> {
    read(await this.#send(method, path, body));
  }
}

/** An error answer of Mattermost's local mode. */
export class LocalModeError extends Error {
  readonly status: number;
  /** Mattermost's error id, the part to match on. */
  readonly id: string;

  constructor(status: number, id: string, message: string) {
    super(`Mattermost's local mode: ${message} (${id}, ${status})`);
    this.status = status;
    this.id = id;
  }
}

function read<T>(answer: Answer): T {
  let value: { id?: string; message?: string };
  try {
    value = JSON.parse(answer.text);
  } catch {
    throw new LocalModeError(answer.status, "not-json", "an answer that is not JSON");
  }
  if (answer.status >= 400) {
    throw new LocalModeError(answer.status, value.id ?? "unknown", value.message ?? "no message");
  }
  return value as T;
}
