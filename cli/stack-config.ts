import { existsSync, readFileSync } from "node:fs";
import { Port } from "../spec/names.ts";
import { configFile } from "./paths.ts";

/** What the operator's command has to know of a stack's configuration before the program has run. */
export interface HostConfig {
  /** Engine that the config file names; undefined: `DOCKER_HOST` and the usual places decide. */
  readonly dockerHost: string | undefined;
  readonly bindAddress: string;
  readonly mattermostPort: number;
  readonly adminPort: number;
  /** The person who gets the first account. */
  readonly operator: string;
  /** What of `berth:secrets` decides what this machine needs. */
  readonly secrets: {
    readonly provider: string;
    readonly via: string;
    /** Where the program `op` is. */
    readonly opPath: string | undefined;
  };
}

/** Reads it from `Pulumi.<stack>.yaml`. The program checks that file in full; here only plain values count. */
export function hostConfigOf(stack: string): HostConfig {
  const file = configFile(stack);
  return hostConfigIn(existsSync(file) ? readFileSync(file, "utf8") : "");
}

/** The same from the file's text. */
export function hostConfigIn(text: string): HostConfig {
  const value = (key: string) =>
    new RegExp(`^\\s+berth:${key}:[ \\t]*["']?([^"'\\s#]+)`, "m").exec(text)?.[1];
  const operators = /^\s+berth:operators:\s*(?:\[|\n\s*-)\s*["']?([a-z0-9._-]+)/m.exec(text);
  return {
    dockerHost: value("dockerHost"),
    bindAddress: value("bindAddress") ?? "127.0.0.1",
    mattermostPort: Number(value("mattermostPort") ?? Port.mattermost),
    adminPort: Number(value("adminPort") ?? Port.adminBridge),
    operator: operators?.[1] ?? "operator",
    secrets: secretsIn(text),
  };
}

/** The members of `berth:secrets`: what is behind it in its line, else the deeper lines below it. */
function secretsIn(text: string): HostConfig["secrets"] {
  const lines = text.split("\n").filter((line) => !/^\s*(#|$)/.test(line));
  const at = lines.findIndex((line) => /^\s+berth:secrets:/.test(line));
  const depth = (line = "") => line.length - line.trimStart().length;
  const below = lines.slice(at + 1);
  const end = below.findIndex((line) => depth(line) <= depth(lines[at]));
  const inline = lines[at]?.replace("berth:secrets:", "").trim() ?? "";
  const block = inline || (at < 0 ? "" : below.slice(0, end < 0 ? undefined : end).join("\n"));
  const value = (key: string) =>
    new RegExp(`(?:^|[{,\\s])["']?${key}["']?:[ \\t]*["']?([^"'\\s,}#]+)`).exec(block)?.[1];
  return {
    provider: value("provider") ?? "development",
    via: value("via") ?? "sdk",
    opPath: value("opPath"),
  };
}
