import { Resolver } from "node:dns/promises";
import net from "node:net";
import { classifyAddress } from "./addresses.ts";
import type { Rule } from "./rules.ts";
import { authorityOf, type Target } from "./target.ts";

/** The two acts on the network; tests put their own in this place. */
export interface Wire {
  /** All addresses of a name. Rejects where there is none. */
  resolve(host: string): Promise<readonly string[]>;
  /** Opens a TCP connection to an address (never a name). The socket may still be connecting. */
  connect(address: string, port: number): net.Socket;
}

/** How long an IPv6 answer may come after the IPv4 answer and still be used, in milliseconds. */
const laggardMs = 200;

/**
 * The real network, through the container's own name server. Not by the C library's resolver: that one takes one of
 * four threads for as long as a name server is silent, and one agent could hold up the name lookups of all.
 */
export function systemWire(): Wire {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  return {
    resolve: async (host) => {
      const late = resolver.resolve6(host).catch(() => []);
      const first = await resolver.resolve4(host).catch(() => []);
      if (first.length === 0) return late;
      const none = new Promise<string[]>((done) => setTimeout(done, laggardMs, []).unref());
      return [...first, ...(await Promise.race([late, none]))];
    },
    connect: (address, port) =>
      net.connect({ host: address, port, noDelay: true, allowHalfOpen: true }),
  };
}

/** Why a target was not reached. `denied`: a rule forbids it. `unreachable`: the network's own doing. */
export class ReachError extends Error {
  readonly kind: "denied" | "unreachable" | "timeout";
  /** Short, for the log and for programs. */
  readonly reason: string;
  /** Where the target would have led; for the log. */
  readonly addresses: readonly string[];

  constructor(
    kind: ReachError["kind"],
    reason: string,
    message: string,
    addresses: readonly string[] = [],
  ) {
    super(message);
    this.kind = kind;
    this.reason = reason;
    this.addresses = addresses.slice(0, 8);
  }
}

/** The status that says to the client why it got nowhere. */
export function statusOf(error: ReachError): number {
  return error.kind === "denied" ? 403 : error.kind === "timeout" ? 504 : 502;
}

export interface ReachOptions {
  readonly wire: Wire;
  /** Hosts, in normal form, whose names may lead to private addresses. */
  readonly privateHosts: ReadonlySet<string>;
  /** Addresses that are never reached whatever their class: the Docker host, seen from here, and the gateway itself. */
  readonly forbidden: ReadonlySet<string>;
  readonly resolveMs: number;
  /** For each address that is tried. */
  readonly connectMs: number;
}

/** A name may have many addresses; this many are tried, one after the other. */
const maxAttempts = 4;

/**
 * Resolves an allowed target, checks every address and connects to the checked address itself: there is no second
 * resolution that could answer something else.
 * @throws ReachError
 */
export async function reach(
  target: Target,
  rule: Rule,
  options: ReachOptions,
  signal: AbortSignal,
): Promise<{ readonly socket: net.Socket; readonly address: string }> {
  const addresses = await permitted(target, rule, options, signal);
  let last: unknown;
  for (const address of addresses.slice(0, maxAttempts)) {
    signal.throwIfAborted();
    try {
      const socket = await open(address, target.port, options, signal);
      if (signal.aborted) socket.destroy();
      else return { socket, address };
    } catch (error) {
      last = error;
    }
  }
  signal.throwIfAborted();
  const code = (last as NodeJS.ErrnoException | undefined)?.code ?? "no answer in time";
  throw new ReachError(
    code === "no answer in time" ? "timeout" : "unreachable",
    code === "no answer in time" ? "connect-timeout" : "connect-failed",
    `${authorityOf(target)} does not accept a connection (${code})`,
    addresses,
  );
}

async function permitted(
  target: Target,
  rule: Rule,
  options: ReachOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const addresses = target.literal ? [target.host] : await resolve(target.host, options, signal);
  const mayBePrivate = target.literal ? rule.portWritten : options.privateHosts.has(target.host);
  const refused: string[] = [];
  const good = addresses.filter((address) => {
    const kind = options.forbidden.has(address) ? "gateway-or-host" : classifyAddress(address);
    if (kind === "public" || (kind === "private" && mayBePrivate)) return true;
    refused.push(kind);
    return false;
  });
  if (good.length > 0) return good;
  const kinds = [...new Set(refused)].sort().join(", ");
  const cure = !refused.includes("private")
    ? "Such addresses are never reached."
    : target.literal
      ? `To open a private address write it with its port: "${authorityOf(target)}".`
      : `To open it the operator lists ${target.host} under the private egress hosts of the stack.`;
  throw new ReachError(
    "denied",
    "address",
    `${target.host} leads to no public address (${kinds}). ${cure}`,
    addresses,
  );
}

async function resolve(
  host: string,
  options: ReachOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new ReachError("timeout", "resolve-timeout", `${host}: no answer from the resolver`),
        ),
      options.resolveMs,
    );
  });
  try {
    const addresses = await Promise.race([options.wire.resolve(host), late]);
    signal.throwIfAborted();
    if (addresses.length === 0) throw new Error("no address");
    return addresses;
  } catch (error) {
    if (error instanceof ReachError || signal.aborted) throw error;
    throw new ReachError("unreachable", "resolve-failed", `${host} cannot be resolved`);
  } finally {
    clearTimeout(timer);
  }
}

function open(
  address: string,
  port: number,
  options: ReachOptions,
  signal: AbortSignal,
): Promise<net.Socket> {
  return new Promise((done, reject) => {
    const socket = options.wire.connect(address, port);
    const fail = (error: Error) => {
      settle();
      socket.on("error", () => {});
      socket.destroy();
      reject(error);
    };
    const aborted = () => fail(new Error("given up"));
    const timer = setTimeout(() => fail(new Error("no answer in time")), options.connectMs);
    const connected = () => {
      settle();
      // Until somebody else listens: an error that nobody hears ends the process.
      socket.on("error", () => {});
      done(socket);
    };
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      socket.off("connect", connected);
      socket.off("error", fail);
    };
    signal.addEventListener("abort", aborted, { once: true });
    socket.once("connect", connected);
    socket.once("error", fail);
  });
}
