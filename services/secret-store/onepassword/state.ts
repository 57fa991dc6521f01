import type { BackendError } from "./backend.ts";

/**
 * How the store stands with 1Password.
 * `locked`: it has no token. `ready`: the last look succeeded. `refused`: the token is not good. `limited`: too many
 * requests. `unreachable`: no answer, or none that can be understood.
 */
export type ResolverState = "locked" | "ready" | "refused" | "limited" | "unreachable";

/** The state, in words for people and programs. Times are ISO 8601. */
export interface ResolverStatus {
  readonly state: ResolverState;
  readonly since: string;
  readonly reason?: string;
  readonly lastRead?: string;
  readonly nextRead?: string;
  /** Made to 1Password since the store started. */
  readonly requests: number;
}

/** The state after a look that failed. */
export function stateAfter({ kind }: BackendError): ResolverState {
  if (kind === "limited") return "limited";
  return kind === "refused" || kind === "forbidden" ? "refused" : "unreachable";
}

/** Why a reference of which nothing is known has no value, and the cure. */
export function whyNoValue(state: ResolverState, reason: string | undefined): string {
  switch (state) {
    case "locked":
      return "the secret store is locked: run berth secrets unlock";
    case "refused":
      return `1Password refuses the store's token (${reason}): seal a good one and run berth secrets unlock`;
    case "limited":
      return `1Password limits requests (${reason}); the store tries again by itself`;
    case "unreachable":
      return `1Password cannot be reached (${reason}); the store tries again by itself`;
    case "ready":
      return "1Password was not asked for it yet";
  }
}
