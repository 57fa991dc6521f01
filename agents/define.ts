import { imageReference } from "../images/catalog.ts";
import {
  type Activation,
  type AgentNetwork,
  type Chat,
  type Declaration,
  type Driver,
  encodeDeclaration,
  type Program,
} from "../spec/declaration.ts";
import { checkDeclaration, imagePattern } from "../spec/declaration-check.ts";
import type { Preset } from "../spec/presets.ts";
import { AgentError } from "./error.ts";
import { problemsOfFleet } from "./fleet-check.ts";
import { agentImages, defaultImage, isMoving, problemOfImage, standIn } from "./images.ts";
import { limitsOf, type Resources } from "./resources.ts";
import { pastedSecrets, type SecretsInput, secretInInputWords, secretsOf } from "./secrets.ts";
import {
  type InstancesInput,
  instancesOf,
  type ReadTemplates,
  type TemplateInput,
  templateInInputWords,
  templatesOf,
  withImages,
} from "./templates.ts";

export { AgentError } from "./error.ts";
export { agentImages, defaultImage } from "./images.ts";
export { jsonTemplate, secret } from "./secrets.ts";

/** What an agent's file says. What it leaves out has the default named here. */
export interface AgentInput extends SecretsInput {
  /** Container, volumes, bot and socket directory: 2 to 31 of `a-z`, `0-9`, `-`, a letter first. */
  readonly name: string;
  /** `local`: no container; the operator runs the program against the agent's socket. @default "docker" */
  readonly driver?: Driver;
  /** A stack image (`base`, `node`) or any image by digest (`name@sha256:…`). @default "node" */
  readonly image?: string;
  /** Accept an `image` that may come to mean another one (`name:tag`); the stack's config must allow it too. @default false */
  readonly allowMovingTag?: boolean;
  /** The image starts berth's agent runner: true of stack images and what is built from them. */
  readonly runner?: boolean;
  /** An Agent Client Protocol program behind the runner, or a command that brings its own bridge. */
  readonly program: Program;
  /** When the admin bridge starts it. @default "on-demand" */
  readonly activation?: Activation;
  /** Set of limits. @default "agent" */
  readonly preset?: Preset;
  /** Limits that differ from the preset's. */
  readonly resources?: Resources;
  /** Where it listens, to what, and to whom. @default mentions by `operator` in `town-square` */
  readonly chat?: Partial<Chat>;
  /** `sealed`: its gateway socket is all it can reach. @default "sealed" */
  readonly network?: AgentNetwork;
  /** Hosts that it may reach through the gateway: `host`, `*.suffix`, either with `:port` (else 443). @default none */
  readonly egress?: readonly string[];
  /** `retain`: the workspace stays on the host when the agent goes. @default true */
  readonly workspace?: { readonly retain?: boolean };
  /** Further containers of the agent itself, made on demand. @default none */
  readonly instances?: InstancesInput;
  /** Containers made on demand for its work, by name; its own gateway and workspace unless they say otherwise. @default none */
  readonly workers?: Readonly<Record<string, TemplateInput>>;
  /** The same without any network, smaller and shorter: for code that nobody has read. @default none */
  readonly sandboxes?: Readonly<Record<string, TemplateInput>>;
}

/** A checked agent with every default filled in; its image is still as written. */
export type Agent = Omit<Declaration, "version" | "stack">;

/**
 * Checks an agent and fills in what it leaves out. Pure; the result is frozen.
 * @throws AgentError that lists everything wrong with field and cure
 */
