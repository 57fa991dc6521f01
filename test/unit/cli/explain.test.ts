import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { proxy, readInput } from "../../../cli/commands/proxy.ts";
import { connectEngine } from "../../../cli/engine-api.ts";
import { type Explanation, explain } from "../../../cli/explain.ts";
import { assumedWorld, liveWorld, type World } from "../../../cli/explain-engine.ts";
import { linesOf } from "../../../cli/explain-words.ts";
import { layers, type Rule, rules } from "../../../services/socket-proxy/denial.ts";
import { agentContainer } from "../../../spec/container.ts";
import { createBody } from "../../../spec/create-body.ts";
import { encodeGrants, renderGrants } from "../../../spec/grants.ts";
import { instanceContainer, templatesOf } from "../../../spec/instance.ts";
import { declarationOf, EngineDouble } from "../socket-proxy/engine-double.ts";
import { type Harness, lalId, startHarness } from "../socket-proxy/harness.ts";
import { review } from "../socket-proxy/templates.ts";

const declaration = declarationOf({
  templates: { review },
  instances: { max: 1, timeoutSeconds: 60 },
});
const { image } = review;
const grants = renderGrants();

function ask(
  text: string,
  options: { client?: string; world?: World; exact?: boolean } = {},
): Promise<Explanation> {
  const { client = "admin-bridge", world = assumedWorld("dev", [declaration], "assumed") } =
    options;
  const { bytes } = readInput(Buffer.from(text, "latin1"), options.exact);
  return explain(bytes, { stack: "dev", client, grants, world });
}
const get = (target: string, more = "") => `GET ${target} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
const post = (target: string, body = "", more = "") =>
  `POST ${target} HTTP/1.1\r\nHost: x\r\n${body ? `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` : ""}${more}\r\n${body}`;
const stateOf = ({ layers: found }: Explanation, layer: string) =>
  found.find((item) => item.layer === layer)?.state;

describe("an allowed create", () => {
  for (const [how, text] of [
    [
      "native",
      post(
        "/berth/instances",
        '{"template":"lal.review","instance":"x1","parameters":{"TASK_ID":"7"}}',
      ),
    ],
    [
      "as a docker run line",
      `docker run -d --name berth-dev-lal.review.x1 -e TASK_ID=7 \\\n  -l berth.template=lal.review ${image}`,
    ],
  ] as const) {
    it(`${how}, shows the very body that the Engine would get, and sends nothing`, async () => {
      const found = await ask(text);
      expect([found.allowed, found.rule, found.status]).toEqual([true, undefined, undefined]);
      expect(found.sent).toHaveLength(1);
      const [sent] = found.sent;
      const template = templatesOf(declaration).find(({ name }) => name === "review");
      if (!template || !sent) throw new Error("nothing to compare");
      const { Labels } = sent.body as { Labels: Record<string, string> };
      const rendered = instanceContainer(template, {
        name: "x1",
        client: "admin-bridge",
        parameters: { TASK_ID: "7" },
        leaseEnds: Number(Labels["berth.lease"]),
      });
      expect(sent).toEqual({
        method: "POST",
        path: "/v1.41/containers/create?name=berth-dev-lal.review.x1",
        body: createBody(rendered),
      });
      expect(stateOf(found, "audit")).toBe("passed");
      expect(stateOf(found, "engine")).toBe("not reached");
      expect(stateOf(found, "verification")).toBe("passed so far");
    });
  }
});

describe("a refusal names its rule, its layer and its words", () => {
  const line = (flags: string) =>
    `docker run -d --name lal.review.x1 -e TASK_ID=7 ${flags} ${image}`;
  const body = '{"template":"lal.review","parameters":{"TASK_ID":"7"}}';
  for (const [what, text, rule, status] of [
    ["an upgrade", get("/_ping", "Connection: upgrade\r\nUpgrade: tcp\r\n"), "upgrade", 403],
    ["a tunnel", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "target", 403],
    ["an expectation", get("/_ping", "Expect: 100-continue\r\n"), "expect", 417],
    ["no HTTP", "GARBAGE\r\n\r\n", "http", 400],
    ["two hosts", get("/_ping", "Host: y\r\n"), "host", 400],
    [
      "a chunked body",
      post("/berth/instances", "", "Transfer-Encoding: chunked\r\n"),
      "body-length",
      411,
    ],
    ["an exec", post("/containers/x/exec", "{}"), "verb", 403],
    ["a removal", "DELETE /containers/x HTTP/1.1\r\nHost: x\r\n\r\n", "verb", 403],
    ["a kill, which the bridge has no right to", post("/containers/x/kill"), "grant", 403],
    ["an escaped path", get("/containers%2fjson"), "target", 403],
    [
      "a key twice in JSON",
      post("/berth/instances", '{"template":"a","template":"b"}'),
      "json-duplicate",
      400,
    ],
    [
      "another template",
      post("/berth/instances", body.replace("review", "other")),
      "template",
      403,
    ],
    [
      "a missing parameter",
      post("/berth/instances", '{"template":"lal.review"}'),
      "parameters",
      400,
    ],
    ["a foreign container", get("/containers/somebody/json"), "not-found", 404],
    ["a docker line with more", line("--privileged -v /:/host"), "template-body", 403],
    ["an attached docker line", line("").replace("-d ", ""), "template-body", 403],
  ] as const) {
    it(`${what}: ${rule}`, async () => {
      const found = await ask(text);
      expect([found.allowed, found.rule, found.layer, found.status]).toEqual([
        false,
        rule,
        rules[rule as Rule],
        status,
      ]);
      expect(found.words).toContain(`[${rule}]`);
      expect(found.sent).toEqual([]);
      expect(stateOf(found, rules[rule as Rule])).toBe("refused");
      expect(found.layers.map(({ layer }) => layer)).toEqual(Object.keys(layers));
    });
  }

  it("with every pointer that differs", async () => {
    const { fields, words } = await ask(line("--privileged -v /:/host --cap-add ALL"));
    expect(fields).toEqual(["/HostConfig/Binds", "/HostConfig/CapAdd", "/HostConfig/Privileged"]);
    expect(words).toMatch(/\/HostConfig\/Binds, \/HostConfig\/CapAdd, \/HostConfig\/Privileged/);
  });

  it("of a client, by that client's grant", async () => {
    const found = await ask(get("/containers/json"), { client: "secret-store" });
    expect([found.rule, found.words]).toEqual([
      "grant",
      expect.stringMatching(/^berth: list denied: secret-store is not granted this verb/),
    ]);
    await expect(ask(get("/_ping"), { client: "nobody" })).rejects.toThrow(/nobody is no client/);
  });

  it("of a body that ends before its length, without waiting for the rest", async () => {
    const found = await ask(post("/berth/instances", body).slice(0, -5));
    expect([found.allowed, found.rule, stateOf(found, "table")]).toEqual([false, "http", "passed"]);
  });
});

describe("what is looked at and what would be sent", () => {
  it("a list is answered by looking, and nothing would be sent", async () => {
    const found = await ask(get("/containers/json"));
    expect([found.allowed, found.verb, found.status, found.sent]).toEqual([true, "list", 200, []]);
    expect(found.asked.map(({ path }) => path.split("?")[0])).toEqual(["/v1.41/containers/json"]);
  });

  it("answers that stay open are explained, too", async () => {
    for (const [target, verb] of [
      ["/events", "events"],
      ["/berth/alerts", "alerts"],
      ["/berth/declarations?watch=1", "declarations"],
    ] as const) {
      const found = await ask(get(target));
      expect([found.allowed, found.verb, found.status], target).toEqual([true, verb, 200]);
    }
  });

  it("what follows on the connection is told of and not explained", async () => {
    const found = await ask(get("/version") + get("/containers/json"));
    expect([found.request, found.more]).toEqual(["GET /version", true]);
    expect((await ask(get("/version"))).more).toBe(false);
  });

  it("line ends of a text file are those of HTTP, unless the bytes are to be taken as they are", async () => {
    expect((await ask("GET /version HTTP/1.1\nHost: x\n")).allowed).toBe(true);
    const exact = await ask("GET /version HTTP/1.1\nHost: x\n\n", { exact: true });
    expect(exact.rule).toBe("http");
  });
});

describe("before an Engine", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await startHarness();
  });
  afterEach(() => harness.close());

  it("a start shows the pids limit and the start, and the Engine gets nothing but GET", async () => {
    // One without a proxy, which would set the limit itself.
    const engine = new EngineDouble();
    const socket = `${harness.engineSocket}.other`;
    await engine.listen(socket);
    engine.declare(declaration);
    const { inspect } = engine.make(agentContainer(declaration), lalId);
    (inspect.HostConfig as Record<string, unknown>).PidsLimit = 0;
    const world = liveWorld(connectEngine(`unix://${socket}`), "live");
    const found = await ask(post("/containers/berth-dev-lal/start"), { world });
    expect([found.allowed, found.sent.map(({ method, path }) => `${method} ${path}`)]).toEqual([
      true,
      [`POST /v1.41/containers/${lalId}/update`, `POST /v1.41/containers/${lalId}/start`],
    ]);
    await engine.close();
    expect(engine.recorded.length).toBeGreaterThan(3);
    expect(engine.recorded.every(({ method }) => method === "GET")).toBe(true);
  });

  it("a start of a container that is not as declared names the fields, as the running proxy does", async () => {
    const { inspect } = harness.agent();
    (inspect.HostConfig as Record<string, unknown>).Privileged = true;
    const world = liveWorld(connectEngine(`unix://${harness.engineSocket}`), "live");
    const found = await ask(post("/containers/berth-dev-lal/start"), { world });
    const real = await harness.ask("/containers/berth-dev-lal/start", "POST");
    const withoutId = (text = "") => text.replace(/ \(request .*\)/, "");
    expect([found.status, withoutId(found.words)]).toEqual([
      real.status,
      withoutId((JSON.parse(real.text) as { message: string }).message),
    ]);
    expect(found.fields).toEqual(["HostConfig.Privileged"]);
    expect(found.layer).toBe("verification");
  });

  it("an Engine that is not there is said, and decides nothing", async () => {
    const world = liveWorld(connectEngine("unix:///nowhere/docker.sock"), "live");
    await expect(ask(get("/version"), { world })).rejects.toThrow(/the Engine does not answer/);
  });
});

