import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { unhurriedGrants } from "./clients.ts";
import { engineRoutes, targetOf } from "./engine-routes.ts";
import { exec, head, json, say, start } from "./framing-cases.ts";
import { type Harness, startHarness } from "./harness.ts";
import { checkInvariants, settled, upstream } from "./invariants.ts";
import { exchange, RawClient, type RawTarget, ruleOf } from "./raw.ts";
import { review } from "./templates.ts";

const form = "Content-Type: application/x-www-form-urlencoded";
const multipart = "Content-Type: multipart/form-data; boundary=b";
const parts = '--b\r\nContent-Disposition: form-data; name="signal"\r\n\r\nKILL\r\n--b--\r\n';

let harness: Harness;
let count = 0;
beforeAll(async () => {
  harness = await startHarness({ grants: unhurriedGrants() });
  harness.agent({
    network: "mattermost",
    templates: { review: { ...review, instances: { max: 64, timeoutSeconds: 300 } } },
  });
  await settled(harness);
});
afterAll(() => harness.close());
afterEach(() => checkInvariants(harness));

/** Status and rule of the first answer. */
async function outcome(target: RawTarget, bytes: string | Uint8Array): Promise<[number, string]> {
  const { answers } = await exchange(target, bytes, { moreMs: 0 });
  const [first] = answers;
  return [first?.status ?? 0, ruleOf(first?.body ?? "")];
}

describe("T1: bodies of verbs that take none", () => {
  const bodyless: readonly (readonly [string, number])[] = [
    ["GET /_ping", 200],
    ["GET /version", 200],
    ["GET /containers/json", 200],
    ["GET /containers/berth-dev-lal/json", 200],
    ["POST /containers/berth-dev-lal/start", 204],
    ["POST /containers/berth-dev-lal/stop?t=0", 204],
    ["POST /containers/berth-dev-lal/wait", 200],
    ["GET /containers/berth-dev-lal/logs?stdout=1", 200],
    ["GET /containers/berth-dev-lal/stats?stream=0", 200],
    ["GET /events", 200],
    ["GET /images/localhost/berth/node:0123456789ab/json", 200],
    ["GET /networks/berth-dev-mattermost-net", 200],
    ["GET /berth/declarations", 200],
    ["GET /berth/alerts", 200],
    ["GET /berth/metrics", 200],
    ["GET /berth/audit", 200],
  ];
  const refused: readonly (readonly [
    string,
    string | Buffer,
    readonly string[],
    number,
    string,
  ])[] = [
    ["{} of no type", "{}", [], 415, "body-type"],
    ["{} as text", "{}", ["Content-Type: text/plain"], 415, "body-type"],
    ["{} as a form", "{}", [form], 415, "body-type"],
    ["{} as parts", "{}", [multipart], 415, "body-type"],
    ["{} of two types", "{}", [json, "Content-Type: text/plain"], 415, "body-type"],
    ["{} that says it is packed", "{}", [json, "Content-Encoding: gzip"], 415, "body-type"],
    ["[]", "[]", [json], 400, "body"],
    ["a text", '""', [json], 400, "body"],
    ["a number", "12", [json], 400, "body"],
    ["two bytes of anything", Buffer.from([0xff, 0]), [json], 400, "json-utf8"],
    ["null", "null", [json], 400, "body"],
    ["an object", '{"Privileged":true}', [json], 400, "body"],
    ["what the query does not say", '{"t":1}', [json], 400, "body"],
    ["an object within it", '{"t":{}}', [json], 400, "body"],
    ["a list", "[]", [json], 400, "body"],
    ["no JSON", "t=0", [json], 400, "json-syntax"],
    ["a key twice", '{"t":0,"t":0}', [json], 400, "json-duplicate"],
    ["a form", "signal=KILL&t=0&checkpoint=x", [form], 415, "body-type"],
    ["parts", parts, [multipart], 415, "body-type"],
    ["1 MiB", Buffer.alloc(1024 * 1024, "a"), [json], 400, "body"],
  ];

  it.each(bodyless)(
    "T1: %s: an empty object is none, all else is refused",
    async (request, status) => {
      for (const type of [json, `${json}; charset=utf-8`, `${json};charset=UTF-8`]) {
        const other = request.includes("/stop") ? "start" : "stop?t=0";
        await harness.ask(`/containers/berth-dev-lal/${other}`, "POST");
        expect(await outcome(harness.port, say(request, "{}", type))).toEqual([status, ""]);
      }
      await settled(harness);
      const before = upstream(harness).length;
      for (const [title, body, headers, refusal, rule] of refused) {
        const result = await outcome(harness.port, say(request, body, ...headers));
        expect([title, ...result]).toEqual([title, refusal, rule]);
      }
      expect(upstream(harness).length).toBe(before);
    },
  );

  it("T1: a body may say again what the query says, and that is what is done", async () => {
    await harness.ask("/containers/berth-dev-lal/start", "POST");
    const stop = (query: string, body: string) =>
      outcome(harness.port, say(`POST /containers/berth-dev-lal/stop?${query}`, body, json));
    expect(await stop("t=7", '{"t":7}')).toEqual([204, ""]);
    expect(await stop("t=7", '{"t":8}')).toEqual([400, "body"]);
    expect(await stop("t=7", '{"t":7,"signal":"KILL"}')).toEqual([400, "body"]);
    expect(
      upstream(harness)
        .filter((call) => call.includes("/stop"))
        .join(),
    ).toContain("/stop");
  });

  it("T1: HEAD has no body either way", async () => {
    for (const [title, body, headers, refusal] of refused) {
      const client = new RawClient(harness.port).send(say("HEAD /_ping", body, ...headers));
      await client.until(() => client.closed);
      expect([title, client.text.slice(9, 12)]).toEqual([title, String(refusal)]);
      expect(client.text.endsWith("\r\n\r\n")).toBe(true);
    }
  });

  it("T3: no form and no parts are read on any POST of the Engine's", async () => {
    const posts = engineRoutes.filter(({ method }) => method === "POST");
    expect(posts.length).toBeGreaterThan(45);
    const before = [upstream(harness).length, harness.engine.containers.size];
    for (const route of posts) {
      const request = `POST ${targetOf(route)}`;
      for (const [body, type] of [
        ["signal=KILL&t=0&fromImage=x&checkpoint=x&name=x", form],
        [parts, multipart],
      ] as const) {
        const [status] = await outcome(harness.port, say(request, body, type));
        expect([request, [400, 403, 415].includes(status)]).toEqual([request, true]);
      }
    }
    expect([upstream(harness).length, harness.engine.containers.size]).toEqual(before);
  });
});

