import {
  agentNamePattern,
  ownTemplate,
  reservedNames,
  stackNamePattern,
  templateNamePattern,
} from "./names.ts";
import { problemOfPattern, readPattern } from "./pattern.ts";
import { isRecord, list, object, oneOf, type Rule, record, text, whole } from "./rules.ts";
import { optionalSecretMembers, problemsOfSecrets, secretRules } from "./secrets-check.ts";

/** User names of Mattermost. */
export const userPattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Names of Mattermost channels. */
export const channelPattern = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** `host`, `*.suffix`, IPv4 address, each with an optional port. */
export const egressPattern =
  /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*(:[1-9][0-9]{0,4})?$/;
/** A stack image named by its content, or any image by digest: names that never move. */
export const imagePattern =
  /^(localhost\/berth\/[a-z0-9-]+:[0-9a-f]{12}|[a-z0-9][a-zA-Z0-9._/:-]*@sha256:[0-9a-f]{64})$/;
/** Any image reference, names that move (`name:tag`) included. */
export const movingImagePattern =
  /^[a-z0-9][a-zA-Z0-9._-]*(:[0-9]{1,5})?(\/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$/;
/**
 * Names of parameters. Their own prefix keeps a client from setting what programs take as code or configuration
 * (`LD_PRELOAD`, `NODE_OPTIONS`, `GIT_…`): a list of those would never be whole.
 */
export const parameterPattern = /^TASK_[A-Z0-9_]{1,48}$/;

const argument: Rule = (value) =>
  typeof value === "string" && value.length > 0 && value.length <= 4096 && !value.includes("\0")
    ? []
    : [": must be a text of 1 to 4096 characters"];
const program: Rule = (value) => {
  const keys = isRecord(value) ? Object.keys(value) : [];
  if (keys.length !== 1 || (keys[0] !== "acp" && keys[0] !== "command")) {
    return [": must be { acp: [...] } or { command: [...] }"];
  }
  return object({ [keys[0]]: list(argument, 1, 64) })(value);
};
const name: Rule = (value) => {
  const wrong = text(agentNamePattern, "2 to 31 of a-z, 0-9, -, a letter first")(value);
  return wrong.length === 0 && reservedNames.includes(value as string)
    ? [": is a name of the platform itself"]
    : wrong;
};
const flag = oneOf(true, false);

const limits = (leastGrace: number): Rule =>
  object({
    memoryBytes: whole(16 * 1024 * 1024, 2 ** 45),
    nanoCpus: whole(10_000_000, 1024e9),
    pids: whole(8, 65_536),
    tmpBytes: whole(1024 * 1024, 2 ** 40),
    stopGraceSeconds: whole(leastGrace, 3600),
  });
const instances = object({ max: whole(1, 100), timeoutSeconds: whole(10, 7 * 24 * 3600) });
const parameterRules = object(
  {
    pattern: (value) => {
      const problem = problemOfPattern(value);
      return problem ? [`: ${problem}`] : [];
    },
    maxLength: whole(1, 4096),
    optional: oneOf(true),
  },
  ["optional"],
);
const parameter: Rule = (value) => {
  const wrong = parameterRules(value);
  if (wrong.length > 0) return wrong;
  const { pattern, maxLength } = value as { pattern: string; maxLength: number };
  const { shortest } = readPattern(pattern);
  return shortest > maxLength
    ? [`.maxLength: is ${maxLength}, and the pattern needs at least ${shortest} characters`]
    : [];
};
/** Environment of a template's own: no name that a client could give, or that berth gives. */
const templateEnvironmentPattern =
  /^(?!TASK_|BERTH_|HOME$|MATTERMOST_URL$|(HTTPS?|NO)_PROXY$)[A-Z][A-Z0-9_]{0,63}$/;
const templateRules = object({
  preset: oneOf("worker", "sandbox"),
  image: text(
    imagePattern,
    "a stack image or a reference by digest (name@sha256:…), never a moving tag",
  ),
  command: list(argument, 1, 64),
  env: record(
    templateEnvironmentPattern,
    "a name like LOG_LEVEL that berth does not set itself",
    argument,
    64,
  ),
  parameters: record(parameterPattern, "a name like TASK_ID", parameter, 32),
  limits: limits(1),
  network: oneOf("sealed", "none"),
  workspace: oneOf("shared", "read-only", "scratch"),
  instances,
});
const templates: Rule = (value) => [
  ...(isRecord(value) && Object.hasOwn(value, ownTemplate)
    ? [`.${ownTemplate}: is the agent itself; choose another name`]
    : []),
  ...record(
    templateNamePattern,
    "1 to 31 of a-z, 0-9, -, a letter first",
    templateRules,
    16,
  )(value),
];

const rules: Record<string, Rule> = {
  version: oneOf(1),
  stack: text(stackNamePattern, "a stack name"),
  name,
  driver: oneOf("docker", "local"),
  image: text(
    imagePattern,
    "a stack image or a reference by digest (name@sha256:…), never a moving tag",
  ),
  allowMovingTag: oneOf(true),
  runner: flag,
  program,
  activation: oneOf("always", "on-demand", "manual"),
  preset: oneOf("agent", "worker", "sandbox"),
  limits: limits(30),
  chat: object({
    channels: list(text(channelPattern, "a channel name")),
    trigger: oneOf("mention", "all"),
    access: object(
      {
        mode: oneOf("allowlist", "blocklist", "open"),
        users: list(text(userPattern, "a user name")),
      },
      ["users"],
    ),
  }),
  network: oneOf("sealed", "mattermost", "none"),
  egress: list(
    text(egressPattern, "a host like api.example.com, *.example.com or example.com:8443"),
  ),
  ...secretRules,
  workspace: object({ retain: flag }),
  instances,
  templates,
};

const optional = ["allowMovingTag", "instances", "templates", ...optionalSecretMembers];

/** The same, where the declaration says itself that its image may move. */
const rulesForMovingTag: Record<string, Rule> = {
  ...rules,
  image: text(movingImagePattern, "an image reference like registry.example.com/name:tag"),
};

/** Every problem of a value that should be a declaration, each with its path; none: it is one. */
export function checkDeclaration(value: unknown): string[] {
  const mayMove = isRecord(value) && value.allowMovingTag === true;
  const found = object(mayMove ? rulesForMovingTag : rules, optional)(value);
  return [
    ...found,
    ...problemsOfSecrets(value),
    ...withoutGateway(value),
    ...withoutContainer(value),
  ].map((problem) => problem.replace(/^[.:]\s*/, ""));
}

/** An agent without a gateway has none to share. */
function withoutGateway(value: unknown): string[] {
  if (!isRecord(value) || value.network !== "none" || !isRecord(value.templates)) return [];
  return Object.entries(value.templates)
    .filter(([, template]) => isRecord(template) && template.network === "sealed")
    .map(([name]) => `.templates.${name}.network: the agent has no gateway; write "none"`);
}

/** An agent that the operator runs himself has no container to have more of, and no workspace volume to share. */
function withoutContainer(value: unknown): string[] {
  if (!isRecord(value) || value.driver !== "local") return [];
  const sharing = Object.entries(isRecord(value.templates) ? value.templates : {}).filter(
    ([, template]) => isRecord(template) && template.workspace !== "scratch",
  );
  return [
    ...(value.instances === undefined
      ? []
      : ['.instances: an agent with driver "local" has no container; leave it out']),
    ...sharing.map(
      ([name]) =>
        `.templates.${name}.workspace: an agent with driver "local" has no workspace volume; write "scratch"`,
    ),
  ];
}