describe("berth proxy explain", () => {
  let folder: string;
  let out: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-explain-"));
    writeFileSync(join(folder, "declarations.json"), JSON.stringify([declaration]));
    out = "";
    vi.stubEnv("BERTH_STACK", "dev");
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      out += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  const run = (text: string, ...options: string[]) => {
    writeFileSync(join(folder, "request"), text);
    return proxy.run([
      "explain",
      join(folder, "request"),
      "--declarations",
      join(folder, "declarations.json"),
      ...options,
    ]);
  };

  it("ends with 0 for what is allowed and 1 for what is refused, and says which", async () => {
    expect(await run(get("/version"))).toBe(0);
    expect(out).toMatch(/^verdict {3}allowed: version, answered 200$/m);
    expect(await run(get("/info"))).toBe(1);
    expect(out).toMatch(/^verdict {3}refused: info, answered 403, by rule verb of layer table$/m);
  });

  it("takes a grants file and another client", async () => {
    const file = join(folder, "grants.json");
    writeFileSync(file, encodeGrants(grants));
    expect(await run(get("/berth/audit"), "--grants", file, "--client", "secret-store")).toBe(1);
    expect(out).toContain("secret-store is not granted this verb");
  });

  it("as JSON holds what the lines hold", async () => {
    await run(get("/info"), "--json");
    expect(JSON.parse(out)).toMatchObject({
      allowed: false,
      rule: "verb",
      layer: "table",
      from: { world: expect.stringContaining("declarations.json") },
    });
  });

  for (const [what, text, options, words] of [
    ["an unknown flag", "docker run --frob x", [], /the flag --frob is not understood/],
    ["an unknown client", "GET / HTTP/1.1\r\n\r\n", ["--client", "x"], /"x" has no grant/],
    [
      "grants that are none",
      "GET / HTTP/1.1\r\n\r\n",
      ["--grants", "/dev/null"],
      /grants: not JSON/,
    ],
    ["an empty request", "", [], /the input is empty/],
  ] as const) {
    it(`${what} is wrong use: exit code 2, with the reason`, async () => {
      await expect(run(text, ...options)).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(words),
      });
    });
  }

  it("a declaration that is none is named with its entry", async () => {
    writeFileSync(join(folder, "declarations.json"), '[{"version":1}]');
    await expect(run(get("/version"))).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(/declarations\.json: entry 0: declaration\./),
    });
  });

  it("shows nothing of a request that could steer a terminal", async () => {
    const found = await ask("\u001b[31mGET /\u001b[0m HTTP/1.1\r\nHost: x\r\n\r\n");
    const lines = linesOf(found, { world: "", grants: "", input: [] }).join("\n");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(lines).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});
