import {
  agentNamePattern,
  clientNamePattern,
  instanceName,
  instanceNamePattern,
  Label,
  objectName,
  ownTemplate,
  Service,
  templateId,
  templateNamePattern,
} from "../../spec/names.ts";
import { EngineError } from "./engine-error.ts";
import { asList, asObject, asText, asTexts, type JsonObject } from "./json.ts";
import { type EngineCall, findById, findByName, type LeasedId, type OwnedId } from "./upstream.ts";

/** What the labels of a container say that the proxy made itself. */
export interface InstanceLabels {
  /** Template's name within the declaration. */
  readonly template: string;
  readonly name: string;
  readonly client: string;
  /** When the lease ends, in Unix seconds. */
  readonly leaseEnds: number;
  /** The same container, as one that may be removed. */
  readonly leasedId: LeasedId;
}

/** A container that is this stack's own: by label, and by a name that no image's label can give it. */
export interface OwnContainer {
  readonly id: OwnedId;
  readonly name: string;
  /** `agent`, `worker`, `sandbox`, or the service's name. */
  readonly component: string;
  /** Set for agents and their instances. */
  readonly agent: string | undefined;
  /** Set for what the proxy made itself. */
  readonly instance: InstanceLabels | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** The Engine's list entry; empty where it was found by inspect. */
  readonly entry: JsonObject;
}

const idPattern = /^[0-9a-f]{64}$/;
const services: ReadonlySet<string> = new Set<string>(Object.values(Service));
const programs: ReadonlySet<string> = new Set(["agent", "worker", "sandbox"]);

/** Names of containers of a stack, behind the stack's prefix: a service, an agent, or an instance. */
const ownNamePattern = /^[a-z0-9-]{1,40}(\.[a-z0-9-]{1,31}\.[a-z0-9-]{1,31})?$/;

/**
 * The request that finds what a client named, among this stack's containers only; undefined: it can be none of them.
 * Short ids are not taken: they may be another container's name, or change their meaning.
 */
export function lookup(stack: string, named: string): EngineCall | undefined {
  if (idPattern.test(named)) return findById(stack, named);
  const prefix = objectName(stack, "");
  if (!named.startsWith(prefix) || !ownNamePattern.test(named.slice(prefix.length))) {
    return undefined;
  }
  return findByName(stack, named);
}

/** The container that was named, out of the answer to {@link lookup}. */
export function pick(stack: string, named: string, answer: unknown): OwnContainer | undefined {
  return ownContainers(stack, answer).find((own) => own.id === named || own.name === named);
}

/** The stack's own among the entries of a list answer. @throws EngineError where it is no list: that is not "none" */
export function ownContainers(stack: string, answer: unknown): OwnContainer[] {
  if (!Array.isArray(answer)) throw new EngineError("unusable", "the Engine's answer is no list");
  return asList(answer).flatMap((item) => {
    const entry = asObject(item);
    const own = ownContainer(stack, entry.Id, asList(entry.Names), asTexts(entry.Labels), entry);
    return own ? [own] : [];
  });
}

/** The container of an inspect answer, where it is the stack's own and the one that was asked for. */
export function ownOfInspect(
  stack: string,
  asked: OwnedId,
  answer: unknown,
): OwnContainer | undefined {
  const { Id, Name, Config } = asObject(answer);
  if (Id !== asked) return undefined;
  return ownContainer(stack, Id, [Name], asTexts(asObject(Config).Labels), {});
}

/** The container of an event, where its labels and name are those of one of the stack's own. */
export function ownOfLabels(
  stack: string,
  id: string,
  name: string | undefined,
  labels: Readonly<Record<string, string>>,
): OwnContainer | undefined {
  return ownContainer(stack, id, [`/${name}`], labels, {});
}

function ownContainer(
  stack: string,
  writtenId: unknown,
  names: readonly unknown[],
  labels: Readonly<Record<string, string>>,
  entry: JsonObject,
): OwnContainer | undefined {
  const id = asText(writtenId, idPattern);
  const name = ownName(stack, labels);
  if (id === "" || name === undefined || !names.includes(`/${name}`)) return undefined;
  const component = labels[Label.component] ?? "";
  const agent = programs.has(component) ? labels[Label.agent] : undefined;
  // A part of the platform is no instance, whatever else its labels say.
  const instance = agent === undefined ? undefined : instanceLabels(labels, id);
  return { id: id as OwnedId, name, component, agent, instance, labels, entry };
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
  if (!programs.has(component)) {
    return services.has(component) ? objectName(stack, component) : undefined;
  }
  const agent = labels[Label.agent] ?? "";
  if (!agentNamePattern.test(agent)) return undefined;
  const instance = instanceLabels(labels, "");
  if (instance) return instanceName(stack, templateId(agent, instance.template), instance.name);
  return component === "agent" && labels[Label.template] === undefined
    ? objectName(stack, agent)
    : undefined;
}

/** What the labels say of an instance; undefined unless each of them is as the proxy writes it. */
function instanceLabels(
  labels: Readonly<Record<string, string>>,
  id: string,
): InstanceLabels | undefined {
  const [agent, template = "", ...more] = (labels[Label.template] ?? "").split(".");
  const name = labels[Label.instance] ?? "";
  const client = labels[Label.client] ?? "";
  const lease = labels[Label.lease] ?? "";
  const isRight =
    agent === labels[Label.agent] &&
    more.length === 0 &&
    templateNamePattern.test(template) &&
    (template === ownTemplate) === (labels[Label.component] === "agent") &&
    instanceNamePattern.test(name) &&
    clientNamePattern.test(client) &&
    /^[1-9][0-9]{0,11}$/.test(lease);
  if (!isRight) return undefined;
  return { template, name, client, leaseEnds: Number(lease), leasedId: id as LeasedId };
}
