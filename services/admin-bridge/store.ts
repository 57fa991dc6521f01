import { DatabaseSync } from "node:sqlite";

/** What an operator, or nobody, wants of an agent. `auto`: its declared activation decides. */
export type Desired = "auto" | "running" | "stopped";
/** `active`: declared. `orphaned`: not declared, its container is there. `removed`: neither. */
export type Standing = "active" | "orphaned" | "removed";

/** One agent, as the database keeps it over restarts. Its name is its bot's name. */
export interface AgentRow {
  readonly name: string;
  readonly standing: Standing;
  readonly containerId: string | null;
  /** The Engine's word for the container's state, or `missing`. */
  readonly status: string;
  readonly desired: Desired;
  readonly botUserId: string | null;
  readonly exitCode: number | null;
  readonly lastError: string | null;
  readonly answered: boolean;
  readonly greeting: string | null;
  readonly greetingPost: string | null;
  /** The home channel has been told of the present failure. */
  readonly failureTold: boolean;
  readonly updatedAt: number;
}

/** One line of the audit: who asked for what, and what came of it. */
export interface AuditEvent {
  readonly actor: string;
  readonly verb: string;
  readonly agent?: string | undefined;
  readonly outcome: "asked" | "done" | "failed" | "refused";
  readonly detail?: string | undefined;
}

/** Audit lines and runs that are kept. */
const kept = 10_000;

/** Each step takes the database from the version of its index to the next. Only ever append. */
const migrations: readonly string[] = [
  `CREATE TABLE agents (
     name TEXT PRIMARY KEY, standing TEXT NOT NULL DEFAULT 'active', containerId TEXT,
     status TEXT NOT NULL DEFAULT 'missing', desired TEXT NOT NULL DEFAULT 'auto', botUserId TEXT,
     exitCode INTEGER, lastError TEXT, answered INTEGER NOT NULL DEFAULT 0, greeting TEXT, greetingPost TEXT,
     failureTold INTEGER NOT NULL DEFAULT 0, updatedAt INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE sessions (
     id INTEGER PRIMARY KEY, agent TEXT NOT NULL, containerId TEXT NOT NULL,
     startedAt INTEGER NOT NULL, endedAt INTEGER, exitCode INTEGER
   ) STRICT;
   CREATE INDEX sessionsOpen ON sessions (agent) WHERE endedAt IS NULL;
   CREATE TABLE events (
     id INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, verb TEXT NOT NULL,
     agent TEXT, outcome TEXT NOT NULL, detail TEXT
   ) STRICT;
   CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;`,
  `CREATE TABLE names (username TEXT PRIMARY KEY, userId TEXT NOT NULL) STRICT;`,
];

type Value = string | number | null;

/** The admin bridge's memory: agents, their runs, the audit. Every write is on disk when its call returns. */
export class Store {
  readonly #db: DatabaseSync;

