import { Path, Port } from "../../spec/names.ts";
import { healthSocket } from "../common/health.ts";

/** Where the runner finds things. In a container the defaults hold; the local driver and tests set their own. */
export interface RunnerSettings {
  /** Directory of the gateway socket, the secrets and the bot token. */
  readonly runDirectory: string;
  readonly workspace: string;
  /** Loopback port of the Mattermost forwarder; 0 takes any free one. */
  readonly mattermostPort: number;
  /** Loopback port of the egress forwarder; 0 takes any free one. */
  readonly egressPort: number;
  readonly healthSocket: string;
  readonly timing: Timing;
}

/** Every wait of the runner, in milliseconds. */
export interface Timing {
  /** How long the gateway may stay away at the start before the runner gives up (exit 1). */
  readonly selfPatience: number;
  /** Between two looks at the declaration, which may change while the agent runs. */
  readonly selfEvery: number;
  /** Between two looks at whether a secret has a new value. The secret store's writes are not announced through a mount. */
  readonly secretsEvery: number;
  /** How long a declared secret may be missing before the agent says so. It goes on looking. */
  readonly secretPatience: number;
  /** How far back a first start looks for unanswered messages. */
  readonly firstLookBack: number;
  /** How far back any start looks. */
  readonly longestLookBack: number;
  readonly typingEvery: number;
  /** Between the first post of an answer and its first edit. */
  readonly firstEdit: number;
  readonly editEvery: number;
  /** A turn without a sign of life from the program is cancelled after this. */
  readonly idle: number;
  /** How long the program may take to answer a cancel before it is restarted. */
  readonly cancelPatience: number;
  /** How long a message waits for a program that is starting or restarting. */
  readonly programPatience: number;
  readonly initialize: number;
  readonly pingEvery: number;
  readonly pingPatience: number;
  /** How often it is noted that nothing was missed. */
  readonly onlineEvery: number;
  /** First and longest wait between two attempts to connect the WebSocket. */
  readonly reconnectFirst: number;
  readonly reconnectMost: number;
  /** First and longest wait before a crashed program is started again. */
  readonly restartFirst: number;
  readonly restartMost: number;
  /** A program that lived this long starts with a clean record. */
  readonly stableAfter: number;
  /** How long the last edit of an answer is tried while Mattermost is away. */
  readonly finalEditPatience: number;
  /** The part of the stop grace that is kept for cancelling turns and ending the program. */
  readonly stopEnding: number;
  /** Kept back from the stop grace, so that we end by ourselves and not by the Engine's SIGKILL. */
  readonly stopSpare: number;
}

export const defaultTiming: Timing = {
  selfPatience: 300_000,
  selfEvery: 15_000,
  secretsEvery: 2_000,
  secretPatience: 30_000,
  firstLookBack: 15 * 60_000,
  longestLookBack: 7 * 24 * 3_600_000,
  typingEvery: 4_000,
  firstEdit: 250,
  editEvery: 1_000,
  idle: 10 * 60_000,
  cancelPatience: 10_000,
  programPatience: 45_000,
  initialize: 60_000,
  pingEvery: 30_000,
  pingPatience: 10_000,
  onlineEvery: 30_000,
  reconnectFirst: 100,
  reconnectMost: 10_000,
  restartFirst: 200,
  restartMost: 60_000,
  stableAfter: 60_000,
  finalEditPatience: 300_000,
  stopEnding: 5_000,
  stopSpare: 1_000,
};

/**
 * Reads the settings: `BERTH_RUN`, `BERTH_WORKSPACE`, `BERTH_MATTERMOST_PORT`, `BERTH_EGRESS_PORT`,
 * `BERTH_HEALTH_SOCKET`, `BERTH_IDLE_MINUTES`; all optional.
 * @throws Error that names the variable
 */
export function readSettings(env: NodeJS.ProcessEnv): RunnerSettings {
  const idleMinutes = wholeNumber(env, "BERTH_IDLE_MINUTES", 10, 1, 24 * 60);
  return {
    runDirectory: env.BERTH_RUN || Path.agentRun,
    workspace: env.BERTH_WORKSPACE || Path.workspace,
    mattermostPort: wholeNumber(env, "BERTH_MATTERMOST_PORT", Port.mattermost, 0, 65_535),
    egressPort: wholeNumber(env, "BERTH_EGRESS_PORT", Port.egressProxy, 0, 65_535),
    healthSocket: env.BERTH_HEALTH_SOCKET || healthSocket,
    timing: { ...defaultTiming, idle: idleMinutes * 60_000 },
  };
}

/** The same file as in a container's `/run/berth`, under the directory of these settings. */
export function runPath(settings: RunnerSettings, containerPath: string): string {
  return containerPath.replace(Path.agentRun, settings.runDirectory);
}

function wholeNumber(
  env: NodeJS.ProcessEnv,
  name: string,
  fallback: number,
  least: number,
  most: number,
): number {
  const text = env[name];
  if (!text) return fallback;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new Error(`${name} is "${text}": write a whole number from ${least} to ${most}`);
  }
  return value;
}
