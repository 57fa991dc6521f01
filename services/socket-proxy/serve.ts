import type http from "node:http";
import { agentContainer } from "../../spec/container.ts";
import type { Declaration } from "../../spec/declaration.ts";
import { Label, Network, objectName } from "../../spec/names.ts";
import type { Log } from "../common/log.ts";
import type { Audit } from "./audit.ts";
import type { Declarations } from "./declarations.ts";
import { Denial, forbidden, notFound } from "./denial.ts";
import { type Engine, EngineError } from "./engine.ts";
import type { EngineEvents } from "./events.ts";
import { factsOf } from "./host.ts";
import type { Intent } from "./intent.ts";
import { asObject, asTexts } from "./json.ts";
import type { ClientLimits } from "./limits.ts";
import { lookup, type OwnContainer, ownContainers, pick } from "./ownership.ts";
import type { PidsLimits } from "./pids.ts";
import {
  projectImage,
  projectInspect,
  projectNetwork,
  projectVersion,
  selectEntries,
} from "./project.ts";
import { streamDeclarations, streamEvents, streamLogs, streamWait } from "./streams.ts";
import { requestIdHeader } from "./transport.ts";
import * as upstream from "./upstream.ts";
import { differences, namedVolumes } from "./verify.ts";

/** All that carrying out an intent needs. */
export interface Parts {
  readonly stack: string;
  readonly engine: Engine;
  readonly events: EngineEvents;
  readonly declarations: Declarations;
  readonly pids: PidsLimits;
  readonly audit: Audit;
  readonly log: Log;
}

/** The right to go on: recorded at the moment it is given. */
export interface Permission {
  /** @throws Denial 503 where a mutation's record cannot be written */
  give(about?: { readonly object?: string; readonly id?: string; readonly agent?: string }): void;
}

/** One request on its way. */
export interface Exchange {
  readonly id: string;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly permission: Permission;
  readonly limit: ClientLimits;
}

/** Carries out an intent and answers it. @throws Denial, EngineError */
export async function serve(parts: Parts, intent: Intent, exchange: Exchange): Promise<void> {
  const { engine, stack } = parts;
  const { permission, limit } = exchange;
  switch (intent.verb) {
    case "ping":
      permission.give();
      await engine.status(upstream.ping(), { deadlineMs: 10_000 });
      return send(exchange, 200, "OK", "text/plain; charset=utf-8");
    case "version":
      permission.give();
      return sendObject(exchange, projectVersion());
    case "list": {
      permission.give();
      const answer = await engine.json(upstream.listContainers(stack));
      return sendObject(exchange, selectEntries(ownContainers(stack, answer), intent));
    }
    case "inspect": {
      const own = await resolve(parts, intent.name);
      permission.give(about(own));
      const answer = await engine.json(upstream.inspectContainer(own.id));
      return sendObject(exchange, projectInspect(own, answer));
    }
    case "start":
      return start(parts, intent.name, exchange);
    case "stop":
      return stop(parts, intent, exchange);
    case "wait": {
      const { own } = await resolveAgent(parts, intent.name);
      return limit.stream(() => {
        permission.give(about(own));
        return streamWait(parts, own, intent.condition, exchange);
      });
    }
    case "logs": {
      const { own } = await resolveAgent(parts, intent.name);
      return limit.stream(() => {
        permission.give(about(own));
        return streamLogs(parts, own, intent.options, exchange);
      });
    }
    case "events":
      return limit.stream(() => {
        permission.give();
        return streamEvents(parts, intent.filters, exchange);
      });
    case "image":
      return image(parts, intent.reference, exchange);
    case "network":
      return network(parts, intent.name, exchange);
    case "declarations": {
      if (intent.watch) return limit.stream(() => watch(parts, exchange));
      permission.give();
      await parts.declarations.refresh();
      return send(exchange, 200, `${parts.declarations.line ?? "[]"}\n`, "application/json");
    }
  }
}

/** The declarations, now and after each change. */
async function watch({ declarations }: Parts, exchange: Exchange): Promise<void> {
  exchange.permission.give();
  await declarations.refresh().catch((error: unknown) => {
    // A follower keeps the last list while the Engine is away.
    if (declarations.line === undefined) throw error;
  });
  return streamDeclarations(declarations, exchange);
}

async function resolve(parts: Parts, named: string): Promise<OwnContainer> {
  const call = lookup(parts.stack, named);
  const own = call && pick(parts.stack, named, await parts.engine.json(call));
  if (!own) throw notFound();
  return own;
}

const about = (own: OwnContainer) => ({
  object: own.name,
  id: own.id,
  ...(own.agent === undefined ? {} : { agent: own.agent }),
});

/** The agent behind a name, and its declaration. Nothing else is ever started, stopped, waited for or read. */
async function resolveAgent(
  parts: Parts,
  named: string,
): Promise<{ readonly own: OwnContainer; readonly declaration: Declaration }> {
  const [own, declarations] = await Promise.all([
    resolve(parts, named),
    parts.declarations.refresh(),
  ]);
  if (own.agent === undefined) throw forbidden("not-an-agent", "it is a part of the platform");
  const declaration = declarations.find((item) => item.name === own.agent);
  if (!declaration) throw forbidden("undeclared", "no declaration of this agent is there");
  if (declaration.driver !== "docker") {
    throw forbidden("driver", "the declaration says that it runs outside of Docker");
  }
  return { own, declaration };
}

