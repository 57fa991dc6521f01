import { Path, Port } from "../../spec/names.ts";

/** Agents and people of one team, bots included; the default of 50 would refuse the 51st. */
const maxUsersPerTeam = 10_000;

/** Mattermost's own settings, as `Section.Key`. Names that it does not know it ignores without a word. */
function settings(siteUrl: string): Readonly<Record<string, string | boolean | number>> {
  return {
    "SqlSettings.DriverName": "postgres",
    // No password: Postgres asks the kernel for the uid behind the socket.
    "SqlSettings.DataSource": `postgres://mattermost@/mattermost?host=${Path.postgresRun}&sslmode=disable&connect_timeout=10`,
    "ServiceSettings.SiteURL": siteUrl,
    "ServiceSettings.ListenAddress": `:${Port.mattermost}`,
    "ServiceSettings.EnableLocalMode": true,
    "ServiceSettings.LocalModeSocketLocation": Path.mattermostLocal,
    "ServiceSettings.EnableBotAccountCreation": true,
    // Bots are exempt; people have no use for tokens here.
    "ServiceSettings.EnableUserAccessTokens": false,
    // Else losing the admin's account would stop every bot.
    "ServiceSettings.DisableBotsWhenOwnerIsDeactivated": false,
    // Else a stranger becomes the first admin.
    "TeamSettings.EnableUserCreation": false,
    "EmailSettings.EnableSignUpWithEmail": false,
    "TeamSettings.MaxUsersPerTeam": maxUsersPerTeam,
    // A plugin's bot may take the first admin's place.
    "PluginSettings.Enable": false,
    "PluginSettings.AutomaticPrepackagedPlugins": false,
    // Calls home.
    "LogSettings.EnableDiagnostics": false,
    "LogSettings.EnableSentry": false,
    "ServiceSettings.EnableSecurityFixAlert": false,
    "AnnouncementSettings.AdminNoticesEnabled": false,
    "AnnouncementSettings.UserNoticesEnabled": false,
    "PluginSettings.EnableMarketplace": false,
    "PluginSettings.EnableRemoteMarketplace": false,
    "EmailSettings.SendPushNotifications": false,
    // Clicks before the first message.
    "ServiceSettings.EnableTutorial": false,
    "ServiceSettings.EnableOnboardingFlow": false,
    // Container logs are enough, and their size is limited.
    "LogSettings.EnableFile": false,
  };
}

/** The settings as Mattermost reads them from the environment, where they win over its config file. */
export function mattermostEnvironment(siteUrl: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings(siteUrl)).map(([key, value]) => [
      `MM_${key.replace(".", "_").toUpperCase()}`,
      String(value),
    ]),
  );
}
