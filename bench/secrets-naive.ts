import { chown, writeFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What the naive client is to do; its first line of standard input, as JSON. A second line lets it begin. */
export interface NaiveWork {
  readonly url: string;
  readonly token: string;
  readonly vault: string;
  readonly references: readonly { readonly item: string; readonly field: string }[];
  /** References that are under way at a time. */
  readonly atATime: number;
  /** Where each value is written, by the number of its reference. */
  readonly folder: string;
  /** Who gets the files. */
  readonly owner: number;
}

/** Connections of their own, as the processes of `op` would have, and the secret store has. */
const agent = new http.Agent();

/** The parsed answer of Connect. @throws Error for any other status than 200 */
function get(work: NaiveWork, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${work.token}`, accept: "application/json" };
    http
      .get(new URL(path, work.url), { agent, headers }, (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () => {
          if (answer.statusCode === 200) resolve(JSON.parse(Buffer.concat(parts).toString("utf8")));
          else reject(new Error(`${path}: status ${answer.statusCode}`));
        });
      })
      .on("error", reject);
  });
}

/** The id of the one entry of a filtered list. */
async function idOf(work: NaiveWork, path: string, filter: string): Promise<string> {
  const [found, ...others] = (await get(
    work,
    `${path}?filter=${encodeURIComponent(filter)}`,
  )) as readonly { readonly id: string }[];
  if (!found || others.length > 0) throw new Error(`${filter}: not one match`);
  return found.id;
}

/** One reference from its names to its value: vault, item by title, item. */
async function readOne(work: NaiveWork, item: string, field: string): Promise<string> {
  const vaultId = await idOf(work, "/v1/vaults", `name eq "${work.vault}"`);
  const items = `/v1/vaults/${vaultId}/items`;
  const itemId = await idOf(work, items, `title eq "${item}"`);
  const { fields } = (await get(work, `${items}/${itemId}`)) as {
    readonly fields: readonly { readonly label?: string; readonly value?: string }[];
  };
  const value = fields.find(({ label }) => label === field)?.value;
  if (value === undefined) throw new Error(`${item} has no ${field}`);
  return value;
}

async function readAll(work: NaiveWork): Promise<void> {
  const waiting = [...work.references.entries()];
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [number, { item, field }] = next;
      const path = join(work.folder, String(number));
      await writeFile(path, await readOne(work, item, field), { mode: 0o400 });
      await chown(path, work.owner, work.owner);
    }
  };
  await Promise.all(Array.from({ length: work.atATime }, worker));
}

// Run as a program, bundled: it says when it is ready and when it is done, and ends with its input.
if (import.meta.main) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const line = async () => String((await lines.next()).value);
  const work = JSON.parse(await line()) as NaiveWork;
  console.log("ready");
  await line();
  await readAll(work);
  console.log("done");
  await lines.next();
}
