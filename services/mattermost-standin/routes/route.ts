import type http from "node:http";
import type { App } from "../app.ts";
import type { Actor } from "../auth.ts";
import { badBody } from "../errors.ts";

/** One request, read and authenticated. */
export interface Call {
  readonly app: App;
  readonly actor: Actor;
  /** Parts of the path, checked: names that end in `_id` hold ids, and `me` is resolved. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined where there was no body, or for a `raw` route. */
  readonly body: unknown;
  /** The bytes of a `raw` route's body. */
  readonly bytes: Buffer;
  readonly request: http.IncomingMessage;
}

/** What is answered. JSON, unless `bytes` is there. */
export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One line of the API's table. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below `/api/v4`; `:name` is a part that varies. */
  readonly path: string;
  readonly handle: (call: Call) => Promise<Reply>;
  /** `open`: credentials are not looked at. `optional`: a wrong one is none. Default: one is needed. */
  readonly access?: "open" | "optional";
  /** Also served on the local-mode socket, as on the real server. */
  readonly local?: true;
  /** The body is bytes, not JSON. */
  readonly raw?: true;
}

export const ok = (body: unknown): Reply => ({ status: 200, body });
export const created = (body: unknown): Reply => ({ status: 201, body });
/** What deletes, revocations and switches answer. */
export const done = (): Reply => ok({ status: "OK" });

/** A part of the path; the table and the handler agree on its name. */
export function param(call: Call, name: string): string {
  const value = call.params[name];
  if (value === undefined) throw new Error(`the route has no part :${name}`);
  return value;
}

export type Fields = Readonly<Record<string, unknown>>;

/** The body as an object. @throws ApiError 400 */
export function fields(call: Call, what: string): Fields {
  const { body } = call;
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw badBody(what);
  return body as Fields;
}

/** A text of the body; `""` where it is missing. @throws ApiError 400 for anything else */
export function text(body: Fields, name: string): string {
  const value = body[name] ?? "";
  if (typeof value !== "string") throw badBody(name);
  return value;
}

/** A text of the body that may be left out. @throws ApiError 400 */
export function optionalText(body: Fields, name: string): string | undefined {
  return body[name] === undefined || body[name] === null ? undefined : text(body, name);
}

/** The body as a list of texts. @throws ApiError 400 */
export function texts(value: unknown, what: string, most = 1000): string[] {
  const isList = Array.isArray(value) && value.length > 0 && value.length <= most;
  if (!isList || !value.every((item) => typeof item === "string")) throw badBody(what);
  return [...new Set(value as string[])];
}

/** Page of a list: 60 a page, at most 200. */
export function page(call: Call): { readonly limit: number; readonly offset: number } {
  const read = (name: string, otherwise: number) => {
    const value = call.query.get(name) ?? "";
    return /^[0-9]{1,9}$/.test(value) ? Number(value) : otherwise;
  };
  const limit = Math.min(read("per_page", read("perPage", 60)), 200);
  return { limit, offset: read("page", 0) * limit };
}

export function flag(call: Call, name: string): boolean {
  return /^(1|t|true)$/i.test(call.query.get(name) ?? "");
}
