/** An item as `op item get --format json` prints it. */
export interface OpItem {
  readonly id: string;
  title: string;
  version: number;
  readonly vault: { readonly id: string; readonly name?: string };
  readonly category?: string;
  readonly state?: "ARCHIVED";
  readonly sections?: { readonly id: string; readonly label?: string }[];
  fields: {
    readonly id: string;
    readonly label?: string;
    readonly type?: string;
    readonly purpose?: string;
    value?: string;
    readonly totp?: string;
    readonly section?: { readonly id: string; readonly label?: string };
    readonly ssh_formats?: { readonly openssh: { readonly value: string } };
  }[];
  readonly files?: {
    readonly id: string;
    readonly name: string;
    readonly size: number;
    readonly section?: { readonly id: string };
  }[];
}

/** All that the stand-in knows. */
export interface OpData {
  token: string;
  vaults: { readonly id: string; readonly name: string; readonly readOnly?: boolean }[];
  items: OpItem[];
  /** Contents of files by their ids, base64. */
  contents: Record<string, string>;
  behaviour?: {
    readonly hang?: boolean;
    /** Printed on standard error after op's prefix, with exit code 1. */
    readonly error?: string;
    /** So many bytes on standard output. */
    readonly flood?: number;
    readonly output?: string;
  };
}

export interface OpCallMade {
  readonly args: readonly string[];
  /** Names in its environment. */
  readonly names: readonly string[];
  readonly home: string;
  readonly pid: number;
  /** Characters of its standard input. */
  readonly input: number;
  /** What was wrong with the call. */
  readonly problems: readonly string[];
}

export interface InstalledOp {
  readonly path: string;
  read(): OpData;
  change(change: (data: OpData) => void): void;
  calls(): OpCallMade[];
}

/** @param node path of Node where the executable will run: a container's is `/usr/local/bin/node` */
export function installOp(folder: string, data: OpData, node?: string): InstalledOp;