export function defineAgent(input: AgentInput): Agent {
  const problems: string[] = [];
  const { agent, written } = completed(input, problems);
  problems.push(...unknownKeys(input), ...ownRules(input, agent));
  const candidate = {
    ...agent,
    version: 1,
    stack: "check",
    image: agent.allowMovingTag ? agent.image : standIn(agent.image),
    ...(agent.templates ? { templates: withImages(agent.templates, standIn) } : {}),
  } as const;
  problems.push(...checkDeclaration(candidate).map((problem) => inInputWords(problem, written)));
  // Only of members that are right in themselves.
  if (problems.length === 0) problems.push(...pastedSecrets(agent));
  if (problems.length === 0) {
    try {
      encodeDeclaration(candidate);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  if (problems.length > 0) throw new AgentError(fileOf(input), [...new Set(problems)]);
  return deepFreeze(agent);
}

/**
 * Checks a list of agents against each other and sorts it by name.
 * @throws AgentError that lists every duplicate and every set of agents that would answer each other without end
 */
export function defineFleet(agents: readonly Agent[]): readonly Agent[] {
  const problems = problemsOfFleet(agents);
  if (problems.length > 0) throw new AgentError("agents/index.ts", problems);
  return Object.freeze([...agents].sort((a, b) => (a.name < b.name ? -1 : 1)));
}

/** The declaration of an agent in a stack. `images` gives a stack image's full reference by its catalog name. */
export function toDeclaration(
  agent: Agent,
  options: { readonly stack: string; readonly images?: (name: string) => string },
): Declaration {
  const images = options.images ?? imageReference;
  const full = (image: string) => (agentImages.includes(image) ? images(`agent-${image}`) : image);
  return Object.freeze({
    ...agent,
    version: 1,
    stack: options.stack,
    image: full(agent.image),
    ...(agent.templates ? { templates: withImages(agent.templates, full) } : {}),
  });
}

/** Agents whose image may come to mean another one. */
export function withMovingTag(agents: readonly Agent[]): readonly Agent[] {
  return agents.filter((agent) => agent.allowMovingTag === true);
}

/** Adds the defaults. Wrong values are carried along, for the checks to name. */
function completed(
  input: AgentInput,
  problems: string[],
): { readonly agent: Agent; readonly written: ReadTemplates["written"] } {
  const chat = input.chat ?? {};
  const workspace = input.workspace ?? {};
  const image = input.image ?? defaultImage;
  const network = input.network ?? "sealed";
  const noChat = network === "none";
  const read = templatesOf(input.workers, input.sandboxes, { image, network });
  problems.push(...read.problems);
  const agent: Agent = {
    name: input.name,
    driver: input.driver ?? "docker",
    image,
    ...(input.allowMovingTag === true && isMoving(image) ? { allowMovingTag: true } : {}),
    // Without a gateway the runner could not learn what to do, so the command itself is the entry point.
    runner: network !== "none" && (input.runner ?? agentImages.includes(image)),
    program: input.program,
    activation: input.activation ?? "on-demand",
    preset: input.preset ?? "agent",
    limits: limitsOf(input.preset ?? "agent", input.resources ?? {}, problems),
    chat: {
      ...chat,
      channels: sorted(chat.channels ?? (noChat ? [] : ["town-square"])),
      trigger: chat.trigger ?? "mention",
      access: withSortedUsers(
        chat.access ?? { mode: "allowlist", users: noChat ? [] : ["operator"] },
      ),
    },
    network,
    egress: sorted(input.egress ?? []),
    ...secretsOf(input),
    workspace: { ...workspace, retain: workspace.retain ?? true },
    ...(input.instances === undefined ? {} : { instances: instancesOf(input.instances, problems) }),
    ...(read.templates ? { templates: read.templates } : {}),
  };
  return { agent, written: read.written };
}

/** Rules that a declaration alone does not show. */
function ownRules(input: AgentInput, agent: Agent): string[] {
  const found: string[] = [];
  const { image } = agent;
  const usable = agentImages.includes(image) || imagePattern.test(image) || agent.allowMovingTag;
  const problem = usable ? undefined : problemOfImage(image);
  if (problem) found.push(`image: ${problem}${isMoving(image) ? ", or allowMovingTag: true" : ""}`);
  const needsRunner = Object.hasOwn(agent.program ?? {}, "acp");
  if (agent.network === "none") {
    if (needsRunner)
      found.push('program: acp needs the gateway; with network "none" write { command: [...] }');
    if (agent.egress.length > 0) found.push('egress: nothing is reached with network "none"');
    if (Object.keys(agent.secrets).length > 0)
      found.push('secrets: nothing is delivered with network "none"');
    if (input.chat) found.push('chat: nobody is heard with network "none"');
  } else if (usable && needsRunner && !agent.runner && agent.driver === "docker") {
    found.push(
      "program: acp needs berth's agent runner; say runner: true where the image is built from a stack image, else write { command: [...] }",
    );
  }
  if (agent.driver === "local" && agent.network !== "sealed")
    found.push('network: an agent with driver "local" has no container; only "sealed" is possible');
  return found;
}

const inputKeys: Readonly<Record<keyof AgentInput, true>> = {
  name: true,
  driver: true,
  image: true,
  allowMovingTag: true,
  runner: true,
  program: true,
  activation: true,
  preset: true,
  resources: true,
  chat: true,
  network: true,
  egress: true,
  secrets: true,
  vaults: true,
  configFiles: true,
  endpoints: true,
  workspace: true,
  instances: true,
  workers: true,
  sandboxes: true,
};

function unknownKeys(input: AgentInput): string[] {
  return Object.keys(input)
    .filter((key) => !Object.hasOwn(inputKeys, key))
    .map((key) => `${key}: is not known; there are: ${Object.keys(inputKeys).join(", ")}`);
}

/** A problem of the declaration, in the words of the agent's file. Limits have problems of their own. */
function inInputWords(problem: string, written: ReadTemplates["written"]): string {
  return templateInInputWords(secretInInputWords(problem), written)
    .replace(/^limits\.memoryBytes/, "resources.memory (bytes)")
    .replace(/^limits\.nanoCpus/, "resources.cpus (billionths)")
    .replace(/^limits\.tmpBytes/, "resources.tmp (bytes)")
    .replace(/^limits\./, "resources.");
}

function fileOf(input: AgentInput): string {
  return typeof input.name === "string" && /^[a-z][a-z0-9-]*$/.test(input.name)
    ? `agents/${input.name}.ts`
    : `the agent named ${JSON.stringify(input.name)} in agents/`;
}

/** Order and repetition mean nothing in these lists; wrong values are left for the checks. */
function sorted(list: readonly string[]): readonly string[] {
  return Array.isArray(list) ? [...new Set(list)].sort() : list;
}

function withSortedUsers(access: Chat["access"]): Chat["access"] {
  return access?.users ? { ...access, users: sorted(access.users) } : access;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
}
