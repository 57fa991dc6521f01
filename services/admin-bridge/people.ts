import type { UserProfile } from "@mattermost/types/users";
import { type ChatClient, orMissing } from "./chat-client.ts";

/** What is known of an account. Names decide who may do what, so they come from the server, never from a message. */
export interface Person {
  readonly id: string;
  readonly username: string;
  readonly isBot: boolean;
}

/** Accounts that are remembered; a server has at most a few hundred people. */
const most = 2_000;

/** Accounts by id, from memory where possible: a wake must not wait for a question to the server. */
export class People {
  readonly #known = new Map<string, Person>();
  #client: ChatClient | undefined;

  /** The client of the present session. */
  use(client: ChatClient): void {
    this.#client = client;
    this.#known.clear();
  }

  /** From memory only. */
  cached(id: string): Person | undefined {
    return this.#known.get(id);
  }

  /** From the server, always: for what must not rest on a name that has changed since. */
  async fresh(id: string): Promise<Person | undefined> {
    if (!this.#client) return undefined;
    const user = await orMissing(this.#client.getUser(id));
    return user ? this.remember(user) : undefined;
  }

  /** The account of that name, from memory where possible, and remembered ahead of need; undefined: nobody has it. */
  async named(username: string): Promise<Person | undefined> {
    const known = [...this.#known.values()].find((person) => person.username === username);
    if (known) return known;
    if (!this.#client) throw new Error("Mattermost is not ready");
    const user = await orMissing(this.#client.getUserByUsername(username));
    return user && this.remember(user);
  }

  remember(user: Pick<UserProfile, "id" | "username" | "is_bot">): Person {
    const person = { id: user.id, username: user.username, isBot: user.is_bot === true };
    if (this.#known.size >= most) this.#known.clear();
    this.#known.set(user.id, person);
    return person;
  }

  /** An account changed: what was known of it no longer holds. */
  forget(id: string): void {
    this.#known.delete(id);
  }
}
