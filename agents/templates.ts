import type {
  AgentNetwork,
  InstanceLimits,
  Parameter,
  Template,
  TemplateWorkspace,
} from "../spec/declaration.ts";
import type { Limits } from "../spec/presets.ts";
import { problemOfReference } from "../spec/references.ts";
import { isRecord } from "../spec/rules.ts";
import { MiB } from "../spec/units.ts";
import { defaultImage, isMoving, problemOfImage } from "./images.ts";
import { limitsOf, type Resources } from "./resources.ts";

/** A kind of container that the socket proxy makes on demand, for the agent's work. No client adds anything but parameters. */
export interface TemplateInput {
  /** Program and arguments, all of it; the image's own entry point is not used. */
  readonly command: readonly string[];
  /** A stack image or any image by digest, never one that moves. @default a worker: the agent's own; a sandbox: "node" */
  readonly image?: string;
  /** Environment of its own. Secrets are not for here: they are files of the agent's. @default none */
  readonly env?: Readonly<Record<string, string>>;
  /** What a client may choose: environment variables `TASK_…`, each with a pattern and a length. @default none */
  readonly parameters?: Readonly<Record<string, Parameter>>;
  /** Limits that differ from the preset's: 2 GB and 2 CPUs for a worker, 512 MB and 1 CPU for a sandbox. */
  readonly resources?: Resources;
  /** `sealed`: the agent's own gateway and secrets. @default a worker: what the agent has; a sandbox: "none" */
  readonly network?: "sealed" | "none";
  /** What it has of the agent's workspace, at `/workspace`; `scratch`: nothing, its own is in RAM. @default "shared" */
  readonly workspace?: TemplateWorkspace;
  /** Seconds from the create on; then it is stopped and removed. @default a worker: 1800; a sandbox: 300 */
  readonly timeout?: number;
  /** How many there may be at a time. @default 4 */
  readonly max?: number;
}

/** How many further containers of the agent itself there may be. */
export interface InstancesInput {
  /** At a time. @default 4 */
  readonly max?: number;
  /** Seconds from the create on; then it is stopped and removed. @default 1800 */
  readonly timeout?: number;
}

const workerSeconds = 30 * 60;
const sandboxSeconds = 5 * 60;
const defaultMax = 4;

/** What templates take from their agent. */
interface Owner {
  readonly image: string;
  readonly network: AgentNetwork;
}

/** The templates of an agent, and what is wrong with how they are written. */
export interface ReadTemplates {
  /** By name; undefined: none. Wrong values are carried along, for the declaration's checks to name. */
  readonly templates: Readonly<Record<string, Template>> | undefined;
  readonly problems: readonly string[];
  /** What a template is called in the agent's file: `review` → `workers.review`. */
  readonly written: ReadonlyMap<string, string>;
}

/** Reads `workers` and `sandboxes` of an agent's file and fills in what they leave out. Images stay as written. */
export function templatesOf(workers: unknown, sandboxes: unknown, owner: Owner): ReadTemplates {
  const templates: Record<string, Template> = {};
  const problems: string[] = [];
  const written = new Map<string, string>();
  for (const [kind, preset, group] of [
    ["workers", "worker", workers],
    ["sandboxes", "sandbox", sandboxes],
  ] as const) {
    if (group === undefined) continue;
    if (!isRecord(group)) {
      problems.push(`${kind}: must be an object like { review: { command: ["review"] } }`);
      continue;
    }
    for (const [name, input] of Object.entries(group)) {
      const path = `${kind}.${name}`;
      if (written.has(name)) {
        problems.push(`${path}: ${written.get(name)} has this name too; choose another`);
        continue;
      }
      written.set(name, path);
      if (!isRecord(input)) {
        problems.push(`${path}: must be an object like { command: ["review"] }`);
        continue;
      }
      const template = completed(preset, input as Partial<TemplateInput>, owner, path, problems);
      problems.push(
        ...unknownKeys(input).map((problem) => `${path}.${problem}`),
        ...badSense(template, input.image === undefined).map((problem) => `${path}.${problem}`),
      );
      templates[name] = template;
    }
  }
  return {
    templates: Object.keys(templates).length > 0 ? templates : undefined,
    problems,
    written,
  };
}

/** The declaration's `instances`, with what is left out. */
export function instancesOf(input: InstancesInput, problems: string[]): InstanceLimits {
  const { max, timeout, ...more } = isRecord(input) ? (input as InstancesInput) : {};
  if (!isRecord(input)) problems.push("instances: must be an object like { max: 2 }");
  for (const key of Object.keys(more))
    problems.push(`instances.${key}: is not known; there are: max, timeout`);
  return { max: max ?? defaultMax, timeoutSeconds: timeout ?? workerSeconds };
}

