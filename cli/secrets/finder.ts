import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../../services/common/log.ts";
import { CliError } from "../console.ts";
import type { Session } from "../session.ts";
import { askToken } from "./prompt.ts";
import { ownSealer, type Sealer, type SealerName, sealerOf, thisHost } from "./sealer.ts";
import { readToken, type Token, tokenIn, tokenName } from "./token.ts";

/** A token and where it came from, in words. */
export interface Found {
  readonly token: Token;
  readonly from: string;
}

/** Where to look for the token. */
export interface Places {
  /** Standard input, and nowhere else: `--from-stdin`. */
  readonly input?: AsyncIterable<Buffer | string>;
  /** `$CREDENTIALS_DIRECTORY`: where systemd puts what a unit's `LoadCredentialEncrypted=` names. */
  readonly credentials?: string | undefined;
  readonly sealer: Pick<Sealer, "name" | "unseal">;
  /** Asks on the terminal; undefined: there is none, or nobody is to be asked. */
  readonly ask: (() => Promise<Token>) | undefined;
}

/** No place has a token, and a later attempt will find none either. */
export class NoTokenError extends CliError {}

/**
 * Finds the token, at each call anew: standard input where it is asked for, else systemd's credential of the unit, else what is
 * sealed, else a person at the terminal. What can be read once only is kept for the next call; nothing else is.
 * @throws NoTokenError where there is none, CliError where there is one that cannot be had
 */
export function tokenFinder(places: Places): () => Promise<Found> {
  let kept: Promise<Found> | undefined;
  const once = (read: () => Promise<Token>, from: string) => {
    kept ??= read().then(
      (token) => ({ token, from }),
      (error: unknown) => {
        throw new NoTokenError(reasonOf(error), error instanceof CliError ? error.exitCode : 1);
      },
    );
    return kept;
  };
  return async () => {
    const { input, credentials, sealer, ask } = places;
    if (input) return once(() => readToken(input), "standard input");
    const given = await fromSystemd(credentials);
    if (given) return { token: given, from: "the unit's credential" };
    const asks = sealer.name === "prompt";
    const sealed = asks ? undefined : await sealer.unseal();
    if (sealed) return { token: sealed, from: sealer.name };
    if (ask) return once(ask, "the terminal");
    throw new NoTokenError(
      'there is no token here: run "berth secrets seal" once, or give it with "berth secrets unlock --from-stdin"',
    );
  };
}

async function fromSystemd(folder: string | undefined): Promise<Token | undefined> {
  if (!folder) return undefined;
  const file = join(folder, tokenName);
  try {
    return tokenIn(await readFile(file, "utf8"));
  } catch (error) {
    if (error instanceof CliError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    // Other credentials may be meant for the program that runs this one.
    if (code === "ENOENT") return undefined;
    throw new CliError(`${file}: cannot be read (${code ?? "unknown reason"})`);
  }
}

/** What a command says of where the token comes from. */
export interface TokenOptions {
  readonly fromStdin?: boolean;
  readonly with?: SealerName;
  /** Nobody is asked. */
  readonly isQuiet?: boolean;
}

/** The way to keep a token that the command's options or the platform choose. */
export function sealerFor(session: Session, options: TokenOptions): Sealer {
  const host = thisHost(session.stack, session.env, askerOf(session, options));
  return options.with ? sealerOf(options.with, host) : ownSealer(host);
}

/** A finder over this process: its standard input, its environment, this machine's seal, its terminal. */
export function finderFor(session: Session, options: TokenOptions): () => Promise<Found> {
  return tokenFinder({
    ...(options.fromStdin ? { input: process.stdin } : {}),
    // Who names a way wants that one.
    credentials: options.with ? undefined : session.env.CREDENTIALS_DIRECTORY,
    sealer: sealerFor(session, options),
    ask: askerOf(session, options),
  });
}

/** Asks on this process's terminal; undefined where there is none or nobody is to be asked. */
export function askerOf(
  session: Session,
  options: TokenOptions,
): (() => Promise<Token>) | undefined {
  if (options.isQuiet || !process.stdin.isTTY) return undefined;
  const question = `1Password token of the stack ${session.stack} (not shown): `;
  return () => askToken(process.stdin, (text) => process.stderr.write(text), question);
}

/** The token for sealing: from the terminal where there is one, else from standard input. */
export function tokenToSeal(session: Session, fromStdin: boolean): Promise<Token> {
  const ask = fromStdin ? undefined : askerOf(session, {});
  if (ask) return ask();
  return readToken(process.stdin);
}
