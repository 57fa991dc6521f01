import { reasonOf } from "../services/common/log.ts";

/** An agent as the admin bridge tells it. */
export interface AgentStatus {
  readonly name: string;
  readonly activation: string;
  readonly driver: string;
  readonly state: "running" | "asleep" | "stopped" | "local" | "failed";
  /** It has been heard in the chat since it was started. */
  readonly answered: boolean;
  readonly greeting?: string;
  readonly lastError?: string;
}

/** `GET /api/status` of the admin bridge. */
export interface StackStatus {
  readonly stack: string;
  readonly ready: boolean;
  readonly agents: readonly AgentStatus[];
}

/** Asks the admin bridge once. @throws Error where it does not answer or answers something else */
export async function statusOf(adminUrl: string): Promise<StackStatus> {
  const answer = await fetch(new URL("/api/status", adminUrl), {
    signal: AbortSignal.timeout(5_000),
  });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const status = (await answer.json()) as Partial<StackStatus>;
  if (typeof status.ready !== "boolean" || !Array.isArray(status.agents)) {
    throw new Error("the answer is no status");
  }
  return status as StackStatus;
}

/** Agents that have to answer before the stack is up, and have not. */
export function silentAgents(status: StackStatus): readonly AgentStatus[] {
  return status.agents.filter(
    (agent) => agent.activation === "always" && agent.driver !== "local" && !agent.answered,
  );
}

/** What waiting ended with. */
export interface WaitResult {
  readonly done: boolean;
  /** The last status that was told, if any was. */
  readonly status?: StackStatus;
  /** Why it is not done, one line a reason. */
  readonly reasons: readonly string[];
}

/** Asks until every `always` agent has answered, or the time is over. */
export async function waitForAgents(options: {
  readonly adminUrl: string;
  readonly timeoutMs: number;
  readonly intervalMs?: number;
}): Promise<WaitResult> {
  const end = Date.now() + options.timeoutMs;
  let result: WaitResult = { done: false, reasons: [] };
  do {
    try {
      const status = await statusOf(options.adminUrl);
      const reasons = reasonsToWait(status);
      if (reasons.length === 0) return { done: true, status, reasons };
      result = { done: false, status, reasons };
    } catch (error) {
      const reason = `the admin bridge does not answer at ${options.adminUrl}: ${reasonOf(error)}`;
      result = { ...result, done: false, reasons: [reason] };
    }
    await new Promise((resolve) => setTimeout(resolve, options.intervalMs ?? 500));
  } while (Date.now() < end);
  return result;
}

/** Why a status is not yet what `up` waits for. */
export function reasonsToWait(status: StackStatus): string[] {
  const agents = silentAgents(status).map(
    (agent) =>
      `${agent.name} has not answered: it is ${agent.state}` +
      (agent.lastError ? `; its last error: ${agent.lastError}` : ""),
  );
  return status.ready ? agents : ["the admin bridge is not ready yet", ...agents];
}
