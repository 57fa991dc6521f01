import { type Endpoint, request } from "../../common/http.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import { pause } from "../../common/pause.ts";
import { Redacted } from "../../common/redacted.ts";
import type { Limits } from "../limits.ts";

/** An agent's bot, as the admin bridge knows it. */
export interface Bot {
  readonly token: Redacted<string>;
  readonly userId: string;
  readonly username: string;
  /** Channels that the agent's declaration gives it, at the time of the mint. */
  readonly channelIds: readonly string[];
}

/** Gives a new token of an agent's bot; the one before it is revoked by that. */
export type Mint = (agent: string) => Promise<Bot>;

/** Mints at a time: after a restart of the gateway every agent needs one at once. */
const maxMints = 4;

/** Asks the admin bridge on its socket. */
export function adminBridgeMint(endpoint: Endpoint): Mint {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (agent) => {
    if (running >= maxMints) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
    try {
      const answer = await request(endpoint, {
        method: "POST",
        path: "/tokens",
        body: { agent },
        timeoutMs: 20_000,
      });
      if (answer.status !== 200) throw new Error(`the admin bridge answered ${answer.status}`);
      return readBot(answer.text);
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}

/** Tells an agent's channels, as they are provisioned now. */
export type FindChannels = (agent: string) => Promise<readonly string[]>;

/** Asks the admin bridge on its socket; mints nothing. */
export function adminBridgeChannels(endpoint: Endpoint): FindChannels {
  return async (agent) => {
    const call = { method: "POST", path: "/channels", body: { agent }, timeoutMs: 5_000 };
    const answer = await request(endpoint, call);
    if (answer.status !== 200) throw new Error(`the admin bridge answered ${answer.status}`);
    const { channelIds } = Object(JSON.parse(answer.text)) as { channelIds?: unknown };
    const ids = readIds(channelIds);
    if (!ids) throw new Error("the admin bridge's answer is not { channelIds }");
    return ids;
  };
}

function readIds(value: unknown): readonly string[] | undefined {
  const good = (id: unknown): id is string => typeof id === "string" && /^[a-z0-9]{26}$/.test(id);
  return Array.isArray(value) && value.every(good) ? value : undefined;
}

/** @throws Error that never holds a part of the answer: it may be a token */
function readBot(text: string): Bot {
  let value: Partial<Record<"token" | "userId" | "username" | "channelIds", unknown>> = {};
  try {
    value = Object(JSON.parse(text));
  } catch {
    // Falls through to the message below, which shows nothing of the text.
  }
  const { token, userId, username } = value;
  if (
    typeof token !== "string" ||
    !/^[A-Za-z0-9]{16,128}$/.test(token) ||
    typeof userId !== "string" ||
    !/^[a-z0-9]{26}$/.test(userId) ||
    typeof username !== "string" ||
    !/^[a-z0-9._-]{1,64}$/.test(username)
  ) {
    throw new Error("the admin bridge's answer is not { token, userId, username }");
  }
  const channelIds = readIds(value.channelIds) ?? [];
  return { token: new Redacted(token, "bot token"), userId, username, channelIds };
}

/**
 * The token of one agent's bot, in memory only. Fetched at once and again until it is there; fetches never run twice
 * at a time; replaced when Mattermost no longer takes it.
 */
export class TokenHolder {
  readonly #agent: string;
  readonly #mint: Mint;
  readonly #limits: Limits;
  readonly #log: Log;
  readonly #onChange: (bot: Bot) => void | Promise<void>;
  readonly #closed = new AbortController();
  #bot: Bot | undefined;
  #fetching: Promise<Bot | undefined> | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;

  /** @param options.onChange told of every new token, before anybody else gets it */
  constructor(options: {
    readonly agent: string;
    readonly mint: Mint;
    readonly limits: Limits;
    readonly log: Log;
    readonly onChange: (bot: Bot) => void | Promise<void>;
  }) {
    this.#agent = options.agent;
    this.#mint = options.mint;
    this.#limits = options.limits;
    this.#log = options.log;
    this.#onChange = options.onChange;
  }

  /** The bot, where it is known. Its token may have been revoked meanwhile. */
  get bot(): Bot | undefined {
    return this.#bot;
  }

  /** Fetches the first token, again and again with growing waits, until it is there or the holder is closed. */
  async start(): Promise<void> {
    if (!this.#bot) await this.#fetchUntilThere();
  }

  /**
   * Replaces the token though it is good: somebody has a copy who may no longer use it. The mint revokes it. Until
   * that has worked the gateway goes on with the old one.
   */
  async replace(): Promise<void> {
    // One that runs may have been asked for by whoever has the copy.
    await this.#fetching;
    await this.#fetchUntilThere();
  }

  close(): void {
    this.#closed.abort();
  }

  async #fetchUntilThere(): Promise<void> {
    let waitMs = this.#limits.tokenRetryFirstMs;
    while (!this.#closed.signal.aborted) {
      if (await this.#fetch()) return;
      await pause(waitMs, this.#closed.signal);
      waitMs = Math.min(waitMs * 2, this.#limits.tokenRetryMostMs);
    }
  }

  /** The bot, waiting a little while for a fetch that runs. @returns undefined: not ready */
  async get(): Promise<Bot | undefined> {
    if (this.#bot || !this.#fetching) return this.#bot;
    return this.#within(this.#fetching);
  }

  /**
   * Replaces a token that Mattermost did not take. Where another one is there already, that one is given.
   * @returns undefined: there is no better token now
   */
  async renew(refused: Bot): Promise<Bot | undefined> {
    if (this.#bot && this.#bot !== refused) return this.#bot;
    if (!this.#fetching && performance.now() - this.#fetchedAt < this.#limits.tokenRenewEveryMs)
      return undefined;
    const bot = await this.#within(this.#fetch());
    return bot === refused ? undefined : bot;
  }

  #fetch(): Promise<Bot | undefined> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<Bot | undefined> {
    this.#fetchedAt = performance.now();
    try {
      const bot = await this.#mint(this.#agent);
      if (this.#closed.signal.aborted) return undefined;
      this.#bot = bot;
      await this.#onChange(bot);
      this.#log.info("token", { agent: this.#agent, userId: bot.userId });
      return bot;
    } catch (error) {
      this.#log.warn("token-missing", { agent: this.#agent, reason: reasonOf(error) });
      return undefined;
    } finally {
      this.#fetchedAt = performance.now();
    }
  }

  async #within(fetching: Promise<Bot | undefined>): Promise<Bot | undefined> {
    const ending = new AbortController();
    const late = pause(this.#limits.tokenWaitMs, ending.signal).then(() => undefined);
    return Promise.race([fetching, late]).finally(() => ending.abort());
  }
}
