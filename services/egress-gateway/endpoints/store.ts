import { validateHeaderValue } from "node:http";
import type { Endpoint } from "../../../spec/secrets.ts";
import { request, type Endpoint as Server } from "../../common/http.ts";
import { Redacted } from "../../common/redacted.ts";

/** What the gateway adds to the requests of one endpoint: complete header values, by lower-case name. */
export type Injected = Redacted<Readonly<Record<string, string>>>;

/**
 * What the secret store says of an endpoint. `unknown`: it is not declared. `unavailable`: its value cannot be told
 * now; `message` says why, and holds no value.
 */
export type StoreAnswer =
  | { readonly kind: "value"; readonly injected: Injected }
  | { readonly kind: "unknown" | "unavailable"; readonly message: string };

/** Asks for an agent's endpoint as it is declared. @throws Error where the store is away */
export type AskStore = (agent: string, name: string, declared: Endpoint) => Promise<StoreAnswer>;

/** Longest text of the store's that goes on to an agent. */
const maxMessage = 500;
/** Questions at a time, of all agents: the store closes connections beyond 64 of them unread. */
const maxAsked = 32;

/**
 * Asks the secret store on its socket. An answer for another URL or with other headers than declared is none: store
 * and gateway hear of a changed declaration one after the other, and no value may go where it was not meant to.
 */
export function secretStore(server: Server, timeoutMs: number): AskStore {
  const inTurn = turns(maxAsked, timeoutMs);
  return async (agent, name, declared) => {
    const path = `/endpoints/${agent}/${name}`;
    const { status, text } = await inTurn(() => request(server, { path, timeoutMs }));
    if (status === 404 || status === 503)
      return { kind: status === 404 ? "unknown" : "unavailable", message: messageIn(text) };
    if (status !== 200) throw new Error(`the secret store answered ${status}`);
    const { url, headers } = membersOf(text);
    const names = Object.keys(declared.headers);
    if (typeof headers !== "object" || headers === null)
      throw new Error("the secret store's answer is not { url, headers }");
    const given = headers as Readonly<Record<string, unknown>>;
    const same = Object.keys(given).length === names.length;
    if (url !== declared.url || !same || !names.every((key) => Object.hasOwn(given, key))) {
      const message = "The secret store has not read the present declaration yet.";
      return { kind: "unavailable", message };
    }
    const wrong = names.filter((key) => !isHeaderValue(key, given[key]));
    if (wrong.length > 0) {
      const message = `The value for ${wrong.join(", ")} cannot stand in a header: it is empty, or holds a line break or a character beyond Latin-1.`;
      return { kind: "unavailable", message };
    }
    const values = Object.fromEntries(names.map((key) => [key, String(given[key])]));
    return { kind: "value", injected: new Redacted(values, `headers of endpoint ${name}`) };
  };
}

/** Lets so many acts run at a time; another one waits for its turn, and fails where that does not come in time. */
function turns(most: number, waitMs: number): <T>(act: () => Promise<T>) => Promise<T> {
  let free = most;
  const waiting = new Set<() => void>();
  const turn = () =>
    new Promise<void>((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(go);
        reject(new Error("too many questions wait for the secret store"));
      }, waitMs);
      waiting.add(go);
    });
  return async (act) => {
    if (free > 0) free -= 1;
    else await turn();
    try {
      return await act();
    } finally {
      // Whoever waits longest takes the place over.
      const [next] = waiting;
      if (next) next();
      else free += 1;
    }
  };
}

/** Never throws with a part of the text: it may be a value. */
function membersOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function messageIn(text: string): string {
  const { message } = membersOf(text);
  return typeof message === "string" && message !== ""
    ? message.slice(0, maxMessage)
    : "The secret store gives no reason.";
}

function isHeaderValue(name: string, value: unknown): value is string {
  if (typeof value !== "string" || value.trim() === "") return false;
  try {
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
