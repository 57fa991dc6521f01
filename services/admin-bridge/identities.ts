import type { Log } from "../common/log.ts";
import type { Person } from "./people.ts";
import type { Store } from "./store.ts";
import { PlainError } from "./words.ts";

/** How a name that nobody had at its first look stands in the database. */
const nobody = "";

/**
 * Which account a configured name means. The server lets people change their names, so a name alone says nothing: each is
 * tied to the account that had it when the name was first seen, or that the operator made under it, and to no other since.
 */
export class Identities {
  readonly #store: Store;
  readonly #log: Log;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Id of the account that a name means; undefined: none yet. */
  holderOf(username: string): string | undefined {
    return this.#store.holder(username.toLowerCase()) || undefined;
  }

  /**
   * First look at a configured name: the account that has it now is meant. Later looks change nothing, and where nobody has
   * it now, only {@link confirm} ties it to an account: whoever takes the name in the chat is not meant.
   */
  look(username: string, holder: Person | undefined): void {
    const name = username.toLowerCase();
    if (this.#store.holder(name) !== undefined) return;
    const userId = holder && !holder.isBot ? holder.id : nobody;
    this.#store.setHolder(name, userId);
    this.#log.info("name-pinned", { user: name, userId: userId || null });
  }

  /**
   * The operator says on the host that the name means this account.
   * @throws PlainError where the name means another account, and this one has taken it
   */
  confirm(username: string, userId: string, made: boolean): void {
    const before = this.holderOf(username);
    if (before === userId) return;
    if (before !== undefined && !made) {
      throw new PlainError(
        `The account that is called ${username} now is not the one that had this name before: somebody took it. Rename that account, then ask again.`,
      );
    }
    this.#store.setHolder(username.toLowerCase(), userId);
    this.#log.info("name-pinned", { user: username, userId });
  }

  /** Why a person is not the one whom his name means, in a sentence for him; undefined: he is. */
  doubt(person: Person): string | undefined {
    this.look(person.username, person);
    const holder = this.holderOf(person.username);
    if (holder === person.id) return undefined;
    return holder === undefined
      ? `No account was confirmed for the name ${person.username}; on the host, \`berth user add ${person.username}\` confirms yours.`
      : `The name ${person.username} was given to another account, so I do not take yours for it.`;
  }
}
