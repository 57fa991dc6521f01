import { createHash, randomBytes } from "node:crypto";

/** The alphabet of Mattermost's ids (z-base-32). */
const alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769";

/** A new random id, or a new token: 26 characters, 130 bits. */
export function newId(): string {
  let id = "";
  for (const byte of randomBytes(26)) id += alphabet[byte & 31];
  return id;
}

/** Ids as clients write them. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && /^[a-z0-9]{26}$/.test(value);
}

/** What is stored of a token: SHA-256, in hex. A token has 130 random bits, so no slow hash is needed. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

let lastTime = 0;

/** Milliseconds since 1970, each call later than the one before: so the time alone orders posts. */
export function now(): number {
  lastTime = Math.max(Date.now(), lastTime + 1);
  return lastTime;
}
