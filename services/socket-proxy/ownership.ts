import { agentNamePattern, Label, objectName, Service } from "../../spec/names.ts";
import { asList, asObject, asText, asTexts, type JsonObject } from "./json.ts";
import { type EngineCall, findById, findByName, type OwnedId } from "./upstream.ts";

/** A container that is this stack's own: by label, and by a name that no image's label can give it. */
export interface OwnContainer {
  readonly id: OwnedId;
  readonly name: string;
  /** `agent`, or the service's name. */
  readonly component: string;
  /** Set for agents only. */
  readonly agent: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The Engine's list entry. */
  readonly entry: JsonObject;
}

const idPattern = /^[0-9a-f]{64}$/;
const services: ReadonlySet<string> = new Set<string>(Object.values(Service));

/**
 * The request that finds what a client named, among this stack's containers only; undefined: it can be none of them.
 * Short ids are not taken: they may be another container's name, or change their meaning.
 */
export function lookup(stack: string, named: string): EngineCall | undefined {
  if (idPattern.test(named)) return findById(stack, named);
  const prefix = objectName(stack, "");
  if (!named.startsWith(prefix) || !/^[a-z0-9-]{1,40}$/.test(named.slice(prefix.length))) {
    return undefined;
  }
  return findByName(stack, named);
}

/** The container that was named, out of the answer to {@link lookup}. */
export function pick(stack: string, named: string, answer: unknown): OwnContainer | undefined {
  return ownContainers(stack, answer).find((own) => own.id === named || own.name === named);
}

/** The stack's own among the entries of a list answer. */
export function ownContainers(stack: string, answer: unknown): OwnContainer[] {
  return asList(answer).flatMap((item) => {
    const entry = asObject(item);
    const labels = asTexts(entry.Labels);
    const id = asText(entry.Id, idPattern);
    const name = ownName(stack, labels);
    if (id === "" || name === undefined || !asList(entry.Names).includes(`/${name}`)) return [];
    const component = labels[Label.component] ?? "";
    const agent = component === "agent" ? labels[Label.agent] : undefined;
    return [{ id: id as OwnedId, name, component, agent, labels, entry }];
  });
}

/**
 * The one name that a container with these labels must have to be the stack's own.
 * A container inherits its image's labels, so labels alone prove nothing.
 */
export function ownName(
  stack: string,
  labels: Readonly<Record<string, string>>,
): string | undefined {
  if (labels[Label.stack] !== stack) return undefined;
  const component = labels[Label.component] ?? "";
  if (component === "agent") {
    const agent = labels[Label.agent] ?? "";
    return agentNamePattern.test(agent) ? objectName(stack, agent) : undefined;
  }
  return services.has(component) ? objectName(stack, component) : undefined;
}