/** A problem of the declaration's `templates` and `instances`, in the words of the agent's file. */
export function templateInInputWords(problem: string, written: ReadTemplates["written"]): string {
  const own = problem.replace(/^instances\.timeoutSeconds/, "instances.timeout");
  for (const [name, path] of written) {
    const prefix = `templates.${name}`;
    if (!own.startsWith(prefix) || !/^[.:[]/.test(own.slice(prefix.length))) continue;
    const rest = own
      .slice(prefix.length)
      .replace(/^\.limits\.memoryBytes/, ".resources.memory (bytes)")
      .replace(/^\.limits\.nanoCpus/, ".resources.cpus (billionths)")
      .replace(/^\.limits\.tmpBytes/, ".resources.tmp (bytes)")
      .replace(/^\.limits\./, ".resources.")
      .replace(/^\.instances\.timeoutSeconds/, ".timeout")
      .replace(/^\.instances\./, ".");
    return `${path}${rest}`;
  }
  return own;
}

/** The same templates with each image put through `change`. */
export function withImages(
  templates: Readonly<Record<string, Template>>,
  change: (image: string) => string,
): Record<string, Template> {
  return Object.fromEntries(
    Object.entries(templates).map(([name, template]) => [
      name,
      { ...template, image: change(template.image) },
    ]),
  );
}

function completed(
  preset: Template["preset"],
  input: Partial<TemplateInput>,
  owner: Owner,
  path: string,
  problems: string[],
): Template {
  const isWorker = preset === "worker";
  const limitProblems: string[] = [];
  const limits = limitsOf(preset, input.resources ?? {}, limitProblems);
  problems.push(...limitProblems.map((problem) => `${path}.${problem}`));
  return {
    preset,
    image: input.image ?? (isWorker ? owner.image : defaultImage),
    command: input.command as readonly string[],
    env: input.env ?? {},
    parameters: input.parameters ?? {},
    limits,
    network: input.network ?? (isWorker && owner.network !== "none" ? "sealed" : "none"),
    workspace: input.workspace ?? "shared",
    instances: {
      max: input.max ?? defaultMax,
      timeoutSeconds: input.timeout ?? (isWorker ? workerSeconds : sandboxSeconds),
    },
  };
}

const inputKeys: Readonly<Record<keyof TemplateInput, true>> = {
  command: true,
  image: true,
  env: true,
  parameters: true,
  resources: true,
  network: true,
  workspace: true,
  timeout: true,
  max: true,
};

function unknownKeys(input: object): string[] {
  return Object.keys(input)
    .filter((key) => !Object.hasOwn(inputKeys, key))
    .map((key) => `${key}: is not known; there are: ${Object.keys(inputKeys).join(", ")}`);
}

/** What has the right form and no good sense: a secret in sight of everybody, limits that cannot hold. */
function badSense(template: Template, isOwnersImage: boolean): string[] {
  const { image, command, env, limits, workspace } = template;
  return [
    ...imageProblem(image, isOwnersImage),
    ...(Array.isArray(command) ? command : []).flatMap((argument, i) =>
      problemsOfText(argument).map((problem) => `command[${i}]: ${problem}`),
    ),
    ...Object.entries(isRecord(env) ? env : {}).flatMap(([key, value]) => [
      ...problemsOfText(value).map((problem) => `env.${key}: ${problem}`),
      ...(secretName.test(key)
        ? [
            `env.${key}: a value here shows in the declaration and to whoever inspects the container; ${cure}`,
          ]
        : []),
    ]),
    ...ramProblem(limits, workspace),
  ];
}

/** An image of the agent's own that is none is complained of there. */
function imageProblem(image: string, isOwners: boolean): string[] {
  if (isOwners) {
    return isMoving(image)
      ? [
          `image: the agent's own, "${image}", may come to mean another image; name one here that does not`,
        ]
      : [];
  }
  const problem = problemOfImage(image);
  return problem ? [`image: ${problem}`] : [];
}

const cure = "put a reference under the agent's secrets, and read the file in /run/berth/secrets";
/** Names whose values are secrets. */
const secretName =
  /(^|_)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|(API|ACCESS|PRIVATE|SECRET)_?KEY)$/;
/** How well-known keys and tokens begin. */
const secretValue =
  /(^|[^A-Za-z0-9])(ghp_|gho_|ghs_|github_pat_|glpat-|sk-[A-Za-z0-9]|xox[abprs]-|AKIA[0-9A-Z]{12}|-----BEGIN [A-Z ]*PRIVATE KEY)/;

/** What is wrong with a text of an environment or a command. It never shows the text: it might be a secret. */
function problemsOfText(value: unknown): string[] {
  if (typeof value !== "string") return [];
  if (/op:\/\//.test(value) || problemOfReference(value) === undefined)
    return [`looks like a secret reference, which nothing resolves here; ${cure}`];
  return secretValue.test(value) ? [`looks like a secret's value; ${cure}`] : [];
}

/** `/tmp`, and a scratch workspace of the same size, count towards the memory limit: filling them would end the program. */
function ramProblem(limits: Limits, workspace: TemplateWorkspace): string[] {
  const inRam = limits.tmpBytes * (workspace === "scratch" ? 2 : 1);
  if (!(inRam > limits.memoryBytes)) return [];
  const what =
    workspace === "scratch"
      ? "/tmp and the scratch workspace are in RAM and come"
      : "/tmp is in RAM and comes";
  return [
    `resources.tmp: ${what} to ${inRam / MiB} MiB, more than its memory of ${limits.memoryBytes / MiB} MiB; lower resources.tmp or raise resources.memory`,
  ];
}
