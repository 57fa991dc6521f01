import type { Declaration } from "../../spec/declaration.ts";
import { revokeTokens, tokenPrefix } from "./accounts.ts";
import { pause } from "./engine.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Metrics } from "./metrics.ts";
import type { Provisioner } from "./provisioner.ts";
import type { Store } from "./store.ts";

/** What the mint works with. */
interface MintParts {
  readonly local: LocalMode;
  readonly provisioner: Provisioner;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly stack: string;
}

/** Where an agent is in the chat, as the gateway is told. */
interface Whereabouts {
  readonly userId: string;
  /** Channels that the agent's declaration names, by id. */
  readonly channelIds: readonly string[];
}

/** Waits of a rotation, in milliseconds. */
export interface RotationWaits {
  /** How long a new token waits to be asked for before the old one is revoked all the same. */
  readonly takeWithinMs: number;
  /** From the answer with the new token until the gateway has put it in the place of the old one everywhere. */
  readonly settleMs: number;
}

const defaultWaits: RotationWaits = { takeWithinMs: 10_000, settleMs: 1_000 };

/** A new token that waits for the gateway while the old one still works. */
class Coming {
  readonly id: string;
  readonly token: string;
  readonly userId: string;
  readonly #taken = Promise.withResolvers<void>();
  #isTaken = false;

  constructor(made: { readonly id: string; readonly token: string }, userId: string) {
    this.id = made.id;
    this.token = made.token;
    this.userId = userId;
  }

  /** The gateway has asked for it. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Resolves with that. */
  get taken(): Promise<void> {
    return this.#taken.promise;
  }

  take(): string {
    this.#isTaken = true;
    this.#taken.resolve();
    return this.token;
  }
}

/** What became of a rotation. */
export interface Rotated {
  /** Tokens that worked before and do no more. */
  readonly revoked: number;
  /** The gateway has the new one; otherwise it will ask for one when it needs it. */
  readonly taken: boolean;
}

/**
 * Mints bot tokens for the egress gateway. One of an agent works at any time, but for the seconds of a rotation, and none
 * is kept here.
 */
export class TokenMint {
  readonly #parts: MintParts;
  readonly #waits: RotationWaits;
  /** The last mint or revocation of each agent: two at once would revoke each other's token. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #coming = new Map<string, Coming>();
  readonly #rotations = new Map<string, Promise<Rotated>>();
  readonly #followers = new Set<(agent: string) => void>();

  constructor(parts: MintParts, waits: Partial<RotationWaits> = {}) {
    this.#parts = parts;
    this.#waits = { ...defaultWaits, ...waits };
  }

  /** A new token of the agent's bot; the ones before it are revoked first. In a rotation: the one that waits. */
  mint(
    declaration: Declaration,
  ): Promise<Whereabouts & { readonly token: string; readonly username: string }> {
    const { name } = declaration;
    return this.#inTurn(name, async () => {
      const { local, stack } = this.#parts;
      const { userId, channelIds } = await this.whereabouts(declaration);
      const coming = this.#coming.get(name);
      // Another user id: the server is another one since.
      if (coming?.userId === userId) {
        return { token: coming.take(), userId, username: name, channelIds };
      }
      await revokeTokens(local, userId, tokenPrefix.agent(stack, name));
      const { token } = await this.#make(name, userId);
      return { token, userId, username: name, channelIds };
    });
  }

  /**
   * Replaces the token of one agent's bot: mints a new one, tells the gateway to ask for it, and revokes the old one when
   * the gateway has the new one, or after 10 s. Rotations of one agent that are asked for at once are one.
   * @throws Error where Mattermost does not let it; the old token may work on then
   */
  rotate(declaration: Declaration): Promise<Rotated> {
    const { name } = declaration;
    const running = this.#rotations.get(name);
    if (running) return running;
    const rotation = this.#rotate(declaration).finally(() => this.#rotations.delete(name));
    this.#rotations.set(name, rotation);
    return rotation;
  }

  /** Calls back with every agent whose token should be asked for anew, those first that wait now. @returns how to end that */
  follow(onAgent: (agent: string) => void): () => void {
    for (const [agent, { isTaken }] of this.#coming) if (!isTaken) onAgent(agent);
    this.#followers.add(onAgent);
    return () => this.#followers.delete(onAgent);
  }

  async #rotate(declaration: Declaration): Promise<Rotated> {
    const { local, stack } = this.#parts;
    const { name } = declaration;
    const coming = await this.#inTurn(name, async () => {
      const { userId } = await this.whereabouts(declaration);
      const made = new Coming(await this.#make(name, userId), userId);
      this.#coming.set(name, made);
      return made;
    });
    for (const tell of this.#followers) tell(name);
    await within(this.#waits.takeWithinMs, coming.taken);
    if (coming.isTaken) await within(this.#waits.settleMs);
    return this.#inTurn(name, async () => {
      const { isTaken, id, userId } = coming;
      this.#coming.delete(name);
      const revoked = await revokeTokens(local, userId, tokenPrefix.agent(stack, name), id);
      // One that nobody asked for would be a token that nobody holds.
      if (!isTaken) await local.revokeToken(id);
      return { revoked, taken: isTaken };
    });
  }

  async #make(agent: string, userId: string): Promise<{ id: string; token: string }> {
    const { local, store, metrics, stack } = this.#parts;
    const description = `${tokenPrefix.agent(stack, agent)}${store.nextGeneration()}`;
    const made = await local.createToken(userId, description);
    metrics.add("berth_tokens_minted_total");
    return made;
  }

  /** Bot and channels of an agent, provisioned where they are not yet. Mints nothing. */
  async whereabouts(declaration: Declaration): Promise<Whereabouts> {
    const { userId, channelIds } = await this.#parts.provisioner.provision(declaration);
    return { userId, channelIds: [...channelIds] };
  }

  /** Revokes every token that the agent works with, one whose minting is under way included. @returns how many */
  revoke(agent: string, userId: string): Promise<number> {
    const { local, stack } = this.#parts;
    return this.#inTurn(agent, () => revokeTokens(local, userId, tokenPrefix.agent(stack, agent)));
  }

  #inTurn<T>(agent: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(agent) ?? Promise.resolve()).catch(() => undefined).then(act);
    this.#turns.set(agent, turn);
    return turn;
  }
}

/** Resolves with the promise, or after the time. */
async function within(ms: number, promise?: Promise<void>): Promise<void> {
  const late = new AbortController();
  await Promise.race([pause(ms, late.signal), ...(promise ? [promise] : [])]);
  late.abort();
}
