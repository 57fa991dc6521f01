/** Every bound of the gateway: counts, bytes and milliseconds. Tests shorten the waits. */
export interface Limits {
  /** Open connections of one agent; more are closed at once. */
  readonly connections: number;
  readonly headerBytes: number;
  readonly headersMs: number;
  /** A request, its body included, must be in after this. Tunnels and WebSockets are not requests in this sense. */
  readonly requestMs: number;
  readonly keepAliveMs: number;
  readonly resolveMs: number;
  /** For each address of a host. */
  readonly connectMs: number;
  readonly helloMs: number;
  /** A tunnel on which nothing moves is closed. Model answers may think for minutes. */
  readonly tunnelIdleMs: number;
  /** Until the other side's answer begins. */
  readonly answerMs: number;
  /** Bodies up to this size are kept until the answer is there, so that a request can be repeated with a new token. */
  readonly repeatableBytes: number;
  /** Largest body that goes to Mattermost; its own default for files is 100 MB. */
  readonly bodyBytes: number;
  /** How long a request waits for a token that is being fetched. */
  readonly tokenWaitMs: number;
  /** Least time between two fetches of one agent's token: a bot that Mattermost refuses must not cause a mint a request. */
  readonly tokenRenewEveryMs: number;
  readonly tokenRetryFirstMs: number;
  readonly tokenRetryMostMs: number;
  /** How often a token is checked that only an open WebSocket or the agent itself uses: both go deaf without a word. */
  readonly tokenCheckEveryMs: number;
  /** Mattermost pings every 60 s and gives up after 100 s. */
  readonly webSocketIdleMs: number;
  /** How often the gateway looks whether its socket files are still there. */
  readonly sweepEveryMs: number;
  /** Decisions of one agent that are logged each second, over a burst of ten times as many. The rest is counted. */
  readonly logLinesPerSecond: number;
}

export const defaultLimits: Limits = {
  connections: 256,
  headerBytes: 16 * 1024,
  headersMs: 20_000,
  requestMs: 300_000,
  keepAliveMs: 75_000,
  resolveMs: 10_000,
  connectMs: 8_000,
  helloMs: 15_000,
  tunnelIdleMs: 15 * 60_000,
  answerMs: 300_000,
  repeatableBytes: 256 * 1024,
  bodyBytes: 128 * 1024 * 1024,
  tokenWaitMs: 5_000,
  tokenRenewEveryMs: 2_000,
  tokenRetryFirstMs: 200,
  tokenRetryMostMs: 5_000,
  tokenCheckEveryMs: 60_000,
  webSocketIdleMs: 180_000,
  sweepEveryMs: 2_000,
  logLinesPerSecond: 50,
};
