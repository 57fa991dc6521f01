import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, request } from "../../../services/common/http.ts";
import { createLog } from "../../../services/common/log.ts";
import { readConfig } from "../../../services/mattermost-standin/config.ts";
import { type RunningServer, startServer } from "../../../services/mattermost-standin/server.ts";
import { type Postgres, startPostgres } from "./postgres.ts";

/** The server under test, and what to be its administrator takes. */
export interface Server {
  readonly url: string;
  /** Path of the local-mode socket; undefined where only the network reaches the server. */
  readonly localSocket: string | undefined;
  readonly admin: { readonly username: string; readonly password: string };
  stop(): Promise<void>;
}

/**
 * The server that the contract is read to: the one at `MATTERMOST_URL`, with `MATTERMOST_ADMIN` and
 * `MATTERMOST_ADMIN_PASSWORD` or with `MATTERMOST_LOCAL_SOCKET`; without a URL a stand-in of our own.
 */
export async function contractServer(): Promise<Server> {
  const url = process.env.MATTERMOST_URL;
  if (!url) return startOwn();
  const localSocket = process.env.MATTERMOST_LOCAL_SOCKET;
  const username = process.env.MATTERMOST_ADMIN;
  const password = process.env.MATTERMOST_ADMIN_PASSWORD;
  const base = { url: url.replace(/\/$/, ""), localSocket, stop: async () => undefined };
  if (username && password) return { ...base, admin: { username, password } };
  if (!localSocket)
    throw new Error(
      "MATTERMOST_URL needs MATTERMOST_ADMIN with MATTERMOST_ADMIN_PASSWORD, or MATTERMOST_LOCAL_SOCKET",
    );
  return { ...base, admin: await makeAdmin(localSocket) };
}

/** A stand-in on a Postgres that a test holds. Settings are Mattermost's variables. */
export async function startStandin(
  postgres: Postgres,
  settings: Readonly<Record<string, string>> = {},
): Promise<{ server: RunningServer; url: string; localSocket: string; stop(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), "berth-mm-"));
  const localSocket = join(directory, "local.socket");
  const config = readConfig({
    MM_SQLSETTINGS_DATASOURCE: postgres.dataSource,
    MM_SERVICESETTINGS_LISTENADDRESS: ":8065",
    MM_SERVICESETTINGS_LOCALMODESOCKETLOCATION: localSocket,
    MM_SERVICESETTINGS_ENABLEBOTACCOUNTCREATION: "true",
    MM_SERVICESETTINGS_ENABLEUSERACCESSTOKENS: "false",
    MM_TEAMSETTINGS_ENABLEUSERCREATION: "false",
    MM_EMAILSETTINGS_ENABLESIGNUPWITHEMAIL: "false",
    MM_TEAMSETTINGS_MAXUSERSPERTEAM: "20",
    ...settings,
  });
  const log = createLog("mattermost", (line) => {
    if (line.includes('"level":"error"')) console.error(line);
  });
  const server = await startServer({ ...config, port: 0 }, log);
  return {
    server,
    url: `http://127.0.0.1:${server.port}`,
    localSocket,
    async stop() {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startOwn(): Promise<Server> {
  const postgres = await startPostgres();
  const standin = await startStandin(postgres);
  await standin.server.ready;
  return {
    url: standin.url,
    localSocket: standin.localSocket,
    admin: await makeAdmin(standin.localSocket),
    async stop() {
      await standin.stop();
      await postgres.remove();
    },
  };
}

/** One call over the local-mode socket. */
export function local(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const call = { method, path: `/api/v4${path}`, ...(body === undefined ? {} : { body }) };
  return request({ socketPath: socket }, call);
}

/** Finds or makes the administrator of the contract, and gives it a new password. */
async function makeAdmin(socket: string): Promise<{ username: string; password: string }> {
  const username = "contract-admin";
  const password = `A1!${randomBytes(12).toString("hex")}`;
  const found = await local(socket, "GET", `/users/username/${username}`);
  const answer =
    found.status === 200
      ? found
      : await local(socket, "POST", "/users", {
          username,
          password,
          email: `${username}@example.org`,
        });
  const { id } = JSON.parse(answer.text) as { id?: string };
  if (answer.status >= 300 || !id) throw new Error(`no administrator: ${answer.text}`);
  await local(socket, "PUT", `/users/${id}/roles`, { roles: "system_admin system_user" });
  const set = await local(socket, "PUT", `/users/${id}/password`, { new_password: password });
  if (set.status !== 200) throw new Error(`no password for the administrator: ${set.text}`);
  return { username, password };
}
