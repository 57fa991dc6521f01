import { apiVersion } from "../app.ts";
import { needAdmin } from "../permissions.ts";
import { type Call, flag, ok, type Reply, type Route } from "./route.ts";

/** How long the database may take to prove itself. */
const checkMs = 5_000;

/** Liveness; with `get_server_status` also whether the database and the files in it can be written. */
async function ping(call: Call): Promise<Reply> {
  const body: Record<string, string> = {
    status: "OK",
    ActiveSearchBackend: "database",
    AndroidLatestVersion: "",
    AndroidMinVersion: "",
    IosLatestVersion: "",
    IosMinVersion: "",
  };
  if (!flag(call, "get_server_status")) return ok(body);
  const healthy = await call.app.db.check(checkMs).then(
    () => true,
    () => false,
  );
  const status = healthy ? "OK" : "UNHEALTHY";
  body.database_status = status;
  // Files are kept in the database.
  body.filestore_status = status;
  body.status = status;
  return { status: healthy || flag(call, "use_rest_semantics") ? 200 : 500, body };
}

/** The settings that the stand-in honours, by section, as the real server nests them. */
function settings(call: Call) {
  const { config } = call.app;
  return {
    ServiceSettings: {
      SiteURL: config.siteUrl,
      ListenAddress: `:${config.port}`,
      EnableLocalMode: true,
      LocalModeSocketLocation: config.localSocket,
      EnableBotAccountCreation: config.enableBotAccountCreation,
      EnableUserAccessTokens: config.enableUserAccessTokens,
    },
    TeamSettings: {
      EnableUserCreation: config.enableUserCreation,
      EnableOpenServer: config.enableOpenServer,
      MaxUsersPerTeam: config.maxUsersPerTeam,
    },
    EmailSettings: { EnableSignUpWithEmail: config.enableSignUpWithEmail },
    FileSettings: { MaxFileSize: config.maxFileBytes },
    SqlSettings: { DriverName: "postgres", DataSource: "********************************" },
    PluginSettings: { Enable: false },
  };
}

async function getConfig(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  return ok(settings(call));
}

/** Which settings came from the environment: `{Section: {Key: true}}`. */
async function getEnvironment(call: Call): Promise<Reply> {
  needAdmin(call.actor);
  const sections: Record<string, Record<string, true>> = {};
  for (const name of call.app.config.fromEnvironment) {
    const [section = "", key = ""] = name.split(".");
    sections[section] = { ...sections[section], [key]: true };
  }
  return ok(sections);
}

/** What a page may know before anyone has logged in. */
async function getClientConfig(call: Call): Promise<Reply> {
  const { config } = call.app;
  return ok({
    BuildNumber: "berth-standin",
    EnableBotAccountCreation: String(config.enableBotAccountCreation),
    EnableOpenServer: String(config.enableOpenServer),
    EnableSignUpWithEmail: String(config.enableSignUpWithEmail),
    EnableUserCreation: String(config.enableUserCreation),
    SiteName: "Mattermost stand-in",
    SiteURL: config.siteUrl,
    Version: apiVersion,
  });
}

export const systemRoutes: readonly Route[] = [
  { method: "GET", path: "/system/ping", handle: ping, access: "open", local: true },
  { method: "GET", path: "/config", handle: getConfig, local: true },
  { method: "GET", path: "/config/environment", handle: getEnvironment },
  {
    method: "GET",
    path: "/config/client",
    handle: getClientConfig,
    access: "open",
    local: true,
  },
];
