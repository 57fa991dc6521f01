import type { Declaration } from "../../spec/declaration.ts";
import { type AgentState, type Facts, stateOf } from "./agent-state.ts";
import type { Container } from "./engine.ts";
import type { Desired } from "./store.ts";

/** States of the Engine in which a container runs, or the Engine itself is about to run it again. */
const alive = new Set(["running", "restarting", "paused"]);

/** One declared agent in memory; the database holds what must survive, this holds what decides. */
export class Agent {
  declaration: Declaration;
  readonly contained: boolean;
  desired: Desired;
  container: Container | undefined;
  /** When its container was first seen to be missing, in ms; undefined while it is there. */
  missingSince: number | undefined;
  /** Its bot, team and channels are ready. */
  provisioned = false;
  /** A start that is on its way. */
  starting: Promise<void> | undefined;
  /** A stop that is on its way. */
  stopping: Promise<void> | undefined;
  /** Consecutive starts by the reconciler that failed, and when the next may be tried. */
  failedStarts = 0;
  nextStartAt = 0;
  /** Times of recent ends that nobody asked for, in ms. */
  ends: number[] = [];
  /** Why it is `failed`; undefined: it is not. */
  failure: string | undefined;
  /** The last thing that went wrong, failed or not. */
  lastError: string | undefined;
  /** A failure was told in the home channel. */
  told: boolean;
  exitCode: number | undefined;
  answered: boolean;
  greeting: string | undefined;
  greetingPost: string | undefined;

  constructor(
    declaration: Declaration,
    contained: boolean,
    kept: {
      readonly desired: Desired;
      readonly answered: boolean;
      readonly greeting: string | null;
      readonly greetingPost: string | null;
      readonly exitCode: number | null;
      readonly failureTold: boolean;
    },
  ) {
    this.declaration = declaration;
    this.contained = contained;
    this.desired = kept.desired;
    this.answered = kept.answered;
    this.greeting = kept.greeting ?? undefined;
    this.greetingPost = kept.greetingPost ?? undefined;
    this.exitCode = kept.exitCode ?? undefined;
    this.told = kept.failureTold;
  }

  get name(): string {
    return this.declaration.name;
  }

  get running(): boolean {
    return this.container !== undefined && alive.has(this.container.state);
  }

  get facts(): Facts {
    return {
      activation: this.declaration.activation,
      desired: this.desired,
      contained: this.contained,
      running: this.running,
      failed: this.failure !== undefined,
    };
  }

  get state(): AgentState {
    return stateOf(this.facts);
  }
}
