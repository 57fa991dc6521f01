import type { ContainerSpec } from "../../../spec/container.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { templateIdsOf } from "../../../spec/instance.ts";
import { templateId } from "../../../spec/names.ts";
import { type Log, reasonOf } from "../../common/log.ts";
import type { Audit } from "../audit.ts";
import type { Declarations } from "../declarations.ts";
import { Denial } from "../denial.ts";
import { EngineError, type EnginePort } from "../engine.ts";
import { sleep } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import { asNumber, asObject, type JsonObject } from "../json.ts";
import type { InstanceLabels, OwnContainer } from "../ownership.ts";
import { projectInspect } from "../project.ts";
import * as upstream from "../upstream.ts";
import { type EndedInstances, type LeaseEnd, logText } from "./ended.ts";
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

/** A leased container. */
type Leased = OwnContainer & { readonly agent: string; readonly instance: InstanceLabels };

interface Lease {
  readonly own: Leased;
  readonly share: Share;
  /** On the clock that never goes back, in ms. */
  readonly endsAt: number;
  readonly unstartedUntil: number;
  readonly graceSeconds: number;
  state: string;
  exitedAt: number | undefined;
  retryAt: number;
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

const states = { waiting: "created", over: ["exited", "dead", "removing"] } as const;

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

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
    this.#wallClock = parts.wallClock ?? (() => Date.now());
    parts.fleet.subscribe((containers) => void this.#see(containers));
  }

  /** How many instances there are. */
  get count(): number {
    return this.#leases.size;
  }

  /** Shares of all instances that run or may yet be started. @throws Denial 503 while it is not known what there is */
  living(): Share[] {
    if (!this.#isSettled) {
      throw new Denial(
        503,
        "unsettled",
        "the instances that are there are not known yet; ask again in a second",
      );
    }
    return [...this.#leases.values()]
      .filter(({ state }) => !isOver(state))
      .map(({ share }) => share);
  }

  /** Whether the lease of a container still stands. */
  stands(own: OwnContainer): boolean {
    const lease = this.#leases.get(own.id);
    return lease !== undefined && lease.ending === undefined && this.#now() < lease.endsAt;
  }

  /** Puts a container that was just made under its lease. */
  add(own: OwnContainer, spec: ContainerSpec): void {
    if (!isLeased(own)) return;
    const template = templateId(own.agent, own.instance.template);
    const share = shareOf(own.instance.client, template, spec);
    this.#leases.set(own.id, this.#lease(own, share, spec.StopTimeout, states.waiting));
  }

  /** Ends the lease of a container that must not stay. @throws EngineError */
  async abort(own: OwnContainer): Promise<void> {
    const lease = this.#leases.get(own.id);
    if (lease) await this.#begin(lease, "aborted");
    else if (own.instance)
      await this.#parts.engine.status(upstream.removeContainer(own.instance.leasedId));
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
    const declared = templateIds(this.#parts.declarations.known);
    for (const lease of this.#leases.values()) {
      const end = this.#due(lease, declared);
      if (end && !lease.ending && this.#now() >= lease.retryAt)
        void this.#begin(lease, end).catch(() => undefined);
    }
  }

  #due(lease: Lease, declared: ReadonlySet<string> | undefined): LeaseEnd | undefined {
    const now = this.#now();
    if (declared && !declared.has(lease.share.template)) return "declaration";
    if (now >= lease.endsAt) return "timeout";
    if (lease.state === states.waiting && now >= lease.unstartedUntil) return "unstarted";
    if (lease.exitedAt !== undefined && now >= lease.exitedAt + exitedMs) return "exited";
    return undefined;
  }

  #begin(lease: Lease, end: LeaseEnd): Promise<void> {
    lease.ending ??= this.#end(lease, end).catch((error: unknown) => {
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
    const { engine, ended, audit, fleet, onEnd } = this.#parts;
    const { own } = lease;
    const { name, id, instance } = own;
    const about = { client: instance.client, request: "lease", object: name, id, agent: own.agent };
    audit.note({ ...about, phase: "lease", verb: "remove", rule: end });
    const grace = end === "declaration" ? goneGraceSeconds : maxGraceSeconds;
    if (!isOver(lease.state) && lease.state !== states.waiting) {
      const graceSeconds = Math.min(lease.graceSeconds, grace);
      const deadlineMs = (graceSeconds + 30) * 1000;
      await unlessGone(engine.status(upstream.stopContainer(id, graceSeconds), { deadlineMs }));
    }
    const inspected = await unlessGone(engine.json(upstream.inspectContainer(id)));
    if (inspected !== undefined) {
      const shown = projectInspect(own, inspected);
      const lastLog = lease.state === states.waiting ? "" : await this.#lastLog(own);
      ended.add({ id, name, client: instance.client, shown, end, lastLog });
      // "Removal in progress" is as good as done.
      await unlessGone(engine.status(upstream.removeContainer(instance.leasedId)), 409);
      audit.note({ ...about, phase: "result", verb: "remove", ...outcome(shown) });
    }
    this.#leases.delete(id);
    onEnd(own, end);
    void fleet.refresh().catch(() => undefined);
  }

  async #lastLog(own: Leased): Promise<string> {
    const options = { stdout: true, stderr: true, follow: false, timestamps: false, tail: 100 };
    try {
      const call = upstream.containerLogs(own.id, options);
      return logText(await this.#parts.engine.bytes(call, { maxBytes: 8 * 1024 * 1024 }));
    } catch (error) {
      // Its end does not wait for its words.
      this.#parts.log.warn("last-log-unread", { object: own.name, reason: reasonOf(error) });
      return "";
    }
  }

  /** Takes in what the Engine lists: new instances (after a restart of the proxy), states, and what is gone. */
  async #see(containers: readonly OwnContainer[]): Promise<void> {
    const leased = containers.filter(isLeased);
    for (const [id, lease] of this.#leases) {
      const own = leased.find((item) => item.id === id);
      if (own) this.#note(lease, String(own.entry.State ?? ""));
      // What is being ended is forgotten when that is done; what was just made may be younger than the list.
      else if (!lease.ending && lease.state !== states.waiting) this.#leases.delete(id);
    }
    try {
      await Promise.all(
        leased.filter(({ id }) => !this.#leases.has(id)).map((own) => this.#takeOver(own)),
      );
      this.#isSettled = true;
    } catch (error) {
      this.#parts.log.warn("instances-unread", { reason: reasonOf(error) });
    }
  }

  #note(lease: Lease, state: string): void {
    lease.state = state;
    if (isOver(state)) lease.exitedAt ??= this.#now();
  }

  async #takeOver(own: Leased): Promise<void> {
    const inspected = await unlessGone(this.#parts.engine.json(upstream.inspectContainer(own.id)));
    if (inspected === undefined || this.#leases.has(own.id)) return;
    const { HostConfig, Config } = asObject(inspected);
    const host = asObject(HostConfig);
    const share = {
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
      exitedAt: undefined,
      retryAt: 0,
      ending: undefined,
    };
  }
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

function outcome(shown: JsonObject): { readonly exitCode: number; readonly oomKilled: boolean } {
  const state = asObject(shown.State);
  return { exitCode: asNumber(state.ExitCode), oomKilled: state.OOMKilled === true };
}

/** The answer, or undefined where the container is gone (or `gone` says the same). */
async function unlessGone<T>(answer: Promise<T>, gone = 404): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && (error.status === 404 || error.status === gone))
      return undefined;
    throw error;
  }
}
