import type { Declaration } from "../../spec/declaration.ts";
import { type ClientGrant, coversTemplate, type GrantsDocument } from "../../spec/grants.ts";
import { ownTemplate } from "../../spec/names.ts";
import type { OwnContainer } from "./ownership.ts";

/** A client of the proxy, by name. Which one it is says the listener, nothing that the client sends. */
export type Client = string;

/** The grant of a client. @throws Error: a listener without a grant is never made */
export function grantOf(grants: GrantsDocument, client: Client): ClientGrant {
  const grant = Object.hasOwn(grants.clients, client) ? grants.clients[client] : undefined;
  if (!grant) throw new Error(`${client} is no client`);
  return grant;
}

/**
 * Whether a container exists for a client: parts of the platform where its grant says so, agents by their template, and
 * of instances only those that it made itself.
 */
export function isVisible(grant: ClientGrant, client: Client, own: OwnContainer): boolean {
  if (own.agent === undefined) return grant.services;
  if (!own.instance) return coversTemplate(grant, own.agent, ownTemplate);
  return own.instance.client === client && coversTemplate(grant, own.agent, own.instance.template);
}

/** Whether a client may know of an agent's declaration: it has one of its templates. */
export function isDeclarationVisible(grant: ClientGrant, { name }: Declaration): boolean {
  return grant.templates.some((item) => item === "*" || item.startsWith(`${name}.`));
}
