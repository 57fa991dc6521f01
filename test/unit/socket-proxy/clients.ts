import type { ClientGrant, GrantsDocument, Suspension } from "../../../spec/grants.ts";
import { testGrants } from "./harness.ts";

/** Quotas that no test meets. */
const unmet = {
  requestsPerSecond: 1_000_000,
  requestBurst: 1_000_000,
  createsPerMinute: 100_000,
  instances: 10_000,
  memoryBytes: Number.MAX_SAFE_INTEGER,
  nanoCpus: Number.MAX_SAFE_INTEGER,
  pids: Number.MAX_SAFE_INTEGER,
};

/** Grants of the tests for those that ask more than a client may: no rate and no quota is ever met. */
export function unhurriedGrants(
  more: Readonly<Record<string, Partial<ClientGrant>>> = {},
  suspension: Partial<Suspension> = {},
): GrantsDocument {
  const base = testGrants({ suspension });
  const bridge = base.clients["admin-bridge"];
  if (!bridge) throw new Error("no grant of the admin bridge");
  const free = { ...bridge, quotas: { ...bridge.quotas, ...unmet } };
  const others = Object.entries(more).map(([name, changes]) => [
    name,
    { ...free, listener: "unix" as const, services: false, ...changes },
  ]);
  return {
    ...base,
    stack: { ...base.stack, ...unmet },
    suspension: { denials: 100_000, windowSeconds: 60, seconds: 60, ...suspension },
    clients: { ...base.clients, "admin-bridge": free, ...Object.fromEntries(others) },
  };
}
