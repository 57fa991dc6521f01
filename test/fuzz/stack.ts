import { agentContainer } from "../../spec/container.ts";
import { createBody } from "../../spec/create-body.ts";
import type { Declaration, Template } from "../../spec/declaration.ts";
import type { ClientGrant, GrantsDocument, Verb } from "../../spec/grants.ts";
import { verbs } from "../../spec/grants.ts";
import { type InstanceTemplate, instanceContainer, templatesOf } from "../../spec/instance.ts";
import { presets } from "../../spec/presets.ts";
import { declarationOf, inspectOf } from "../unit/socket-proxy/engine-double.ts";
import { review } from "../unit/socket-proxy/templates.ts";

/** The small stack that is fuzzed: three agents, workers and sandboxes, platform services, and foreign containers. */

/** Stands in everything that no client may ever get to see. */
export const canary = "CANARY-7f3a";

const sandbox: Template = {
  ...review,
  preset: "sandbox",
  parameters: {
    TASK_REF: { pattern: "[\\w./-]{1,64}", maxLength: 64 },
    TASK_TEXT: { pattern: ".+|\\d{4}-\\d{2}", maxLength: 200, optional: true },
  },
  limits: presets.sandbox,
  network: "none",
  workspace: "scratch",
  instances: { max: 100, timeoutSeconds: 3600 },
};

export const declarations: readonly Declaration[] = [
  declarationOf({
    name: "ada",
    network: "mattermost",
    templates: { build: { ...review, parameters: {}, workspace: "read-only" } },
  }),
  declarationOf({
    name: "lal",
    instances: { max: 2, timeoutSeconds: 60 },
    templates: {
      review: { ...review, instances: { max: 3, timeoutSeconds: 300 } },
      shell: sandbox,
    },
  }),
  declarationOf({ name: "zed", driver: "local" }),
];

/** All templates, by their ids. */
export const templates: ReadonlyMap<string, InstanceTemplate> = new Map(
  declarations.flatMap(templatesOf).map((template) => [template.id, template]),
);

/** Docker create bodies that fit, by template, with the parameters that must be there. */
export const fittingBodies: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map(
  [...templates.values()].map((template) => {
    const parameters: Record<string, string> = {};
    if (template.name === "review") parameters.TASK_ID = "7";
    if (template.name === "shell") parameters.TASK_REF = "a/b";
    const { Labels, ...body } = createBody(
      instanceContainer(template, { name: "x1", client: "c", parameters, leaseEnds: 1 }),
    ) as { Labels: Record<string, string> };
    return [template.id, { ...body, Labels: { "berth.template": template.id } }];
  }),
);

/** A container of the stack's host. */
export interface Member {
  readonly id: string;
  readonly inspect: Readonly<Record<string, unknown>>;
  /** The stack's own, by label and name. */
  readonly isOwn: boolean;
  /** Client that it belongs to; undefined: all who have its template. */
  readonly client?: string;
  /** Template it is of; undefined: a service or foreign. */
  readonly template?: string;
  /** It is not as declared: it must never start. */
  readonly isDrifted?: true;
}

const idOf = (digit: string) => digit.repeat(64);
const [ada, lal] = declarations as readonly [Declaration, Declaration];

function agent(declaration: Declaration, id: string, change: Loose = {}): Member {
  const spec = agentContainer(declaration);
  const inspect = withSecrets(inspectOf(spec, id));
  Object.assign(inspect.HostConfig, change);
  const template = `${declaration.name}.agent`;
  return { id, inspect, isOwn: true, template, ...(change.Privileged ? { isDrifted: true } : {}) };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the Engine are put together and spoilt here
type Loose = any;

/** What the Engine's answers hold beside what is shown. */
export function withSecrets(inspect: Loose): Loose {
  inspect.LogPath = `/var/lib/docker/${canary}.log`;
  inspect.HostsPath = `/var/lib/docker/${canary}`;
  inspect.State.Error = canary;
  inspect.State.Health = { Status: "none", Log: [{ Output: canary }] };
  return inspect;
}

function instance(id: string, client: string, template: string, name: string): Member {
  const found = templates.get(template);
  if (!found) throw new Error(`no template ${template}`);
  const parameters = found.name === "review" ? { TASK_ID: canary.toLowerCase() } : {};
  const leaseEnds = Math.floor(Date.now() / 1000) + 1e6;
  const spec = instanceContainer(found, { name, client, parameters, leaseEnds });
  return { id, inspect: withSecrets(inspectOf(spec, id)), isOwn: true, client, template };
}

function labelled(
  id: string,
  name: string,
  labels: Record<string, string>,
  isOwn: boolean,
): Member {
  const inspect = withSecrets(inspectOf(agentContainer(lal), id));
  inspect.Name = `/${name}`;
  inspect.Config.Labels = labels;
  inspect.Config.Env = [canary];
  return { id, inspect, isOwn };
}

const spoof = inspectOf(agentContainer(lal), idOf("e")).Config as {
  Labels: Record<string, string>;
};

/** The clients that send the bytes, and one that never does. */
export const clients = ["admin-bridge", "worker", "watcher", "other"] as const;
export type ClientName = (typeof clients)[number];

/** What is there before anything is sent. */
export const members: readonly Member[] = [
  agent(lal, idOf("a")),
  agent(ada, idOf("d"), { Privileged: true }),
  instance(idOf("1"), "worker", "lal.review", "own"),
  instance(idOf("2"), "other", "lal.review", "theirs"),
  labelled(
    idOf("5"),
    "berth-dev-mattermost",
    { "berth.stack": "dev", "berth.component": "mattermost" },
    true,
  ),
  // Foreign ones: another stack's, one that names itself like an agent, one with the labels of an agent from its image.
  labelled(
    idOf("b"),
    "berth-prod-lal",
    { "berth.stack": "prod", "berth.component": "agent", "berth.agent": "lal" },
    false,
  ),
  labelled(idOf("c"), "berth-dev-fake", {}, false),
  labelled(idOf("e"), `${canary}-spoof`, spoof.Labels, false),
];

const generous = {
  createsPerMinute: 100_000,
  instances: 1000,
  memoryBytes: 2 ** 50,
  nanoCpus: 2 ** 50,
  pids: 1e9,
};
const tight = { ...generous, createsPerMinute: 2, instances: 2 };
const streaming = {
  requestsPerSecond: 1e6,
  requestBurst: 1e6,
  streams: 3,
  streamBytesPerSecond: 2 ** 40,
};

/** The rights of the clients. `isTight`: quotas that are soon used up, and a suspension after few probes. */
export function grantsOf(isTight: boolean): GrantsDocument {
  const quotas = { ...streaming, ...(isTight ? tight : generous) };
  const grant = (changes: Partial<ClientGrant>): ClientGrant => ({
    listener: "unix",
    verbs,
    templates: ["*"],
    services: false,
    quotas,
    ...changes,
  });
  const watching: readonly Verb[] = [
    "ping",
    "version",
    "declarations",
    "events",
    "list",
    "inspect",
  ];
  return {
    version: 1,
    clients: {
      "admin-bridge": grant({ listener: "tcp", services: true }),
      worker: grant({ templates: ["lal.review", "lal.shell"] }),
      watcher: grant({ verbs: watching, templates: ["ada.*"] }),
      other: grant({}),
    },
    stack: isTight ? tight : generous,
    suspension: isTight
      ? { denials: 3, windowSeconds: 60, seconds: 60 }
      : { denials: 1_000_000, windowSeconds: 1, seconds: 1 },
  };
}
