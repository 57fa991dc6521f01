import { hashOf, type Json } from "./canonical.ts";
import { agentContainer } from "./container.ts";
import { type CreateBody, createBody } from "./create-body.ts";
import type { Declaration, InstanceLimits, Parameter } from "./declaration.ts";
import type { ClientGrant, GrantsDocument, InstanceQuotas, Suspension } from "./grants.ts";
import { type InstanceTemplate, templateHash, templatesOf } from "./instance.ts";
import { Label, ownTemplate, templateId } from "./names.ts";

/** What the socket proxy would do, as a stack output: `pulumi preview` shows how a change of the program changes it. */
export interface Policy {
  /** Identity of the rights: {@link grantsHash} of what the proxy is given. */
  readonly policy: string;
  readonly clients: Readonly<Record<string, ClientGrant>>;
  /** Quotas of all clients together. */
  readonly stack: InstanceQuotas;
  readonly suspension: Suspension;
  /** By id: `lal.agent` is the agent's own container, `lal.review` a template that it declares. */
  readonly templates: Readonly<Record<string, TemplatePolicy>>;
}

/** One container that the proxy makes or starts. */
export interface TemplatePolicy {
  /** The `berth.config` label of what is made of it, and what the audit names it by. */
  readonly hash: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** Absent: nothing is made of it; it is the one container that Pulumi makes. */
  readonly instances?: InstanceLimits;
  /** What the Engine is sent, without what belongs to one instance. */
  readonly create: CreateBody;
}

/** Identity of a grants document, as 64 hex digits: what the proxy's audit and metrics name the rights by. */
export function grantsHash(grants: GrantsDocument): string {
  return hashOf(grants as unknown as Json);
}

/** The policy of a stack. Pure: the order of the declarations, and of what is in them, means nothing. */
export function policyOf(grants: GrantsDocument, declarations: readonly Declaration[]): Policy {
  const templates = declarations.flatMap((declaration) => [
    ...(declaration.driver === "docker" && !declaration.instances ? [ownPolicy(declaration)] : []),
    ...templatesOf(declaration).map((template) => [template.id, templatePolicy(template)] as const),
  ]);
  const policy: Policy = {
    policy: grantsHash(grants),
    clients: grants.clients,
    stack: grants.stack,
    suspension: grants.suspension,
    templates: Object.fromEntries(templates),
  };
  return sorted(policy as unknown as Json) as unknown as Policy;
}

/** The agent's own container, of which there are no more. */
function ownPolicy(declaration: Declaration): readonly [string, TemplatePolicy] {
  const container = agentContainer(declaration);
  return [
    templateId(declaration.name, ownTemplate),
    {
      hash: container.Labels[Label.config] ?? "",
      parameters: {},
      create: createBody(container),
    },
  ];
}

function templatePolicy(template: InstanceTemplate): TemplatePolicy {
  return {
    hash: templateHash(template),
    parameters: template.parameters,
    instances: template.instances,
    create: createBody(template.container),
  };
}

/** A copy with the members of every object in order; lists keep theirs, which means something. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map((item: Json) => sorted(item));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value as { readonly [key: string]: Json | undefined })
      .filter((entry): entry is [string, Json] => entry[1] !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => [key, sorted(member)]),
  );
}

/** Templates of which not even one instance fits into the stack's quotas, each with what is too little of what. */
export function problemsOfQuotas(
  stack: InstanceQuotas,
  declarations: readonly Declaration[],
): { readonly template: string; readonly problem: string }[] {
  // Nothing is to be made at all: that is a decision, not a mistake.
  if (stack.instances === 0 || stack.createsPerMinute === 0) return [];
  return declarations.flatMap(templatesOf).flatMap(({ id, container: { HostConfig: host } }) =>
    (
      [
        ["memory", host.Memory, stack.memoryBytes, "bytes"],
        ["cpus", host.NanoCpus, stack.nanoCpus, "billionths of a CPU"],
        ["pids", host.PidsLimit, stack.pids, "processes"],
      ] as const
    )
      .filter(([, needed, allowed]) => needed > allowed)
      .map(([quota, needed, allowed, unit]) => ({
        template: id,
        problem: `one instance needs ${needed} ${unit}, and berth:instanceQuotas.${quota} allows ${allowed} for all together`,
      })),
  );
}
