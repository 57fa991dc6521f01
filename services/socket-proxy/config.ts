import { Path, Port, proxyClients, Service, stackNamePattern, Uid } from "../../spec/names.ts";
import { settings } from "../common/service.ts";
import type { Client } from "./grants.ts";

/** Where a client comes in. */
type ListenerConfig =
  | { readonly client: Client; readonly host: string; readonly port: number }
  | { readonly client: Client; readonly directory: string; readonly socketPath: string };

export interface ProxyConfig {
  readonly stack: string;
  readonly dockerSocket: string;
  /** The user that the proxy becomes. */
  readonly uid: number;
  readonly listeners: readonly ListenerConfig[];
}

/**
 * Reads the environment: `BERTH_STACK`. All else is fixed by spec/names.ts.
 * @throws Error that says what is missing or wrong
 */
export function readConfig(env: NodeJS.ProcessEnv): ProxyConfig {
  const stack = settings(env, ["BERTH_STACK"]).BERTH_STACK;
  if (!stackNamePattern.test(stack)) {
    throw new Error(`BERTH_STACK is "${stack}", which is no stack name (${stackNamePattern})`);
  }
  return {
    stack,
    dockerSocket: Path.dockerSocket,
    uid: Uid.socketProxy,
    listeners: [
      { client: Service.adminBridge, host: "0.0.0.0", port: Port.socketProxy },
      ...proxyClients.map((client) => {
        const directory = `${Path.proxyRun}/${client}`;
        return { client, directory, socketPath: `${directory}/docker.sock` };
      }),
    ],
  };
}
