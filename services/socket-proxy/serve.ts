import { Label, Network, objectName } from "../../spec/names.ts";
import { Denial, forbidden, notFound } from "./denial.ts";
import { isDeclarationVisible, isVisible } from "./grants.ts";
import { createInstance } from "./instances/create.ts";
import { showEnded } from "./instances/ended.ts";
import { over } from "./instances/leases.ts";
import type { Intent } from "./intent.ts";
import { asObject, asTexts } from "./json.ts";
import type { Exchange, Parts, Subject } from "./parts.ts";
import {
  projectImage,
  projectInspect,
  projectNetwork,
  projectStats,
  projectVersion,
  selectEntries,
} from "./project.ts";
import { type Resolved, renderingOf, resolve, resolveDeclared } from "./resolve.ts";
import {
  declarationsLine,
  streamAlerts,
  streamDeclarations,
  streamEvents,
  streamLogs,
  streamWait,
} from "./streams.ts";
import { dropUnread, requestIdHeader } from "./transport.ts";
import * as upstream from "./upstream.ts";
import { checkContainer, surroundingsOf } from "./verification.ts";

/** Carries out an intent and answers it. @throws Denial, EngineError */
export async function serve(parts: Parts, intent: Intent, exchange: Exchange): Promise<void> {
  const { engine } = parts;
  const { permission, limit, client, grant } = exchange;
  switch (intent.verb) {
    case "ping":
      permission.give();
      await parts.ping();
      return send(exchange, 200, "OK", "text/plain; charset=utf-8");
    case "version":
      permission.give();
      return sendObject(exchange, projectVersion());
    case "list": {
      permission.give();
      const containers = await parts.fleet.refresh();
      const own = containers.filter((item) => isVisible(grant, client, item));
      return sendObject(exchange, selectEntries(own, intent));
    }
    case "inspect":
      return inspect(parts, intent.name, exchange);
    case "create": {
      const id = await createInstance(parts, intent.wanted, exchange);
      return sendObject(exchange, { Id: id, Warnings: [] }, 201);
    }
    case "start":
      return start(parts, intent.name, exchange);
    case "stop":
      return stop(parts, intent, exchange);
    case "kill": {
      const { own } = await resolveDeclared(parts, exchange, intent.name);
      permission.give(about(own));
      return sendStatus(
        exchange,
        await engine.status(upstream.killContainer(own.id, intent.signal)),
      );
    }
    case "wait": {
      const { own } = await resolveDeclared(parts, exchange, intent.name);
      return limit.stream(() => {
        permission.give(about(own));
        return streamWait(parts, own, intent.condition, exchange);
      });
    }
    case "logs": {
      const { own } = await resolveDeclared(parts, exchange, intent.name);
      return limit.stream(() => {
        permission.give(about(own));
        return streamLogs(parts, own, intent.options, exchange);
      });
    }
    case "stats": {
      const { own } = await resolveDeclared(parts, exchange, intent.name);
      permission.give(about(own));
      const answer = await engine.json(upstream.containerStats(own.id));
      return sendObject(exchange, projectStats(own, answer));
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
    case "declarations":
      return declarations(parts, intent.watch, exchange);
    case "alerts":
      return limit.stream(() => {
        permission.give();
        return streamAlerts(parts.alerts, exchange);
      });
    case "metrics":
      permission.give();
      return send(exchange, 200, parts.renderMetrics(), "text/plain; version=0.0.4");
    case "audit":
      permission.give();
      return sendObject(exchange, { ...parts.audit.head(), writable: parts.audit.writable });
  }
}

const about = (own: Resolved["own"]): Subject => ({
  object: own.name,
  id: own.id,
  ...(own.agent === undefined ? {} : { agent: own.agent }),
  ...(own.instance ? { template: `${own.agent}.${own.instance.template}` } : {}),
});

async function inspect(parts: Parts, named: string, exchange: Exchange): Promise<void> {
  let resolved: Resolved;
  try {
    resolved = await resolve(parts, exchange, named);
  } catch (error) {
    const isAbsent = error instanceof Denial && error.rule === "not-found";
    // What is there goes first: a name can be used again when its container is gone.
    const ended = isAbsent ? parts.ended.find(named, exchange.client) : undefined;
    if (!ended) throw error;
    exchange.permission.give({ object: ended.name, id: ended.id });
    return sendObject(exchange, showEnded(ended));
  }
  const { own, inspected } = resolved;
  exchange.permission.give(about(own));
  sendObject(exchange, projectInspect(own, inspected));
}

/** The declarations, now and, for a watch, after each change. */
async function declarations(parts: Parts, watch: boolean, exchange: Exchange): Promise<void> {
  const { permission, limit, grant } = exchange;
  const isShown = (item: Parameters<typeof isDeclarationVisible>[1]) =>
    isDeclarationVisible(grant, item);
  if (!watch) {
    permission.give();
    const list = await parts.declarations.refresh();
    return send(exchange, 200, `${declarationsLine(list.filter(isShown))}\n`, "application/json");
  }
  return limit.stream(async () => {
    permission.give();
    await parts.declarations.refresh().catch((error: unknown) => {
      // A follower keeps the last list while the Engine is away.
      if (parts.declarations.known === undefined) throw error;
    });
    return streamDeclarations(parts.declarations, isShown, exchange);
  });
}

async function start(parts: Parts, named: string, exchange: Exchange): Promise<void> {
  const declared = await resolveDeclared(parts, exchange, named);
  const { own, declaration, inspected } = declared;
  const spec = renderingOf(declared);
  if (own.instance) checkLease(parts, own, inspected);
  const around = await surroundingsOf(parts, spec);
  checkContainer(parts, spec, inspected, around);
  exchange.permission.give(about(own));
  const before = asObject(asObject(inspected).HostConfig).PidsLimit;
  if (!(await parts.pids.enforce(own, inspected, exchange.id))) {
    throw forbidden("pids-limit", "its pids limit cannot be put in force on this host");
  }
  // The container was changed, if only by us: what starts is what was compared.
  if (before !== spec.HostConfig.PidsLimit) {
    const again = await resolveDeclared(parts, exchange, own.id);
    if (again.declaration.name !== declaration.name) throw notFound();
    checkContainer(parts, spec, again.inspected, await surroundingsOf(parts, spec));
  }
  const run = () => parts.engine.status(upstream.startContainer(own.id));
  sendStatus(exchange, await (own.instance ? parts.leases.startOnce(own, run) : run()));
}

/** An instance runs once, and while its lease stands. */
function checkLease(parts: Parts, own: Resolved["own"], inspected: unknown): void {
  if (!parts.leases.stands(own)) throw over();
  const { Status } = asObject(asObject(inspected).State);
  if (Status !== "created" && Status !== "running") {
    throw new Denial(409, "ended", "it has run; an instance runs once: make another");
  }
}

/** Beyond the grace, the Engine kills; it has this long to report it. */
const stopReportMs = 30_000;

async function stop(
  parts: Parts,
  intent: Extract<Intent, { verb: "stop" }>,
  exchange: Exchange,
): Promise<void> {
  const { own, stopGraceSeconds } = await resolveDeclared(parts, exchange, intent.name);
  const graceSeconds = intent.graceSeconds ?? stopGraceSeconds;
  exchange.permission.give(about(own));
  const call = upstream.stopContainer(own.id, graceSeconds);
  sendStatus(
    exchange,
    await parts.engine.status(call, { deadlineMs: graceSeconds * 1000 + stopReportMs }),
  );
}

/** Only images that a declaration names: what else lies on the host is nobody's business. */
async function image(parts: Parts, reference: string, exchange: Exchange): Promise<void> {
  const declared = (await parts.declarations.refresh())
    .filter((item) => isDeclarationVisible(exchange.grant, item))
    .flatMap((item) => [item.image, ...Object.values(item.templates ?? {}).map((t) => t.image)])
    .find((name) => name === reference);
  if (declared === undefined || !upstream.isPathSafe(declared)) throw notFound();
  exchange.permission.give({ object: declared });
  const answer = await parts.engine.json(upstream.inspectImage(declared));
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

function sendObject(exchange: Exchange, value: unknown, status = 200): void {
  send(exchange, status, `${JSON.stringify(value)}\n`, "application/json");
}

/** An answer without a body: 204, or 304 where nothing had to be done. */
function sendStatus({ id, response }: Exchange, status: number): void {
  response.writeHead(status, { [requestIdHeader]: id });
  response.end();
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
  dropUnread(response);
}
