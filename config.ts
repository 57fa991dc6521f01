import { BlockList, isIP } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { flag, json, list, text, whole } from "./config-rules.ts";
import {
  conflictsOfSecrets,
  resolveSecrets,
  type SecretsConfig,
  secretsMembers,
  secretsSchema,
} from "./config-secrets.ts";
import { channelPattern, userPattern } from "./spec/declaration-check.ts";
import type { InstanceQuotas, Suspension } from "./spec/grants.ts";
import { stackNamePattern } from "./spec/names.ts";
import { CPU, parseBytes } from "./spec/units.ts";

/** The stack's configuration, checked, with every default filled in. */
export interface StackConfig {
  readonly stack: string;
  readonly dockerHost: string;
  /** Path of the Engine's socket on its own host. */
  readonly engineSocket: string;
  readonly bindAddress: string;
  readonly mattermostPort: number;
  readonly adminPort: number;
  readonly siteUrl: string;
  /** `standin`, or the official image by digest. */
  readonly mattermostImage: string;
  readonly protectData: boolean;
  readonly operators: readonly string[];
  readonly team: string;
  readonly channel: string;
  readonly secretsDirectory: string | undefined;
  readonly isolatedGateway: boolean;
  readonly privateEgress: readonly string[];
  readonly allowMovingTags: boolean;
  /** What differs from the defaults of spec/grants.ts. */
  readonly instanceQuotas: Partial<InstanceQuotas>;
  readonly suspension: Partial<Suspension>;
  readonly secrets: SecretsConfig;
}

