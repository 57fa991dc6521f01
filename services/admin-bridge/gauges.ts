import type { Agent } from "./agent.ts";
import type { Metrics } from "./metrics.ts";
import { type SecretStoreState, secretStoreStates } from "./secret-watch.ts";

/** Declares what is read when the metrics are asked for: the state of the parts as it is then. */
export function declareGauges(
  metrics: Metrics,
  parts: {
    readonly agents: () => readonly Agent[];
    readonly hearing: () => boolean;
    readonly engineUp: () => boolean;
    readonly listeners: () => number;
    readonly secrets: () => SecretStoreState;
  },
): void {
  metrics.gauge("berth_agents", "Declared agents, by state.", () =>
    (["running", "asleep", "stopped", "local", "failed"] as const).map((state) => [
      { state },
      parts.agents().filter((agent) => agent.state === state).length,
    ]),
  );
  metrics.gauge("berth_chat_up", "1 while the WebSocket to Mattermost hears.", () => [
    [{}, Number(parts.hearing())],
  ]);
  metrics.gauge("berth_engine_up", "1 while the socket proxy answers.", () => [
    [{}, Number(parts.engineUp())],
  ]);
  metrics.gauge("berth_listeners", "Bots for whose direct messages we listen.", () => [
    [{}, parts.listeners()],
  ]);
  metrics.gauge(
    "berth_secret_store_state",
    "1 for the state in which the secret store is; away: it does not answer.",
    () => secretStoreStates.map((state) => [{ state }, Number(state === parts.secrets())]),
  );
}
