import type { ContainerSpec } from "../../../spec/container.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { templateIdsOf } from "../../../spec/instance.ts";
import { templateId } from "../../../spec/names.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import type { Declarations } from "../declarations.ts";
import { Denial } from "../denial.ts";
import type { EnginePort } from "../engine.ts";
import { sleep } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import { asNumber, asObject } from "../json.ts";
import type { OwnContainer } from "../ownership.ts";
import * as upstream from "../upstream.ts";
import { endInstance, type Leased, unlessGone } from "./end.ts";
import type { EndedInstances, LeaseEnd } from "./ended.ts";
import { type Share, shareOf } from "./quotas.ts";

/** An instance that is made and not started is given up after this long. */
const unstartedMs = 60_000;
/** An instance that has ended stays for its logs this long, if its lease does. */
const exitedMs = 10 * 60_000;
/** Pause after an end that failed; it is tried again for as long as the proxy runs. */
const retryMs = 5_000;
/** Longest grace of a stop, however long the template's is: the end of a lease must come. */
const maxGraceSeconds = 60;
/** The same where the declaration is gone: whoever took it away waits for the workspace. */
const goneGraceSeconds = 5;

interface Lease {
  readonly own: Leased;
  readonly share: Share;
  /** On the clock that never goes back, in ms. */
  readonly endsAt: number;
  readonly unstartedUntil: number;
  readonly graceSeconds: number;
  state: string;
  /** The start that is under way, or was a success. */
  starting: Promise<number> | undefined;
  exitedAt: number | undefined;
  retryAt: number;
  /** Lists of looks up to this one may be older than what is known of it. */
  since: number;
  /** Set once its end has begun. An end that failed is tried again, and nothing brings the lease back. */
  end: LeaseEnd | undefined;
  ending: Promise<void> | undefined;
}

export interface LeaseParts {
  readonly engine: EnginePort;
  readonly fleet: Fleet;
  readonly declarations: Declarations;
  readonly ended: EndedInstances;
  readonly audit: Audit;
  readonly log: Log;
  /** Told of each lease that has ended. */
  readonly onEnd: (own: OwnContainer, end: LeaseEnd) => void;
  /** A clock that never goes back, in ms. */
  readonly now?: () => number;
  /** The wall clock, in ms. */
  readonly wallClock?: () => number;
}

const states = {
  waiting: "created",
  running: "running",
  over: ["exited", "dead", "removing"],
} as const;

/**
 * The leases of all instances. The labels of the containers are the truth: after a restart they are read again. How long
 * is left is read off the wall clock once, when an instance is first seen, and counted on a clock that never goes back.
 */
export class Leases {
  readonly #parts: LeaseParts;
  readonly #now: () => number;
  readonly #wallClock: () => number;
  readonly #leases = new Map<string, Lease>();
  #isSettled = false;
  /** Some instance could not be looked at: the list is asked for again. */
  #isUnread = false;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
    this.#wallClock = parts.wallClock ?? (() => Date.now());
    parts.fleet.subscribe((containers, look) => void this.#see(containers, look));
  }

  /** How many instances there are. */
  get count(): number {
    return this.#leases.size;
  }

