import http from "node:http";
import type { Socket } from "node:net";
import type { Limits } from "../limits.ts";
import { framing, writeAnswerHead } from "../reply.ts";
import { ReachError } from "./reach.ts";
import type { Carried } from "./splice.ts";

/** Methods that are carried. TRACE would show what a server sees; the rest nobody needs. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

/** Whether requests of that method are carried at all. */
export function isCarried(method: string | undefined): boolean {
  return methods.has(method ?? "");
}

/** One request of an agent and the open connection that it goes over. */
export interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  /** Nothing else goes over it. */
  readonly socket: Socket;
  /** The other side, for messages. */
  readonly host: string;
  readonly path: string;
  /** Headers of the request, Host among them; those that say where the body ends are added here. */
  readonly headers: http.OutgoingHttpHeaders;
  /** The headers of the answer that the agent gets. */
  readonly answerHeaders: (answer: http.IncomingMessage) => http.OutgoingHttpHeaders;
  readonly limits: Pick<Limits, "headerBytes" | "answerMs" | "tunnelIdleMs">;
  readonly signal: AbortSignal;
  readonly carried: Carried;
}

/**
 * Sends one request over an open connection and its answer back, neither held in memory: who reads slowly slows the
 * other side down.
 * @returns the answer's status and how the exchange ended; where it broke off, the agent's connection did too
 * @throws ReachError where no answer began; the caller then still can answer
 */
export async function relay(exchange: Exchange): Promise<{ status: number; end: string }> {
  const { request, response, socket, limits, signal, carried } = exchange;
  const method = request.method ?? "";
  if (!isCarried(method)) {
    throw new ReachError("denied", "method", `${method} is not carried by this proxy.`);
  }
  const length = request.headers["content-length"];
  const hasBody = length !== undefined || request.headers["transfer-encoding"] !== undefined;
  return new Promise((resolve, reject) => {
    let begun = false;
    let status = 0;
    const sent = http.request({
      createConnection: () => socket,
      method,
      path: exchange.path,
      headers: { ...exchange.headers, ...framing(hasBody ? request : undefined, length) },
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
            `${exchange.host} gave no ${reason === "bad-answer" ? "valid " : ""}answer.`,
          ),
        );
      response.destroy();
      resolve({ status, end: reason });
    };
    const ended = () => {
      resolve({ status, end: "ended" });
      // Answered before it was read: what is left of it would keep the agent's connection.
      if (!request.complete) request.unpipe(sent).resume();
    };
    const timer = setTimeout(() => fail("no-answer"), limits.answerMs);
    socket.setTimeout(limits.tunnelIdleMs, () => fail("idle"));
    signal.addEventListener("abort", () => fail("cut"), { once: true });
    // Afterwards the answer itself says whether it is whole: a server may answer and close before it has read all.
    sent.on("error", () => begun || fail("connection-lost"));
    // An upgrade that nobody asked for ends without a word.
    sent.on("close", () => begun || fail("bad-answer"));
    sent.on("response", (answer) => {
      answer.on("error", () => fail("connection-lost"));
      answer.on("close", () => answer.complete || fail("connection-lost"));
      status = answer.statusCode ?? 0;
      if (!writeAnswerHead(response, status, exchange.answerHeaders(answer)))
        return fail("bad-answer");
      begun = true;
      clearTimeout(timer);
      // Not with the first part of the body: that may be minutes away.
      response.flushHeaders();
      answer.on("data", (part: Buffer) => {
        carried.received += part.length;
      });
      answer.pipe(response);
      response.on("finish", ended);
      response.on("close", ended);
    });
    request.on("data", (part: Buffer) => {
      carried.sent += part.length;
    });
    request.on("error", () => fail("connection-lost"));
    if (hasBody) {
      sent.flushHeaders();
      request.pipe(sent);
    } else sent.end();
    if (signal.aborted) fail("cut");
  });
}
