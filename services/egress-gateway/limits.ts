/** A token bucket's rate. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Every bound of the gateway: counts, bytes and milliseconds, all for one agent. Tests shorten the waits. */
export interface Limits {
  /** Open connections; more are closed at once. */
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
  /** Requests, CONNECTs and upgrades. Beyond it they wait, unread and unanswered. */
  readonly requests: Rate;
  /** New connections; the same. */
  readonly newConnections: Rate;
  /** Where a connection would have to wait longer than this for its turn, it is closed. */
  readonly turnMs: number;
  /** What a connection with a second request before the first one's answer costs, in new connections. */
  readonly pipelinedCost: number;
  /** Log lines of refusals, and of what was allowed and its end. The rest is counted. */
  readonly logRefusals: Rate;
  readonly logAllowed: Rate;
  /** After this the count of lines that were left out is written where no other line carried it. */
  readonly logSummaryMs: number;
  /** Posts that are made. */
  readonly posts: Rate;
  /** Edits, deletions, reactions and typing notices. */
  readonly changes: Rate;
  /** Bytes of files that are uploaded. */
  readonly uploads: Rate;
  /** Bodies that are read whole; all but uploads. */
  readonly wholeBodyBytes: number;
  /** Mattermost's answers that are read whole, because their channel is looked at. */
  readonly wholeAnswerBytes: number;
  /** The agent's channels are asked for again when they are older than this, on the next call. */
  readonly channelsFreshMs: number;
  /** The same soon after a change of the declaration, and where a channel is not known. */
  readonly channelsHurryMs: number;
  /** What is added to an endpoint's requests is at most this old, as long as the secret store answers. */
  readonly endpointFreshMs: number;
  /** Least time between two questions for a value that was not there. */
  readonly endpointRetryMs: number;
  /** For an answer of the secret store. */
  readonly storeMs: number;
}

export const defaultLimits: Limits = {
  connections: 64,
  headerBytes: 16 * 1024,
  headersMs: 20_000,
  requestMs: 300_000,
  keepAliveMs: 75_000,
  resolveMs: 10_000,
  connectMs: 8_000,
  helloMs: 15_000,
  tunnelIdleMs: 15 * 60_000,
  answerMs: 300_000,
  bodyBytes: 128 * 1024 * 1024,
  tokenWaitMs: 5_000,
  tokenRenewEveryMs: 2_000,
  tokenRetryFirstMs: 200,
  tokenRetryMostMs: 5_000,
  tokenCheckEveryMs: 60_000,
  webSocketIdleMs: 180_000,
  sweepEveryMs: 2_000,
  requests: { perSecond: 100, burst: 300 },
  newConnections: { perSecond: 100, burst: 300 },
  turnMs: 10_000,
  pipelinedCost: 50,
  logRefusals: { perSecond: 1, burst: 20 },
  logAllowed: { perSecond: 5, burst: 100 },
  logSummaryMs: 10_000,
  posts: { perSecond: 2, burst: 120 },
  changes: { perSecond: 10, burst: 300 },
  uploads: { perSecond: (256 * 1024 * 1024) / 3600, burst: 256 * 1024 * 1024 },
  wholeBodyBytes: 1024 * 1024,
  wholeAnswerBytes: 16 * 1024 * 1024,
  channelsFreshMs: 60_000,
  channelsHurryMs: 2_000,
  endpointFreshMs: 2_000,
  endpointRetryMs: 250,
  storeMs: 2_000,
};
