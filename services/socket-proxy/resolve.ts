import { agentContainer, type ContainerSpec } from "../../spec/container.ts";
import type { Declaration } from "../../spec/declaration.ts";
import {
  type InstanceTemplate,
  instanceContainer,
  type Parameters,
  problemsOfParameters,
  templateHash,
  templatesOf,
} from "../../spec/instance.ts";
import { Label, templateId } from "../../spec/names.ts";
import { forbidden, notFound } from "./denial.ts";
import { EngineError } from "./engine-error.ts";
import { isVisible } from "./grants.ts";
import { asTexts } from "./json.ts";
import { lookup, type OwnContainer, ownOfInspect, pick } from "./ownership.ts";
import type { Asking, Parts } from "./parts.ts";
import * as upstream from "./upstream.ts";

/** A container of the stack that a client may see, and what the Engine says of it now. */
export interface Resolved {
  readonly own: OwnContainer;
  readonly inspected: unknown;
}

/**
 * What a client's name means, settled by what the Engine says of it at this moment. A name that is known costs one
 * question; any other - absent, foreign, or younger than the last list - is looked for among the stack's own only, so
 * that all of those are refused after the same work.
 * @throws Denial 404
 */
export async function resolve(parts: Parts, asking: Asking, named: string): Promise<Resolved> {
  const known = parts.fleet.find(named);
  const resolved = (known && (await inspect(parts, known))) ?? (await find(parts, named));
  if (!resolved || !isVisible(asking.grant, asking.client, resolved.own)) throw notFound();
  return resolved;
}

async function find(parts: Parts, named: string): Promise<Resolved | undefined> {
  const call = lookup(parts.stack, named);
  const own = call && pick(parts.stack, named, await parts.engine.json(call));
  return own && inspect(parts, own);
}

async function inspect(parts: Parts, { id }: OwnContainer): Promise<Resolved | undefined> {
  let inspected: unknown;
  try {
    inspected = await parts.engine.json(upstream.inspectContainer(id));
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
  const own = ownOfInspect(parts.stack, id, inspected);
  return own && { own, inspected };
}

/** A container of an agent's, and what it is declared to be. */
export interface Declared extends Resolved {
  readonly declaration: Declaration;
  /** Of an instance: its template, as it is declared now. */
  readonly template: InstanceTemplate | undefined;
  /** Time that a stop gives it, where the client does not say. */
  readonly stopGraceSeconds: number;
}

/**
 * The declared container behind a name. Nothing else is ever started, stopped, waited for or read. Of a template that has
 * changed since, an instance can still be stopped and read: only a start compares it with what it should be.
 * @throws Denial
 */
export async function resolveDeclared(
  parts: Parts,
  asking: Asking,
  named: string,
): Promise<Declared> {
  const [resolved, declarations] = await Promise.all([
    resolve(parts, asking, named),
    parts.declarations.refresh(),
  ]);
  const { own } = resolved;
  if (own.agent === undefined) throw forbidden("not-an-agent", "it is a part of the platform");
  const declaration = declarations.find((item) => item.name === own.agent);
  if (!declaration) throw forbidden("undeclared", "no declaration of this agent is there");
  if (declaration.driver !== "docker") {
    throw forbidden("driver", "the declaration says that it runs outside of Docker");
  }
  const template = own.instance && templateOf(own.instance.template, declaration);
  const { StopTimeout } = template?.container ?? agentContainer(declaration);
  return { ...resolved, declaration, template, stopGraceSeconds: StopTimeout };
}

function templateOf(named: string, declaration: Declaration): InstanceTemplate {
  const template = templatesOf(declaration).find(({ name }) => name === named);
  if (template) return template;
  throw forbidden("undeclared", `no template ${templateId(declaration.name, named)} is declared`);
}

/**
 * What a container should be, member by member: of an instance, its labels say which name and values.
 * @throws Denial 403 where it was made of a template that is another one now
 */
export function renderingOf({ own, declaration, template }: Declared): ContainerSpec {
  const { instance } = own;
  if (!instance || !template) return agentContainer(declaration);
  if (own.labels[Label.config] !== templateHash(template)) {
    throw forbidden("verify", `template ${template.id} is another one now`, ["Config.Labels"]);
  }
  const parameters = readParameters(own.labels[Label.parameters] ?? "");
  if (!parameters || problemsOfParameters(template, parameters).length > 0) {
    throw forbidden("verify", "its parameters are none of its template's", ["Config.Labels"]);
  }
  const { name, client, leaseEnds } = instance;
  return instanceContainer(template, { name, client, parameters, leaseEnds });
}

function readParameters(text: string): Parameters | undefined {
  try {
    return asTexts(JSON.parse(text));
  } catch {
    return undefined;
  }
}
