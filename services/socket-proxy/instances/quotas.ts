import type { ContainerSpec } from "../../../spec/container.ts";
import type { ClientGrant, InstanceQuotas } from "../../../spec/grants.ts";
import type { InstanceTemplate } from "../../../spec/instance.ts";
import { Denial } from "../denial.ts";
import type { Client } from "../grants.ts";

/** What one instance takes of a quota. */
export interface Share {
  /** Of its container. The same share under two names would count twice; under one it counts once. */
  readonly name: string;
  readonly client: Client;
  /** Whole id of its template. */
  readonly template: string;
  readonly memoryBytes: number;
  readonly nanoCpus: number;
  readonly pids: number;
}

/** What an instance of a rendering takes. */
export function shareOf(client: Client, template: string, spec: ContainerSpec): Share {
  const { Memory, NanoCpus, PidsLimit } = spec.HostConfig;
  return {
    name: spec.name,
    client,
    template,
    memoryBytes: Memory,
    nanoCpus: NanoCpus,
    pids: PidsLimit,
  };
}

/** A share that is taken already and not yet a container that the Engine lists. */
export interface Reservation {
  /** Gives it back. May be called more than once. */
  release(): void;
}

/**
 * Keeps the sums of instances within the quotas. A share is checked and taken in one step, without waiting for anything in
 * between: of two creates at the limit minus one, only one passes.
 */
export class Quotas {
  readonly #stack: InstanceQuotas;
  readonly #now: () => number;
  readonly #reserved = new Set<Share>();
  #creates: { readonly client: Client; readonly at: number }[] = [];

  /** @param now a clock that never goes back, in ms */
  constructor(stack: InstanceQuotas, now: () => number = () => performance.now()) {
    this.#stack = stack;
    this.#now = now;
  }

  /**
   * Takes a share for a new instance.
   * @param living shares of all instances that run or may be started
   * @throws Denial 429 that names the quota
   */
  reserve(
    share: Share,
    template: InstanceTemplate,
    grant: ClientGrant,
    living: Iterable<Share>,
  ): Reservation {
    // What is being made is reserved until it is verified, and under its lease a little earlier: that is one share.
    const byName = new Map([...this.#reserved, ...living].map((item) => [item.name, item]));
    const all = [...byName.values()];
    const own = all.filter(({ client }) => client === share.client);
    const ofTemplate = all.filter((item) => item.template === template.id);
    if (ofTemplate.length >= template.instances.max) {
      throw exceeded(`template ${template.id} has ${template.instances.max} instances already`);
    }
    const now = this.#now();
    this.#creates = this.#creates.filter(({ at }) => now - at < 60_000);
    const ownCreates = this.#creates.filter(({ client }) => client === share.client);
    check("the client", grant.quotas, share, own, ownCreates.length);
    check("the stack", this.#stack, share, all, this.#creates.length);
    this.#creates.push({ client: share.client, at: now });
    this.#reserved.add(share);
    return { release: () => void this.#reserved.delete(share) };
  }
}

function check(
  whose: string,
  quotas: InstanceQuotas,
  share: Share,
  taken: readonly Share[],
  creates: number,
): void {
  const sum = (key: "memoryBytes" | "nanoCpus" | "pids") =>
    taken.reduce((total, item) => total + item[key], share[key]);
  if (creates >= quotas.createsPerMinute) {
    throw exceeded(`${whose} may create ${quotas.createsPerMinute} a minute`);
  }
  if (taken.length >= quotas.instances) {
    throw exceeded(`${whose} may have ${quotas.instances} instances at a time`);
  }
  for (const [key, unit] of [
    ["memoryBytes", "bytes of memory"],
    ["nanoCpus", "billionths of a CPU"],
    ["pids", "processes"],
  ] as const) {
    if (sum(key) > quotas[key]) {
      throw exceeded(`${whose} may have ${quotas[key]} ${unit} in all instances`);
    }
  }
}

function exceeded(reason: string): Denial {
  return new Denial(
    429,
    "quota",
    `${reason}; wait until others have ended, or raise the quota in the stack's config`,
  );
}
