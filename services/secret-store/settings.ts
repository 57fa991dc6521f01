/** What the store is told of its stack in `BERTH_SECRETS`. */
export interface Settings {
  readonly provider: "development" | "onepassword";
  readonly via: "sdk" | "connect" | "op";
  readonly connectUrl?: string;
  /** PEM text. */
  readonly connectCa?: string;
  readonly opPath?: string;
  readonly pollSeconds: number;
  /** `file:`, `env:` and `generated:` references are accepted. */
  readonly development: boolean;
}

/** Reads the settings of a variable of the environment. @throws Error that lists everything wrong */
export function readSettings(text: string | undefined): Settings {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch {
    throw new Error("BERTH_SECRETS is not JSON");
  }
  const given = Object(value) as Readonly<Record<string, unknown>>;
  const problems: string[] = [];
  const rule = (member: string, holds: boolean, wanted: string) => {
    if (!holds) problems.push(`${member} must be ${wanted}`);
  };
  const { provider, via, connectUrl, connectCa, opPath, pollSeconds, development } = given;
  rule("provider", isOf(provider, ["development", "onepassword"]), "development or onepassword");
  rule("via", isOf(via, ["sdk", "connect", "op"]), "sdk, connect or op");
  rule("pollSeconds", isWhole(pollSeconds, 10, 3600), "a whole number from 10 to 3600");
  rule("development", typeof development === "boolean", "true or false");
  for (const [member, text] of Object.entries({ connectUrl, connectCa, opPath }))
    rule(member, text === undefined || typeof text === "string", "a text");
  if (provider === "onepassword" && via === "connect")
    rule("connectUrl", typeof connectUrl === "string", "there where via is connect");
  if (provider === "onepassword" && via === "op")
    rule("opPath", typeof opPath === "string", "there where via is op");
  if (problems.length > 0) throw new Error(`BERTH_SECRETS: ${problems.join("; ")}`);
  return value as Settings;
}

function isOf(value: unknown, words: readonly string[]): boolean {
  return typeof value === "string" && words.includes(value);
}

function isWhole(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}
