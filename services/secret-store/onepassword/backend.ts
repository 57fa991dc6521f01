import type { Redacted } from "../../common/redacted.ts";

/** A vault, as far as a list of vaults tells of it. */
export interface VaultHead {
  readonly id: string;
  readonly name: string;
}

/** An item, as far as a list of items tells of it. */
export interface ItemHead {
  readonly id: string;
  readonly title: string;
  /** Another text after every change of the item; means nothing else. */
  readonly version: string;
}

/** One field of an item. */
export interface Field {
  readonly id: string;
  /** Empty where the field has none. */
  readonly label: string;
  readonly sectionId?: string;
  /** 1Password's word for the type, in lower case: `concealed`, `string`, `otp`, `sshkey` … */
  readonly kind: string;
  /** Undefined: the field holds nothing. */
  readonly value: Redacted<Buffer> | undefined;
  /** The one-time password of this moment, where the field makes them. */
  readonly otp?: Redacted<string>;
  /** A private key in OpenSSH's format, where the back end was given it. */
  readonly openssh?: Redacted<string>;
}

/** A whole item, values included. */
export interface Item extends ItemHead {
  readonly sections: readonly { readonly id: string; readonly label: string }[];
  readonly fields: readonly Field[];
  readonly files: readonly {
    readonly id: string;
    readonly name: string;
    readonly sectionId?: string;
    /** In bytes. */
    readonly size: number;
  }[];
}

/** Where a value is written. */
export interface WritePlace {
  readonly vaultId: string;
  /** None: a new item is made. */
  readonly itemId?: string;
  /** Title of the item, for a new one. */
  readonly title: string;
  /** Label or id of the section; made where missing. */
  readonly section?: string;
  /** Label or id of the field; made where missing. */
  readonly field: string;
}

/**
 * One way to 1Password. Every call is one or a few requests to it and ends within their time limits; every one throws
 * {@link BackendError} and nothing else, also where its signal ends it ("unreachable").
 */
export interface Backend {
  readonly kind: "sdk" | "connect" | "op";
  /** The vaults that the token opens. */
  vaults(signal: AbortSignal): Promise<readonly VaultHead[]>;
  /** The items of a vault, in one request: what tells a changed item. */
  items(vaultId: string, signal: AbortSignal): Promise<readonly ItemHead[]>;
  item(vaultId: string, itemId: string, signal: AbortSignal): Promise<Item>;
  /** The content of a file of an item. */
  file(
    vaultId: string,
    itemId: string,
    fileId: string,
    signal: AbortSignal,
  ): Promise<Redacted<Buffer>>;
  /** Writes a field's value; creates the item or the field where missing. */
  write(place: WritePlace, value: Redacted<string>, signal: AbortSignal): Promise<void>;
  /** Difference of this machine's clock to the server's in ms (positive: this one is ahead), where an answer said it. */
  readonly clockSkewMs: number | undefined;
  /** Requests made so far. */
  readonly requests: number;
  /** Lets go of connections, processes and the token. */
  close(): void;
}

/**
 * Why 1Password did not do what was asked.
 * `refused`: the token is wrong, revoked or expired. `forbidden`: the token is good, but not for this. `not-found`: there
 * is no such vault, item or file. `limited`: too many requests. `unreachable`: no answer, or the answer of a broken
 * server. `bad-answer`: an answer that is not what 1Password gives.
 */
export type BackendErrorKind =
  | "refused"
  | "forbidden"
  | "not-found"
  | "limited"
  | "unreachable"
  | "bad-answer";

/** An error of a back end. Its message is fit to be shown: our own words and ids, never what an answer held. */
export class BackendError extends Error {
  readonly kind: BackendErrorKind;
  /** How long to wait before the next request, where 1Password said it, in ms. */
  readonly retryAfterMs?: number;

  constructor(kind: BackendErrorKind, message: string, retryAfterMs?: number) {
    super(message);
    this.name = "BackendError";
    this.kind = kind;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}
