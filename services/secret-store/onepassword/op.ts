import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redacted } from "../../common/redacted.ts";
import {
  type Backend,
  BackendError,
  type Item,
  type ItemHead,
  type VaultHead,
  type WritePlace,
} from "./backend.ts";
import { checkedId, newItem, readItem, readItemHeads, readVaults, withField } from "./item-json.ts";
import { type OpCall, runOp } from "./op-process.ts";

/** Where the `op` program is and what surrounds it. */
export interface OpProgram {
  /** Absolute path. */
  readonly path: string;
  /** Environment whose proxies and certificates are passed on; nothing else of it is. */
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

const asJson = ["--format", "json"];

/** What op may know of this process: how to get out, and whose certificates to believe. */
const passedOn = [
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
];

/**
 * 1Password by the `op` program, one process a request. The token is in that process's environment alone, which is how op
 * takes a service account's: https://developer.1password.com/docs/service-accounts/use-with-1password-cli. Values that are
 * written go in by standard input, never by an argument, which every user of a machine can see.
 * @throws BackendError `refused` for a token that can be none
 */
export function opBackend(program: OpProgram, token: Redacted<string>): Backend {
  if (!/^[\x21-\x7e]+$/.test(token.reveal()))
    throw new BackendError("refused", "the token is empty or holds characters that no token has");
  return new OpBackend(program, token);
}

class OpBackend implements Backend {
  readonly kind = "op";
  /** op tells no time of 1Password's. */
  readonly clockSkewMs = undefined;
  readonly #program: OpProgram;
  readonly #token: Redacted<string>;
  readonly #closing = new AbortController();
  #home: string | undefined;
  #requests = 0;

  constructor(program: OpProgram, token: Redacted<string>) {
    this.#program = program;
    this.#token = token;
  }

  get requests(): number {
    return this.#requests;
  }

  close(): void {
    this.#closing.abort();
    if (this.#home !== undefined) rmSync(this.#home, { recursive: true, force: true });
    this.#home = undefined;
  }

  async vaults(signal: AbortSignal): Promise<readonly VaultHead[]> {
    return readVaults(await this.#json(["vault", "list"], "vaults", signal));
  }

  async items(vaultId: string, signal: AbortSignal): Promise<readonly ItemHead[]> {
    const what = `items of vault ${vaultId}`;
    return readItemHeads(
      await this.#json(["item", "list", "--vault", checkedId(vaultId)], what, signal),
    );
  }

  async item(vaultId: string, itemId: string, signal: AbortSignal): Promise<Item> {
    return readItem(await this.#get(vaultId, itemId, signal));
  }

  async file(
    vaultId: string,
    itemId: string,
    fileId: string,
    signal: AbortSignal,
  ): Promise<Redacted<Buffer>> {
    const reference = `op://${[vaultId, itemId, fileId].map(checkedId).join("/")}`;
    const args = ["read", "--no-newline", reference];
    const content = await this.#run({ args, what: `file ${fileId} of item ${itemId}` }, signal);
    return new Redacted(content);
  }

  async write(place: WritePlace, value: Redacted<string>, signal: AbortSignal): Promise<void> {
    const { vaultId, itemId } = place;
    const what = "writing of a generated value";
    if (itemId === undefined) {
      const input = JSON.stringify(newItem(place, value));
      await this.#run(
        { args: ["item", "create", "-", "--vault", checkedId(vaultId), ...asJson], input, what },
        signal,
      );
      return;
    }
    const item = await this.#get(vaultId, itemId, signal);
    const input = JSON.stringify(withField(item, place, value));
    const args = ["item", "edit", itemId, "--vault", vaultId, ...asJson];
    await this.#run({ args, input, what }, signal);
  }

  async #get(vaultId: string, itemId: string, signal: AbortSignal): Promise<unknown> {
    const args = ["item", "get", checkedId(itemId), "--vault", checkedId(vaultId)];
    return this.#json(args, `item ${itemId}`, signal);
  }

  async #json(args: readonly string[], what: string, signal: AbortSignal): Promise<unknown> {
    const output = await this.#run({ args: [...args, ...asJson], what }, signal);
    try {
      return JSON.parse(output.toString("utf8"));
    } catch {
      // The parser's own message quotes the text.
      throw new BackendError("bad-answer", `op: its answer for ${what} is no JSON`);
    }
  }

  async #run(call: Omit<OpCall, "path" | "env">, signal: AbortSignal): Promise<Buffer> {
    if (this.#closing.signal.aborted)
      throw new BackendError("unreachable", `op: ${call.what} was given up`);
    this.#requests += 1;
    const { path, timeoutMs } = this.#program;
    return runOp(
      { ...call, path, env: this.#environment(), ...(timeoutMs ? { timeoutMs } : {}) },
      AbortSignal.any([signal, this.#closing.signal]),
    );
  }

  /** All that op gets. Connect's variables would win over the token, so that they must not be there. */
  #environment(): Record<string, string> {
    const home = this.#homeDirectory();
    const env: Record<string, string> = {
      HOME: home,
      XDG_CONFIG_HOME: home,
      OP_SERVICE_ACCOUNT_TOKEN: this.#token.reveal(),
      OP_CACHE: "false",
      OP_BIOMETRIC_UNLOCK_ENABLED: "false",
    };
    for (const name of passedOn) {
      const value = this.#program.env[name];
      if (value) env[name] = value;
    }
    return env;
  }
  /** A directory of its own, for its config; in the store's container /tmp is on RAM. */
  #homeDirectory(): string {
    try {
      this.#home ??= mkdtempSync(join(tmpdir(), "op-"));
      return this.#home;
    } catch (error) {
      const { code = "no code" } = error as NodeJS.ErrnoException;
      throw new BackendError("unreachable", `op: there is no place for its config (${code})`);
    }
  }
}
