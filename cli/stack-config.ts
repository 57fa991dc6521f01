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
  };
}
