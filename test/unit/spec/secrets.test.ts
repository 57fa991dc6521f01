import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineAgent, toDeclaration } from "../../../agents/define.ts";
import type { Declaration } from "../../../spec/declaration.ts";
import { checkDeclaration } from "../../../spec/declaration-check.ts";
import { problemOfUrl } from "../../../spec/endpoint-url.ts";
import { isWithin, parseReference } from "../../../spec/references.ts";
import { deliveryOf, referenceOf, referencesIn } from "../../../spec/secrets.ts";
import { agentInput } from "../../support/arbitraries.ts";

const lal: Declaration = toDeclaration(
  defineAgent({ name: "lal", program: { command: ["serve"] } }),
  { stack: "dev", images: (name) => `localhost/berth/${name}:0123456789ab` },
);
const vaults = ["agents/lal"];
const problems = (change: object) => checkDeclaration({ ...lal, vaults, ...change });
const files = (template: unknown, more: object = {}) => ({
  configFiles: { "config.json": { template, ...more } },
});
const endpoint = (more: object) => ({
  endpoints: { model: { url: "https://api.example.com/v1", headers: {}, ...more } },
});

describe("what a declaration says of secrets", () => {
  it("B8: environment variables, files, made-up values, config files and endpoints are right", () =>
    expect(
      problems({
        secrets: {
          PLAIN: "op://agents/lal/token",
          BRACED: "{{ op://Agents/LAL/token }}",
          OBJECT: { from: "op://agents/lal/token" },
          FILE: { from: "file:/run/x", as: "file" },
          MADE: { from: "op://agents/lal/made", generate: 32 },
        },
        ...files(
          { bot: { token: "op://agents/lal/token" }, list: ["{{ env:A }}"] },
          { reread: true },
        ),
        ...endpoint({
          headers: { authorization: "Bearer {{ op://agents/lal/key }}", "x-version": "2026-01-01" },
        }),
      }),
    ).toEqual([]));

  it("every reference is told with its place, by name, without braces", () =>
    expect(
      referencesIn({
        secrets: { B: { from: "{{ env:B }}", as: "file" }, A: "op://v/i/a" },
        configFiles: {
          "b.json": { template: { "a.b": ["op://v/i/x", { c: "{{env:C}}-{{env:D}}", d: 5 }] } },
          "a.json": { template: ["env:not-one"] },
        },
        endpoints: {
          model: {
            url: "https://x",
            headers: { "x-b": "{{ env:H }}", authorization: "op://v/i/h" },
          },
        },
      }),
    ).toEqual([
      { place: "secrets.A", reference: "op://v/i/a" },
      { place: "secrets.B", reference: "env:B" },
      { place: "configFiles.b.json.a.b[0]", reference: "op://v/i/x" },
      { place: "configFiles.b.json.a.b[1].c", reference: "env:C" },
      { place: "configFiles.b.json.a.b[1].c", reference: "env:D" },
      { place: "endpoints.model.headers.authorization", reference: "op://v/i/h" },
      { place: "endpoints.model.headers.x-b", reference: "env:H" },
    ]));

  it("a plain secret is an environment variable, and so is one that does not say otherwise", () => {
    expect(
      ["env:A", { from: "env:A" }, { from: "env:A", as: "file" } as const].map(deliveryOf),
    ).toEqual(["env", "env", "file"]);
    expect(["{{ env:A }}", { from: "{{env:A}}" }, "env:A"].map(referenceOf)).toEqual([
      "env:A",
      "env:A",
      "env:A",
    ]);
  });

  it.each<[object, string | RegExp]>([
    ...["PATH", "HTTPS_PROXY", "LD_PRELOAD", "BERTH_AGENT", "NODE_OPTIONS"].map(
      (name): [object, string] => [
        { secrets: { [name]: "env:A" } },
        `secrets.${name}: must be a name like API_TOKEN that the program's environment has no other use for`,
      ],
    ),
    [
      { secrets: { token: "env:A" } },
      "secrets.token: must be a name like API_TOKEN that the program's environment has no other use for",
    ],
    [{ secrets: { A: { from: "env:A", as: "env" } } }, 'secrets.A.as: must be one of "file"'],
    [{ secrets: { A: { as: "file" } } }, "secrets.A.from: is missing"],
    [{ secrets: { A: { from: "env:A", value: "x" } } }, "secrets.A.value: is not known"],
    [{ secrets: { A: { from: "nothing" } } }, /^secrets\.A\.from: is no secret reference/],
    [
      { secrets: { A: { from: "op://agents/lal/a", generate: 15 } } },
      /^secrets\.A\.generate: must be a whole number from 16 to 1024/,
    ],
    [
      { secrets: { A: { from: "env:A", generate: 32 } } },
      /^secrets\.A\.generate: writes a field of 1Password/,
    ],
    [
      { secrets: { A: { from: "op://agents/lal/a?attribute=otp", generate: 32 } } },
      /^secrets\.A\.generate: writes a field's value/,
    ],
    [{ vaults: ["agents/lal/token"] }, /^vaults\[0\]: must be a vault like/],
    [{ vaults: ["*"] }, /^vaults\[0\]: must be a vault like/],
    [{ vaults: ["agents/.."] }, /^vaults\[0\]: must be a vault like/],
    [{ vaults: "agents" }, /^vaults: must be a list/],
    [{ configFiles: { "../x": { template: {} } } }, /^configFiles\.\.\.\/x: must be a file name/],
    [
      { configFiles: { generation: { template: {} } } },
      "configFiles.generation: is a file of berth's own; choose another name",
    ],
    [
      { configFiles: { "status.json": { template: {} } } },
      /^configFiles\.status\.json: is a file of berth's own/,
    ],
    [files("./config.json"), /^configFiles\.config\.json\.template: must be an object or a list/],
    [files({ a: "{{ x }}" }), /^configFiles\.config\.json\.template\.a: has \{\{/],
    [files({}, { reread: false }), "configFiles.config.json.reread: must be one of true"],
    [
      { endpoints: { Model: { url: "https://x", headers: {} } } },
      /^endpoints\.Model: must be 1 to 31/,
    ],
    [endpoint({ method: "GET" }), "endpoints.model.method: is not known"],
    [
      endpoint({ headers: { Authorization: "x" } }),
      /^endpoints\.model\.headers\.Authorization: must be the name of a header in lower case/,
    ],
    [endpoint({ headers: { "x y": "x" } }), /must be the name of a header/],
    ...[
      "host",
      "connection",
      "transfer-encoding",
      "content-length",
      "content-type",
      "proxy-authorization",
      "te",
      "upgrade",
      "expect",
      "x-forwarded-for",
    ].map((name): [object, RegExp] => [
      endpoint({ headers: { [name]: "x" } }),
      new RegExp(
        `^endpoints\\.model\\.headers\\.${name}: is a header that the gateway itself decides on$`,
      ),
    ]),
    [endpoint({ headers: { "x-a": "a\r\nb: c" } }), /printable characters$/],
    [endpoint({ headers: { "x-a": "" } }), /printable characters$/],
    [endpoint({ headers: { "x-a": "{{ x }}" } }), /^endpoints\.model\.headers\.x-a: has \{\{/],
    ...["authorization", "x-api-key", "api-key", "cookie", "x-goog-api-key", "private-token"].map(
      (name): [object, RegExp] => [
        endpoint({ headers: { [name]: "Bearer sk-live" } }),
        /must hold its value as a reference, like \{\{ op:/,
      ],
    ),
  ])("%j is refused with its path", (change, wanted) => {
    const found = problems(change);
    expect(found).toEqual([typeof wanted === "string" ? wanted : expect.stringMatching(wanted)]);
    expect(found.join()).not.toContain("sk-live");
  });

  it("an agent without a gateway has no config files and no endpoints", () =>
    expect(problems({ ...files({}), ...endpoint({}), network: "none" })).toEqual([
      'configFiles: nothing is delivered with network "none"',
      'endpoints: nothing is delivered with network "none"',
    ]));

  it("two things in one environment variable are refused", () =>
    expect(
      problems({
        secrets: {
          A: { from: "env:A", as: "file" },
          A_FILE: "env:B",
          ENDPOINT_MODEL_URL: "env:C",
          ENDPOINT_OTHER_URL: "env:E",
          B_FILE: { from: "env:F", as: "file" },
        },
        ...files({}),
        ...endpoint({}),
      }),
    ).toEqual([
      expect.stringMatching(
        /^secrets\.A_FILE: is the variable in which the program finds the file of secrets\.A;/,
      ),
      expect.stringMatching(/^secrets\.ENDPOINT_MODEL_URL: .*endpoints\.model/),
    ]));
});

describe("the allow-list of a declaration", () => {
  it.each<[string, object]>([
    ["secrets.A", { secrets: { A: "op://agents/data/token" } }],
    ["secrets.A", { secrets: { A: { from: "{{ op://agents/data/token }}", as: "file" } } }],
    [
      "configFiles.config.json.deep[1].token",
      files({ deep: [0, { token: "x {{op://agents/data/token}}" }] }),
    ],
    [
      "endpoints.model.headers.authorization",
      endpoint({ headers: { authorization: "op://agents/data/token" } }),
    ],
  ])("A4: another agent's item in %s is refused, with the place and the cure", (place, change) => {
    expect(problems(change)).toEqual([
      `${place}: "op://agents/data/token" is outside of vaults, which allows agents/lal; add "agents/data" there if the item is this agent's`,
    ]);
    expect(problems({ ...change, vaults: undefined })).toContainEqual(
      expect.stringContaining("must be a list"),
    );
    const { vaults: _, ...without } = { ...lal, vaults, ...change };
    expect(checkDeclaration(without)).toEqual([
      expect.stringMatching(/outside of vaults, which allows nothing/),
    ]);
    expect(problems({ ...change, vaults: ["AGENTS"] })).toEqual([]);
  });

  it("A4: no declaration of any agent names an item outside of it, and none is right with it taken away", () => {
    let tried = 0;
    fc.assert(
      fc.property(agentInput(), (input) => {
        const declaration = toDeclaration(defineAgent(input), { stack: "dev" });
        const items = referencesIn(declaration)
          .map(({ reference }) => parseReference(reference))
          .filter((parsed) => parsed.scheme === "op");
        for (const item of items) expect(isWithin(item, declaration.vaults ?? [])).toBe(true);
        const { vaults: _, ...rest } = declaration;
        expect(checkDeclaration(rest).length).toBe(items.length);
        tried += items.length;
      }),
    );
    expect(tried).toBeGreaterThan(50);
  });
});

describe("the URL of an endpoint", () => {
  it.each([
    "https://api.example.com",
    "https://api.example.com/v1",
    "https://api.example.com:8443/a/b%20c",
    "https://api.example.com/@scope/a",
    "https://10.0.0.5",
    "http://10.0.0.5:8000/v1",
    "http://172.31.255.255",
    "http://192.168.1.1:8080",
    "http://100.64.0.1",
    "http://[fd00::1]:8000",
  ])("%s is one", (url) => expect(problemOfUrl(url)).toBeUndefined());

  it.each([
    ["http://api.example.com/v1", "is http to a name or a public address"],
    ["http://models", "is http to a name or a public address"],
    ["http://172.32.0.1", "is http to a name or a public address"],
    ["http://127.0.0.1:80801", "must be a URL like"],
    ["http://127.0.0.1:8080", "is http to a name or a public address"],
    ["http://169.254.169.254", "is http to a name or a public address"],
    ["http://[::ffff:10.0.0.1]", "must be written in its normal form"],
    ["https://user:hunter2@api.example.com", "may hold no user"],
    ["https://@api.example.com", "normal form, https://api.example.com"],
    ["https://hunter2@api.example.com", "may hold no user"],
    ["https://api.example.com/v1?key=hunter2", "may hold no query"],
    ["https://api.example.com/#hunter2", "may hold no query"],
    ["https://api.example.com/", "normal form, https://api.example.com"],
    ["https://API.example.com", "normal form, https://api.example.com"],
    ["https://api.example.com:443", "normal form, https://api.example.com"],
    ["https://api.example.com/a/../b", "normal form, https://api.example.com/b"],
    ["https://api.example.com/%2e%2e/b", "normal form, https://api.example.com/b"],
    ["https://api.example.com\\b", "normal form, https://api.example.com/b"],
    ["https://0x0a.1", "normal form, https://10.0.0.1"],
    ["https://api.example.com/{{ op://a/b/c }}", "normal form"],
    ["https://api.example.com/a\nb", "normal form"],
    ["ftp://x", "must be a URL like"],
    ["api.example.com", "must be a URL like"],
    ["", "must be a URL like"],
    [5, "must be a URL like"],
  ])("%j is none: %s", (url, wanted) => {
    expect(problemOfUrl(url)).toContain(wanted);
    expect(problemOfUrl(url)).not.toContain("hunter2");
  });
});
