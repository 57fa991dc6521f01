import { isIP } from "node:net";
import { domainToASCII } from "node:url";

/** Where an agent wants to go: a host in its one normal form, and a port. */
export interface Target {
  /** Lower case, punycode, no trailing dot; IPv4 in dotted form; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** 4 or 6 where `host` is an address itself, else 0. */
  readonly literal: 0 | 4 | 6;
}

/** One label of a host name. Underscores exist in practice and do no harm. */
const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Brings a host to its normal form: case, a trailing dot, international names, every spelling of IPv4.
 * @returns undefined where it is no host
 */
export function normaliseHost(written: string): Omit<Target, "port"> | undefined {
  if (written.length === 0 || written.length > 512) return undefined;
  const bracketed = /^\[([0-9a-fA-F:.]{2,45})\]$/.exec(written)?.[1];
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) return undefined;
    // The URL parser gives the one shortest form of the address.
    const short = domainToASCII(`[${bracketed}]`).slice(1, -1);
    return isIP(short) === 6 ? { host: short, literal: 6 } : undefined;
  }
  // Anything that a URL parser might read as another part of a URL, or decode, is refused before it gets there.
  if (/[^!-~\u0080-\u{10ffff}]|[%/?#@:\\[\]<>^|"`{}]/u.test(written)) return undefined;
  const host = domainToASCII(written).replace(/\.$/, "");
  if (isIP(host) === 4) return { host, literal: 4 };
  if (host.length > 253 || !host.split(".").every((part) => label.test(part))) return undefined;
  // The last label of a name is never a number; resolvers would read such a text as an address.
  if (/^(.*\.)?(0x[0-9a-f]*|[0-9]+)$/.test(host)) return undefined;
  return { host, literal: 0 };
}

/** Reads `host:port`; the port may be left out where `defaultPort` is given. @returns undefined where it is none */
export function parseAuthority(written: string, defaultPort?: number): Target | undefined {
  const match = /^(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?$/.exec(written);
  if (!match?.[1]) return undefined;
  const port = match[2] === undefined ? defaultPort : Number(match[2]);
  if (port === undefined || port < 1 || port > 65_535) return undefined;
  const host = normaliseHost(utf8(match[1]));
  return host ? { ...host, port } : undefined;
}

/** The target as it is written in messages and in a Host header. */
export function authorityOf(target: Target, defaultPort?: number): string {
  const host = target.literal === 6 ? `[${target.host}]` : target.host;
  return target.port === defaultPort ? host : `${host}:${target.port}`;
}

/** The HTTP parser hands over bytes as Latin-1; names outside ASCII are UTF-8. Broken UTF-8 becomes no host. */
function utf8(latin1: string): string {
  return /^[\u0020-\u007e]*$/.test(latin1)
    ? latin1
    : Buffer.from(latin1, "latin1").toString("utf8");
}
