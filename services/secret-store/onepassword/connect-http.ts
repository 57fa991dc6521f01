import http, { type IncomingMessage } from "node:http";
import type { Agent } from "node:https";
import type { Redacted } from "../../common/redacted.ts";
import { BackendError, type BackendErrorKind } from "./backend.ts";

/** Largest answer that is read, in bytes. */
export const maxAnswerBytes = 16 * 1024 * 1024;
/** How long a request may take, its answer included, in ms. */
export const requestTimeMs = 20_000;
/** No pause that a server asks for is longer: the longest of 1Password's limits is one of a day. */
const longestPauseMs = 24 * 60 * 60 * 1000;

/** Where Connect is and how it is asked. */
export interface ConnectAddress {
  /** `http(s)://host[:port]` */
  readonly url: string;
  /** PEM of the CA that alone is believed; undefined: those that Node believes. */
  readonly ca?: string | undefined;
  /** Environment whose proxies are used, where it says so as Node wants it (`NODE_USE_ENV_PROXY=1`). */
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

export interface ConnectRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH";
  readonly path: string;
  readonly body?: unknown;
  /** `bytes`: the content of a file. */
  readonly answer: "json" | "bytes";
  /** What is asked for, for messages: "item abc". */
  readonly what: string;
}

/** Requests to one Connect server, one connection each. Every error is a {@link BackendError}. */
export class ConnectHttp {
  readonly #url: URL;
  readonly #agent: Agent | http.Agent;
  readonly #send: typeof http.request;
  readonly #token: Redacted<string>;
  readonly #timeoutMs: number;
  #clockSkewMs: number | undefined;
  #requests = 0;

  private constructor(
    address: ConnectAddress,
    token: Redacted<string>,
    agent: Agent | http.Agent,
    send: typeof http.request,
  ) {
    this.#url = new URL(address.url);
    this.#timeoutMs = address.timeoutMs ?? requestTimeMs;
    this.#token = token;
    this.#agent = agent;
    this.#send = send;
  }

  /** Node's own clients, because they alone take a CA and a proxy together; TLS is loaded where it is needed. */
  static async open(address: ConnectAddress, token: Redacted<string>): Promise<ConnectHttp> {
    const { env, ca } = address;
    const proxies = env.NODE_USE_ENV_PROXY === "1" ? { proxyEnv: env } : {};
    if (new URL(address.url).protocol === "http:")
      return new ConnectHttp(address, token, new http.Agent(proxies), http.request);
    const https = await import("node:https");
    const agent = new https.Agent({ ...proxies, ...(ca ? { ca } : {}) });
    return new ConnectHttp(address, token, agent, https.request);
  }

  /** This machine's clock minus Connect's in ms, by the last answer; exact to about a second, as HTTP dates are. */
  get clockSkewMs(): number | undefined {
    return this.#clockSkewMs;
  }

  get requests(): number {
    return this.#requests;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** The parsed JSON of an answer. */
  async json(request: Omit<ConnectRequest, "answer">, signal: AbortSignal): Promise<unknown> {
    const bytes = await this.bytes({ ...request, answer: "json" }, signal);
    return parsed(bytes, request.what);
  }

  /** The body of a good answer. */
  async bytes(request: ConnectRequest, signal: AbortSignal): Promise<Buffer> {
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const started = Date.now();
    this.#requests += 1;
    try {
      const answer = await this.#ask(request, AbortSignal.any([signal, limit]));
      const headersAt = Date.now();
      const body = await bodyOf(answer, request.what);
      judge(answer, body, request);
      this.#readClock(answer.headers.date, (started + headersAt) / 2);
      return body;
    } catch (error) {
      if (error instanceof BackendError) throw error;
      if (signal.aborted) throw failed("unreachable", request, "was given up");
      if (limit.aborted)
        throw failed("unreachable", request, `gave no whole answer in ${this.#timeoutMs / 1000} s`);
      throw ofConnection(error, request);
    }
  }

  #ask(request: ConnectRequest, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const body =
        request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
      const { protocol, hostname, port } = this.#url;
      this.#send(
        {
          protocol,
          // URLs write IPv6 addresses in brackets, sockets do not.
          hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
          port,
          method: request.method,
          path: request.path,
          agent: this.#agent,
          signal,
          headers: {
            authorization: `Bearer ${this.#token.reveal()}`,
            accept: request.answer === "json" ? "application/json" : "application/octet-stream",
            "user-agent": "berth",
            ...(body
              ? { "content-type": "application/json", "content-length": String(body.length) }
              : {}),
          },
        },
        resolve,
      )
        .on("error", reject)
        .end(body);
    });
  }

  #readClock(date: string | undefined, askedAt: number): void {
    const server = Date.parse(date ?? "");
    // A date leaves the part of the second away: half of one, on average.
    if (Number.isFinite(server)) this.#clockSkewMs = Math.round(askedAt - (server + 500));
  }
}