  /** Shares of all instances that run or may yet be started. @throws Denial 503 while it is not known what there is */
  living(): Share[] {
    if (!this.#isSettled) throw unsettled();
    return [...this.#leases.values()]
      .filter(({ state }) => !isOver(state))
      .map(({ share }) => share);
  }

  /** Whether the lease of a container still stands. @throws Denial 503 while it is not known what there is */
  stands(own: OwnContainer): boolean {
    const lease = this.#leases.get(own.id);
    if (!lease && !this.#isSettled) throw unsettled();
    return lease !== undefined && lease.end === undefined && this.#now() < lease.endsAt;
  }

  /**
   * Starts an instance, once: who asks while a start is under way, or had looked before, gets the answer 304.
   * @returns the status
   * @throws Denial 409 where its lease has ended meanwhile, EngineError
   */
  async startOnce(own: OwnContainer, start: () => Promise<number>): Promise<number> {
    const lease = this.#leases.get(own.id);
    if (!lease || !this.stands(own)) throw over();
    if (lease.starting) {
      await lease.starting;
      return 304;
    }
    lease.starting = start();
    try {
      const status = await lease.starting;
      if (lease.state === states.waiting) lease.state = states.running;
      lease.since = this.#parts.fleet.looks;
      return status;
    } catch (error) {
      lease.starting = undefined;
      throw error;
    }
  }

  /** Whether a container is under a lease. */
  knows(own: OwnContainer): boolean {
    return this.#leases.has(own.id);
  }

  /** Puts a container that was just made under its lease, where it is not yet. */
  add(own: OwnContainer, spec: ContainerSpec): void {
    if (!isLeased(own) || this.#leases.has(own.id)) return;
    const template = templateId(own.agent, own.instance.template);
    const share = shareOf(own.instance.client, template, spec);
    this.#leases.set(own.id, this.#lease(own, share, spec.StopTimeout, states.waiting));
  }

  /** Ends the lease of a container that must not stay; tried again where that fails. @throws EngineError */
  async abort(own: OwnContainer): Promise<void> {
    const lease = this.#leases.get(own.id);
    if (lease) await this.#begin(lease, "aborted");
  }

  /** Looks at all leases every second, until the signal ends it; then at those whose declaration is gone once more. */
  async follow(signal: AbortSignal): Promise<void> {
    const stop = this.#parts.declarations.subscribe(() => this.#tick());
    while (!signal.aborted) {
      this.#tick();
      await sleep(1_000, signal);
    }
    stop();
    await this.#endGone();
  }

  /** At the end of the stack the agents go first: their instances must not stay behind. */
  async #endGone(): Promise<void> {
    try {
      await this.#parts.declarations.refresh();
      await this.#parts.fleet.refresh();
    } catch (error) {
      this.#parts.log.warn("leases-unread", { reason: reasonOf(error) });
      return;
    }
    this.#tick();
    await Promise.allSettled([...this.#leases.values()].map(({ ending }) => ending));
  }

  #tick(): void {
    if (this.#isUnread) this.#readAgain();
    const declared = templateIds(this.#parts.declarations.known);
    for (const lease of this.#leases.values()) {
      const end = this.#due(lease, declared);
      if (end && !lease.ending && this.#now() >= lease.retryAt)
        void this.#begin(lease, end).catch(() => undefined);
    }
  }

  #readAgain(): void {
    this.#isUnread = false;
    this.#parts.fleet.refresh().catch(() => {
      this.#isUnread = true;
    });
  }

  #due(lease: Lease, declared: ReadonlySet<string> | undefined): LeaseEnd | undefined {
    if (lease.end) return lease.end;
    const now = this.#now();
    if (declared && !declared.has(lease.share.template)) return "declaration";
    if (now >= lease.endsAt) return "timeout";
    const isWaiting = lease.state === states.waiting && !lease.starting;
    if (isWaiting && now >= lease.unstartedUntil) return "unstarted";
    if (lease.exitedAt !== undefined && now >= lease.exitedAt + exitedMs) return "exited";
    return undefined;
  }

  #begin(lease: Lease, end: LeaseEnd): Promise<void> {
    lease.end ??= end;
    lease.ending ??= this.#end(lease, lease.end).catch((error: unknown) => {
      lease.ending = undefined;
      lease.retryAt = this.#now() + retryMs;
      this.#parts.log.error("lease-end-failed", {
        object: lease.own.name,
        reason: reasonOf(error),
      });
      throw error;
    });
    return lease.ending;
  }

  async #end(lease: Lease, end: LeaseEnd): Promise<void> {
    const { fleet, onEnd } = this.#parts;
    const { own, state, graceSeconds } = lease;
    await endInstance(this.#parts, own, {
      end,
      isAgain: lease.retryAt > 0,
      graceSeconds: Math.min(
        graceSeconds,
        end === "declaration" ? goneGraceSeconds : maxGraceSeconds,
      ),
      wasStarted: state !== states.waiting,
      isOver: isOver(state),
    });
    this.#leases.delete(own.id);
    onEnd(own, end);
    void fleet.refresh().catch(() => undefined);
  }

  /** Takes in what the Engine lists: new instances (after a restart of the proxy), states, and what is gone. */
  async #see(containers: readonly OwnContainer[], look: number): Promise<void> {
    const leased = containers.filter(isLeased);
    for (const [id, lease] of this.#leases) {
      if (look <= lease.since) continue;
      const own = leased.find((item) => item.id === id);
      if (own) this.#note(lease, String(own.entry.State ?? ""));
      // What is being ended is forgotten when that is done.
      else if (!lease.ending) this.#leases.delete(id);
    }
    try {
      await Promise.all(
        leased.filter(({ id }) => !this.#leases.has(id)).map((own) => this.#takeOver(own)),
      );
      this.#isSettled = true;
    } catch (error) {
      this.#isUnread = true;
      this.#parts.log.warn("instances-unread", { reason: reasonOf(error) });
    }
  }

  #note(lease: Lease, state: string): void {
    lease.state = state;
    // An instance of the agent itself is brought back by the Engine after a crash.
    if (isOver(state)) lease.exitedAt ??= this.#now();
    else lease.exitedAt = undefined;
  }

  async #takeOver(own: Leased): Promise<void> {
    const inspected = await unlessGone(this.#parts.engine.json(upstream.inspectContainer(own.id)));
    if (inspected === undefined || this.#leases.has(own.id)) return;
    const { HostConfig, Config } = asObject(inspected);
    const host = asObject(HostConfig);
    const share = {
      name: own.name,
      client: own.instance.client,
      template: templateId(own.agent, own.instance.template),
      memoryBytes: asNumber(host.Memory),
      nanoCpus: asNumber(host.NanoCpus),
      pids: asNumber(host.PidsLimit),
    };
    const state = String(own.entry.State ?? "");
    const lease = this.#lease(own, share, asNumber(asObject(Config).StopTimeout), state);
    this.#note(lease, state);
    this.#leases.set(own.id, lease);
  }

  #lease(own: Leased, share: Share, graceSeconds: number, state: string): Lease {
    const now = this.#now();
    const leftMs = own.instance.leaseEnds * 1000 - this.#wallClock();
    return {
      own,
      share,
      endsAt: now + Math.max(0, leftMs),
      unstartedUntil: now + unstartedMs,
      graceSeconds,
      state,
      starting: undefined,
      exitedAt: undefined,
      retryAt: 0,
      since: this.#parts.fleet.looks,
      end: undefined,
      ending: undefined,
    };
  }
}

/** 409: the lease of an instance does not stand any more. */
export function over(): Denial {
  return new Denial(409, "ended", "its lease has ended; make another");
}

function unsettled(): Denial {
  return new Denial(
    503,
    "unsettled",
    "the instances that are there are not known yet; ask again in a second",
  );
}

function isOver(state: string): boolean {
  return states.over.some((over) => over === state);
}

function isLeased(own: OwnContainer): own is Leased {
  return own.instance !== undefined && own.agent !== undefined;
}

/** Ids of all templates that are declared; undefined: the declarations are not known. */
function templateIds(declarations: readonly Declaration[] | undefined): Set<string> | undefined {
  return declarations && new Set(declarations.flatMap(templateIdsOf));
}
