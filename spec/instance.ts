import { canonicalJson } from "./canonical.ts";
import { agentContainer, type ContainerSpec, environment, programContainer } from "./container.ts";
import type { Declaration, InstanceLimits, Parameter } from "./declaration.ts";
import { instanceName, Label, objectName, ownTemplate, templateId } from "./names.ts";
import { readPattern } from "./pattern.ts";

/** Values of a template's parameters, by environment variable. */
export type Parameters = Readonly<Record<string, string>>;

/** A kind of container that the socket proxy may make, with all that a client cannot choose. */
export interface InstanceTemplate {
  /** `lal.review`; `lal.agent` is the agent itself. */
  readonly id: string;
  readonly declaration: Declaration;
  /** Name within the declaration. */
  readonly name: string;
  /** The rendering, without what belongs to one instance. */
  readonly container: ContainerSpec;
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly instances: InstanceLimits;
}

/** What belongs to one instance. */
export interface Instance {
  /** Name among the instances of the template. */
  readonly name: string;
  readonly client: string;
  readonly parameters: Parameters;
  /** When its lease ends, in Unix seconds. */
  readonly leaseEnds: number;
}

/** Ids of all templates of a declaration. */
export function templateIdsOf({ name, instances, templates }: Declaration): string[] {
  const names = [...(instances ? [ownTemplate] : []), ...Object.keys(templates ?? {})];
  return names.map((template) => templateId(name, template));
}

/** All templates of a declaration, sorted by id: the agent itself where it may have further containers, and those it declares. */
export function templatesOf(declaration: Declaration): InstanceTemplate[] {
  const { stack, name: agent, instances } = declaration;
  const own: InstanceTemplate[] = instances
    ? [
        {
          id: templateId(agent, ownTemplate),
          declaration,
          name: ownTemplate,
          container: agentContainer(declaration),
          parameters: {},
          instances,
        },
      ]
    : [];
  const declared = Object.entries(declaration.templates ?? {}).map(([name, template]) => {
    const id = templateId(agent, name);
    const container = programContainer(declaration, {
      name: objectName(stack, id),
      image: template.image,
      entrypoint: template.command,
      env: template.env,
      labels: { [Label.component]: template.preset, [Label.template]: id },
      limits: template.limits,
      network: template.network,
      workspace: template.workspace,
      restart: "no",
    });
    return {
      id,
      declaration,
      name,
      container,
      parameters: template.parameters,
      instances: template.instances,
    };
  });
  return [...own, ...declared].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Identity of what a template renders to; an instance carries it as its `berth.config` label. */
export function templateHash(template: InstanceTemplate): string {
  return template.container.Labels[Label.config] ?? "";
}

/**
 * The container of one instance: the template's, with a name, the lease's labels and the parameters.
 * Nothing else of it depends on who asks.
 */
export function instanceContainer(template: InstanceTemplate, instance: Instance): ContainerSpec {
  const { container, declaration } = template;
  const fixed = container.Env.map((entry) => entry.split(/=(.*)/s, 2));
  const values = Object.fromEntries(
    Object.entries(instance.parameters).filter(([key]) => Object.hasOwn(template.parameters, key)),
  );
  return {
    ...container,
    name: instanceName(declaration.stack, template.id, instance.name),
    // The template's own last: no parameter takes the place of one, whatever it is called.
    Env: environment({ ...values, ...Object.fromEntries(fixed) }),
    Labels: {
      ...container.Labels,
      [Label.template]: template.id,
      [Label.instance]: instance.name,
      [Label.client]: instance.client,
      [Label.parameters]: canonicalJson(values),
      [Label.lease]: String(instance.leaseEnds),
    },
  };
}

/** Everything wrong with the values for a template's parameters, each with its name; never a value. */
export function problemsOfParameters(template: InstanceTemplate, values: Parameters): string[] {
  const { parameters } = template;
  const unknown = Object.keys(values)
    .filter((key) => !Object.hasOwn(parameters, key))
    .map(
      (key) => `${/^[A-Z0-9_]{1,64}$/.test(key) ? key : "?"}: is no parameter of ${template.id}`,
    );
  const wrong = Object.entries(parameters).flatMap(([key, { pattern, maxLength, optional }]) => {
    const value = Object.hasOwn(values, key) ? values[key] : undefined;
    if (value === undefined) return optional ? [] : [`${key}: is missing`];
    if ([...value].length > maxLength) return [`${key}: is longer than ${maxLength} characters`];
    return readPattern(pattern).matches(value) ? [] : [`${key}: does not look like ${pattern}`];
  });
  return [...unknown, ...wrong];
}
