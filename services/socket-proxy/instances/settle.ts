import { randomBytes } from "node:crypto";
import type { Json } from "../../../spec/canonical.ts";
import { createBody } from "../../../spec/create-body.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { type ClientGrant, coversTemplate } from "../../../spec/grants.ts";
import {
  type Instance,
  type InstanceTemplate,
  instanceContainer,
  problemsOfParameters,
  templatesOf,
} from "../../../spec/instance.ts";
import { instanceNamePattern, Label, objectName } from "../../../spec/names.ts";
import { type Denial, forbidden, malformed } from "../denial.ts";
import type { Client } from "../grants.ts";
import type { CreateRequest } from "../intent.ts";
import { differencesOfBody, splitEnvironment } from "./match.ts";
import { isObject } from "./read.ts";

/** A create that is settled: a template, typed parameters, and nothing else of the client's. */
export interface Settled {
  readonly template: InstanceTemplate;
  readonly instance: Instance;
}

/** Who asks, for what stack, at what time. */
export interface Asker {
  readonly stack: string;
  readonly client: Client;
  readonly grant: ClientGrant;
  /** Unix seconds. */
  readonly now: number;
}

/** Most differences that a refusal names. */
const maxNamed = 20;

/**
 * Settles what a create means: which template, which name, which values. Pure but for the name of an instance that has
 * none.
 * @throws Denial that names every member and parameter that is wrong, and no value
 */
export function settle(
  wanted: CreateRequest,
  declarations: readonly Declaration[],
  asker: Asker,
): Settled {
  if (wanted.form === "native") {
    const template = findTemplate(wanted.template, declarations, asker);
    const name = checkedName(wanted.instance ?? newName());
    return settled(template, name, wanted.parameters, asker);
  }
  const named = readName(asker.stack, wanted.name);
  const labels = isObject(wanted.body.Labels) ? wanted.body.Labels : {};
  const label = Object.hasOwn(labels, Label.template) ? labels[Label.template] : undefined;
  const id = typeof label === "string" ? label : named.template;
  if (id === undefined) {
    throw forbidden(
      "template",
      `say which template it is of: the label ${Label.template}=<agent>.<template>, or a name like <agent>.<template>.<name>`,
    );
  }
  const template = findTemplate(id, declarations, asker);
  const name = checkedName(named.instance ?? newName());
  const { parameters, differences } = splitEnvironment(
    wanted.body.Env,
    (key) => Object.hasOwn(template.parameters, key),
    template.container.Env,
  );
  const result = settled(template, name, parameters, asker);
  const rendered = createBody(instanceContainer(template, result.instance)) as unknown as Json;
  const fields = [
    ...differencesOfBody(wanted.body, rendered),
    ...differences,
    ...(named.template === undefined || named.template === id ? [] : ["?name"]),
  ];
  if (fields.length > 0) {
    const more = fields.length > maxNamed ? ` and ${fields.length - maxNamed} more` : "";
    const hint = fields.some((field) => field.startsWith("/Attach"))
      ? "; nothing can be attached to: run it detached (-d)"
      : "";
    throw forbidden(
      "template-body",
      `these differ from template ${template.id}: ${fields.slice(0, maxNamed).join(", ")}${more}; leave them out${hint}`,
      fields.slice(0, maxNamed),
    );
  }
  return result;
}

function settled(
  template: InstanceTemplate,
  name: string,
  parameters: Readonly<Record<string, string>>,
  { client, now }: Asker,
): Settled {
  const problems = problemsOfParameters(template, parameters);
  if (problems.length > 0) {
    const names = problems.map((problem) => problem.split(":", 1)[0] ?? "");
    throw malformed("parameters", problems.join("; "), names);
  }
  const leaseEnds = now + template.instances.timeoutSeconds;
  return { template, instance: { name, client, parameters, leaseEnds } };
}

/** A template that is not there and one that is not granted are refused in the same words. */
function findTemplate(
  id: string,
  declarations: readonly Declaration[],
  { client, grant }: Asker,
): InstanceTemplate {
  const [agent, name, ...more] = id.split(".");
  const declaration = declarations.find((item) => item.name === agent);
  const template =
    declaration && more.length === 0
      ? templatesOf(declaration).find((item) => item.name === name)
      : undefined;
  if (!template || !coversTemplate(grant, template.declaration.name, template.name)) {
    throw forbidden(
      "template",
      `${client} has no such template; templates are declared with their agent`,
    );
  }
  if (template.declaration.driver !== "docker") {
    throw forbidden("driver", "the declaration says that its agent runs outside of Docker");
  }
  return template;
}

/** `x1`, `lal.review.x1` or the container's whole name. */
function readName(
  stack: string,
  written: string | undefined,
): { readonly template?: string; readonly instance?: string } {
  if (written === undefined) return {};
  const prefix = objectName(stack, "");
  const name = written.startsWith("/") ? written.slice(1) : written;
  const isWhole = name.startsWith(prefix);
  const parts = (isWhole ? name.slice(prefix.length) : name).split(".");
  // A whole name of one part is that of an agent or a service: nobody gets another container under it.
  if (parts.length === 1 && !isWhole) return { instance: name };
  if (parts.length !== 3) throw nameProblem();
  const [agent, template, instance = ""] = parts;
  return { template: `${agent}.${template}`, instance };
}

function checkedName(name: string): string {
  if (!instanceNamePattern.test(name)) throw nameProblem();
  return name;
}

function nameProblem(): Denial {
  return malformed(
    "instance",
    "the instance's name must be 1 to 31 of a-z, 0-9, -, or lal.review.<name>",
  );
}

/** A name for an instance that the client has given none. */
function newName(): string {
  return `i${randomBytes(6).toString("hex")}`;
}
