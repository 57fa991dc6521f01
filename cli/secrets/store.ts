import { reasonOf } from "../../services/common/log.ts";
import { Service } from "../../spec/names.ts";
import { CliError, withoutControls } from "../console.ts";
import { type EngineClient, type ExecResult, execIn } from "../engine-api.ts";
import { containerOf } from "../live-stack.ts";
import { tail } from "../run.ts";
import type { Session } from "../session.ts";

/** Node in the images of the services. */
export const node = "/usr/local/bin/node";

/** Longest that a verb may take: 1Password may be asked for every item of a large fleet. */
const patienceMs = 11 * 60_000;

/** What the secret store is about. */
export const storeStates = [
  "development",
  "locked",
  "ready",
  "refused",
  "limited",
  "unreachable",
] as const;
export type StoreState = (typeof storeStates)[number];

/** How one secret, config file or endpoint of an agent stands. */
export interface SecretStatus {
  readonly agent: string;
  readonly name: string;
  readonly reference: string;
  readonly state: "delivered" | "kept" | "missing";
  readonly reason?: string;
}

/** What the secret store tells of itself. */
export interface StoreStatus {
  readonly provider: "development" | "onepassword";
  readonly via: string;
  readonly state: StoreState;
  readonly since: string;
  readonly reason?: string;
  readonly lastRead?: string;
  readonly nextRead?: string;
  readonly requests: number;
  readonly secrets: readonly SecretStatus[];
}

/** The running secret store of a stack, by the verbs of its container. */
export interface Store {
  /** Runs a verb. @throws StoreError with the store's own reason */
  ask(verb: string, args?: readonly string[], stdin?: string): Promise<unknown>;
  /** Runs a verb whose refusal is an answer, too. */
  run(verb: string, args?: readonly string[], stdin?: string): Promise<ExecResult>;
  /** How it stands. @throws StoreError */
  status(): Promise<StoreStatus>;
}

/** The secret store refused, or is not there. */
export class StoreError extends CliError {}

/** The secret store of the session's stack. What goes to it is on the standard input of a command; arguments are verbs and names. */
export function storeOf(session: Session, engine: EngineClient): Store {
  const container = containerOf(session, Service.secretStore);
  const run = async (verb: string, args: readonly string[] = [], stdin = "") => {
    try {
      return await execIn(
        engine,
        container,
        [node, "/opt/berth/secret-store.mjs", verb, ...args],
        stdin,
        patienceMs,
      );
    } catch (error) {
      throw new StoreError(
        `the secret store of the stack "${session.stack}" cannot be asked: ${reasonOf(error)}. Is the stack up ("make up")?`,
      );
    }
  };
  const ask = async (verb: string, args: readonly string[] = [], stdin = "") => {
    const result = await run(verb, args, stdin);
    if (result.exitCode !== 0) throw new StoreError(reasonIn(result));
    return jsonIn(verb, result);
  };
  return { run, ask, status: async () => readStatus(await ask("status")) };
}

/** Why a verb was refused: what it has said last, fit for a terminal. */
export function reasonIn(result: ExecResult): string {
  const words = withoutControls(tail(result.stderr, 5)).trim();
  return (
    words || `the secret store's command ended with exit code ${result.exitCode} and said nothing`
  );
}

/** The JSON that a verb has answered. @throws StoreError */
export function jsonIn(verb: string, result: ExecResult): unknown {
  try {
    return JSON.parse(result.stdout);
  } catch {
    // Its text is kept back: it is none that was meant to be shown.
    throw new StoreError(
      `${verb}: the secret store's answer is no JSON; look at "berth logs secret-store"`,
    );
  }
}

function readStatus(value: unknown): StoreStatus {
  const status = value as Partial<StoreStatus> | null;
  const isKnown = storeStates.some((state) => state === status?.state);
  if (!status || !isKnown || !Array.isArray(status.secrets)) {
    throw new StoreError(
      'status: the answer is no status: run "make up", so that store and command are of one version',
    );
  }
  return status as StoreStatus;
}
