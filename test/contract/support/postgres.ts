import { execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { imageReference } from "../../../images/catalog.ts";
import { engine } from "../../support/engine.ts";

/** A throw-away Postgres. */
export interface Postgres {
  /** As Mattermost writes it. */
  readonly dataSource: string;
  /** Ends it at once, as a crash or a restart does; its data stay. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Ends it and removes every trace. */
  remove(): Promise<void>;
}

/** Settings of a server that nobody's data depend on. */
const settings = ["fsync=off", "max_connections=40", "shared_buffers=16MB", "autovacuum=off"];

/**
 * Makes a Postgres: from the binaries of Debian's package where the machine has them, else in a container of the
 * stack's own image. `BERTH_TEST_POSTGRES` (the directory of a socket, on which the role `mattermost` owns the
 * database `mattermost`) is used as it is; a server like that cannot be stopped by a test.
 */
export async function startPostgres(): Promise<Postgres> {
  const given = process.env.BERTH_TEST_POSTGRES;
  const postgres = given ? await ownDatabase(given) : await throwAway();
  await postgres.start();
  return postgres;
}

/** A Postgres that a test may stop and start again, whatever the environment offers. */
export async function startOwnPostgres(): Promise<Postgres> {
  const postgres = await throwAway();
  await postgres.start();
  return postgres;
}

function throwAway(): Promise<Postgres> {
  const binaries = findBinaries();
  return binaries ? fromBinaries(binaries) : fromImage();
}

/** The given server, emptied of what an earlier run left. */
async function ownDatabase(directory: string): Promise<Postgres> {
  const client = new pg.Client({ host: directory, user: "mattermost", database: "mattermost" });
  await client.connect();
  await client.query("DROP SCHEMA IF EXISTS berth_standin CASCADE");
  await client.end();
  const refuse = async () => {
    throw new Error("BERTH_TEST_POSTGRES is not ours to stop");
  };
  return {
    dataSource: socketSource(directory),
    stop: refuse,
    start: async () => undefined,
    remove: async () => undefined,
  };
}

function socketSource(directory: string): string {
  return `postgres://mattermost@/mattermost?host=${directory}&sslmode=disable&connect_timeout=10`;
}

/** The newest version's binaries that the distribution's package put on this machine. */
function findBinaries(): string | undefined {
  const base = "/usr/lib/postgresql";
  try {
    const versions = readdirSync(base).filter((name) => /^[0-9]+$/.test(name));
    const newest = versions.sort((a, b) => Number(b) - Number(a))[0];
    return newest && Number(newest) >= 14 ? join(base, newest, "bin") : undefined;
  } catch {
    return undefined;
  }
}

async function fromBinaries(binaries: string): Promise<Postgres> {
  const directory = mkdtempSync(join(tmpdir(), "berth-pg-"));
  // Postgres refuses to run as root.
  const user = process.getuid?.() === 0 ? unprivileged() : undefined;
  if (user) chownSync(directory, user.uid, user.gid);
  const data = join(directory, "data");
  const quiet = { ...user, cwd: directory, stdio: "ignore" } as const;
  const init = ["-D", data, "-U", "mattermost", "--auth=trust", "--no-sync", "-E", "UTF8"];
  execFileSync(join(binaries, "initdb"), [...init, "--no-locale"], quiet);
  const args = ["listen_addresses=", `unix_socket_directories=${directory}`, ...settings];
  let server: ReturnType<typeof spawn> | undefined;
  const stop = async () => {
    const running = server;
    server = undefined;
    if (!running || running.exitCode !== null) return;
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGQUIT");
    await ended;
  };
  return {
    dataSource: socketSource(directory),
    stop,
    async start() {
      const options = ["-D", data, ...args.flatMap((arg) => ["-c", arg])];
      server = spawn(join(binaries, "postgres"), options, quiet);
      await untilReady({ host: directory, port: 5432 });
    },
    async remove() {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The distribution's `postgres` user, else `nobody`. */
function unprivileged(): { uid: number; gid: number } {
  const users = readFileSync("/etc/passwd", "utf8");
  const line =
    /^postgres:[^:]*:(\d+):(\d+):/m.exec(users) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(users);
  if (!line) throw new Error("/etc/passwd has neither postgres nor nobody to run Postgres as");
  return { uid: Number(line[1]), gid: Number(line[2]) };
}

/** In a container of the stack's image: only its programs are used, with trust on a port of this machine alone. */
async function fromImage(): Promise<Postgres> {
  const port = await freePort();
  const options = ["listen_addresses=*", "unix_socket_directories=/tmp", ...settings];
  const script = [
    "set -eu; data=/tmp/data",
    'if [ ! -e "$data" ]; then',
    '  initdb -D "$data" -U mattermost --auth=trust --no-sync -E UTF8 --no-locale >/dev/null',
    '  echo "host all all all trust" >> "$data/pg_hba.conf"',
    "fi",
    `exec postgres -D "$data" ${options.map((option) => `-c '${option}'`).join(" ")}`,
  ].join("\n");
  const { Id } = await engine<{ Id: string }>("/containers/create", "POST", {
    Image: imageReference("postgres"),
    Entrypoint: ["/bin/sh", "-c", script],
    Cmd: [],
    StopSignal: "SIGQUIT",
    ExposedPorts: { "5432/tcp": {} },
    HostConfig: {
      PortBindings: { "5432/tcp": [{ HostIp: "127.0.0.1", HostPort: String(port) }] },
    },
  });
  return {
    dataSource: `postgres://mattermost@127.0.0.1:${port}/mattermost?sslmode=disable&connect_timeout=10`,
    async stop() {
      await engine(`/containers/${Id}/stop?t=10`, "POST");
    },
    async start() {
      await engine(`/containers/${Id}/start`, "POST");
      await untilReady({ host: "127.0.0.1", port });
    },
    async remove() {
      await engine(`/containers/${Id}?force=1&v=1`, "DELETE");
    },
  };
}

/** Waits for the server and makes the database, where it is not there yet. */
async function untilReady(at: { host: string; port: number }): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const client = new pg.Client({ ...at, user: "mattermost", database: "postgres" });
    client.on("error", () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query("SELECT 1 FROM pg_database WHERE datname = 'mattermost'");
      if (rows.length === 0) await client.query("CREATE DATABASE mattermost");
      await client.end();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
