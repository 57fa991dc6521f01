import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A conversation as it is kept on disk. */
export interface StoredSession {
  readonly id: string;
  cwd: string;
  /** How often `count` was asked in this session. */
  count: number;
  turns: { readonly asked: string; readonly answered: string }[];
}

const maxTurns = 200;

/** Sessions as files under `~/.demo-agent/sessions`, so that a restarted agent remembers them. */
export class SessionFiles {
  readonly #directory: string;

  constructor(home: string) {
    this.#directory = join(home, ".demo-agent", "sessions");
  }

  /** A kept session, or nothing. Ids are ours alone, so no other name is looked up. */
  async read(id: string): Promise<StoredSession | undefined> {
    if (!/^[0-9a-z]+-[0-9a-z]+$/.test(id)) return undefined;
    try {
      return JSON.parse(await readFile(join(this.#directory, `${id}.json`), "utf8"));
    } catch {
      return undefined;
    }
  }

  /** Adds a turn and writes the session. A disk that is full costs the memory, not the answer. */
  async append(session: StoredSession, turn: StoredSession["turns"][number]): Promise<void> {
    session.turns = [...session.turns, turn].slice(-maxTurns);
    const path = join(this.#directory, `${session.id}.json`);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, JSON.stringify(session), { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      console.error(`session not kept: ${(error as Error).message}`);
    }
  }
}
