import { homedir } from "node:os";
import { join } from "node:path";
import { CliError } from "../console.ts";
import { keychain } from "./keychain.ts";
import { promptOnly } from "./prompt-only.ts";
import { systemdCreds } from "./systemd-creds.ts";
import { type Token, tokenName } from "./token.ts";

/** Ways to keep the token on this machine. */
export const sealerNames = ["systemd-creds", "keychain", "prompt"] as const;
export type SealerName = (typeof sealerNames)[number];

/** One way to keep the token on this machine, so that it can be given to the secret store later. */
export interface Sealer {
  readonly name: SealerName;
  /** Why it cannot be used here, and what to do; undefined: it can. */
  available(): Promise<string | undefined>;
  /** Keeps the token in place of an earlier one. @returns where and how safe, in words. @throws CliError */
  seal(token: Token): Promise<string>;
  /** The token; undefined: none is kept. @throws CliError where one is kept and cannot be had */
  unseal(): Promise<Token | undefined>;
}

/** What the ways of keeping a token have to know of this machine and the person. */
export interface SealerHost {
  readonly stack: string;
  readonly platform: NodeJS.Platform;
  readonly env: NodeJS.ProcessEnv;
  /** Undefined where there are no user ids. */
  readonly uid: number | undefined;
  /** The person's own folder. */
  readonly home: string;
  /** Asks on the terminal; undefined: there is none. */
  readonly ask: (() => Promise<Token>) | undefined;
}

/** The same of this process. */
export function thisHost(
  stack: string,
  env: NodeJS.ProcessEnv,
  ask: SealerHost["ask"],
): SealerHost {
  const { platform } = process;
  return { stack, platform, env, uid: process.getuid?.(), home: homedir(), ask };
}

/** Where the sealed token of a stack is: `$BERTH_CREDENTIALS`, else `/etc/berth` for root, else the person's own settings. */
export function sealedFile({ stack, env, uid, home }: SealerHost): string {
  const folder = env.BERTH_CREDENTIALS || (uid === 0 ? "/etc/berth" : join(home, ".config/berth"));
  return join(folder, stack, `${tokenName}.cred`);
}

/** One way by its name. */
export function sealerOf(name: SealerName, host: SealerHost): Sealer {
  if (name === "systemd-creds") return systemdCreds(host, sealedFile(host));
  return name === "keychain" ? keychain(host) : promptOnly(host);
}

/** Reads the name of a way. @throws CliError (exit code 2) */
export function sealerName(text: string): SealerName {
  const name = sealerNames.find((known) => known === text);
  if (!name) throw new CliError(`--with: must be one of ${sealerNames.join(", ")}`, 2);
  return name;
}

/** The way of this platform: the only one that keeps a token on it. */
export function ownSealer(host: SealerHost): Sealer {
  const { platform } = host;
  const name =
    platform === "linux" ? "systemd-creds" : platform === "darwin" ? "keychain" : "prompt";
  return sealerOf(name, host);
}
