import http from "node:http";
import type { Declaration } from "../../spec/declaration.ts";
import { reservedNames } from "../../spec/names.ts";
import { listenUnix, request, sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { ensurePerson } from "./accounts.ts";
import type { Identities } from "./identities.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Provisioner } from "./provisioner.ts";
import { readJson } from "./read-json.ts";
import { inline } from "./sanitise.ts";
import type { Store } from "./store.ts";
import type { TokenMint } from "./token-mint.ts";
import { PlainError } from "./words.ts";

/** Mattermost's rule for names of people. */
const personPattern = /^[a-z][a-z0-9._-]{2,21}$/;
/** Names that no person may take either: Mattermost's own words for everybody, and ours. `operator` is a person's. */
const notForPeople = new Set(
  reservedNames.filter((name) => name !== "operator" && name !== "admin"),
);

/** Who asked, in the audit. */
const actor = "operator-socket";

/** What the operator's verbs work with. */
interface OperatorParts {
  readonly path: string;
  readonly local: LocalMode;
  readonly provisioner: Provisioner;
  readonly mint: TokenMint;
  readonly store: Store;
  readonly identities: Identities;
  readonly log: Log;
  readonly isAgent: (name: string) => boolean;
  /** The declaration of an agent that has a gateway. Throws while the declarations are not known yet. */
  readonly find: (name: string) => Declaration | undefined;
  readonly ready: () => boolean;
}

/**
 * Serves the operator's verbs on a socket that exists in this container only (mode 0600). The body of each is `{"name": …}`.
 * `POST /users` → `{user, password?}`: a person's account. `POST /tokens/rotate` → `{agent, revoked, taken}`: an agent's bot
 * has another token, and the one before it works no more.
 */
export async function serveOperator(options: OperatorParts): Promise<http.Server> {
  const verbs: ReadonlyMap<string, (name: string) => Promise<object>> = new Map([
    ["/users", (name: string) => addPerson(options, name)],
    ["/tokens/rotate", (name: string) => rotateTokenOf(options, name)],
  ]);
  const answer = async (asked: http.IncomingMessage, response: http.ServerResponse) => {
    const body = await readJson(asked);
    const name = (body as { name?: unknown } | undefined)?.name;
    const verb = verbs.get(asked.url ?? "");
    if (asked.method !== "POST" || !verb || typeof name !== "string") {
      const served = [...verbs.keys()].map((path) => `POST ${path}`).join(" and ");
      return sendJson(response, 404, { message: `only ${served} {"name": …} are served here` });
    }
    if (!options.ready())
      return sendJson(response, 503, { message: "Mattermost is not ready yet" });
    try {
      sendJson(response, 200, await verb(name));
    } catch (error) {
      const status = error instanceof PlainError ? 400 : error instanceof HalfDone ? 500 : 503;
      sendJson(response, status, { message: reasonOf(error) });
    }
  };
  const server = http.createServer((asked, response) => {
    answer(asked, response).catch((error: unknown) => {
      options.log.warn("operator-request", { reason: reasonOf(error) });
      response.destroy();
    });
  });
  await listenUnix(server, options.path, 0o600);
  return server;
}

/** Something was begun and not ended. It is not asked again by itself: each time would leave one token more. */
class HalfDone extends Error {}

async function addPerson(
  options: OperatorParts,
  name: string,
): Promise<{ user: string; password?: string }> {
  if (!personPattern.test(name)) {
    throw new PlainError(
      `"${name.slice(0, 40)}" is no user name: 3 to 22 of a-z, 0-9, dot, hyphen, underscore, a letter first.`,
    );
  }
  if (notForPeople.has(name) || options.isAgent(name)) {
    throw new PlainError(`The name ${name} belongs to the platform or to an agent; take another.`);
  }
  options.store.audit({ actor, verb: "user-add", agent: name, outcome: "asked" });
  const { user, password } = await ensurePerson(options.local, name);
  options.identities.confirm(name, user.id, password !== undefined);
  await options.provisioner.welcome(user.id);
  options.log.info("person", { user: name, made: password !== undefined });
  return { user: name, ...(password === undefined ? {} : { password }) };
}

async function rotateTokenOf(options: OperatorParts, name: string): Promise<object> {
  const declaration = options.find(name);
  if (!declaration) {
    throw new PlainError(
      `There is no agent "${inline(name, 40)}" with a bot token: none of that name is declared with a network. In the chat, \`list\` shows the agents.`,
    );
  }
  const about = { actor, verb: "rotate-token", agent: name } as const;
  // No record, no act: where the audit cannot be written, this throws and nothing is done.
  options.store.audit({ ...about, outcome: "asked" });
  try {
    const rotated = await options.mint.rotate(declaration);
    options.store.audit({ ...about, outcome: "done" });
    options.log.info("token-rotated", { agent: name, ...rotated });
    return { agent: name, ...rotated };
  } catch (error) {
    const detail = reasonOf(error);
    options.store.audit({ ...about, outcome: "failed", detail });
    throw new HalfDone(`the old token of ${name} may still work, as this failed: ${detail}`);
  }
}

/** How a verb is asked of the running bridge. */
interface Asking {
  readonly socketPath: string;
  /** How long it is asked again while it is not ready. @default one minute */
  readonly patienceMs?: number;
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
}

/**
 * The operator's command `user-add <name>`: asks the running bridge, for up to `patienceMs` while it is not ready.
 * Prints the new account's password once, or `exists`.
 * @returns the exit code
 */
export function userAdd(name: string | undefined, options: Asking): Promise<number> {
  return ask("user-add <name>", "/users", name, options, ({ user, password }) =>
    password ? `user: ${user}\npassword: ${password}` : "exists",
  );
}

/**
 * The operator's command `rotate-token <agent>`: gives an agent's bot another token, in the same way. It returns when the
 * old one works no more.
 * @returns the exit code
 */
export function rotateToken(agent: string | undefined, options: Asking): Promise<number> {
  return ask("rotate-token <agent>", "/tokens/rotate", agent, options, ({ taken }) =>
    taken
      ? `${agent} has a new bot token, and the old one is revoked.`
      : `The old bot token of ${agent} is revoked. The egress gateway did not ask for the new one in time, so it gets one when it needs it: see that it runs.`,
  );
}

async function ask(
  usage: string,
  path: string,
  name: string | undefined,
  options: Asking,
  words: (told: { user?: string; password?: string; taken?: boolean }) => string,
): Promise<number> {
  if (!name) {
    options.error(`usage: ${usage}`);
    return 2;
  }
  const end = Date.now() + (options.patienceMs ?? 60_000);
  for (;;) {
    let status = 0;
    let told: { user?: string; password?: string; taken?: boolean; message?: string } = {};
    try {
      const answer = await request(
        { socketPath: options.socketPath },
        { method: "POST", path, body: { name }, timeoutMs: 60_000 },
      );
      status = answer.status;
      told = JSON.parse(answer.text);
    } catch (error) {
      told = { message: `the admin bridge does not answer (${reasonOf(error)})` };
    }
    if (status === 200) {
      options.out(words(told));
      return 0;
    }
    if (status === 400 || status === 500 || Date.now() >= end) {
      options.error(told.message ?? `status ${status}`);
      return 1;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
