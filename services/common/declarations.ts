import http from "node:http";
import { type Declaration, decodeDeclaration } from "../../spec/declaration.ts";
import { describe, type Endpoint } from "./http.ts";
import { type Log, reasonOf } from "./log.ts";

/** Path of the socket proxy's stream of declarations: a JSON array a line, whole and sorted, at once and on every change. */
export const declarationsPath = "/berth/declarations?watch=1";

/** Longest line that is accepted: 400 agents of the largest declaration. */
const maxLineBytes = 400 * 16 * 1024 * 2;

/**
 * Follows the declarations for as long as the signal allows, reconnecting after 200 ms to 5 s.
 * `onChange` is called with the whole list at every connection and change; while the proxy is away the last list stands.
 */
export async function watchDeclarations(
  endpoint: Endpoint,
  options: {
    readonly signal: AbortSignal;
    readonly log: Log;
    readonly onChange: (declarations: readonly Declaration[]) => void | Promise<void>;
  },
): Promise<void> {
  let waitMs = 200;
  while (!options.signal.aborted) {
    try {
      for await (const line of lines(endpoint, options.signal)) {
        const list = (JSON.parse(line) as unknown[]).map((item) =>
          decodeDeclaration(JSON.stringify(item)),
        );
        await options.onChange(list);
        waitMs = 200;
      }
    } catch (error) {
      if (options.signal.aborted) return;
      options.log.warn("declarations-lost", {
        from: describe(endpoint),
        reason: reasonOf(error),
        retryMs: waitMs,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = Math.min(waitMs * 2, 5_000);
  }
}

async function* lines(endpoint: Endpoint, signal: AbortSignal): AsyncGenerator<string> {
  const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http
      .get(
        { ...endpoint, path: declarationsPath, agent: false, signal, headers: { host: "berth" } },
        resolve,
      )
      .on("error", reject);
  });
  if (answer.statusCode !== 200) {
    answer.resume();
    throw new Error(`status ${answer.statusCode}`);
  }
  answer.setEncoding("utf8");
  let rest = "";
  for await (const part of answer as AsyncIterable<string>) {
    rest += part;
    if (rest.length > maxLineBytes) throw new Error("a line of declarations is too long");
    const complete = rest.split("\n");
    rest = complete.pop() ?? "";
    for (const line of complete) if (line !== "") yield line;
  }
  throw new Error("the stream ended");
}
