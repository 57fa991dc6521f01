import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type http from "node:http";
import { sessionExpired } from "./errors.ts";
import { isId } from "./ids.ts";
import { type Credential, findCredential } from "./store/credentials.ts";
import type { Sql } from "./store/database.ts";
import type { User } from "./store/users.ts";

/** Name of the cookie that holds a browser's session. */
export const sessionCookie = "MMAUTHTOKEN";

/** Who calls. Over the local-mode socket there is no user, and no limit. */
export interface Actor {
  readonly local: boolean;
  /** Empty for the local mode and for nobody. */
  readonly userId: string;
  readonly user: User | undefined;
  readonly isAdmin: boolean;
  /** Names the credential; empty for the local mode and for nobody. */
  readonly key: string;
  /** Empty where the credential is no person's session. */
  readonly sessionId: string;
}

export const localActor: Actor = {
  local: true,
  userId: "",
  user: undefined,
  isAdmin: true,
  key: "",
  sessionId: "",
};

export const nobody: Actor = { ...localActor, local: false, isAdmin: false };

export function hasRole(user: User, role: string): boolean {
  return user.roles.split(" ").includes(role);
}

/** The credential of a request: a bearer header, or a browser's cookie. */
export function presentedToken(
  request: http.IncomingMessage,
): { readonly token: string; readonly fromCookie: boolean } | undefined {
  const header = /^(?:bearer|token) +([a-z0-9]{26})$/i.exec(request.headers.authorization ?? "");
  if (header?.[1]) return { token: header[1], fromCookie: false };
  for (const part of (request.headers.cookie ?? "").split(";")) {
    const [name, value = ""] = part.trim().split("=");
    if (name === sessionCookie && isId(value)) return { token: value, fromCookie: true };
  }
  return undefined;
}

/**
 * The caller of a request over TCP. A cookie alone may not change anything: a page of another origin could send it,
 * but cannot add `X-Requested-With`. @throws ApiError 401
 */
export async function authenticate(db: Sql, request: http.IncomingMessage): Promise<Actor> {
  const presented = presentedToken(request);
  if (!presented) throw sessionExpired();
  const changes = request.method !== "GET" && request.method !== "HEAD";
  if (presented.fromCookie && changes && request.headers["x-requested-with"] !== "XMLHttpRequest")
    throw sessionExpired();
  const credential = await findCredential(db, presented.token);
  if (!credential) throw sessionExpired();
  return actorOf(credential);
}

function actorOf(credential: Credential): Actor {
  return {
    local: false,
    userId: credential.user.id,
    user: credential.user,
    isAdmin: hasRole(credential.user, "system_admin"),
    key: credential.key,
    sessionId: credential.sessionId,
  };
}

/** scrypt as OWASP advises where memory is short: 16 MiB, five passes. */
const cost = { N: 2 ** 14, r: 8, p: 5 } as const;
const keyBytes = 32;

/** One hash at a time, so that a burst of logins cannot take the memory of many. */
let lastHash: Promise<unknown> = Promise.resolve();

function derive(password: string, salt: Buffer): Promise<Buffer> {
  const result = lastHash.then(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        scrypt(password, salt, keyBytes, cost, (error, key) =>
          error ? reject(error) : resolve(key),
        );
      }),
  );
  lastHash = result.catch(() => undefined);
  return result;
}

/** What is stored of a password: `scrypt$<salt>$<key>`, both base64. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt);
  return `scrypt$${salt.toString("base64")}$${key.toString("base64")}`;
}

/** Compares in constant time. Takes as long for an account without a password, so that names cannot be probed. */
export async function checkPassword(password: string, stored: string): Promise<boolean> {
  const [kind, salt = "", key = ""] = stored.split("$");
  const wanted = Buffer.from(key, "base64");
  const given = await derive(password, Buffer.from(salt, "base64"));
  return kind === "scrypt" && wanted.length === keyBytes && timingSafeEqual(given, wanted);
}
