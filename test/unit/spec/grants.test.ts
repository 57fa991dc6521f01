import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Json } from "../../../spec/canonical.ts";
import {
  type ClientGrant,
  coversTemplate,
  decodeGrants,
  defaultStackQuotas,
  encodeGrants,
  renderGrants,
  verbs,
} from "../../../spec/grants.ts";

const document = renderGrants();
const client = document.clients["admin-bridge"] as ClientGrant;
const decode = (value: unknown) => decodeGrants(JSON.stringify(value));
const withClient = (change: object) => ({
  ...document,
  clients: { one: { ...client, ...change } },
});

describe("the grants that the program renders", () => {
  it("survive their text, which is the same for equal documents", () => {
    expect(decodeGrants(encodeGrants(document))).toEqual(document);
    expect(encodeGrants(decode(JSON.parse(JSON.stringify(document))))).toBe(encodeGrants(document));
    expect(encodeGrants(renderGrants({ stack: {}, suspension: {} }))).toBe(encodeGrants(document));
  });

  it("A12: no client has a verb that deletes, runs a program in a container, or attaches", () => {
    expect(
      verbs.filter((verb) => /delete|remove|exec|attach|archive|build|pull/.test(verb)),
    ).toEqual([]);
    for (const grant of Object.values(document.clients))
      for (const verb of grant.verbs) expect(verbs).toContain(verb);
  });

  it("who only follows the declarations changes nothing and makes nothing", () => {
    for (const name of ["egress-gateway", "secret-store"]) {
      const grant = document.clients[name] as ClientGrant;
      expect([...grant.verbs].sort()).toEqual(["declarations", "events", "ping", "version"]);
      expect(grant).toMatchObject({ listener: "unix", services: false });
      expect(grant.quotas).toMatchObject({ createsPerMinute: 0, instances: 0, memoryBytes: 0 });
    }
  });

  it("C11: what a stack sets for itself replaces the defaults one by one, for all clients together and for each", () => {
    const { stack, suspension, clients } = renderGrants({
      stack: { memoryBytes: 1, instances: 0 },
      suspension: { denials: 3 },
    });
    expect(stack).toEqual({ ...defaultStackQuotas, memoryBytes: 1, instances: 0 });
    expect(clients["admin-bridge"]?.quotas).toMatchObject(stack);
    expect(suspension).toEqual({ denials: 3, windowSeconds: 60, seconds: 60 });
  });
});

describe("a grants document that the proxy reads", () => {
  it.each([
    [{ ...document, version: 2 }, "grants.version: must be one of 1"],
    [{ ...document, extra: 1 }, "grants.extra: is not known"],
    [withClient({ verbs: ["ping", "exec"] }), "grants.clients.one.verbs[1]: must be one of"],
    [withClient({ verbs: "ping" }), "grants.clients.one.verbs: must be a list"],
    [withClient({ listener: "http" }), 'grants.clients.one.listener: must be one of "tcp", "unix"'],
    [withClient({ services: "yes" }), "grants.clients.one.services: must be one of true, false"],
    [withClient({ templates: ["lal"] }), "grants.clients.one.templates[0]: must be a template"],
    [withClient({ templates: ["*.review"] }), "grants.clients.one.templates[0]"],
    [withClient({ templates: ["lal.review.x"] }), "grants.clients.one.templates[0]"],
    [withClient({ templates: ["lal.re*"] }), "grants.clients.one.templates[0]"],
    [withClient({ token: "x" }), "grants.clients.one.token: is not known"],
    [withClient({ quotas: {} }), "grants.clients.one.quotas.streams: is missing"],
    [
      withClient({ quotas: { ...client.quotas, instances: -1 } }),
      "grants.clients.one.quotas.instances: must be a whole number",
    ],
    [
      withClient({ quotas: { ...client.quotas, memoryBytes: 2 ** 53 } }),
      "grants.clients.one.quotas.memoryBytes: must be a whole number",
    ],
    [{ ...document, clients: { One: client } }, "grants.clients.One: must be a client's name"],
    [{ ...document, clients: { "../x": client } }, "must be a client's name"],
    [{ ...document, clients: null }, "grants.clients: must be an object"],
    [{ ...document, clients: 5 }, "grants.clients: must be an object"],
    [
      { ...document, suspension: { ...document.suspension, seconds: 0 } },
      "grants.suspension.seconds",
    ],
    [
      { ...document, clients: { one: client, two: client } },
      "grants.clients: only one client can have the port",
    ],
    [null, "grants: must be an object"],
    [[], "grants: must be an object"],
  ])("%# is refused with its path", (value, wanted) => expect(() => decode(value)).toThrow(wanted));

  it("that is no JSON is refused, and all problems are named at once", () => {
    expect(() => decodeGrants("{")).toThrow("grants: not JSON");
    expect(() => decode({ version: 2 })).toThrow(/version.*clients.*stack.*suspension/s);
  });

  it("is refused wherever one value is taken out or replaced by one of another kind", () => {
    const paths = leaves(document as unknown as Json);
    expect(paths.length).toBeGreaterThan(40);
    fc.assert(
      fc.property(
        fc.constantFrom(...paths),
        fc.constantFrom(undefined, null, {}, [[]], -1, "\u0000"),
        (path, value) => {
          expect(() => decode(replaced(document as unknown as Json, path, value))).toThrow(
            /grants/,
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a grant's templates", () => {
  const covers = (templates: readonly string[], agent: string, template: string) =>
    coversTemplate({ ...client, templates }, agent, template);

  it.each([
    [["*"], "lal", "review", true],
    [["lal.*"], "lal", "review", true],
    [["lal.*"], "lal", "agent", true],
    [["lal.review"], "lal", "review", true],
    [["lal.review"], "lal", "agent", false],
    [["lal.review"], "lal", "review2", false],
    [["lal.*"], "lal2", "review", false],
    [["la.*"], "lal", "review", false],
    [[], "lal", "agent", false],
    [["data.*", "lal.agent"], "lal", "agent", true],
  ])("%j on %s.%s: %s", (templates, agent, template, wanted) =>
    expect(covers(templates, agent, template)).toBe(wanted),
  );
});

/** Paths of every member that is no object, but for lists' items, whose number is free. */
function leaves(value: Json, path: readonly string[] = []): string[][] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[...path]];
  return Object.entries(value).flatMap(([key, member]) => leaves(member as Json, [...path, key]));
}

function replaced(value: Json, [key = "", ...rest]: readonly string[], by: unknown): unknown {
  const members = value as { readonly [key: string]: Json };
  const member = members[key] as Json;
  return { ...members, [key]: rest.length === 0 ? by : replaced(member, rest, by) };
}