/** Host names; an address, whose last part is all digits, is none. */
const hostPattern =
  /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*(?![0-9]+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const absolutePath = /^(\/[^\0:]+)?$/;
const port = json(whole(1, 65_535));

const cpusWanted = "must be a number of CPUs, like 16 or 0.5";
const sizeWanted = 'must be a size like "32g"';
/** Of all instances of a stack together; 0 instances or creates switch them off. */
const quotaMembers = {
  createsPerMinute: whole(0, 100_000).optional(),
  instances: whole(0, 10_000).optional(),
  memory: z.string(sizeWanted).refine(isSize, sizeWanted).optional(),
  cpus: z.number(cpusWanted).min(0.01, cpusWanted).max(10_000, cpusWanted).optional(),
  pids: whole(1, 1_000_000).optional(),
};
const suspensionMembers = {
  denials: whole(1, 1_000_000).optional(),
  windowSeconds: whole(1, 3600).optional(),
  seconds: whole(1, 3600).optional(),
};
/** Members of the keys whose value is an object. */
const members: Readonly<Record<string, object>> = {
  instanceQuotas: quotaMembers,
  suspension: suspensionMembers,
  secrets: secretsMembers,
};

function isSize(text: string): boolean {
  try {
    return parseBytes(text) > 0;
  } catch {
    return false;
  }
}

/** The keys of `Pulumi.<stack>.yaml`, without their namespace. A key that is not here is a mistake. */
const schema = z.strictObject({
  dockerHost: text(
    /^((unix:\/\/\/|tcp:\/\/|ssh:\/\/)\S+)?$/,
    "unix:///path, tcp://host:port or ssh://user@host",
  ).default(""),
  engineSocket: text(absolutePath, "an absolute path without a colon").default(""),
  bindAddress: z
    .string()
    .refine((value) => isIP(value) !== 0, "must be an IP address of the host, like 127.0.0.1")
    .default("127.0.0.1"),
  allowPublicBind: flag,
  mattermostPort: port.default(8065),
  adminPort: port.default(8066),
  siteUrl: text(
    /^(https?:\/\/[^\s/?#@]+)?$/,
    "like https://chat.example.com, without a path",
  ).default(""),
  mattermostImage: text(
    /^(standin|[a-z0-9][a-zA-Z0-9._/:-]*@sha256:[0-9a-f]{64})$/,
    '"standin" or an image by digest (name@sha256:…), never a moving tag',
  ).default("standin"),
  protectData: flag,
  operators: list(userPattern, "a user name like ada").default(["operator"]),
  team: text(/^[a-z][a-z0-9-]{1,63}$/, "a team name like berth").default("berth"),
  channel: text(channelPattern, "a channel name like town-square").default("town-square"),
  secretsDirectory: text(absolutePath, "an absolute path without a colon").default(""),
  isolatedGateway: flag,
  privateEgress: list(hostPattern, "a host name like models.internal.example.com").default([]),
  allowMovingTags: flag,
  instanceQuotas: json(
    z.strictObject(quotaMembers, 'must be an object like { memory: "32g", cpus: 16 }'),
  ).default({}),
  suspension: json(
    z.strictObject(suspensionMembers, "must be an object like { denials: 20, seconds: 60 }"),
  ).default({}),
  secrets: json(secretsSchema).prefault({}),
});

/** Names of all keys, without their namespace. */
export const configKeys: readonly string[] = Object.keys(schema.shape);

/**
 * Reads the stack's configuration. Pure: `raw` is what Pulumi has, keys with their namespace.
 * @throws pulumi.RunError that lists everything wrong, each with its key and cure
 */
export function readConfig(
  raw: Readonly<Record<string, unknown>>,
  stack: string,
  env: Readonly<Record<string, string | undefined>> = {},
): StackConfig {
  const problems: string[] = [];
  if (!stackNamePattern.test(stack)) {
    problems.push(
      `the stack's name "${stack}" becomes part of container names: use a-z, 0-9 and -, at most 31, a letter first (pulumi stack rename)`,
    );
  }
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    const [namespace, name = ""] = key.split(":", 2);
    if (namespace === "berth") own[name] = value;
    else if (namespace !== "pulumi")
      problems.push(`${key}: nothing reads it; remove it, or ${meant(name)}`);
  }
  const read = schema.safeParse(own);
  if (!read.success) problems.push(...read.error.issues.flatMap(describe));
  problems.push(...conflicts(read.success ? read.data : readable(own, read.error.issues)));
  if (!read.success || problems.length > 0) {
    throw new pulumi.RunError(
      `Fix Pulumi.${stack}.yaml:\n${problems.map((p) => `  - ${p}`).join("\n")}`,
    );
  }
  return Object.freeze(resolve(read.data, stack, env));
}

/** Reads the configuration of the stack that runs. */
export function loadConfig(): StackConfig {
  return readConfig(pulumi.runtime.allConfig(), pulumi.getStack(), process.env);
}

type Raw = z.output<typeof schema>;

function resolve(
  { allowPublicBind: _, ...raw }: Raw,
  stack: string,
  env: Readonly<Record<string, string | undefined>>,
): StackConfig {
  const dockerHost = raw.dockerHost || env.DOCKER_HOST || "unix:///var/run/docker.sock";
  const address = isIP(raw.bindAddress) === 6 ? `[${raw.bindAddress}]` : raw.bindAddress;
  return {
    ...raw,
    stack,
    dockerHost,
    engineSocket:
      raw.engineSocket || /^unix:\/\/(\/.+)$/.exec(dockerHost)?.[1] || "/var/run/docker.sock",
    siteUrl: raw.siteUrl || `http://${address}:${raw.mattermostPort}`,
    secretsDirectory: raw.secretsDirectory || undefined,
    operators: [...new Set(raw.operators)].sort(),
    privateEgress: [...new Set(raw.privateEgress)].sort(),
    instanceQuotas: inEngineUnits(raw.instanceQuotas),
    suspension: defined(raw.suspension),
    secrets: resolveSecrets(raw.secrets),
  };
}

function inEngineUnits({ memory, cpus, ...rest }: Raw["instanceQuotas"]): Partial<InstanceQuotas> {
  return {
    ...defined(rest),
    ...(memory === undefined ? {} : { memoryBytes: parseBytes(memory) }),
    ...(cpus === undefined ? {} : { nanoCpus: Math.round(cpus * CPU) }),
  };
}

/** Without members that are there and undefined: they would hide a default. */
function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** The keys that are right, with defaults for the others, so that one run of the program names everything wrong. */
function readable(
  own: Readonly<Record<string, unknown>>,
  issues: readonly z.core.$ZodIssue[],
): Raw {
  const wrong = new Set(
    issues.flatMap((i) =>
      i.code === "unrecognized_keys" && i.path.length === 0 ? i.keys : [String(i.path[0])],
    ),
  );
  return schema.parse(Object.fromEntries(Object.entries(own).filter(([key]) => !wrong.has(key))));
}

/** What is wrong between keys that are each right. */
function conflicts(raw: Raw): string[] {
  const found: string[] = [];
  if (raw.mattermostPort === raw.adminPort) {
    found.push(`berth:adminPort: is ${raw.adminPort} like berth:mattermostPort; choose another`);
  }
  if (!raw.allowPublicBind && !isPrivate(raw.bindAddress)) {
    found.push(
      `berth:bindAddress: ${raw.bindAddress} is reachable from outside; use 127.0.0.1 or a private address, or say berth:allowPublicBind: true`,
    );
  }
  return [...found, ...conflictsOfSecrets(raw)];
}

/** Loopback, private, shared (CGNAT, Tailscale) and link-local addresses. */
const privateAddresses = new BlockList();
for (const [net, prefix] of [
  ["127.0.0.0", 8],
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["169.254.0.0", 16],
] as const)
  privateAddresses.addSubnet(net, prefix, "ipv4");
privateAddresses.addAddress("::1", "ipv6");
privateAddresses.addSubnet("fc00::", 7, "ipv6");
privateAddresses.addSubnet("fe80::", 10, "ipv6");

function isPrivate(address: string): boolean {
  return privateAddresses.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

function describe(issue: z.core.$ZodIssue): string[] {
  if (issue.code === "unrecognized_keys" && issue.path.length === 0) {
    return issue.keys.map((key) => `berth:${key}: is not known; ${meant(key)}`);
  }
  const path = issue.path
    .map((part, i) =>
      typeof part === "number" ? `[${part}]` : i === 0 ? String(part) : `.${String(part)}`,
    )
    .join("");
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(members[path] ?? {}).join(", ");
    return issue.keys.map((key) => `berth:${path}.${key}: is not known; there are: ${known}`);
  }
  return [`berth:${path}: ${issue.message}`];
}

/** The known key that a wrong one was probably meant to be, or all of them. */
function meant(key: string): string {
  const nearest = configKeys
    .map((known) => ({ known, changes: distance(key, known) }))
    .sort((a, b) => a.changes - b.changes)[0];
  return nearest && nearest.changes * 2 <= nearest.known.length
    ? `did you mean berth:${nearest.known}?`
    : `known keys: ${configKeys.join(", ")}`;
}

/** Levenshtein's distance, without regard to case. */
function distance(from: string, to: string): number {
  const target = to.toLowerCase();
  let row = Array.from({ length: target.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...from.toLowerCase()].entries()) {
    const next = [i + 1];
    for (let j = 0; j < target.length; j++) {
      const above = row[j + 1] ?? 0;
      const diagonal = row[j] ?? 0;
      next.push(Math.min(above + 1, (next[j] ?? 0) + 1, diagonal + (letter === target[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[target.length] ?? 0;
}
