import type { Endpoint } from "../../common/http.ts";
import { followLines } from "../../common/lines.ts";
import type { Log } from "../../common/log.ts";

/**
 * Follows the admin bridge's word that an agent's token is to be replaced, until the signal. The new one waits there for a
 * few seconds while the old one works; missed, it costs the agent one refused call, after which the gateway asks by itself.
 */
export function followRenewals(
  endpoint: Endpoint,
  options: {
    readonly signal: AbortSignal;
    readonly log: Log;
    readonly onAgent: (agent: string) => void;
  },
): Promise<void> {
  return followLines(endpoint, "/renewals", {
    signal: options.signal,
    log: options.log,
    lost: "renewals-lost",
    maxLineBytes: 4 * 1024,
    onLine: (line) => {
      const { agent } = Object(JSON.parse(line)) as { agent?: unknown };
      if (typeof agent === "string") options.onAgent(agent);
    },
  });
}
