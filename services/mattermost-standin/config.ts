import { type DataSource, parseDataSource } from "./store/data-source.ts";

/** What the stand-in honours of Mattermost's settings. */
export interface Config {
  readonly dataSource: DataSource;
  /** TCP port; 0 picks a free one. */
  readonly port: number;
  readonly localSocket: string;
  /** Origin of the browser's page, without a path; empty: the request's own host. */
  readonly siteUrl: string;
  readonly enableUserCreation: boolean;
  readonly enableSignUpWithEmail: boolean;
  readonly enableOpenServer: boolean;
  readonly enableBotAccountCreation: boolean;
  readonly enableUserAccessTokens: boolean;
  readonly maxUsersPerTeam: number;
  readonly maxFileBytes: number;
  /** Settings that the environment gave, as `Section.Key`. */
  readonly fromEnvironment: readonly string[];
}

/** Largest file that is kept, whatever the settings say: files are in the database. */
const fileCeiling = 10 * 1024 * 1024;

/** Settings read, as Mattermost writes them. A key `A.B` is `MM_A_B` in capitals. */
const known = [
  "SqlSettings.DataSource",
  "ServiceSettings.ListenAddress",
  "ServiceSettings.LocalModeSocketLocation",
  "ServiceSettings.SiteURL",
  "ServiceSettings.EnableBotAccountCreation",
  "ServiceSettings.EnableUserAccessTokens",
  "TeamSettings.EnableUserCreation",
  "TeamSettings.EnableOpenServer",
  "TeamSettings.MaxUsersPerTeam",
  "EmailSettings.EnableSignUpWithEmail",
  "FileSettings.MaxFileSize",
] as const;
type Key = (typeof known)[number];

const variable = (key: string) => `MM_${key.replace(".", "_").toUpperCase()}`;

/**
 * Reads the configuration from Mattermost's own variables.
 * Unlike the real server it refuses a value that it cannot read. @throws Error naming the variable and the cure
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const text = (key: Key) => env[variable(key)] ?? "";
  const wrong = (key: Key, wanted: string) => new Error(`${variable(key)}: write ${wanted}`);
  const flag = (key: Key, otherwise: boolean) => {
    const value = text(key).toLowerCase();
    if (value === "") return otherwise;
    if (value === "true" || value === "1") return true;
    if (value === "false" || value === "0") return false;
    throw wrong(key, "true or false");
  };
  const whole = (key: Key, otherwise: number) => {
    const value = text(key);
    if (value === "") return otherwise;
    if (!/^[1-9][0-9]{0,11}$/.test(value)) throw wrong(key, "a whole number above 0");
    return Number(value);
  };
  const siteUrl = text("ServiceSettings.SiteURL");
  if (siteUrl !== "" && !/^https?:\/\/[^/]+\/?$/.test(siteUrl))
    throw wrong("ServiceSettings.SiteURL", "http://host:port, without a path");
  const address = /^[^:]*:([0-9]{1,5})$/.exec(text("ServiceSettings.ListenAddress") || ":8065");
  if (!address) throw wrong("ServiceSettings.ListenAddress", ":8065 or another port");
  return {
    dataSource: parseDataSource(text("SqlSettings.DataSource"), variable("SqlSettings.DataSource")),
    port: Number(address[1]),
    localSocket:
      text("ServiceSettings.LocalModeSocketLocation") || "/var/tmp/mattermost_local.socket",
    siteUrl: siteUrl.replace(/\/$/, ""),
    enableUserCreation: flag("TeamSettings.EnableUserCreation", true),
    enableSignUpWithEmail: flag("EmailSettings.EnableSignUpWithEmail", true),
    enableOpenServer: flag("TeamSettings.EnableOpenServer", false),
    enableBotAccountCreation: flag("ServiceSettings.EnableBotAccountCreation", false),
    enableUserAccessTokens: flag("ServiceSettings.EnableUserAccessTokens", false),
    maxUsersPerTeam: whole("TeamSettings.MaxUsersPerTeam", 50),
    maxFileBytes: Math.min(whole("FileSettings.MaxFileSize", fileCeiling), fileCeiling),
    fromEnvironment: known.filter((key) => env[variable(key)] !== undefined),
  };
}
