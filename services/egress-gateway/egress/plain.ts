import http from "node:http";
import type { Socket } from "node:net";
import type { Limits } from "../limits.ts";
import { endToEndHeaders, framing, writeAnswerHead } from "../reply.ts";
import { ReachError } from "./reach.ts";
import type { Carried } from "./splice.ts";

/** Methods of plain requests. TRACE would show what a server sees; the rest nobody needs. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Client headers that do not go on: those for this proxy, and those that the request gets anew. */
const dropped = new Set(["host", "expect", "content-length", "http2-settings"]);

/**
 * Sends one request over an open connection and its answer back. The Host header says what the allow-list saw.
 * @returns how it ended
 * @throws ReachError where no answer began; the caller then still can answer
 */
export async function relayPlain(relay: {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly socket: Socket;
  readonly host: string;
  readonly path: string;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly carried: Carried;
}): Promise<string> {
  const { request, response, socket, limits, signal, carried } = relay;
  const method = request.method ?? "";
  if (!methods.has(method)) {
    throw new ReachError("denied", "method", `${method} is not carried by this proxy.`);
  }
  const length = request.headers["content-length"];
  const hasBody = length !== undefined || request.headers["transfer-encoding"] !== undefined;
  const headers: http.OutgoingHttpHeaders = {
    ...endToEndHeaders(request.rawHeaders, (name) => !dropped.has(name)),
    host: relay.host,
    ...framing(hasBody ? request : undefined, length),
  };
  return new Promise((resolve, reject) => {
    let begun = false;
    const sent = http.request({
      createConnection: () => socket,
      method,
      path: relay.path,
      headers,
      maxHeaderSize: limits.headerBytes,
    });
    const fail = (reason: string) => {
      clearTimeout(timer);
      sent.destroy();
      if (!begun)
        return reject(
          new ReachError(
            reason === "no-answer" ? "timeout" : "unreachable",
            reason,
            `${relay.host} gave no ${reason === "bad-answer" ? "valid " : ""}answer.`,
          ),
        );
      response.destroy();
      resolve(reason);
    };
    const timer = setTimeout(() => fail("no-answer"), limits.answerMs);
    socket.setTimeout(limits.tunnelIdleMs, () => fail("idle"));
    signal.addEventListener("abort", () => fail("cut"), { once: true });
    sent.on("error", () => fail("connection-lost"));
    sent.on("response", (answer) => {
      answer.on("error", () => fail("connection-lost"));
      const answered = endToEndHeaders(answer.rawHeaders, () => true);
      if (!writeAnswerHead(response, answer.statusCode, answered)) return fail("bad-answer");
      begun = true;
      clearTimeout(timer);
      answer.on("data", (part: Buffer) => {
        carried.received += part.length;
      });
      answer.pipe(response);
      response.on("finish", () => resolve("ended"));
      response.on("close", () => resolve("ended"));
    });
    request.on("data", (part: Buffer) => {
      carried.sent += part.length;
    });
    request.on("error", () => fail("connection-lost"));
    if (hasBody) request.pipe(sent);
    else sent.end();
  });
}
