import { createBody } from "../../spec/create-body.ts";
import { instanceContainer } from "../../spec/instance.ts";
import { outsideLanguage } from "../unit/socket-proxy/language.ts";
import { readAnswers } from "./answers.ts";
import { type ClientName, canary, type Member, members, templates } from "./stack.ts";

/**
 * What must hold of whatever bytes a client sends, said a second time and without the code that it is about: nothing in
 * here comes from services/socket-proxy. Only the rendering is shared, since "equal to a rendering" is the law itself.
 */

/** What happened, in its order: records of the audit and calls to the Engine. */
export type Moment =
  | { readonly record: Readonly<Record<string, unknown>> }
  | { readonly call: { readonly method: string; readonly path: string; readonly body?: string } };

/** All of one execution. */
export interface Seen {
  readonly client: ClientName;
  readonly bytes: Uint8Array;
  readonly moments: readonly Moment[];
  /** Ids of the containers that the Engine has made since the stack was set up, for this client. */
  readonly made: ReadonlySet<string>;
  /** No record could be written: reads go on without one. */
  readonly isMute: boolean;
  readonly answer: Buffer;
  /** Unix seconds, before and after. */
  readonly from: number;
  readonly to: number;
}

/** What each client may have made and use, as its grant is meant. */
const rights: Readonly<Record<ClientName, { templates: RegExp; verbs: RegExp }>> = {
  "admin-bridge": { templates: /^/, verbs: /^/ },
  other: { templates: /^/, verbs: /^/ },
  worker: { templates: /^lal\.(review|shell)$/, verbs: /^/ },
  watcher: { templates: /^ada\./, verbs: /^(ping|version|declarations|events|list|inspect)$/ },
};

const mutating: readonly (readonly [string, RegExp, RegExp])[] = [
  ["create", /^POST .*\/containers\/create\?/, /\/(containers\/create|berth\/instances)(\?|$)/],
  ["start", /^POST .*\/start$/, /\/start(\?|$)/],
  ["stop", /^POST .*\/stop\?/, /\/stop(\?|$)/],
  ["kill", /^POST .*\/kill\?/, /\/kill(\?|$)/],
  ["wait", /^POST .*\/wait\?/, /\/wait(\?|$)/],
  ["logs", /^GET .*\/logs\?/, /\/logs\?/],
  ["stats", /^GET .*\/stats\?/, /\/stats\?/],
];

/** @returns what is wrong; undefined: the property holds */
export function problemOf(seen: Seen): string | undefined {
  const calls = seen.moments.flatMap((moment) => ("call" in moment ? [moment.call] : []));
  const text = Buffer.from(seen.bytes).toString("latin1");
  const outside = outsideLanguage(
    calls.map(({ method, path, body = "" }) => ({ method, path, body, headers: [] })),
  );
  if (outside.length > 0) return `outside of the language: ${outside.join("; ")}`;
  return (
    problemOfAmounts(calls, text) ??
    problemOfRefusals(seen.moments, text) ??
    problemOfOrder(seen) ??
    problemOfCreates(seen, calls) ??
    problemOfAnswers(seen, text)
  );
}

/** The Engine gets no more of anything than the bytes have request lines for it, and nothing for bytes without one. */
function problemOfAmounts(
  calls: readonly { readonly method: string; readonly path: string }[],
  text: string,
): string | undefined {
  if (calls.length === 0) return undefined;
  const lines = [...text.matchAll(/(GET|HEAD|POST) +(\/[\x21-\x7e]*) +HTTP\/1\.1\r\n/g)];
  if (lines.length === 0) return `${calls.length} calls without a request`;
  for (const [verb, isCall, isLine] of mutating) {
    const sent = calls.filter(({ method, path }) => isCall.test(`${method} ${path}`)).length;
    const asked = lines.filter(([, , target = ""]) => isLine.test(target)).length;
    if (sent > asked) return `${sent} of ${verb} for ${asked} requests`;
  }
  return undefined;
}

