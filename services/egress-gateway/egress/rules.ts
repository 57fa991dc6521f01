import { normaliseHost, type Target } from "./target.ts";

/** One entry of an agent's `egress` list, ready to be compared. */
export interface Rule {
  /** As it is written in the declaration. */
  readonly text: string;
  readonly host: string;
  /** `*.suffix`: any name below `host`, and not `host` itself. */
  readonly wildcard: boolean;
  readonly port: number;
  /** The entry names its port; needed where it opens a private address. */
  readonly portWritten: boolean;
  readonly literal: 0 | 4 | 6;
}

/** Port of an entry that names none. */
const defaultPort = 443;

/** Reads one entry. @returns undefined where it can match nothing */
export function parseRule(text: string): Rule | undefined {
  const match = /^(\*\.)?([^:*]+)(?::([1-9][0-9]{0,4}))?$/.exec(text);
  if (!match?.[2]) return undefined;
  const wildcard = match[1] !== undefined;
  const host = normaliseHost(match[2]);
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  if (!host || port > 65_535 || (wildcard && host.literal !== 0)) return undefined;
  return { text, ...host, wildcard, port, portWritten: match[3] !== undefined };
}

/** Reads a whole list. An entry that can match nothing is left out: it opens nothing. */
export function parseRules(egress: readonly string[]): readonly Rule[] {
  return egress.map(parseRule).filter((rule) => rule !== undefined);
}

/** The first entry that allows a target, exact names before wildcards; undefined: it is not allowed. */
export function findRule(rules: readonly Rule[], target: Target): Rule | undefined {
  const fits = (rule: Rule) =>
    rule.port === target.port &&
    (rule.wildcard
      ? target.literal === 0 && target.host.endsWith(`.${rule.host}`)
      : rule.host === target.host && rule.literal === target.literal);
  const found = rules.filter(fits);
  return found.find((rule) => !rule.wildcard) ?? found[0];
}
