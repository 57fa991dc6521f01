import { Service } from "../../spec/names.ts";
import { type Verb, verbs } from "./intent.ts";

/** The clients of the proxy. Which one it is says the listener, nothing that the client sends. */
export const clients = [Service.adminBridge, Service.egressGateway, Service.secretStore] as const;
export type Client = (typeof clients)[number];

/** What a client that only follows the declarations needs. */
const observer: ReadonlySet<Verb> = new Set<Verb>(["ping", "version", "declarations", "events"]);

/** Verbs by client. A client that is not here has none. */
const grants: ReadonlyMap<Client, ReadonlySet<Verb>> = new Map<Client, ReadonlySet<Verb>>([
  [Service.adminBridge, new Set<Verb>(verbs)],
  [Service.egressGateway, observer],
  [Service.secretStore, observer],
]);

/** Whether a client may use a verb. */
export function isGranted(client: Client, verb: Verb): boolean {
  return grants.get(client)?.has(verb) ?? false;
}