function bodyOf(answer: IncomingMessage, what: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    answer.on("data", (part: Buffer) => {
      size += part.length;
      parts.push(part);
      if (size <= maxAnswerBytes) return;
      const tooLong = `Connect's answer for ${what} has more than ${maxAnswerBytes} bytes`;
      answer.destroy();
      reject(new BackendError("bad-answer", tooLong));
    });
    answer.on("error", reject);
    answer.on("end", () => resolve(Buffer.concat(parts)));
  });
}

/** Passes a good answer. @throws BackendError for any other */
function judge(answer: IncomingMessage, body: Buffer, request: ConnectRequest): void {
  const { statusCode: status = 0, headers } = answer;
  const type = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
  if (status === 200 || status === 201) {
    const isPage =
      type === "text/html" && !/^attachment\b/i.test(headers["content-disposition"] ?? "");
    if (request.answer === "json" ? type !== "application/json" : isPage)
      throw failed(
        "bad-answer",
        request,
        `answered with ${isPage ? "a web page" : "no JSON"}: ${isItConnect}`,
      );
    return;
  }
  if (status === 429)
    throw failed("limited", request, "was refused: too many requests (429)", pauseOf(headers));
  if (status >= 500 || status === 408)
    throw failed("unreachable", request, `failed on Connect's side (${status})`, pauseOf(headers));
  if (status >= 300 && status < 400)
    throw failed(
      "bad-answer",
      request,
      `was redirected (${status}), which is not followed: ${isItConnect}`,
    );
  // What takes secrets away must be Connect's own word, not that of something on the way to it.
  const meaning = isErrorOfConnect(body, status) ? meanings.get(status) : undefined;
  if (meaning) throw failed(meaning.kind, request, meaning.words);
  throw failed(
    "bad-answer",
    request,
    `was answered with status ${status} that is not Connect's: ${isItConnect}`,
  );
}

const isItConnect = "is connectUrl the address of 1Password Connect?";

/** https://developer.1password.com/docs/connect/api-reference: every error is `{"status": …, "message": …}`. */
const meanings: ReadonlyMap<number, { readonly kind: BackendErrorKind; readonly words: string }> =
  new Map([
    [400, { kind: "bad-answer", words: "was refused as malformed (400)" }],
    [401, { kind: "refused", words: "was refused (401): the token is wrong, revoked or expired" }],
    [403, { kind: "forbidden", words: "was refused (403): the token does not open this vault" }],
    [
      404,
      { kind: "not-found", words: "found nothing (404): there is no such vault, item or file" },
    ],
  ]);

function isErrorOfConnect(body: Buffer, status: number): boolean {
  try {
    const told = JSON.parse(body.toString("utf8")) as {
      status?: unknown;
      message?: unknown;
    } | null;
    return told?.status === status && typeof told.message === "string";
  } catch {
    return false;
  }
}

/** `Retry-After`: seconds or a date (RFC 9110, section 10.2.3). */
function pauseOf(headers: IncomingMessage["headers"]): number | undefined {
  const written = headers["retry-after"];
  if (written === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(written)
    ? Number(written) * 1000
    : Date.parse(written) - (Date.parse(headers.date ?? "") || Date.now());
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), longestPauseMs) : undefined;
}

function parsed(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // The parser's own message quotes the text.
    throw new BackendError("bad-answer", `Connect's answer for ${what} is no JSON`);
  }
}

function failed(
  kind: BackendErrorKind,
  { method, what }: Pick<ConnectRequest, "method" | "what">,
  happened: string,
  retryAfterMs?: number,
): BackendError {
  return new BackendError(kind, `Connect: ${method} ${what} ${happened}`, retryAfterMs);
}

/** An error of the connection. Node's messages hold addresses and parts of answers; its codes do not. */
function ofConnection(error: unknown, request: ConnectRequest): BackendError {
  const { code } = error as NodeJS.ErrnoException;
  const known = typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : "no code";
  if (known.startsWith("HPE_"))
    return failed("bad-answer", request, `was not answered in HTTP (${known}): ${isItConnect}`);
  const cure = cureOf(known);
  return failed("unreachable", request, `got no answer (${known})${cure ? `: ${cure}` : ""}`);
}

function cureOf(code: string): string | undefined {
  if (code === "ERR_PROXY_TUNNEL")
    return "the egress gateway does not let the store go there; name the host in the hosts of berth:secrets";
  if (/CERT|SIGNATURE|SELF_SIGNED|ISSUER|CRL|ALTNAME/.test(code))
    return "its certificate is not believed; give its CA as connectCa of berth:secrets";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "its name is not known here";
  if (code === "ECONNRESET" || code === "EPIPE") return "the connection was cut";
  if (code === "ECONNREFUSED") return "nothing listens there";
  return undefined;
}
