import { engineStream, exec } from "../engine.ts";
import type { Place } from "./sweep.ts";

/** A SQLite database in a container that has Node. */
export interface Database {
  readonly container: string;
  /** Its path there. */
  readonly path: string;
}

const node = ["/usr/local/bin/node", "--input-type=module", "-e"];

/** Runs a piece of JavaScript that has the database as `db`. @returns what it prints */
async function run({ container, path }: Database, code: string): Promise<string> {
  const program = `
    import { DatabaseSync } from "node:sqlite";
    const db = new DatabaseSync(process.argv[1]);
    db.exec("PRAGMA busy_timeout = 5000");
    ${code}`;
  const { exitCode, output } = await exec(container, [...node, program, path]);
  if (exitCode !== 0) throw new Error(`${path} of ${container}: ${output}`);
  return output;
}

/**
 * A database by its rows, and by its files: what was deleted stays in a free page, and what is new in the `-wal` alone.
 */
export async function* sqlite(database: Database): AsyncGenerator<Place> {
  const { container, path } = database;
  const rows = await run(
    database,
    `for (const { name } of db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all())
       console.log(name, JSON.stringify(db.prepare(\`SELECT * FROM "\${name}"\`).all()));`,
  );
  yield { name: `sqlite rows of ${path}`, content: rows };
  for (const file of [path, `${path}-wal`]) {
    const content = engineStream(
      `/containers/${container}/archive?path=${encodeURIComponent(file)}`,
    );
    yield { name: `sqlite file ${file}`, content };
  }
}

/** Writes a row with a value, into a table of its own. @param masked see {@link mask} */
export async function plantRow(database: Database, masked: string): Promise<void> {
  await run(
    database,
    `db.exec("CREATE TABLE planted (value TEXT) STRICT");
     const value = Buffer.from("${masked}", "hex").map((byte) => byte ^ 0x55).toString();
     db.prepare("INSERT INTO planted VALUES (?)").run(value);`,
  );
}

/** Takes the table away again. */
export async function uprootRow(database: Database): Promise<void> {
  await run(database, 'db.exec("DROP TABLE IF EXISTS planted")');
}
