/** Title, bytes, status and rule of the one answer. */
export type RawCase = readonly [title: string, bytes: string, status: number, rule: string];

const crlf = (...lines: string[]) => `${lines.join("\r\n")}\r\n`;

/** The head of a request without its last empty line. */
export const head = (request: string, ...headers: string[]) =>
  crlf(`${request} HTTP/1.1`, "Host: x", ...headers);

/** A request with a body of the length that it has. */
export function say(request: string, body: string | Buffer, ...headers: string[]): Buffer {
  const lines = head(request, ...headers, `Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines}\r\n`, "latin1"), Buffer.from(body)]);
}

export const start = "POST /containers/berth-dev-lal/start";
export const list = "GET /containers/json";
export const exec = "POST /containers/berth-dev-lal/exec";
export const create = "POST /containers/create?name=lal.review.x1";
export const json = "Content-Type: application/json";

/** Ways to say how long a body is that have more than one reading, or that are none. With the body that goes with them. */
const lengths: readonly (readonly [string, readonly string[], string, number, string])[] = [
  [
    "a length, then chunks",
    ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  [
    "chunks, then a length",
    ["Transfer-Encoding: chunked", "Content-Length: 0"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  [
    "lower-case chunks and a length",
    ["transfer-encoding: chunked", "content-length: 5"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  [
    "chunks and a length of nothing",
    ["Transfer-Encoding: chunked", "Content-Length:"],
    "",
    400,
    "http",
  ],
  ["two lengths", ["Content-Length: 0", "Content-Length: 5"], "hello", 400, "http"],
  ["two equal lengths", ["Content-Length: 5", "Content-Length: 5"], "hello", 400, "http"],
  ["a length list", ["Content-Length: 5,5"], "hello", 400, "http"],
  ["a length list with a space", ["Content-Length: 5, 5"], "hello", 400, "http"],
  ["a signed length", ["Content-Length: +5"], "hello", 400, "http"],
  ["a negative length", ["Content-Length: -1"], "", 400, "http"],
  ["a hexadecimal length", ["Content-Length: 0x5"], "hello", 400, "http"],
  ["a length with a unit", ["Content-Length: 5b"], "hello", 400, "http"],
  ["a length with a fraction", ["Content-Length: 5.0"], "hello", 400, "http"],
  ["a length with an exponent", ["Content-Length: 1e1"], "hello", 400, "http"],
  ["a length of two words", ["Content-Length: 5 5"], "hello", 400, "http"],
  ["an empty length", ["Content-Length:"], "", 400, "http"],
  ["a length beyond 64 bits", [`Content-Length: ${"9".repeat(24)}`], "hello", 400, "http"],
  ["a length with leading zeros", ["Content-Length: 005"], "hello", 400, "body-length"],
  ["a chunked body", ["Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n", 411, "body-length"],
  ["an empty chunked body", ["Transfer-Encoding: chunked"], "0\r\n\r\n", 411, "body-length"],
  ["Chunked", ["Transfer-Encoding: Chunked"], "0\r\n\r\n", 411, "body-length"],
  ["CHUNKED behind a tab", ["Transfer-Encoding:\tCHUNKED"], "0\r\n\r\n", 411, "body-length"],
  ["xchunked", ["Transfer-Encoding: xchunked"], "0\r\n\r\n", 411, "body-length"],
  ["chunkedx", ["Transfer-Encoding: chunkedx"], "0\r\n\r\n", 411, "body-length"],
  ["quoted chunks", ['Transfer-Encoding: "chunked"'], "0\r\n\r\n", 411, "body-length"],
  ["chunked, identity", ["Transfer-Encoding: chunked, identity"], "0\r\n\r\n", 400, "http"],
  ["identity, chunked", ["Transfer-Encoding: identity, chunked"], "0\r\n\r\n", 411, "body-length"],
  ["identity", ["Transfer-Encoding: identity"], "", 411, "body-length"],
  ["gzip, chunked", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n", 411, "body-length"],
  ["chunked twice in a line", ["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n", 400, "http"],
  [
    "chunked in two lines",
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  [
    "chunked, then identity in another line",
    ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  ["an empty transfer encoding", ["Transfer-Encoding:"], "0\r\n\r\n", 400, "http"],
  [
    "a chunk extension",
    ["Transfer-Encoding: chunked"],
    "2;a=b\r\n{}\r\n0\r\n\r\n",
    411,
    "body-length",
  ],
  [
    "trailers",
    ["Transfer-Encoding: chunked", "Trailer: Content-Length"],
    "2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    411,
    "body-length",
  ],
  ["a negative chunk", ["Transfer-Encoding: chunked"], "-1\r\n{}\r\n0\r\n\r\n", 411, "body-length"],
  ["a chunk of 0x2", ["Transfer-Encoding: chunked"], "0x2\r\n{}\r\n0\r\n\r\n", 411, "body-length"],
  ["a folded length", ["Content-Length:", " 5"], "hello", 400, "http"],
  [
    "a folded transfer encoding",
    ["X: a", " b", "Transfer-Encoding:", " chunked"],
    "0\r\n\r\n",
    400,
    "http",
  ],
  ["a space before the colon", ["Content-Length : 5"], "hello", 400, "http"],
  ["a tab before the colon", ["Transfer-Encoding\t: chunked"], "0\r\n\r\n", 400, "http"],
  ["a length hidden behind a bare CR", ["X: a\rContent-Length: 5"], "", 400, "http"],
  ["a length hidden behind a bare LF", ["X: a\nContent-Length: 5"], "hello", 400, "http"],
  ["a vertical tab before chunked", ["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n", 400, "http"],
  ["NUL in a length", ["Content-Length: 5\0"], "hello", 400, "http"],
  ["NUL in a header's name", ["Content-Length\0: 5"], "hello", 400, "http"],
];

/** Routes that those are tried on: a change without a body, a read, a create. */
const framed: readonly (readonly [string, string, readonly string[]])[] = [
  ["start", start, []],
  ["list", list, []],
  ["create", create, [json]],
];

export const lengthCases: readonly RawCase[] = framed.flatMap(([of, request, headers]) =>
  lengths.map(
    ([title, lines, body, status, rule]): RawCase => [
      `${of}: ${title}`,
      `${head(request, ...headers, ...lines)}\r\n${body}`,
      status,
      rule,
    ],
  ),
);

const many = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: 1`);

/** Heads that are no request of this language, whatever follows them. */
export const headCases: readonly RawCase[] = [
  ["two hosts", `${head(start, "Host: y")}\r\n`, 400, "host"],
  ["two equal hosts", `${head(start, "Host: x")}\r\n`, 400, "host"],
  ["no host", "POST /containers/berth-dev-lal/start HTTP/1.1\r\n\r\n", 400, "host"],
  ["a folded header", `${head(start, "X: a", " b")}\r\n`, 400, "http"],
  ["a header folded with a tab", `${head(start, "X: a", "\tb")}\r\n`, 400, "http"],
  ["a first header that is folded", crlf(`${start} HTTP/1.1`, " Host: x", ""), 400, "http"],
  ["a header without a colon", `${head(start, "X")}\r\n`, 400, "http"],
  ["a header without a name", `${head(start, ": x")}\r\n`, 400, "http"],
  ["a bare CR in a header", `${head(start, "X: a\rb")}\r\n`, 400, "http"],
  ["a bare LF behind a header", `${start} HTTP/1.1\r\nHost: x\nX: y\r\n\r\n`, 400, "http"],
  ["bare LFs all over", `${start} HTTP/1.1\nHost: x\n\n`, 400, "http"],
  ["a bare LF behind the first line", `${start} HTTP/1.1\nHost: x\r\n\r\n`, 400, "http"],
  ["a bare CR behind the first line", `${start} HTTP/1.1\rHost: x\r\n\r\n`, 400, "http"],
  ["NUL in a header", `${head(start, "X: a\0b")}\r\n`, 400, "http"],
  ["NUL in the target", "GET /containers/\0/json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "http"],
  ["a control character in a header", `${head(start, "X: \x01")}\r\n`, 400, "http"],
  ["HTTP/1.0", `${start} HTTP/1.0\r\nHost: x\r\n\r\n`, 505, "http-version"],
  [
    "HTTP/1.0 that wants to be kept",
    `${start} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n`,
    505,
    "http-version",
  ],
  ["HTTP/0.9", "GET /containers/json\r\n\r\n", 505, "http-version"],
  ["HTTP/0.9 in version and form", "GET /containers/json HTTP/0.9\r\n\r\n", 505, "http-version"],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "http"],
  ["HTTP/2.0", `${list} HTTP/2.0\r\nHost: x\r\n\r\n`, 505, "http-version"],
  ["HTTP/1.2", `${list} HTTP/1.2\r\nHost: x\r\n\r\n`, 400, "http"],
  ["http/1.1", `${list} http/1.1\r\nHost: x\r\n\r\n`, 400, "http"],
  ["HTTP/1.10", `${list} HTTP/1.10\r\nHost: x\r\n\r\n`, 400, "http"],
  [
    "a lower-case method",
    "post /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n",
    400,
    "http",
  ],
  [
    "an unknown method",
    "BREW /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n",
    400,
    "http",
  ],
  [
    "a longer method",
    "POSTX /containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n",
    400,
    "http",
  ],
  ["no method", " /containers/json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "http"],
  ["a method of WebDAV", `${head("PROPFIND /containers/json")}\r\n`, 403, "verb"],
  ["TRACE", `${head("TRACE /containers/json")}\r\n`, 403, "verb"],
  [
    "a method that overrides",
    `${head("GET /containers/berth-dev-lal/start", "X-HTTP-Method-Override: POST")}\r\n`,
    403,
    "verb",
  ],
  [
    "another one",
    `${head("POST /containers/berth-dev-lal/json", "X-Method-Override: GET")}\r\n`,
    403,
    "verb",
  ],
  ["CONNECT", "CONNECT docker:2375 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "target"],
  ["CONNECT with the form of a path", `${head("CONNECT /containers/json")}\r\n`, 403, "verb"],
  [
    "the absolute form",
    "POST http://x/containers/berth-dev-lal/start HTTP/1.1\r\nHost: x\r\n\r\n",
    403,
    "target",
  ],
  [
    "the absolute form with two slashes",
    "GET //x/containers/json HTTP/1.1\r\nHost: x\r\n\r\n",
    403,
    "target",
  ],
  ["the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 403, "target"],
  [
    "a tab between the words",
    "POST\t/containers/berth-dev-lal/start\tHTTP/1.1\r\nHost: x\r\n\r\n",
    400,
    "http",
  ],
  ["a space in the target", "GET /containers /json HTTP/1.1\r\nHost: x\r\n\r\n", 400, "http"],
  [
    "a raw byte in the target",
    "GET /containers/\xe9/json HTTP/1.1\r\nHost: x\r\n\r\n",
    400,
    "http",
  ],
  ["an expectation", `${head(start, "Expect: 100-continue")}\r\n`, 417, "expect"],
  [
    "an expectation and a body",
    `${head(create, json, "Expect: 100-continue", "Content-Length: 2")}\r\n{}`,
    417,
    "expect",
  ],
  [
    "an expectation of a body that is still to come",
    `${head(create, json, "Expect: 100-continue", "Content-Length: 2")}\r\n`,
    417,
    "expect",
  ],
  ["another expectation", `${head(start, "Expect: something")}\r\n`, 417, "expect"],
  ["an expectation on a refused route", `${head(exec, "Expect: 100-continue")}\r\n`, 403, "verb"],
  ["65 headers", `${head(list, ...many(64))}\r\n`, 431, "header-count"],
  ["9 KiB of headers", `${head(list, `X: ${"a".repeat(9 * 1024)}`)}\r\n`, 431, "header-size"],
  [
    "a target of 9 KiB",
    `GET /containers/${"a".repeat(9 * 1024)}/json HTTP/1.1\r\nHost: x\r\n\r\n`,
    431,
    "header-size",
  ],
  ["random bytes", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400, "http"],
  ["an answer instead of a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, "http"],
];