async function start(parts: Parts, named: string, exchange: Exchange): Promise<void> {
  const { own, declaration } = await resolveAgent(parts, named);
  const inspected = await verify(parts, own, declaration);
  exchange.permission.give(about(own));
  const before = asObject(asObject(inspected).HostConfig).PidsLimit;
  if (!(await parts.pids.enforce(own, inspected, exchange.id))) {
    throw forbidden("pids-limit", "its pids limit cannot be put in force on this host");
  }
  // The container was changed, if only by us: what starts is what was compared.
  if (before !== declaration.limits.pids) await verify(parts, own, declaration);
  const status = await parts.engine.status(upstream.startContainer(own.id));
  exchange.response.writeHead(status, { [requestIdHeader]: exchange.id });
  exchange.response.end();
}

/** @returns the inspect answer that was compared @throws Denial 403 with the names of all differing fields */
async function verify(parts: Parts, own: OwnContainer, declaration: Declaration): Promise<unknown> {
  const { engine, stack } = parts;
  if (!upstream.isPathSafe(declaration.image)) {
    throw forbidden("image-name", "the declared image has a name that cannot be asked for");
  }
  const spec = agentContainer(declaration);
  const [container, declaredImage, host, volumes, networks] = await Promise.all([
    engine.json(upstream.inspectContainer(own.id)),
    optional(engine.json(upstream.inspectImage(declaration.image))),
    factsOf(engine),
    byName(namedVolumes(spec), (name) => engine.json(upstream.inspectVolume(name))),
    byName(Object.keys(spec.Networks), (name) => engine.json(upstream.inspectNetwork(name))),
  ]);
  if (declaredImage === undefined) {
    throw new Denial(409, "image-missing", "the declared image is not on this Engine");
  }
  const fields = differences(spec, stack, {
    container,
    image: declaredImage,
    host,
    volumes,
    networks,
  });
  if (fields.length > 0) {
    const words = `the container is not as declared: ${fields.join(", ")}`;
    throw forbidden("verify", words, fields);
  }
  return container;
}

/** The answer, or undefined where the Engine has no such object. */
async function optional(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

async function byName(
  names: readonly string[],
  ask: (name: string) => Promise<unknown>,
): Promise<ReadonlyMap<string, unknown>> {
  return new Map(
    await Promise.all(names.map(async (name) => [name, await optional(ask(name))] as const)),
  );
}

/** Beyond the grace, the Engine kills; it has this long to report it. */
const stopReportMs = 30_000;

async function stop(
  parts: Parts,
  intent: Extract<Intent, { verb: "stop" }>,
  exchange: Exchange,
): Promise<void> {
  const { own, declaration } = await resolveAgent(parts, intent.name);
  const graceSeconds = intent.graceSeconds ?? declaration.limits.stopGraceSeconds;
  exchange.permission.give(about(own));
  const status = await parts.engine.status(upstream.stopContainer(own.id, graceSeconds), {
    deadlineMs: graceSeconds * 1000 + stopReportMs,
  });
  exchange.response.writeHead(status, { [requestIdHeader]: exchange.id });
  exchange.response.end();
}

/** Only images that a declaration names: what else lies on the host is nobody's business. */
async function image(parts: Parts, reference: string, exchange: Exchange): Promise<void> {
  const declared = (await parts.declarations.refresh()).find((item) => item.image === reference);
  if (!declared || !upstream.isPathSafe(declared.image)) throw notFound();
  exchange.permission.give({ object: declared.image });
  const answer = await parts.engine.json(upstream.inspectImage(declared.image));
  sendObject(exchange, projectImage(answer));
}

async function network(parts: Parts, named: string, exchange: Exchange): Promise<void> {
  const { engine, stack } = parts;
  const name = Object.values(Network)
    .map((net) => objectName(stack, net))
    .find((known) => known === named);
  if (name === undefined) throw notFound();
  const answer = asObject(await engine.json(upstream.inspectNetwork(name)));
  if (answer.Name !== name || asTexts(answer.Labels)[Label.stack] !== stack) throw notFound();
  exchange.permission.give({ object: name });
  sendObject(exchange, projectNetwork(name, answer));
}

function sendObject(exchange: Exchange, value: unknown): void {
  send(exchange, 200, `${JSON.stringify(value)}\n`, "application/json");
}

/** Headers that the docker command reads before it asks for anything. */
const engineHeaders = {
  "api-version": upstream.apiVersion,
  "docker-experimental": "false",
  ostype: "linux",
  "cache-control": "no-cache, no-store, must-revalidate",
};

function send(
  { id, request, response }: Exchange,
  status: number,
  text: string,
  type: string,
): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    ...engineHeaders,
    "content-type": type,
    "content-length": body.length,
    [requestIdHeader]: id,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
