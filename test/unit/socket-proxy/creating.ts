import type { Answer } from "../../../services/common/http.ts";
import type { Declaration, Template } from "../../../spec/declaration.ts";
import type { ClientQuotas, GrantsDocument, InstanceQuotas, Verb } from "../../../spec/grants.ts";
import { type InstanceTemplate, templatesOf } from "../../../spec/instance.ts";
import { presets } from "../../../spec/presets.ts";
import { declarationOf, type EngineDouble, type Recorded } from "./engine-double.ts";
import { testGrants } from "./harness.ts";
import { review } from "./templates.ts";

/** What tests of creates and instances share: a declaration with a template of each kind, grants, and readers of answers. */

const limits = { ...presets.sandbox, memoryBytes: 64 * 1024 * 1024 };

/** A sandbox of its own: no gateway, nothing of the workspace. */
const box: Template = {
  preset: "sandbox",
  image: "localhost/berth/node:0123456789ab",
  command: ["/usr/local/bin/node", "box.mjs"],
  env: {},
  parameters: {},
  limits,
  network: "none",
  workspace: "scratch",
  instances: { max: 2, timeoutSeconds: 60 },
};

/** One template of each kind. `many` is for tests that make a lot of instances. */
export const templates = {
  review,
  box,
  scan: { ...box, workspace: "read-only" },
  look: { ...review, parameters: {}, env: {}, workspace: "read-only" },
  // What a scratch and a sealed network are together.
  draft: { ...review, workspace: "scratch" },
  many: { ...review, instances: { max: 100, timeoutSeconds: 600 } },
} satisfies Record<string, Template>;

/** What the tests declare of agent `lal`. */
export const declared: Partial<Declaration> = {
  templates,
  instances: { max: 2, timeoutSeconds: 60 },
};

/** A template of agent `lal`, by its name within the declaration. */
export function templateOf(
  name: string,
  declaration: Declaration = declarationOf(declared),
): InstanceTemplate {
  const template = templatesOf(declaration).find((item) => item.name === name);
  if (!template) throw new Error(`no template ${name}`);
  return template;
}

/** Changes to the grants of the tests. */
export interface GrantChanges {
  readonly stack?: Partial<InstanceQuotas>;
  readonly quotas?: Partial<ClientQuotas>;
  readonly verbs?: readonly Verb[];
  readonly templates?: readonly string[];
}

/** A second client that may make instances, for tests with two. */
export const otherClient = "other-bridge";

/** Grants where requests have no rate, and a second client with a socket and the same rights. */
export function creatingGrants(changes: GrantChanges = {}): GrantsDocument {
  const grants = testGrants({ stack: { createsPerMinute: 100_000, ...changes.stack } });
  const bridge = grants.clients["admin-bridge"];
  if (!bridge) throw new Error("no admin bridge");
  const client = {
    ...bridge,
    verbs: changes.verbs ?? [...bridge.verbs, "kill" as const],
    templates: changes.templates ?? ["*"],
    quotas: {
      ...bridge.quotas,
      createsPerMinute: 100_000,
      requestsPerSecond: 1_000_000,
      requestBurst: 1_000_000,
      ...changes.quotas,
    },
  };
  return {
    ...grants,
    clients: {
      ...grants.clients,
      "admin-bridge": client,
      [otherClient]: { ...client, listener: "unix" },
    },
  };
}

/** The words of a refusal. */
export function messageOf({ text }: Answer): string {
  return (JSON.parse(text) as { message: string }).message;
}

/** Status and rule of a refusal. */
export function refusalOf(answer: Answer): [number, string] {
  return [
    answer.status,
    /\[([a-z0-9-]+)\](?: \(request [0-9a-f-]+\))?$/.exec(messageOf(answer))?.[1] ?? "",
  ];
}

/** The new container's id. */
export function idOf(answer: Answer): string {
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
  return (JSON.parse(answer.text) as { Id: string }).Id;
}

/** The creates that the Engine got. */
export function createsOf({ recorded }: EngineDouble): Recorded[] {
  return recorded.filter(({ path }) => path.includes("/containers/create?"));
}

/** Whatever could change something at the Engine, but the pids limit, which the sweep sets at any time. */
export function mutationsOf({ recorded }: EngineDouble): string[] {
  return recorded
    .filter(({ method, path }) => method !== "GET" && !path.endsWith("/update"))
    .map(({ method, path }) => `${method} ${path}`);
}

/** Ids of the containers that the Engine was told to remove. */
export function removedOf({ recorded }: EngineDouble): string[] {
  return recorded.flatMap(({ method, path }) =>
    method === "DELETE" ? [/containers\/([0-9a-f]{64})/.exec(path)?.[1] ?? path] : [],
  );
}

/** Turns the loop of this process over until it holds: also where timers are not real. */
export async function turnsUntil(holds: () => boolean): Promise<void> {
  for (let turns = 0; turns < 20_000; turns++) {
    if (holds()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error(`never: ${holds}`);
}
