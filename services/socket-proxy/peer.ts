import { type Log, reasonOf } from "../common/log.ts";
import { coalesce } from "./coalesce.ts";
import type { EnginePort } from "./engine.ts";
import { asList, asObject, asText } from "./json.ts";
import { ownContainers } from "./ownership.ts";
import * as upstream from "./upstream.ts";

/** An address that is not known is asked for at most this often. */
const pauseMs = 1_000;

/**
 * Where the client of the TCP listener may come from: the addresses that the Engine has given to its container. Not an
 * identity - the network is - but it keeps out what reaches the network without being on it: programs of the host, which
 * has an address on every bridge.
 */
export class PeerAddresses {
  readonly #look: () => Promise<ReadonlySet<string>>;
  #known: ReadonlySet<string> = new Set();
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param service the client's service name @param network the one network that counts */
  constructor(options: {
    readonly engine: EnginePort;
    readonly stack: string;
    readonly service: string;
    readonly network: string;
    readonly log: Log;
  }) {
    const { engine, stack, service, network, log } = options;
    this.#look = coalesce(async () => {
      try {
        const answer = await engine.json(upstream.listContainers(stack));
        const own = ownContainers(stack, answer).filter(({ component }) => component === service);
        this.#known = new Set(own.flatMap(({ entry }) => addressesOn(network, entry)));
      } catch (error) {
        log.warn("peers-unread", { reason: reasonOf(error) });
      }
      return this.#known;
    });
  }

  /** Whether a connection from this address is the client's own. Never rejects. */
  allows(written: string | undefined): boolean | Promise<boolean> {
    const address = (written ?? "").replace(/^::ffff:/, "");
    if (this.#known.has(address)) return true;
    const now = performance.now();
    if (now - this.#lookedAt < pauseMs) return false;
    this.#lookedAt = now;
    return this.#look().then((known) => known.has(address));
  }
}

function addressesOn(network: string, entry: unknown): string[] {
  const networks = asObject(asObject(asObject(entry).NetworkSettings).Networks);
  const { IPAddress, GlobalIPv6Address } = asObject(networks[network]);
  return asList([IPAddress, GlobalIPv6Address])
    .map((item) => asText(item))
    .filter((item) => item !== "");
}
