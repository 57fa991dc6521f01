import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageReference } from "../../images/catalog.ts";
import { Path, Uid } from "../../spec/names.ts";
import { engine, engineAnswer, inspect, logsOf, stackName, until } from "../support/engine.ts";

// The Postgres image by itself, run as the stack runs it: no network, read-only, no capability.

const run = `berth-test-${stackName("postgres-image")}`;
const data = `${run}-data`;
const sockets = `${run}-sockets`;
const image = imageReference("postgres");
const database = `postgres://mattermost@/mattermost?host=${Path.postgresRun}`;

beforeAll(async () => {
  await engine("/volumes/create", "POST", { Name: data });
  await engine("/volumes/create", "POST", {
    Name: sockets,
    DriverOpts: {
      type: "tmpfs",
      device: "tmpfs",
      o: `mode=0755,uid=${Uid.postgres},gid=${Uid.postgres},size=1m`,
    },
  });
});

afterAll(async () => {
  const list = await engine<{ Id: string; Names: string[] }[]>("/containers/json?all=1");
  for (const { Id, Names } of list)
    if (Names.some((name) => name.startsWith(`/${run}`)))
      await engineAnswer(`/containers/${Id}?force=1`, "DELETE");
  for (const volume of [data, sockets]) await engineAnswer(`/volumes/${volume}?force=1`, "DELETE");
});

interface Start {
  readonly uid?: number;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
}

/** Starts a container of the image with both volumes. */
async function start(part: string, { uid = Uid.postgres, command, entrypoint }: Start = {}) {
  const name = `${run}-${part}`;
  await engineAnswer(`/containers/${name}?force=1`, "DELETE");
  await engine(`/containers/create?name=${name}`, "POST", {
    Image: image,
    User: `${uid}:${uid}`,
    Tty: true,
    ...(command ? { Cmd: command } : {}),
    ...(entrypoint ? { Entrypoint: entrypoint } : {}),
    HostConfig: {
      NetworkMode: "none",
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true"],
      Init: true,
      Tmpfs: { "/tmp": "rw,size=16m,mode=1777" },
      Binds: [`${data}:/var/lib/postgresql`, `${sockets}:${Path.postgresRun}`],
    },
  });
  await engine(`/containers/${name}/start`, "POST");
  return name;
}

/** Runs something to its end in a container of its own; its exit code and output. */
async function finished(part: string, options: Start) {
  const name = await start(part, options);
  const { StatusCode } = await engine<{ StatusCode: number }>(`/containers/${name}/wait`, "POST");
  return { code: StatusCode, output: (await logsOf(name)).trim() };
}

const shell = (script: string, uid?: number) =>
  finished("shell", { entrypoint: ["/bin/sh", "-ec", script], ...(uid ? { uid } : {}) });
const query = (uid: number, sql: string, url = database) =>
  finished("client", { uid, entrypoint: ["psql", "-XAt", url, "-c", sql] });

async function ready(): Promise<string> {
  const name = await start("server");
  await until("Postgres to accept connections", async () => {
    const { code } = await finished("probe", {
      entrypoint: ["pg_isready", "-q", "-h", Path.postgresRun],
    });
    return code === 0;
  });
  return name;
}

describe("the Postgres image", () => {
  it("redoes a directory that was never completed and then lets Mattermost's uid in", async () => {
    await shell(
      "mkdir /var/lib/postgresql/data.unfinished; echo 17 > /var/lib/postgresql/data.unfinished/PG_VERSION",
    );
    await ready();
    const made = await query(
      Uid.mattermost,
      "create table kept (n int); insert into kept values (42); select current_user, count(*) from kept",
    );
    expect(made.output).toMatch(/mattermost\|1$/);
    expect((await shell("ls /var/lib/postgresql")).output).toBe("data");
  });

  it("refuses every other uid, and Mattermost's own as any other role or in any other database", async () => {
    for (const uid of [Uid.agent, Uid.socketProxy, 65_534]) {
      const refused = await query(uid, "select 1");
      expect(refused.code).toBe(2);
      expect(refused.output).toMatch(/Peer authentication failed/);
    }
    const other = database.replace("mattermost@", "postgres@");
    expect((await query(Uid.mattermost, "select 1", other)).output).toMatch(/FATAL/);
    const elsewhere = database.replace("/mattermost?", "/postgres?");
    expect((await query(Uid.mattermost, "select 1", elsewhere)).output).toMatch(/no pg_hba.conf/);
  });

  it("lets no second server onto the volume", async () => {
    const { code, output } = await finished("second", {});
    expect(code).toBe(1);
    expect(output).toMatch(/another container runs on this volume/);
    expect((await query(Uid.mattermost, "select n from kept")).output).toBe("42");
  });

  it("shuts down cleanly on SIGTERM while a client is connected", async () => {
    await start("sleeper", {
      uid: Uid.mattermost,
      entrypoint: ["psql", database, "-c", "select pg_sleep(600)"],
    });
    await until("the client to be connected", async () => {
      const { output } = await query(
        Uid.mattermost,
        "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'",
      );
      return output === "1";
    });
    const begin = performance.now();
    await engine(`/containers/${run}-server/stop?t=30`, "POST");
    expect(performance.now() - begin).toBeLessThan(10_000);
    expect((await inspect(`${run}-server`)).State.ExitCode).toBe(0);
    expect(await logsOf(`${run}-server`)).toMatch(/database system is shut down/);
  });

  it("keeps what was committed when it is killed", async () => {
    const name = await ready();
    await query(Uid.mattermost, "insert into kept values (43)");
    await engine(`/containers/${name}/kill?signal=KILL`, "POST");
    await ready();
    const { output } = await query(
      Uid.mattermost,
      "select string_agg(n::text, ' ' order by n) from kept",
    );
    expect(output).toBe("42 43");
  });

  it("refuses data of another major version and leaves it alone", async () => {
    await engine(`/containers/${run}-server/stop?t=30`, "POST");
    await shell("echo 12 > /var/lib/postgresql/data/PG_VERSION");
    const { code, output } = await finished("server", {});
    expect(code).toBe(1);
    expect(output).toMatch(/data of Postgres 12 and this is Postgres 17/);
    await shell("echo 17 > /var/lib/postgresql/data/PG_VERSION");
    await ready();
    expect((await query(Uid.mattermost, "select count(*) from kept")).output).toBe("2");
  });
});
