import { Redacted } from "../../services/common/redacted.ts";
import { CliError } from "../console.ts";

/** A 1Password token: of a service account or of a Connect server. */
export type Token = Redacted<string>;

/** Name under which the token is sealed; systemd checks it against the unit's own. */
export const tokenName = "op-token";
/** Most bytes that the secret store takes. */
export const maxTokenBytes = 64 * 1024;

/** `ops_` and base64 of JSON. */
const serviceAccount = /^ops_[A-Za-z0-9+/_-]{16,}={0,2}$/;
/** A JSON Web Token: three parts of base64url, the first of them the JSON of a header. */
const connect = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** Takes a text for a token, without the white space around it. @throws CliError, which never shows any of it */
export function tokenIn(text: string): Token {
  const value = text.trim();
  if (value === "") throw new CliError("the token is empty: nothing came in");
  if (Buffer.byteLength(value) > maxTokenBytes) {
    throw new CliError(`the token is longer than ${maxTokenBytes} bytes: it is something else`);
  }
  return new Redacted(value, "1Password token");
}

/** Whether a token looks like one: what is sealed stays for long and is used when nobody looks on. @throws CliError */
export function checkShape(token: Token): void {
  const value = token.reveal();
  if (serviceAccount.test(value) || connect.test(value)) return;
  throw new CliError(
    "that is no 1Password token: a service account's begins with ops_, a Connect server's is a JSON Web Token (eyJ….….…), " +
      `and both are one word. What came has ${value.length} characters and is not shown here. Copy the token again`,
  );
}

/** All of a stream, as a token. @throws CliError */
export async function readToken(input: AsyncIterable<Buffer | string>): Promise<Token> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of input) {
    const bytes = Buffer.from(part);
    size += bytes.length;
    // White space around it may make it a little longer.
    if (size > 2 * maxTokenBytes) {
      throw new CliError(`more than ${maxTokenBytes} bytes on standard input: that is no token`);
    }
    parts.push(bytes);
  }
  return tokenIn(Buffer.concat(parts).toString("utf8"));
}
