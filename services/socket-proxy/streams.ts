import { finished } from "node:stream";
import { pipeline } from "node:stream/promises";
import { canonicalJson, type Json } from "../../spec/canonical.ts";
import type { Declaration } from "../../spec/declaration.ts";
import type { Alerts } from "./alerts.ts";
import type { Declarations } from "./declarations.ts";
import type { EnginePort } from "./engine.ts";
import { EngineError } from "./engine-error.ts";
import type { EngineEvents } from "./events.ts";
import { LogFrames } from "./frames.ts";
import { isVisible } from "./grants.ts";
import type { Filters, LogOptions, WaitCondition } from "./intent.ts";
import { type OwnContainer, ownOfLabels } from "./ownership.ts";
import type { Exchange } from "./parts.ts";
import { labelsMatch, projectEvent, projectWait } from "./project.ts";
import { requestIdHeader } from "./transport.ts";
import * as upstream from "./upstream.ts";

/** Bytes that may wait for a slow reader of events or declarations; beyond, the reader is dropped, not the events. */
const maxWaitingBytes = 256 * 1024;
/** Declarations come as one long line; a reader may lag by this many of them. */
const maxWaitingLines = 4;
/** Answer to `wait` of the Engine: a number and a sentence. */
const maxWaitBytes = 64 * 1024;

function begin({ id, response }: Exchange, type: string): void {
  response.writeHead(200, { "content-type": type, [requestIdHeader]: id });
  response.flushHeaders();
}

/** Aborted when the client goes away. */
function untilClosed({ response }: Exchange): AbortSignal {
  const gone = new AbortController();
  if (response.destroyed) gone.abort();
  else response.on("close", () => gone.abort());
  return gone.signal;
}

/** Resolves when the client goes away or the answer is complete. */
function closed({ response }: Exchange): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) resolve();
    else finished(response, () => resolve());
  });
}

/**
 * Answers when the container has ended, however long that takes. The headers go out as soon as the Engine waits, so a
 * client knows that no exit can be missed from then on.
 */
export async function streamWait(
  parts: { readonly engine: EnginePort },
  own: OwnContainer,
  condition: WaitCondition,
  exchange: Exchange,
): Promise<void> {
  const call = upstream.waitContainer(own.id, condition);
  const answer = await parts.engine.stream(call, untilClosed(exchange));
  begin(exchange, "application/json");
  const { response } = exchange;
  try {
    let text = "";
    for await (const part of answer as AsyncIterable<Buffer>) {
      text += part.toString("utf8");
      if (text.length > maxWaitBytes) throw new Error("too long");
    }
    response.end(`${JSON.stringify(projectWait(JSON.parse(text)))}\n`);
  } catch {
    // A broken-off answer must not look like an exit.
    response.destroy();
  }
  await closed(exchange);
}

/** The container's output, frame by frame, at the reader's own pace. */
export async function streamLogs(
  parts: { readonly engine: EnginePort },
  own: OwnContainer,
  options: LogOptions,
  exchange: Exchange,
): Promise<void> {
  const call = upstream.containerLogs(own.id, options);
  const answer = await parts.engine.stream(call, untilClosed(exchange));
  begin(exchange, "application/vnd.docker.raw-stream");
  try {
    await pipeline(answer, new LogFrames(), exchange.limit.throttle(), exchange.response);
  } catch {
    exchange.response.destroy();
  }
}

/** Events of the stack's own containers, until the client goes or the Engine's stream is lost. */
export async function streamEvents(
  parts: { readonly events: EngineEvents; readonly stack: string },
  filters: Filters,
  exchange: Exchange,
): Promise<void> {
  const { response } = exchange;
  if (!parts.events.stands) throw new EngineError("down", "the Engine's events are not received");
  begin(exchange, "application/json");
  const stop = parts.events.listen({
    // The client must know that events may be missing.
    lost: () => response.end(),
    event: (event) => {
      if (event.type !== "container") return;
      const own = ownOfLabels(parts.stack, event.id, event.attributes.name, event.attributes);
      if (!own || !isVisible(exchange.grant, exchange.client, own)) return;
      const { name } = own;
      const action = event.action.split(":", 1)[0] ?? "";
      if (filters.actions.length > 0 && !filters.actions.includes(action)) return;
      const named = filters.containers;
      if (named.length > 0 && !named.includes(name) && !named.includes(event.id)) return;
      if (!labelsMatch(event.attributes, filters)) return;
      const shown = projectEvent({ ...event, name });
      if (shown) write(exchange, `${JSON.stringify(shown)}\n`, maxWaitingBytes);
    },
  });
  await closed(exchange);
  stop();
}

/** Declarations as one line of canonical JSON. */
export function declarationsLine(list: readonly Declaration[]): string {
  return canonicalJson(list as unknown as Json);
}

/** The whole list, then the whole list after each change. */
export async function streamDeclarations(
  declarations: Declarations,
  isShown: (declaration: Declaration) => boolean,
  exchange: Exchange,
): Promise<void> {
  begin(exchange, "application/x-ndjson");
  let last = "";
  const put = (list: readonly Declaration[]) => {
    const line = declarationsLine(list.filter(isShown));
    if (line === last) return;
    last = line;
    write(exchange, `${line}\n`, Math.max(maxWaitingBytes, line.length * maxWaitingLines));
  };
  const stop = declarations.subscribe(put);
  put(declarations.known ?? []);
  await closed(exchange);
  stop();
}

/** The alerts that are kept, then each new one. */
export async function streamAlerts(alerts: Alerts, exchange: Exchange): Promise<void> {
  begin(exchange, "application/x-ndjson");
  const stop = alerts.subscribe((alert) =>
    write(exchange, `${JSON.stringify(alert)}\n`, maxWaitingBytes),
  );
  await closed(exchange);
  stop();
}

function write({ response, limit }: Exchange, text: string, most: number): void {
  if (response.destroyed || response.writableEnded) return;
  if (response.writableLength > most || !limit.spend(Buffer.byteLength(text))) response.destroy();
  else response.write(text);
}