  /** @param path a file, or `:memory:`. @throws Error for a database of a later version */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    this.#db.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;",
    );
    this.#migrate(path);
  }

  #migrate(path: string): void {
    const { user_version } = this.#db.prepare("PRAGMA user_version").get() as {
      user_version: number;
    };
    if (user_version > migrations.length) {
      throw new Error(
        `the database ${path} is of version ${user_version}, this program knows ${migrations.length}: run the newer berth, or remove the volume`,
      );
    }
    for (const [version, sql] of migrations.entries()) {
      if (version < user_version) continue;
      this.#db.exec(`BEGIN; ${sql}; PRAGMA user_version = ${version + 1}; COMMIT;`);
    }
  }

  /** All agents that were ever declared, by name. */
  agents(): AgentRow[] {
    return this.#db
      .prepare("SELECT * FROM agents ORDER BY name")
      .all()
      .map((row) => toAgent(row as Record<string, Value>));
  }

  agent(name: string): AgentRow | undefined {
    const row = this.#db.prepare("SELECT * FROM agents WHERE name = ?").get(name);
    return row ? toAgent(row as Record<string, Value>) : undefined;
  }

  /** Creates the row where there is none, and sets the members given. */
  update(name: string, change: Partial<Omit<AgentRow, "name" | "updatedAt">>): void {
    const now = Date.now();
    this.#db
      .prepare("INSERT INTO agents (name, updatedAt) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
      .run(name, now);
    const entries = Object.entries({ ...change, updatedAt: now });
    // Column names are the members of a type of ours, never a caller's text.
    const columns = entries.map(([column]) => `${column} = ?`).join(", ");
    const values = entries.map(([, value]) => (typeof value === "boolean" ? Number(value) : value));
    this.#db.prepare(`UPDATE agents SET ${columns} WHERE name = ?`).run(...values, name);
  }

  /** A container began to run; one that is already recorded as running is left alone. */
  runStarted(agent: string, containerId: string): void {
    const open = this.#db
      .prepare("SELECT containerId FROM sessions WHERE agent = ? AND endedAt IS NULL")
      .get(agent) as { containerId: string } | undefined;
    if (open?.containerId === containerId) return;
    if (open) this.runEnded(agent, null);
    this.#db
      .prepare("INSERT INTO sessions (agent, containerId, startedAt) VALUES (?, ?, ?)")
      .run(agent, containerId, Date.now());
    this.#db
      .prepare("DELETE FROM sessions WHERE id <= (SELECT max(id) FROM sessions) - ?")
      .run(kept);
  }

  /** The run ended, with an exit code where it is known. */
  runEnded(agent: string, exitCode: number | null): void {
    this.#db
      .prepare("UPDATE sessions SET endedAt = ?, exitCode = ? WHERE agent = ? AND endedAt IS NULL")
      .run(Date.now(), exitCode, agent);
  }

  /** Runs of an agent, newest first. */
  runs(agent: string): { containerId: string; endedAt: number | null; exitCode: number | null }[] {
    return this.#db
      .prepare(
        "SELECT containerId, endedAt, exitCode FROM sessions WHERE agent = ? ORDER BY id DESC",
      )
      .all(agent) as { containerId: string; endedAt: number | null; exitCode: number | null }[];
  }

  /** Writes an audit line. @throws Error where it cannot be written; what it is about must then not be done */
  audit(event: AuditEvent): void {
    this.#db
      .prepare(
        "INSERT INTO events (at, actor, verb, agent, outcome, detail) VALUES (?, ?, ?, ?, ?, ?)",
      )
      .run(
        Date.now(),
        event.actor,
        event.verb,
        event.agent ?? null,
        event.outcome,
        event.detail?.slice(0, 500) ?? null,
      );
    this.#db.prepare("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?").run(kept);
  }

  /** The audit, newest first. */
  audits(limit = 100): (AuditEvent & { at: number })[] {
    return this.#db
      .prepare(
        "SELECT at, actor, verb, agent, outcome, detail FROM events ORDER BY id DESC LIMIT ?",
      )
      .all(limit) as unknown as (AuditEvent & { at: number })[];
  }

  /** Id of the account that a name of a person means; empty: nobody had it at the first look; undefined: never seen. */
  holder(username: string): string | undefined {
    const row = this.#db.prepare("SELECT userId FROM names WHERE username = ?").get(username);
    return (row as { userId: string } | undefined)?.userId;
  }

  setHolder(username: string, userId: string): void {
    this.#db
      .prepare(
        "INSERT INTO names VALUES (?, ?) ON CONFLICT (username) DO UPDATE SET userId = excluded.userId",
      )
      .run(username, userId);
  }

  /** A remembered value of the whole bridge: `greeted`, `generation`, `seen`, `self`. */
  meta(key: string): string | undefined {
    const row = this.#db.prepare("SELECT value FROM meta WHERE key = ?").get(key);
    return (row as { value: string } | undefined)?.value;
  }

  setMeta(key: string, value: string): void {
    this.#db
      .prepare(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      )
      .run(key, value);
  }

  /** The next token generation: grows with every token. A lost database begins again from the clock. */
  nextGeneration(): number {
    const next = Math.max(Number(this.meta("generation") ?? 0) + 1, Math.floor(Date.now() / 1000));
    this.setMeta("generation", String(next));
    return next;
  }

  close(): void {
    this.#db.close();
  }
}

function toAgent(row: Record<string, Value>): AgentRow {
  return {
    ...(row as unknown as AgentRow),
    answered: row.answered === 1,
    failureTold: row.failureTold === 1,
  };
}
