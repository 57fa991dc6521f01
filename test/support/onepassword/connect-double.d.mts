/** What a test puts into an item. Sections are named by their labels and made where missing. */
export interface ItemContent {
  readonly vault: string;
  readonly title: string;
  readonly id?: string;
  readonly state?: "ARCHIVED" | "DELETED";
  readonly sections?: readonly { readonly id: string; readonly label: string }[];
  readonly fields?: readonly {
    readonly id?: string;
    readonly label?: string;
    readonly type?: string;
    readonly value?: string;
    readonly section?: string;
    readonly purpose?: string;
  }[];
  readonly files?: readonly {
    readonly id?: string;
    readonly name: string;
    /** Base64. */
    readonly content: string;
    readonly section?: string;
  }[];
}

export interface Behaviour {
  /** Milliseconds before each answer. */
  readonly delayMs?: number;
  /** No answer. */
  readonly hang?: boolean;
  /** Connections are cut. */
  readonly away?: boolean;
  /** Bytes of a body after which the connection is cut. */
  readonly cutAfter?: number;
  /** How far its clock is ahead. */
  readonly skewMs?: number;
  /** 429 after so many requests, with `Retry-After` in seconds. */
  readonly limit?: { readonly after: number; readonly retryAfter?: number };
  /** This answer to the next requests, `times` of them. */
  readonly answer?: {
    readonly status: number;
    readonly type?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly times?: number;
  };
}

/** Also served as `POST <controlUrl>/<name>`, with the argument as JSON. */
export interface Control {
  vault(vault: { name: string; id?: string }): { id: string };
  item(content: ItemContent): { id: string; version: number };
  rename(wanted: { vault: string; title: string; to: string }): { id: string; version: number };
  remove(wanted: { vault: string; title: string }): object;
  token(wanted: {
    token: string;
    revoked?: boolean;
    /** Of all vaults, or of those named. */
    readOnly?: boolean | readonly string[];
    vaults?: readonly string[];
  }): object;
  behaviour(wanted: Behaviour): object;
  requests(): {
    count: number;
    requests: { method: string; path: string; status: number }[];
  };
  forget(): object;
}

export interface ConnectDouble {
  readonly url: string;
  readonly port: number;
  readonly controlUrl: string;
  /** PEM, where it serves HTTPS. */
  readonly certificate: string | undefined;
  readonly control: Control;
  close(): Promise<void>;
}

export interface ConnectDoubleOptions {
  readonly host?: string;
  readonly port?: number;
  readonly controlPort?: number;
  /** Serves HTTPS with a certificate for these names and addresses. */
  readonly names?: readonly string[];
  readonly token?: string;
  readonly vaults?: readonly string[];
}

export function startConnect(options?: ConnectDoubleOptions): Promise<ConnectDouble>;
/** The one-time password of an `otpauth://` URI at a time in ms (RFC 6238). */
export function oneTimePassword(uri: string, now: number): string | undefined;
