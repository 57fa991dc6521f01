import type http from "node:http";
import type { ClientGrant, GrantsDocument } from "../../spec/grants.ts";
import type { Log } from "../common/log.ts";
import type { Alerts } from "./alerts.ts";
import type { Audit } from "./audit.ts";
import type { Declarations } from "./declarations.ts";
import type { EnginePort } from "./engine.ts";
import type { EngineEvents } from "./events.ts";
import type { Fleet } from "./fleet.ts";
import type { Client } from "./grants.ts";
import type { EndedInstances } from "./instances/ended.ts";
import type { Leases } from "./instances/leases.ts";
import type { Quotas } from "./instances/quotas.ts";
import type { ClientLimits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import type { PidsLimits } from "./pids.ts";

/** All that carrying out an intent needs. */
export interface Parts {
  readonly stack: string;
  readonly grants: GrantsDocument;
  readonly engine: EnginePort;
  /** Whether the Engine answers now; asked at the same time, it is asked once. @throws EngineError */
  readonly ping: () => Promise<unknown>;
  readonly events: EngineEvents;
  readonly fleet: Fleet;
  readonly declarations: Declarations;
  readonly leases: Leases;
  readonly ended: EndedInstances;
  readonly quotas: Quotas;
  readonly pids: PidsLimits;
  readonly audit: Audit;
  readonly alerts: Alerts;
  readonly metrics: Metrics;
  /** All counters and gauges, as text. */
  readonly renderMetrics: () => string;
  readonly log: Log;
}

/** Who asks, and with what right. */
export interface Asking {
  readonly client: Client;
  readonly grant: ClientGrant;
}

/** What a decision is about, for its record. */
export interface Subject {
  readonly object?: string;
  readonly id?: string;
  readonly agent?: string;
  /** Whole id of the template, its hash and the instance's name. */
  readonly template?: string;
  readonly templateHash?: string;
  readonly instance?: string;
}

/** The right to go on: recorded at the moment it is given. */
export interface Permission {
  /** @throws Denial 503 where a mutation's record cannot be written */
  give(about?: Subject): void;
}

/** One request on its way. */
export interface Exchange extends Asking {
  readonly id: string;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly permission: Permission;
  readonly limit: ClientLimits;
}
