import pg from "pg";
import { type Log, reasonOf } from "../../common/log.ts";
import { ApiError, badBody, databaseAway } from "../errors.ts";
import type { DataSource } from "./data-source.ts";
import { migrations, schemaName } from "./schema.ts";

/** One row of a result; columns are read by the functions of `store/`. */
export type Row = Record<string, unknown>;

/** Something that runs SQL: the pool, or one transaction. */
export interface Sql {
  /** Rows of a statement. @throws ApiError 503 where Postgres is away */
  rows<T extends Row = Row>(text: string, values?: readonly unknown[]): Promise<T[]>;
  /** The first row, if there is one. */
  row<T extends Row = Row>(text: string, values?: readonly unknown[]): Promise<T | undefined>;
}

/** Key of the advisory lock that makes migrations run once; any constant number of ours. */
const migrationLock = 0x6265727468;

/** The pool of connections, and the schema in it. */
export class Database implements Sql {
  readonly #pool: pg.Pool;

  constructor(source: DataSource, log: Log) {
    this.#pool = new pg.Pool({
      host: source.host,
      port: source.port,
      user: source.user,
      database: source.database,
      max: 8,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: source.connectTimeoutMs,
      statement_timeout: 15_000,
      query_timeout: 20_000,
      application_name: "mattermost-standin",
      options: `-c search_path=${schemaName}`,
      types: { getTypeParser },
    });
    // A pooled connection that Postgres ends (a restart) is dropped by the pool; the next query makes a new one.
    this.#pool.on("error", (error) =>
      log.warn("database-connection-lost", { reason: reasonOf(error) }),
    );
  }

  async rows<T extends Row = Row>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    try {
      return (await this.#pool.query<T>(text, [...values])).rows;
    } catch (error) {
      throw translate(error);
    }
  }

  async row<T extends Row = Row>(
    text: string,
    values?: readonly unknown[],
  ): Promise<T | undefined> {
    return (await this.rows<T>(text, values))[0];
  }

  /** Runs `work` in one transaction. What it throws rolls everything back. */
  async transaction<R>(work: (sql: Sql) => Promise<R>): Promise<R> {
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw translate(error);
    });
    const rows = async <T extends Row>(text: string, values: readonly unknown[] = []) =>
      (await client.query<T>(text, [...values])).rows;
    let broken: Error | undefined;
    try {
      await client.query("BEGIN");
      const result = await work({
        rows,
        row: async <T extends Row>(text: string, values?: readonly unknown[]) =>
          (await rows<T>(text, values))[0],
      });
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((failed: unknown) => {
        broken = failed instanceof Error ? failed : new Error(String(failed));
      });
      throw translate(error);
    } finally {
      client.release(broken);
    }
  }

  /** Brings the schema up to date; safe to run any number of times, and from two processes. */
  async migrate(): Promise<void> {
    await this.transaction(async (sql) => {
      await sql.rows("SELECT pg_advisory_xact_lock($1)", [migrationLock]);
      await sql.rows(`CREATE SCHEMA IF NOT EXISTS ${schemaName}`);
      await sql.rows(
        `CREATE TABLE IF NOT EXISTS ${schemaName}.migrations (step integer PRIMARY KEY)`,
      );
      const done = await sql.row<{ step: number }>(
        `SELECT coalesce(max(step), 0) AS step FROM ${schemaName}.migrations`,
      );
      const from = done?.step ?? 0;
      if (from > migrations.length)
        throw new Error(
          `the database is at step ${from}, this version knows ${migrations.length}: run the newer version`,
        );
      for (const [index, step] of migrations.entries()) {
        if (index < from) continue;
        await sql.rows(step);
        await sql.rows(`INSERT INTO ${schemaName}.migrations VALUES ($1)`, [index + 1]);
      }
    });
  }

  /** Proves that the database can be written. @throws ApiError 503 */
  async check(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(databaseAway()), timeoutMs);
    });
    const write = this.rows(
      "INSERT INTO health VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET checked_at = excluded.checked_at",
      [Date.now()],
    );
    try {
      await Promise.race([write, late]);
    } finally {
      clearTimeout(timer);
    }
    write.catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** bigint columns are times and counts: well inside what a number holds. */
function getTypeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown {
  if (oid === pg.types.builtins.INT8 && format !== "binary") return Number;
  return pg.types.getTypeParser(oid, format ?? "text") as (value: string) => unknown;
}

/** SQLSTATE of a broken unique constraint, with the constraint's name. */
export function brokenConstraint(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError && error.code === "23505" ? error.constraint : undefined;
}

/** Connection trouble becomes 503; our own errors and constraint errors stay. */
function translate(error: unknown): unknown {
  if (error instanceof ApiError) return error;
  if (!(error instanceof Error)) return error;
  if (error instanceof pg.DatabaseError) {
    // Class 22: a value that Postgres cannot hold, such as a NUL character in a text.
    if (error.code?.startsWith("22")) return badBody("text");
    // Classes 08 and 57: connection and operator's intervention (shutdown, starting up); 53: out of resources.
    return /^(08|57|53)/.test(error.code ?? "") ? databaseAway(error) : error;
  }
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const away =
    /^(ECONNREFUSED|ECONNRESET|ENOENT|EPIPE|ETIMEDOUT|EACCES|ENOTFOUND|EHOSTUNREACH)$/.test(code) ||
    /terminated|timeout|timed out|not queryable|Client has encountered/i.test(error.message);
  return away ? databaseAway(error) : error;
}
