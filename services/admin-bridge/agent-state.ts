import type { Activation, Declaration } from "../../spec/declaration.ts";
import type { Desired } from "./store.ts";

/** An agent's state in the words of `/api/status`. */
export type AgentState = "running" | "asleep" | "stopped" | "local" | "failed";

/** What decides over an agent. */
export interface Facts {
  readonly activation: Activation;
  readonly desired: Desired;
  /** berth runs the container; otherwise the operator runs the agent himself. */
  readonly contained: boolean;
  readonly running: boolean;
  readonly failed: boolean;
}

/** Whether an agent should be running without being asked for: by its declaration, or by an operator's word. */
export function shouldRun(facts: Pick<Facts, "activation" | "desired" | "contained">): boolean {
  if (!facts.contained || facts.desired === "stopped") return false;
  return facts.desired === "running" || facts.activation === "always";
}

/** Whether a message may start an agent. A commanded stop stays a stop, and `manual` means by word only. */
export function mayWake(facts: Pick<Facts, "activation" | "desired" | "contained">): boolean {
  return facts.contained && facts.desired !== "stopped" && facts.activation !== "manual";
}

export function stateOf(facts: Facts): AgentState {
  if (!facts.contained) return "local";
  if (facts.running) return "running";
  if (facts.failed) return "failed";
  if (facts.desired === "stopped") return "stopped";
  return facts.activation === "manual" && facts.desired === "auto" ? "stopped" : "asleep";
}

/** Agents that sleep until a message: those for which somebody must listen to direct messages. */
export function sleepsOnDemand(declaration: Declaration, contained: boolean): boolean {
  return contained && declaration.activation === "on-demand";
}
