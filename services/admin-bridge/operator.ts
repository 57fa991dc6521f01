import http from "node:http";
import { reservedNames } from "../../spec/names.ts";
import { listenUnix, request, sendJson } from "../common/http.ts";
import { type Log, reasonOf } from "../common/log.ts";
import { ensurePerson } from "./accounts.ts";
import type { Identities } from "./identities.ts";
import type { LocalMode } from "./local-mode.ts";
import type { Provisioner } from "./provisioner.ts";
import { readJson } from "./read-json.ts";
import type { Store } from "./store.ts";
import { PlainError } from "./words.ts";

/** Mattermost's rule for names of people. */
const personPattern = /^[a-z][a-z0-9._-]{2,21}$/;
/** Names that no person may take either: Mattermost's own words for everybody, and ours. `operator` is a person's. */
const notForPeople = new Set(
  reservedNames.filter((name) => name !== "operator" && name !== "admin"),
);

/** Serves the operator's verbs on a socket that exists in this container only (mode 0600). */
export async function serveOperator(options: {
  readonly path: string;
  readonly local: LocalMode;
  readonly provisioner: Provisioner;
  readonly store: Store;
  readonly identities: Identities;
  readonly log: Log;
  readonly isAgent: (name: string) => boolean;
  readonly ready: () => boolean;
}): Promise<http.Server> {
  const addPerson = async (name: string): Promise<{ user: string; password?: string }> => {
    if (!personPattern.test(name)) {
      throw new PlainError(
        `"${name.slice(0, 40)}" is no user name: 3 to 22 of a-z, 0-9, dot, hyphen, underscore, a letter first.`,
      );
    }
    if (notForPeople.has(name) || options.isAgent(name)) {
      throw new PlainError(
        `The name ${name} belongs to the platform or to an agent; take another.`,
      );
    }
    options.store.audit({
      actor: "operator-socket",
      verb: "user-add",
      agent: name,
      outcome: "asked",
    });
    const { user, password } = await ensurePerson(options.local, name);
    options.identities.confirm(name, user.id, password !== undefined);
    await options.provisioner.welcome(user.id);
    options.log.info("person", { user: name, made: password !== undefined });
    return { user: name, ...(password === undefined ? {} : { password }) };
  };
  const answer = async (asked: http.IncomingMessage, response: http.ServerResponse) => {
    const body = await readJson(asked);
    const name = (body as { name?: unknown } | undefined)?.name;
    if (asked.method !== "POST" || asked.url !== "/users" || typeof name !== "string") {
      return sendJson(response, 404, { message: 'only POST /users {"name": …} is served here' });
    }
    if (!options.ready())
      return sendJson(response, 503, { message: "Mattermost is not ready yet" });
    try {
      sendJson(response, 200, await addPerson(name));
    } catch (error) {
      const status = error instanceof PlainError ? 400 : 503;
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

/**
 * The operator's command `user-add <name>`: asks the running bridge, for up to `patienceMs` while it is not ready.
 * Prints the new account's password once, or `exists`.
 * @returns the exit code
 */
export async function userAdd(
  name: string | undefined,
  options: {
    readonly socketPath: string;
    readonly patienceMs?: number;
    readonly out: (line: string) => void;
    readonly error: (line: string) => void;
  },
): Promise<number> {
  if (!name) {
    options.error("usage: user-add <name>");
    return 2;
  }
  const end = Date.now() + (options.patienceMs ?? 60_000);
  for (;;) {
    let status = 0;
    let told: { user?: string; password?: string; message?: string } = {};
    try {
      const answer = await request(
        { socketPath: options.socketPath },
        { method: "POST", path: "/users", body: { name }, timeoutMs: 60_000 },
      );
      status = answer.status;
      told = JSON.parse(answer.text);
    } catch (error) {
      told = { message: `the admin bridge does not answer (${reasonOf(error)})` };
    }
    if (status === 200) {
      options.out(told.password ? `user: ${told.user}\npassword: ${told.password}` : "exists");
      return 0;
    }
    if (status === 400 || Date.now() >= end) {
      options.error(told.message ?? `status ${status}`);
      return 1;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
