import { agentNamePattern, reservedNames, stackNamePattern } from "./names.ts";
import { problemOfReference } from "./references.ts";

/** One rule: a value in, its problems out, each with a path relative to the value. */
type Rule = (value: unknown) => string[];

const text =
  (pattern: RegExp, wanted: string): Rule =>
  (value) =>
    typeof value === "string" && pattern.test(value) ? [] : [`: must be ${wanted}`];
const oneOf =
  (...allowed: readonly unknown[]): Rule =>
  (value) =>
    allowed.includes(value)
      ? []
      : [`: must be one of ${allowed.map((a) => JSON.stringify(a)).join(", ")}`];
const whole =
  (least: number, most: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? []
      : [`: must be a whole number from ${least} to ${most}`];
const list =
  (rule: Rule, least = 0, most = 256): Rule =>
  (value) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      return [`: must be a list of ${least} to ${most} items`];
    }
    return value.flatMap((item, i) => rule(item).map((p) => `[${i}]${p}`));
  };
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const object =
  (rules: Record<string, Rule>, optional: readonly string[] = []): Rule =>
  (value) => {
    if (!isRecord(value)) return [": must be an object"];
    const unknown = Object.keys(value)
      .filter((key) => !Object.hasOwn(rules, key))
      .map((key) => `.${key}: is not known`);
    const wrong = Object.entries(rules).flatMap(([key, rule]) => {
      if (!Object.hasOwn(value, key)) return optional.includes(key) ? [] : [`.${key}: is missing`];
      return rule(value[key]).map((p) => `.${key}${p}`);
    });
    return [...unknown, ...wrong];
  };

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
/** Names of environment variables. */
export const environmentPattern = /^[A-Z][A-Z0-9_]{0,63}$/;

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
const secrets: Rule = (value) => {
  if (!isRecord(value)) return [": must be an object"];
  return Object.entries(value).flatMap(([key, reference]) => {
    const problem = problemOfReference(reference);
    return [
      ...(environmentPattern.test(key) ? [] : [`.${key}: must be a name like API_TOKEN`]),
      ...(problem ? [`.${key}: ${problem}`] : []),
    ];
  });
};
const name: Rule = (value) => {
  const wrong = text(agentNamePattern, "2 to 31 of a-z, 0-9, -, a letter first")(value);
  return wrong.length === 0 && reservedNames.includes(value as string)
    ? [": is a name of the platform itself"]
    : wrong;
};
const flag = oneOf(true, false);

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
  limits: object({
    memoryBytes: whole(16 * 1024 * 1024, 2 ** 45),
    nanoCpus: whole(10_000_000, 1024e9),
    pids: whole(8, 65_536),
    tmpBytes: whole(1024 * 1024, 2 ** 40),
    stopGraceSeconds: whole(30, 3600),
  }),
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
  secrets,
  workspace: object({ retain: flag }),
};

/** The same, where the declaration says itself that its image may move. */
const rulesForMovingTag: Record<string, Rule> = {
  ...rules,
  image: text(movingImagePattern, "an image reference like registry.example.com/name:tag"),
};

/** Every problem of a value that should be a declaration, each with its path; none: it is one. */
export function checkDeclaration(value: unknown): string[] {
  const mayMove = isRecord(value) && value.allowMovingTag === true;
  return object(mayMove ? rulesForMovingTag : rules, ["allowMovingTag"])(value).map((problem) =>
    problem.replace(/^[.:]\s*/, ""),
  );
}
