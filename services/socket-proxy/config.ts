import { networkInterfaces } from "node:os";
import { decodeGrants, type GrantsDocument } from "../../spec/grants.ts";
import { Path, Port, stackNamePattern, Uid } from "../../spec/names.ts";
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
  /** Directory of the audit, this user's own. */
  readonly auditDirectory: string;
  readonly grants: GrantsDocument;
  readonly listeners: readonly ListenerConfig[];
}

/**
 * Reads the environment: `BERTH_STACK`, and `BERTH_GRANTS`, the document of spec/grants.ts. All else is fixed by
 * spec/names.ts.
 * @param address where the TCP listener binds
 * @throws Error that says what is missing or wrong
 */
export function readConfig(env: NodeJS.ProcessEnv, address = ownAddress()): ProxyConfig {
  const { BERTH_STACK: stack, BERTH_GRANTS } = settings(env, ["BERTH_STACK", "BERTH_GRANTS"]);
  if (!stackNamePattern.test(stack)) {
    throw new Error(`BERTH_STACK is "${stack}", which is no stack name (${stackNamePattern})`);
  }
  const grants = decodeGrants(BERTH_GRANTS);
  return {
    stack,
    dockerSocket: Path.dockerSocket,
    uid: Uid.socketProxy,
    auditDirectory: Path.audit,
    grants,
    listeners: Object.entries(grants.clients).map(([client, { listener }]) => {
      if (listener === "tcp") return { client, host: address(), port: Port.socketProxy };
      const directory = `${Path.proxyRun}/${client}`;
      return { client, directory, socketPath: `${directory}/docker.sock` };
    }),
  };
}

/** The address on the one network that the proxy is on. @throws Error where it is on none, or on others too */
function ownAddress(): () => string {
  return () => {
    const addresses = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ internal, family }) => !internal && family === "IPv4")
      .map(({ address }) => address);
    const [only, ...more] = addresses;
    if (only === undefined || more.length > 0) {
      throw new Error(
        `it has ${addresses.length} addresses; it must be on socket-proxy-net, and on no other network`,
      );
    }
    return only;
  };
}
