import type http from "node:http";
import type { Duplex } from "node:stream";
import type { Carried } from "../egress/splice.ts";
import type { Limits } from "../limits.ts";
import type { Bucket } from "../rate.ts";
import { UpstreamError } from "./upstream.ts";

/** A request's body: whole, a stream of it, or none; or why it is not taken. */
export type Body = Buffer | http.IncomingMessage | undefined | "too-large" | "too-many";

/** Reads a body whole, up to `limits.wholeBodyBytes`. */
export async function wholeBody(
  request: http.IncomingMessage,
  carried: Carried,
  limits: Limits,
): Promise<Buffer | undefined | "too-large"> {
  const { chunked, length } = lengthOf(request);
  if (!chunked && length === 0) return undefined;
  if (length > limits.wholeBodyBytes) return "too-large";
  const body = await readWhole(request, limits.wholeBodyBytes);
  carried.sent = body?.length ?? 0;
  return body ?? "too-large";
}

/** The body of an upload, whole where it is small. Its bytes come off the agent's budget. */
export async function uploadBody(
  request: http.IncomingMessage,
  carried: Carried,
  limits: Limits,
  budget: Bucket,
): Promise<Body> {
  const { chunked, length } = lengthOf(request);
  if (!chunked && length === 0) return undefined;
  if (length > limits.bodyBytes) return "too-large";
  if (!budget.take(chunked ? 1 : length)) return "too-many";
  if (!chunked && length <= limits.wholeBodyBytes) return wholeBody(request, carried, limits);
  request.on("data", (part: Buffer) => {
    carried.sent += part.length;
    if (carried.sent > limits.bodyBytes) request.destroy();
    if (chunked && !budget.take(part.length)) request.destroy();
  });
  return request.pause();
}

function lengthOf(request: http.IncomingMessage): { chunked: boolean; length: number } {
  return {
    chunked: request.headers["transfer-encoding"] !== undefined,
    length: Number(request.headers["content-length"] ?? 0),
  };
}

/** @returns undefined: it is larger; the rest is left unread. @throws UpstreamError where it breaks off */
export function readWhole(from: http.IncomingMessage, most: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    const read = (part: Buffer) => {
      size += part.length;
      if (size <= most) return void parts.push(part);
      from.off("data", read);
      resolve(undefined);
    };
    from.on("data", read);
    from.on("end", () => resolve(Buffer.concat(parts)));
    from.on("error", () => reject(new UpstreamError("unreachable")));
    from.on("close", () => reject(new UpstreamError("unreachable")));
    if (from.destroyed) reject(new UpstreamError("unreachable"));
  });
}

/** Carries a body to its end. @returns its bytes; also where one of the two broke off */
export function pass(
  from: http.IncomingMessage,
  to: http.ServerResponse | Duplex,
): Promise<number> {
  return new Promise((resolve) => {
    let size = 0;
    from.on("data", (part: Buffer) => {
      size += part.length;
    });
    from.on("error", () => to.destroy());
    from.on("close", () => {
      if (!from.complete) to.destroy();
    });
    to.on("error", () => from.destroy());
    to.on("close", () => {
      from.destroy();
      resolve(size);
    });
    to.on("finish", () => resolve(size));
    // It may have broken off before anybody listened here.
    if (from.destroyed) to.destroy();
    else from.pipe(to);
  });
}
