import { percentile } from "./numbers.ts";
import type { Memory } from "./proxy-process.ts";
import { Fleet, type Layout } from "./secrets-fleet.ts";
import { type Figures, heapFlags, measured, Program, quietMemory } from "./secrets-process.ts";
import { Double, Naive, openHost, Store } from "./secrets-subjects.ts";

/** What the store does, in this order, in every round. */
export const steps = ["cold", "unchanged", "changed", "restart"] as const;
export type Step = (typeof steps)[number];

/** One way in which the values lie, at one distance of 1Password: the middle of all rounds. */
export interface Case {
  readonly layout: Layout;
  /** That the double takes for each request. */
  readonly delayMs: number;
  readonly store: Readonly<Record<Step, Figures>>;
  /** Seconds from the store's start until it knows what is declared: the first time, and again. */
  readonly start: { readonly first: number; readonly again: number };
  /** The naive client, which can do nothing but everything anew. */
  readonly naive: Figures;
  /** Quiet: the store before the unlock, after it, and after both polls; the naive client before and after its work. */
  readonly memory: Readonly<Record<Moment, Memory>>;
}

const moments = ["locked", "unlocked", "polled", "naiveBefore", "naiveAfter"] as const;
type Moment = (typeof moments)[number];

type Round = Pick<Case, "store" | "start" | "naive" | "memory">;

/** Measures a case in rounds, store and naive client by turns. @throws Error where not every value was delivered */
export async function measureCase(layout: Layout, delayMs: number, rounds: number): Promise<Case> {
  const fleet = new Fleet(layout);
  const double = await Double.start(fleet);
  try {
    await double.behave({ delayMs });
    const done: Round[] = [];
    for (let i = 0; i < rounds; i++) {
      const store = await storeRound(fleet, double);
      done.push({ ...store, ...(await naiveRound(fleet, double, store.memory)) });
    }
    return { layout, delayMs, ...middleOf(done) };
  } finally {
    await double.end();
  }
}

/** Memory of a Node process that does nothing, with the same heap. */
export async function bareMemory(): Promise<Memory> {
  const bare = new Program(process.execPath, [...heapFlags, "-e", "setInterval(() => {}, 1e6)"]);
  try {
    return await quietMemory(bare.pid);
  } finally {
    await bare.end();
  }
}

type StoreMemory = Pick<Round["memory"], "locked" | "unlocked" | "polled">;

async function storeRound(
  fleet: Fleet,
  double: Double,
): Promise<Pick<Round, "store" | "start"> & { readonly memory: StoreMemory }> {
  const requests = () => double.requests();
  const close = await openHost(fleet);
  let store: Store | undefined;
  try {
    const first = await Store.start(fleet);
    store = first;
    const locked = await quietMemory(first.pid);
    const cold = await measured(first.pid, requests, () => first.unlock());
    await fleet.check();
    const unlocked = await quietMemory(first.pid);
    const unchanged = await measured(first.pid, requests, () => first.refresh());
    await double.item(fleet.change());
    const changed = await measured(first.pid, requests, () => first.refresh());
    await fleet.check();
    const polled = await quietMemory(first.pid);
    await first.end();
    const second = await Store.start(fleet);
    store = second;
    const restart = await measured(second.pid, requests, () => second.unlock());
    await fleet.check();
    return {
      store: { cold, unchanged, changed, restart },
      start: { first: first.startSeconds, again: second.startSeconds },
      memory: { locked, unlocked, polled },
    };
  } finally {
    await store?.end();
    await close();
  }
}

async function naiveRound(
  fleet: Fleet,
  double: Double,
  ofStore: StoreMemory,
): Promise<Pick<Round, "naive" | "memory">> {
  const client = await Naive.start(fleet);
  try {
    const naiveBefore = await quietMemory(client.pid);
    const naive = await measured(
      client.pid,
      () => double.requests(),
      () => client.readAll(),
    );
    await client.check(fleet);
    const naiveAfter = await quietMemory(client.pid);
    return { naive, memory: { ...ofStore, naiveBefore, naiveAfter } };
  } finally {
    await client.end();
  }
}

/** The middle of each figure by itself. */
function middleOf(rounds: readonly Round[]): Round {
  const of = (pick: (round: Round) => number) => percentile(rounds.map(pick), 0.5);
  const figures = (pick: (round: Round) => Figures): Figures => ({
    requests: of((round) => pick(round).requests),
    seconds: of((round) => pick(round).seconds),
    cpuSeconds: of((round) => pick(round).cpuSeconds),
    peak: of((round) => pick(round).peak),
  });
  const memory = (moment: Moment): Memory => ({
    rss: of((round) => round.memory[moment].rss),
    pss: of((round) => round.memory[moment].pss),
  });
  return {
    store: {
      cold: figures(({ store }) => store.cold),
      unchanged: figures(({ store }) => store.unchanged),
      changed: figures(({ store }) => store.changed),
      restart: figures(({ store }) => store.restart),
    },
    start: { first: of(({ start }) => start.first), again: of(({ start }) => start.again) },
    naive: figures(({ naive }) => naive),
    memory: {
      locked: memory("locked"),
      unlocked: memory("unlocked"),
      polled: memory("polled"),
      naiveBefore: memory("naiveBefore"),
      naiveAfter: memory("naiveAfter"),
    },
  };
}