/** No more refusals are on record than there are heads of requests, and one for what is none. */
function problemOfRefusals(moments: readonly Moment[], text: string): string | undefined {
  const refused = moments.filter((item) => "record" in item && item.record.decision === "deny");
  const heads = text.match(/\n\r?\n/g)?.length ?? 0;
  return refused.length > heads + 1 ? `${refused.length} refusals of ${heads} requests` : undefined;
}

/** Each call that does something has a record before it that allows it, of a container that this client may use. */
function problemOfOrder({ client, moments, made, isMute }: Seen): string | undefined {
  const open: Readonly<Record<string, unknown>>[] = [];
  const right = rights[client];
  for (const moment of moments) {
    if ("record" in moment) {
      const { record } = moment;
      if (record.decision === "allow") {
        const { verb } = record;
        if (verb !== "update" && !right.verbs.test(String(verb)))
          return `${client} may not ${verb}`;
        open.push(record);
      }
      if (record.phase === "lease") open.push(record);
      continue;
    }
    const { method, path } = moment.call;
    const request = `${method} ${path}`;
    const id = /\/containers\/([0-9a-f]{64})/.exec(path)?.[1];
    if (/\/containers\/create\?/.test(path)) {
      const name = /name=([^&]*)$/.exec(path)?.[1];
      if (!take(open, (record) => record.verb === "create" && record.object === name)) {
        return `a create without a record of it: ${path}`;
      }
      continue;
    }
    if (id === undefined) {
      if (method !== "GET") return `${request} is of no container`;
      continue;
    }
    const member = members.find((item) => item.id === id);
    if (method === "GET" && path.endsWith("/json")) {
      if (!made.has(id) && !member?.isOwn) return `looks at a foreign container: ${request}`;
      continue;
    }
    if (!made.has(id) && !isUsable(client, member)) return `is not its own: ${request}`;
    const verb = method === "DELETE" ? "remove" : /\/([a-z]+)(\?|$)/.exec(path.slice(79))?.[1];
    if (verb === "remove" && !made.has(id)) return `removes what it has not made: ${request}`;
    if (verb === "start" && member?.isDrifted) return "starts what is not as declared";
    // The last words of what is removed are read under the lease's own record.
    const isFor = (record: Readonly<Record<string, unknown>>) =>
      record.id === id && (record.verb === verb || record.phase === "lease");
    // Of counters one reading a minute is on record; and reads go on where no record can be written.
    const isRead = verb === "stats" || (isMute && (verb === "logs" || verb === "wait"));
    if (!open.some(isFor) && !isRead) return `has no record before it: ${request}`;
    if (method !== "GET" && verb !== "remove") take(open, isFor);
  }
  return undefined;
}

function isUsable(client: ClientName, member: Member | undefined): boolean {
  return (
    member?.isOwn === true &&
    member.template !== undefined &&
    (member.client === undefined || member.client === client) &&
    rights[client].templates.test(member.template)
  );
}

function take<T>(items: T[], is: (item: T) => boolean): boolean {
  const at = items.findIndex(is);
  if (at >= 0) items.splice(at, 1);
  return at >= 0;
}

