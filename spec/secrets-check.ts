import { problemOfUrl } from "./endpoint-url.ts";
import { problemOfText, problemsOfTemplate } from "./json-template.ts";
import {
  configFileNamePattern,
  endpointNamePattern,
  endpointVariable,
  reservedConfigFiles,
} from "./names.ts";
import {
  generatedBytes,
  isSegment,
  isWithin,
  itemOf,
  parseReference,
  problemOfReference,
} from "./references.ts";
import { isRecord, list, object, oneOf, type Rule, record, whole } from "./rules.ts";
import { deliveryOf, referencesIn, type WithReferences } from "./secrets.ts";

/** Rules of a declaration's members about secrets. No problem shows a text that may be a value. */

/** Most entries of `vaults`, and most config files and endpoints of an agent. */
const most = { vaults: 64, files: 16, endpoints: 16, headers: 16 };

const reference: Rule = (value) => {
  const problem = problemOfReference(value);
  return problem === undefined ? [] : [`: ${problem}`];
};
const secretObject = object(
  {
    from: reference,
    as: oneOf("file"),
    generate: whole(generatedBytes.least, generatedBytes.most),
  },
  ["as", "generate"],
);
const secret: Rule = (value) => {
  if (!isRecord(value)) return reference(value);
  const problems = secretObject(value);
  return problems.length > 0 || value.generate === undefined
    ? problems
    : problemOfGenerated(value.from as string);
};

/** Only a field that berth may write can be made up by it. */
function problemOfGenerated(from: string): string[] {
  const parsed = parseReference(from);
  if (parsed.scheme !== "op")
    return [
      `.generate: writes a field of 1Password, and the reference is no op://; for development write "generated:32" as the reference`,
    ];
  return parsed.attribute === undefined && parsed.sshFormat === undefined
    ? []
    : [".generate: writes a field's value; leave out what follows the ? of the reference"];
}

const vault: Rule = (value) => {
  const parts = typeof value === "string" ? value.split("/") : [];
  return (parts.length === 1 || parts.length === 2) && parts.every(isSegment)
    ? []
    : [': must be a vault like "agents" or one item of it like "agents/lal", by name or id'];
};

const template: Rule = (value) =>
  isRecord(value) || Array.isArray(value)
    ? problemsOfTemplate(value)
    : [": must be an object or a list; read a file with jsonTemplate(new URL(…, import.meta.url))"];
const configFiles: Rule = (value) => [
  ...record(
    configFileNamePattern,
    "a file name like config.json: 1 to 64 of a-z, 0-9, . _ -, not . _ - first",
    object({ template, reread: oneOf(true) }, ["reread"]),
    most.files,
  )(value),
  ...reservedConfigFiles
    .filter((name) => isRecord(value) && Object.hasOwn(value, name))
    .map((name) => `.${name}: is a file of berth's own; choose another name`),
];

/** Header names of HTTP (RFC 9110, token), in lower case. */
const headerPattern = /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/;
/** Headers that the gateway itself decides on: of the connection (RFC 9110, 7.6.1), of the message's form and way. */
const ownHeaders =
  /^(connection|expect|forwarded|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*|content-.*)$/;
/** Headers that carry credentials: what stands in them is never written out. */
const credentialHeaders =
  /^(authorization|cookie|(x-)?(api|auth|access|goog-api)-?(key|token)|.*-(key|token|secret))$/;
const headerValue = (name: string): Rule => {
  const credential = credentialHeaders.test(name);
  return (value) => {
    if (typeof value !== "string" || !/^[\x20-\x7e]{1,1024}$/.test(value))
      return [": must be a text of 1 to 1024 printable characters"];
    const problem = problemOfText(value);
    if (problem !== undefined) return [`: ${problem}`];
    return credential && !/op:\/\/|\{\{/.test(value)
      ? [": must hold its value as a reference, like {{ op://vault/item/field }}"]
      : [];
  };
};
const headers: Rule = (value) => {
  if (!isRecord(value) || Object.keys(value).length > most.headers)
    return [`: must be an object of at most ${most.headers} members`];
  return Object.entries(value).flatMap(([name, member]) => {
    if (!headerPattern.test(name))
      return [`.${name}: must be the name of a header in lower case, like authorization`];
    if (ownHeaders.test(name)) return [`.${name}: is a header that the gateway itself decides on`];
    return headerValue(name)(member).map((problem) => `.${name}${problem}`);
  });
};
const url: Rule = (value) => {
  const problem = problemOfUrl(value);
  return problem === undefined ? [] : [`: ${problem}`];
};

/** A secret is a variable of the program: none that berth sets, and none that the loader or Node take as code. */
const secretNamePattern =
  /^(?!(BERTH_.*|LD_.*|PATH|HOME|TMPDIR|NODE_OPTIONS|MATTERMOST_URL|(HTTPS?|NO)_PROXY)$)[A-Z][A-Z0-9_]{0,63}$/;

/** Rules of the members, each to itself. */
export const secretRules: Readonly<Record<string, Rule>> = {
  secrets: record(
    secretNamePattern,
    "a name like API_TOKEN that the program's environment has no other use for",
    secret,
    256,
  ),
  vaults: list(vault, 0, most.vaults),
  configFiles,
  endpoints: record(
    endpointNamePattern,
    "1 to 31 of a-z, 0-9, -, a letter first",
    object({ url, headers }),
    most.endpoints,
  ),
};
/** Those of them that a declaration may leave out. */
export const optionalSecretMembers = ["vaults", "configFiles", "endpoints"] as const;

/**
 * What is wrong between members that are each right: references outside of the allow-list, names that two things would have,
 * and deliveries that an agent without a gateway cannot get.
 */
export function problemsOfSecrets(value: unknown): string[] {
  if (!isRecord(value)) return [];
  const own = Object.entries(secretRules).filter(([member]) => value[member] !== undefined);
  if (own.some(([member, rule]) => rule(value[member]).length > 0) || !isRecord(value.secrets))
    return [];
  const declaration = value as unknown as WithReferences & { readonly vaults?: readonly string[] };
  return [
    ...outsideOf(declaration, declaration.vaults ?? []),
    ...sameNames(declaration),
    ...(value.network === "none"
      ? ["configFiles", "endpoints"]
          .filter((member) => value[member] !== undefined)
          .map((member) => `.${member}: nothing is delivered with network "none"`)
      : []),
  ];
}

function outsideOf(declaration: WithReferences, vaults: readonly string[]): string[] {
  return referencesIn(declaration).flatMap(({ place, reference: written }) => {
    const parsed = parseReference(written);
    if (parsed.scheme !== "op" || isWithin(parsed, vaults)) return [];
    const allowed = vaults.length === 0 ? "nothing" : vaults.join(", ");
    return [
      `.${place}: "${written}" is outside of vaults, which allows ${allowed}; add "${itemOf(parsed)}" there if the item is this agent's`,
    ];
  });
}

/** The program's environment has one variable of a name. */
function sameNames({ secrets, endpoints = {} }: WithReferences): string[] {
  const given = new Map<string, string>();
  for (const [name, declared] of Object.entries(secrets))
    if (deliveryOf(declared) === "file") given.set(`${name}_FILE`, `the file of secrets.${name}`);
  for (const name of Object.keys(endpoints)) given.set(endpointVariable(name), `endpoints.${name}`);
  return Object.entries(secrets).flatMap(([name, declared]) => {
    const other = deliveryOf(declared) === "env" ? given.get(name) : undefined;
    return other === undefined
      ? []
      : [
          `.secrets.${name}: is the variable in which the program finds ${other}; choose another name`,
        ];
  });
}
