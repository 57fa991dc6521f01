import { request } from "../common/http.ts";
import { reasonOf } from "../common/log.ts";
import { parseJson, readAll } from "./operator.ts";

/** Where a verb of the command line reads and writes. */
export interface Terminal {
  readonly input: AsyncIterable<Buffer | string>;
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
}

/** What a verb asks of the running store. */
interface Call {
  readonly method?: string;
  readonly path: string;
  readonly body?: unknown;
}
type Verb = (terminal: Terminal, words: readonly string[]) => Call | Promise<Call>;

/** Longest that a verb waits: 1Password may be asked for every item of a large fleet. */
const patienceMs = 10 * 60_000;

const post = (path: string): Verb => {
  return (_, words) => {
    nothing(words);
    return { method: "POST", path };
  };
};

/** Verbs by name. They are run by exec in the store's container; what is secret comes on standard input only. */
const verbs: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  [
    "status",
    (_, words) => {
      nothing(words);
      return { path: "/status" };
    },
  ],
  [
    "push",
    async ({ input }, words) => {
      nothing(words);
      return { method: "POST", path: "/push", body: parseJson(await readAll(input)) };
    },
  ],
  [
    "unlock",
    async ({ input }, words) => {
      nothing(words);
      return { method: "POST", path: "/unlock", body: { token: (await readAll(input)).trim() } };
    },
  ],
  ["lock", post("/lock")],
  ["refresh", post("/refresh")],
  ["create", post("/create")],
  [
    "check",
    async ({ input }, words) => {
      nothing(words);
      const text = (await readAll(input)).trim();
      return { method: "POST", path: "/check", body: text === "" ? {} : parseJson(text) };
    },
  ],
  [
    "rotate",
    (_, [agent, ...names]) => {
      if (agent === undefined) throw new Error("which agent? rotate <agent> [NAME…]");
      return { method: "POST", path: "/rotate", body: { agent, names } };
    },
  ],
]);

/**
 * Runs one verb against the store that listens on `path`: its answer goes out as JSON, its reasons to the error output.
 * @returns the exit code: 0 done, 1 not done, 2 no such verb
 */
export async function runVerb(
  terminal: Terminal,
  [verb = "", ...words]: readonly string[],
  path: string,
): Promise<number> {
  const ask = verbs.get(verb);
  if (!ask) {
    terminal.complain(`unknown verb "${verb}": ${[...verbs.keys()].join(", ")}, or none to serve`);
    return 2;
  }
  let call: Call;
  try {
    call = await ask(terminal, words);
  } catch (error) {
    terminal.complain(`${verb}: ${reasonOf(error)}`);
    return 1;
  }
  try {
    const answer = await request({ socketPath: path }, { ...call, timeoutMs: patienceMs });
    const value = JSON.parse(answer.text) as { message?: string };
    if (answer.status === 200) terminal.print(JSON.stringify(value, null, 2));
    else terminal.complain(`${verb}: ${value.message ?? answer.status}`);
    return answer.status === 200 ? 0 : 1;
  } catch {
    terminal.complain(`the secret store does not answer on ${path}: is it running?`);
    return 1;
  }
}

/** A word too many may be a secret in the wrong place: it is not shown. */
function nothing(words: readonly string[]): void {
  if (words.length > 0) throw new Error("takes no arguments; secrets come on standard input");
}