describe.each([
  ["Docker's form", "POST /v1.41/containers/create?name=", (name: string) => ({ name })],
  ["the native form", "POST /berth/instances", () => ({ name: "" })],
])("T1: the body of a create in %s", (_form, prefix, naming) => {
  const isNative = prefix.includes("berth");
  /** A create of a new instance each time. */
  const next = () => {
    count += 1;
    const name = `x${count}`;
    const body = isNative
      ? { template: "lal.review", instance: name, parameters: { TASK_ID: "7" } }
      : { Labels: { "berth.template": "lal.review" }, Image: review.image, Env: ["TASK_ID=7"] };
    return { request: `${prefix}${naming(name).name}`, body: JSON.stringify(body) };
  };
  const size = () => harness.engine.containers.size;
  let before: { readonly asked: number; readonly size: number };
  beforeEach(() => {
    before = { asked: upstream(harness).length, size: size() };
  });
  const made = () => size() - before.size;
  const nothing = () => expect([upstream(harness).length, made()]).toEqual([before.asked, 0]);

  it.each([
    [json],
    ["content-type: Application/JSON"],
    [`${json}; charset=utf-8`],
    [`${json};charset=UTF-8`],
  ])("T1: %j is taken", async (type) => {
    const { request, body } = next();
    expect(await outcome(harness.port, say(request, body, type))).toEqual([201, ""]);
    expect(made()).toBe(1);
  });

  const types: readonly (readonly string[])[] = [
    [],
    ["Content-Type:"],
    ["Content-Type: text/plain"],
    ["Content-Type: text/json"],
    ["Content-Type: application/jsonx"],
    ["Content-Type: application/json5"],
    ["Content-Type: application/x-json"],
    ["Content-Type: application/json-patch+json"],
    ["Content-Type: application/octet-stream"],
    ["Content-Type: application/*"],
    ["Content-Type: */*"],
    ['Content-Type: "application/json"'],
    [form],
    [multipart],
    [`${json};`],
    [`${json}, text/plain`],
    [`${json}; charset=utf-16`],
    [`${json}; charset=latin1`],
    [`${json}; charset=utf-8; x=y`],
    [`${json}; boundary=b`],
    [json, json],
    [json, form],
    [form, json],
    [json, "Content-Encoding: gzip"],
    [json, "Content-Encoding: identity"],
    [json, "content-encoding: deflate, br"],
  ];
  it.each(types.map((lines) => [lines.join(" + ") || "no type", lines] as const))(
    "T1: a right body with %s is refused, and nothing is asked",
    async (_title, lines) => {
      const { request, body } = next();
      expect(await outcome(harness.port, say(request, body, ...lines))).toEqual([415, "body-type"]);
      nothing();
    },
  );

  it("T1: without a length, with none, or with one beyond the limit: refused before a byte is read", async () => {
    const { request, body } = next();
    const cases: [string, number, string][] = [
      [`${head(request, json)}\r\n`, 411, "body-length"],
      [`${head(request, json, "Content-Length: 0")}\r\n`, 411, "body-length"],
      [`${head(request, json)}\r\n${body}`, 411, "body-length"],
      [`${head(request, json, "Content-Length: 65537")}\r\n`, 413, "body-size"],
      [`${head(request, json, "Content-Length: 9999999999")}\r\n${body}`, 413, "body-size"],
      [`${head(request, json, "Content-Length: 99999999999")}\r\n${body}`, 400, "body-length"],
    ];
    for (const [bytes, status, rule] of cases) {
      expect(await outcome(harness.port, bytes)).toEqual([status, rule]);
    }
    nothing();
  });

  it("T1: a packed body that does not say so is no JSON", async () => {
    const { request, body } = next();
    const [status, rule] = await outcome(harness.port, say(request, gzipSync(body), json));
    expect([status, rule]).toEqual([400, "json-utf8"]);
  });

  it("T1: a body that is shorter than its length makes nothing, however the connection ends", async () => {
    const { request, body } = next();
    const bytes = `${head(request, json, `Content-Length: ${body.length + 1}`)}\r\n${body}`;
    const halved = new RawClient(harness.port).send(bytes).half();
    expect(await halved.until(() => halved.closed)).toBe(true);
    const broken = new RawClient(harness.port).send(bytes);
    await broken.until(() => false, 50);
    broken.reset();
    await broken.until(() => false, 100);
    expect([halved.statuses, broken.text]).toEqual([[], ""]);
    nothing();
  });

  it("T1: of a body that is longer than its length only that much is one, and it is broken", async () => {
    const { request, body } = next();
    const hidden = `${head(start)}\r\n`;
    for (const length of [1, 20, body.length - 1]) {
      const bytes = `${head(request, json, `Content-Length: ${length}`)}\r\n${body}${hidden}`;
      const client = new RawClient(harness.port).send(bytes);
      await client.until(() => client.closed);
      expect(client.statuses.filter((status) => status !== 400)).toEqual([]);
    }
    nothing();
  });

  it("T1: what follows a whole body is the next request, judged by itself", async () => {
    await harness.ask("/containers/berth-dev-lal/stop?t=0", "POST");
    const first = next();
    const client = new RawClient(harness.port).send(say(first.request, first.body, json));
    await client.answered(1);
    client.send(`${head(exec)}\r\n${head(start)}\r\n`);
    await client.answered(3);
    client.send('{"Privileged":true}');
    await client.until(() => client.closed);
    expect(client.statuses).toEqual([201, 403, 204, 400]);
    expect(made()).toBe(1);
  });
});
