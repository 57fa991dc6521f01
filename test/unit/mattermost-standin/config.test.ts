import { describe, expect, it } from "vitest";
import { readConfig } from "../../../services/mattermost-standin/config.ts";
import { parseDataSource } from "../../../services/mattermost-standin/store/data-source.ts";

const source =
  "postgres://mattermost@/mattermost?host=/run/postgresql&sslmode=disable&connect_timeout=10";
const env = (more: Record<string, string> = {}) => ({ MM_SQLSETTINGS_DATASOURCE: source, ...more });

describe("data source", () => {
  it("the stack's own is a socket without a password", () => {
    expect(parseDataSource(source, "X")).toEqual({
      user: "mattermost",
      database: "mattermost",
      host: "/run/postgresql",
      port: 5432,
      connectTimeoutMs: 10_000,
    });
  });

  it("a host in the URL wins over the one in the query", () => {
    const parsed = parseDataSource("postgres://u@db.example:6000/d?host=/run/x", "X");
    expect(parsed).toMatchObject({ host: "db.example", port: 6000 });
  });

  it.each([
    ["", "is missing"],
    ["mysql://u@/d", "is no Postgres URL"],
    ["postgres://u:secret@/d?host=/run/x", "has a password"],
    ["postgres://u@/d", "names no host"],
    ["postgres://u@/d?host=/run/x&sslmode=require", "sslmode=require"],
    ["postgres://u@h:99999/d", "wrong port"],
  ])("%j is refused with the variable's name and the reason", (text, reason) => {
    const parse = () => parseDataSource(text, "MM_SQLSETTINGS_DATASOURCE");
    expect(parse).toThrow("MM_SQLSETTINGS_DATASOURCE");
    expect(parse).toThrow(reason);
    expect(parse).not.toThrow("secret@");
  });
});

describe("settings", () => {
  it("have Mattermost's defaults", () => {
    expect(readConfig(env())).toMatchObject({
      port: 8065,
      localSocket: "/var/tmp/mattermost_local.socket",
      enableUserCreation: true,
      enableBotAccountCreation: false,
      enableUserAccessTokens: false,
      maxUsersPerTeam: 50,
    });
  });

  it("are read from Mattermost's variables, and it is known which", () => {
    const config = readConfig(
      env({
        MM_TEAMSETTINGS_MAXUSERSPERTEAM: "500",
        MM_SERVICESETTINGS_ENABLEBOTACCOUNTCREATION: "true",
        MM_SERVICESETTINGS_SITEURL: "http://localhost:8065/",
        MM_SERVICESETTINGS_LISTENADDRESS: ":9000",
      }),
    );
    expect(config).toMatchObject({
      port: 9000,
      maxUsersPerTeam: 500,
      enableBotAccountCreation: true,
      siteUrl: "http://localhost:8065",
    });
    expect(config.fromEnvironment).toContain("TeamSettings.MaxUsersPerTeam");
    expect(config.fromEnvironment).not.toContain("TeamSettings.EnableOpenServer");
  });

  it.each([
    ["MM_TEAMSETTINGS_ENABLEUSERCREATION", "yes"],
    ["MM_TEAMSETTINGS_MAXUSERSPERTEAM", "-1"],
    ["MM_SERVICESETTINGS_SITEURL", "localhost:8065"],
    ["MM_SERVICESETTINGS_LISTENADDRESS", "8065"],
  ])("%s=%s is refused by name", (name, value) => {
    expect(() => readConfig(env({ [name]: value }))).toThrow(`${name}: write`);
  });
});
