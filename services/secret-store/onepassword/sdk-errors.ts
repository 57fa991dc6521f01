import { BackendError, type BackendErrorKind } from "./backend.ts";

/**
 * What the SDK says of its errors: most are an `Error` with words alone. These were read from its core (0.5.0) and, for
 * signing in, provoked by a server that answers with each status. The first that fits decides.
 */
const sayings: readonly {
  readonly kind: BackendErrorKind;
  readonly said: RegExp;
  readonly words: string;
}[] = [
  {
    kind: "limited",
    said: /rate limit exceeded/i,
    words: "was refused: too many requests",
  },
  {
    kind: "refused",
    said: /service account token|you are not authenticated|invalid user auth parameters/i,
    words: "was refused: the token is wrong, revoked or expired",
  },
  {
    kind: "unreachable",
    said: /error sending request|request timeout|internal server error|unexpected status code in response: 5\d\d|fetch failed|connect (?:error|timeout)/i,
    words: "did not reach 1Password, or 1Password failed",
  },
  {
    kind: "forbidden",
    said: /right permissions|permission/i,
    words: "was refused: the token does not open this vault, or may only read it",
  },
  {
    kind: "not-found",
    said: /resource not found|item not found|itemNotFound|vault not found|no (?:vault|item) matched|item is not in an active state/i,
    words: "found nothing: there is no such vault, item or file",
  },
];

/** An SDK's error as a back end's, without its words: they may hold parts of what was sent. */
export function sdkError(error: unknown, what: string, phase?: "sign-in"): BackendError {
  if (error instanceof BackendError) return error;
  const { message, name } = error as { message?: unknown; name?: unknown };
  const told = `${String(name)} ${error?.constructor.name} ${typeof message === "string" ? message : String(error)}`;
  const saying = /RateLimitExceeded/.test(told)
    ? sayings[0]
    : /AuthExpired/.test(told)
      ? sayings[1]
      : sayings.find(({ said }) => said.test(told));
  if (saying === undefined)
    return fail("bad-answer", what, "failed with words that berth does not know");
  // Whatever signing in does not find, it says nothing about an item.
  if (phase === "sign-in" && saying.kind === "not-found")
    return fail("bad-answer", what, "was answered by something that is not 1Password");
  return fail(saying.kind, what, saying.words);
}

function fail(kind: BackendErrorKind, what: string, happened: string): BackendError {
  return new BackendError(kind, `1Password's SDK: ${what} ${happened}`);
}