/** Each create is the rendering of a template that this client has, with values that were in its bytes. */
function problemOfCreates(
  { client, bytes, from, to }: Seen,
  calls: readonly { readonly path: string; readonly body?: string }[],
): string | undefined {
  let said: ReadonlySet<string> | undefined;
  for (const { path, body = "" } of calls) {
    if (!path.includes("/containers/create?")) continue;
    const sent = JSON.parse(body) as { readonly Labels: Readonly<Record<string, string>> };
    const { Labels: labels } = sent;
    const id = labels["berth.template"] ?? "";
    const template = templates.get(id);
    if (!template || !rights[client].templates.test(id)) return `${client} makes a ${id}`;
    if (labels["berth.client"] !== client) return "is made for another client";
    const leaseEnds = Number(labels["berth.lease"]);
    const { timeoutSeconds } = template.instances;
    if (leaseEnds < from + timeoutSeconds || leaseEnds > to + timeoutSeconds) {
      return `its lease ends at ${leaseEnds}`;
    }
    const name = labels["berth.instance"] ?? "";
    if (path !== `/v1.41/containers/create?name=berth-dev-${id}.${name}`) {
      return `is called ${path}`;
    }
    const parameters = JSON.parse(labels["berth.parameters"] ?? "") as Record<string, string>;
    const rendered = instanceContainer(template, { name, client, parameters, leaseEnds });
    const expected = JSON.stringify(createBody(rendered));
    if (expected !== body) return `the create is no rendering: ${body} is not ${expected}`;
    said ??= textsOf(bytes);
    const wrong = problemOfParameters(id, parameters, said);
    if (wrong !== undefined) return wrong;
    const isMade = /^i[0-9a-f]{12}$/.test(name);
    if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name) || (!isMade && !isSaid(name, said))) {
      return `the name ${name} was not asked for`;
    }
  }
  return undefined;
}

function problemOfParameters(
  template: string,
  parameters: Readonly<Record<string, string>>,
  said: ReadonlySet<string>,
): string | undefined {
  const declared = templates.get(template)?.parameters ?? {};
  for (const [key, value] of Object.entries(parameters)) {
    const rule = Object.hasOwn(declared, key) ? declared[key] : undefined;
    if (!rule) return `${key} is no parameter of ${template}`;
    // A dot of these patterns is any text; JavaScript's leaves line ends out unless told so.
    if (
      !new RegExp(`^(?:${rule.pattern})$`, "su").test(value) ||
      [...value].length > rule.maxLength
    ) {
      return `${key} has a value that its pattern refuses: ${JSON.stringify(value)}`;
    }
    if (!said.has(value)) return `${key} has a value that was not sent: ${JSON.stringify(value)}`;
  }
  const missing = Object.entries(declared).find(
    ([key, { optional }]) => !optional && !Object.hasOwn(parameters, key),
  );
  return missing && `${missing[0]} is missing`;
}

/** All texts that the bytes hold as JSON, and what stands behind the first `=` of each. */
function textsOf(bytes: Uint8Array): ReadonlySet<string> {
  const text = new TextDecoder().decode(bytes);
  const said = new Set<string>();
  const pattern = /"(?:[^"\\\n]|\\.)*"/y;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) {
    pattern.lastIndex = at;
    const literal = pattern.exec(text)?.[0];
    if (literal === undefined) continue;
    try {
      const value = String(JSON.parse(literal));
      said.add(value);
      if (value.includes("=")) said.add(value.slice(value.indexOf("=") + 1));
    } catch {
      // No text in JSON's sense.
    }
  }
  // Names stand in the query, too.
  for (const [, query = ""] of text.matchAll(/\?([\x21-\x7e]*) +HTTP\/1\.1\r\n/g)) {
    for (const [, value = ""] of query.matchAll(/=([^&]*)/g)) {
      try {
        said.add(decodeURIComponent(value.replaceAll("+", " ")));
      } catch {
        // Not a value.
      }
    }
  }
  return said;
}

function isSaid(name: string, said: ReadonlySet<string>): boolean {
  return (
    said.has(name) || [...said].some((text) => text.endsWith(`.${name}`) || text === `/${name}`)
  );
}

/** What comes back is well-formed, and holds nothing of what nobody may see. */
function problemOfAnswers({ answer }: Seen, text: string): string | undefined {
  if (answer.includes(canary) || answer.includes(canary.toLowerCase())) {
    return `shows what nobody may see: ${answer.toString("latin1")}`;
  }
  return readAnswers(answer, text.includes("HEAD")).problem;
}
