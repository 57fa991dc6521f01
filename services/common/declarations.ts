import { type Declaration, decodeDeclaration } from "../../spec/declaration.ts";
import type { Endpoint } from "./http.ts";
import { followLines } from "./lines.ts";
import type { Log } from "./log.ts";

/** Path of the socket proxy's stream of declarations: a JSON array a line, whole and sorted, at once and on every change. */
export const declarationsPath = "/berth/declarations?watch=1";

/** Longest line that is accepted: 400 agents of the largest declaration. */
const maxLineBytes = 400 * 16 * 1024 * 2;

/**
 * Follows the declarations for as long as the signal allows, reconnecting after 200 ms to 5 s.
 * `onChange` is called with the whole list at every connection and change; while the proxy is away the last list stands.
 */
export function watchDeclarations(
  endpoint: Endpoint,
  options: {
    readonly signal: AbortSignal;
    readonly log: Log;
    readonly onChange: (declarations: readonly Declaration[]) => void | Promise<void>;
  },
): Promise<void> {
  return followLines(endpoint, declarationsPath, {
    signal: options.signal,
    log: options.log,
    lost: "declarations-lost",
    maxLineBytes,
    onLine: (line) =>
      options.onChange(
        (JSON.parse(line) as unknown[]).map((item) => decodeDeclaration(JSON.stringify(item))),
      ),
  });
}
