import { z } from "zod";
import { text, whole } from "./config-rules.ts";
import { egressPattern } from "./spec/declaration-check.ts";

/** Where the values of secret references come from. */
export interface SecretsConfig {
  /** `development`: the Engine's host and the operator's shell. `onepassword`: `op://` references, too. */
  readonly provider: "development" | "onepassword";
  /** How 1Password is asked: with its SDK and a service account, at a Connect server, or by its own program. */
  readonly via: "sdk" | "connect" | "op";
  /** `http(s)://host[:port]` of the Connect server; there where `via` is `connect`. */
  readonly connectUrl: string | undefined;
  /** PEM text of a certificate authority of one's own. */
  readonly connectCa: string | undefined;
  /** Path of the program `op` on the Engine's host; there where `via` is `op`. */
  readonly opPath: string | undefined;
  /** Where the secret store may go, as egress rules, sorted. */
  readonly hosts: readonly string[];
  /** Time between two looks for changed items. */
  readonly pollSeconds: number;
  /** `file:`, `env:` and `generated:` references are accepted. */
  readonly development: boolean;
  /** A preview asks 1Password whether the vaults and items are there. */
  readonly check: boolean;
}

const connectWanted = "like https://connect.example.com or http://10.0.0.5:8080, without a path";

/** Whether an URL without a path says what it seems to say: `http://0x7f.1` does not. */
function isNormal(url: string): boolean {
  return URL.canParse(url) && new URL(url).hostname === url.replace(/^https?:\/\/|:[0-9]+$/g, "");
}

/** Members of `berth:secrets`. */
export const secretsMembers = {
  provider: z
    .enum(["development", "onepassword"], 'must be "development" or "onepassword"')
    .default("development"),
  via: z.enum(["sdk", "connect", "op"], 'must be "sdk", "connect" or "op"').optional(),
  connectUrl: text(/^https?:\/\/[a-z0-9.-]+(:[1-9][0-9]{0,4})?$/, connectWanted)
    .refine(isNormal, `must be ${connectWanted}`)
    .optional(),
  connectCa: text(
    /^(\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----)+\s*$/,
    "one or more certificates in PEM form",
  ).optional(),
  opPath: text(/^\/[^\0:]+$/, "an absolute path without a colon").optional(),
  hosts: z
    .array(
      text(egressPattern, "a host like my.1password.com, *.1password.com or 10.0.0.5:8080"),
      "must be a list of hosts",
    )
    .min(1, "must be a list of at least one host")
    .optional(),
  pollSeconds: whole(10, 3600).optional(),
  development: z.boolean("must be true or false").optional(),
  check: z.boolean("must be true or false").default(true),
};
export const secretsSchema = z.strictObject(
  secretsMembers,
  'must be an object like { provider: "onepassword" }',
);
type RawSecrets = z.output<typeof secretsSchema>;

/** Where 1Password's own servers are: every region's. */
const onepasswordHosts = ["*.1password.ca", "*.1password.com", "*.1password.eu"];

/**
 * Two requests a look, each day of 1440 minutes: 576, below the 1,000 of the smallest accounts. A Connect server may be asked
 * without a limit.
 */
const onepasswordPollSeconds = 300;
const connectPollSeconds = 60;

/** Fills in what depends on other members. */
export function resolveSecrets({ via = "sdk", hosts, ...raw }: RawSecrets): SecretsConfig {
  const development = raw.provider === "development";
  return {
    ...raw,
    via,
    connectUrl: raw.connectUrl,
    connectCa: raw.connectCa,
    opPath: raw.opPath,
    pollSeconds:
      raw.pollSeconds ?? (via === "connect" ? connectPollSeconds : onepasswordPollSeconds),
    hosts: development ? [] : [...new Set(hosts ?? defaultHosts(via, raw.connectUrl))].sort(),
    development: raw.development ?? development,
  };
}

function defaultHosts(via: SecretsConfig["via"], connectUrl: string | undefined): string[] {
  if (via !== "connect") return onepasswordHosts;
  const { protocol, hostname, port } = new URL(connectUrl ?? "");
  return [`${hostname}:${port || (protocol === "https:" ? 443 : 80)}`];
}

/** Members of `berth:secrets` that need one another, or that nothing would read. */
export function conflictsOfSecrets({
  secrets,
  secretsDirectory,
}: {
  readonly secrets: RawSecrets;
  readonly secretsDirectory: string;
}): string[] {
  const { provider, via = "sdk", connectUrl, connectCa, opPath } = secrets;
  const found: string[] = [];
  if (provider === "development") {
    for (const member of ["via", "connectUrl", "connectCa", "opPath", "hosts"] as const) {
      if (secrets[member] !== undefined)
        found.push(
          `berth:secrets.${member}: nothing reads it with provider "development"; remove it, or write provider: "onepassword"`,
        );
    }
    return found;
  }
  if (via === "connect" && connectUrl === undefined) {
    found.push('berth:secrets.connectUrl: is missing; via "connect" needs the server\'s URL');
  }
  if (via === "op" && opPath === undefined) {
    found.push(
      "berth:secrets.opPath: is missing; via \"op\" needs the path of 1Password's program on the Engine's host",
    );
  }
  if (via !== "connect" && connectUrl !== undefined)
    found.push(`berth:secrets.connectUrl: nothing reads it via "${via}"; write via: "connect"`);
  if (connectCa !== undefined && !connectUrl?.startsWith("https:"))
    found.push("berth:secrets.connectCa: is for a connectUrl that begins with https:");
  if (via !== "op" && opPath !== undefined)
    found.push(`berth:secrets.opPath: nothing reads it via "${via}"; write via: "op"`);
  if (secrets.development !== true && secretsDirectory !== "") {
    found.push(
      "berth:secretsDirectory: only file: references read it, and they are off; remove it, or set berth:secrets.development: true",
    );
  }
  return found;
}
