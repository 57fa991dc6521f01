import { describe, expect, it } from "vitest";
import { Denial } from "../../../services/socket-proxy/denial.ts";
import {
  differencesOfBody,
  splitEnvironment,
} from "../../../services/socket-proxy/instances/match.ts";
import { readDockerCreate } from "../../../services/socket-proxy/instances/read.ts";
import { settle } from "../../../services/socket-proxy/instances/settle.ts";
import { ownName } from "../../../services/socket-proxy/ownership.ts";
import {
  checkRepeat,
  parseCreateQuery,
  parseQuery,
  readFilters,
  readFlag,
  readNumber,
  readTime,
} from "../../../services/socket-proxy/query.ts";
import { route } from "../../../services/socket-proxy/route.ts";
import { createBody } from "../../../spec/create-body.ts";
import { instanceContainer, templatesOf } from "../../../spec/instance.ts";
import { declarationOf } from "./engine-double.ts";
import { testGrants } from "./harness.ts";
import { review } from "./templates.ts";

/** The edges of decisions, one step to either side: each was found by a small change that no other test noticed. */

/** The rule by which something is refused; empty: it is not. */
function ruleOf(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (error) {
    if (error instanceof Denial) return error.rule;
    throw error;
  }
}

describe("ownership: labels that are nearly those of an agent or an instance", () => {
  const agent = { "berth.stack": "dev", "berth.component": "agent", "berth.agent": "lal" };
  const instance = {
    ...agent,
    "berth.component": "worker",
    "berth.template": "lal.review",
    "berth.instance": "x1",
    "berth.client": "admin-bridge",
    "berth.lease": "1900000000",
  };
  it("A5: the right ones have one name", () => {
    expect(ownName("dev", agent)).toBe("berth-dev-lal");
    expect(ownName("dev", instance)).toBe("berth-dev-lal.review.x1");
  });

  it.each<[string, Record<string, string | undefined>]>([
    ["a worker without a template", { "berth.template": undefined }],
    ["a worker without an instance", { "berth.instance": undefined }],
    ["a template of another agent", { "berth.template": "data.review" }],
    ["a template of three parts", { "berth.template": "lal.review.x" }],
    ["the agent's own template as a worker", { "berth.template": "lal.agent" }],
    ["a worker's template as the agent", { "berth.component": "agent" }],
    ["a lease of zero", { "berth.lease": "0" }],
    ["a lease of words", { "berth.lease": "soon" }],
    ["no client", { "berth.client": undefined }],
    ["an agent in upper case", { "berth.agent": "LAL", "berth.template": "LAL.review" }],
    ["an agent with a dot", { "berth.agent": "l.l" }],
  ])("A5: %s is nobody's", (_title, changes) => {
    const labels = Object.entries({ ...instance, ...changes }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    expect(ownName("dev", Object.fromEntries(labels))).toBeUndefined();
  });

  it("A5: an agent's labels with a template's beside them are nobody's", () => {
    expect(ownName("dev", { ...agent, "berth.template": "lal.review" })).toBeUndefined();
    expect(ownName("dev", { ...agent, "berth.agent": "LAL" })).toBeUndefined();
    expect(ownName("dev", { "berth.stack": "dev", "berth.component": "agent" })).toBeUndefined();
  });
});

describe("T3: values of a query, one step beyond what is taken", () => {
  const query = (text: string, ...keys: string[]) => parseQuery(text, keys);

  it("T3: a key without a name, and a value without a key, are none", () => {
    expect(ruleOf(() => query("=1", "t"))).toBe("query-key");
    expect(query("t", "t").get("t")).toBe("");
    expect(query("t=", "t").get("t")).toBe("");
  });

  it("T3: flags as Docker's clients write them, both ways", () => {
    const flag = (value: string) => readFlag(query(`all=${value}`, "all"), "all", true);
    expect(["1", "true", "True"].map(flag)).toEqual([true, true, true]);
    expect(["0", "false", "False", ""].map(flag)).toEqual([false, false, false, false]);
    expect(readFlag(query("", "all"), "all", true)).toBe(true);
  });

  it("T3: numbers and times may be empty; a time of zero says nothing; fractions have one to nine digits", () => {
    const time = (value: string) => readTime(query(`since=${value}`, "since"), "since");
    expect(readNumber(query("t=", "t"), "t", 5)).toBeUndefined();
    expect(readNumber(query("t=5", "t"), "t", 5)).toBe(5);
    expect(ruleOf(() => readNumber(query("t=6", "t"), "t", 5))).toBe("query-value");
    expect([time(""), time("0")]).toEqual([undefined, undefined]);
    for (const value of ["1", "1700000000", "1700000000.5", "1700000000.123456789"]) {
      expect(time(value)).toBe(value);
    }
    for (const value of ["17000000000", "1.1234567890", "1.", ".5", "1.5.5", "-1", "1e3"]) {
      expect(ruleOf(() => time(value))).toBe("query-value");
    }
  });

  it("T3: filters are lists of texts, or objects of nothing but true, of at most 512 characters each", () => {
    const filters = (value: unknown) =>
      readFilters(
        query(`filters=${encodeURIComponent(JSON.stringify({ label: value }))}`, "filters"),
        "list",
      ).labels;
    const long = "x".repeat(512);
    expect(filters([long])).toEqual([long]);
    expect(filters({ a: true, b: true })).toEqual(["a", "b"]);
    const wrong = [
      [`${long}x`],
      ["a", 7],
      [null],
      { a: true, b: false },
      { a: 1 },
      null,
      7,
      "a",
      true,
    ];
    for (const value of wrong) expect(ruleOf(() => filters(value))).toBe("filter-syntax");
    expect(readFilters(query("filters=", "filters"), "list").labels).toEqual([]);
    for (const text of ["7", "null", "[]", "{", '"x"']) {
      const raw = query(`filters=${encodeURIComponent(text)}`, "filters");
      expect(ruleOf(() => readFilters(raw, "list"))).toBe("filter-syntax");
    }
  });
});

describe("T3: what a query and a body say twice", () => {
  it("T3: members of a create's body stand in its query as capitalised words, and nothing else does", () => {
    expect(parseCreateQuery("")).toEqual({ name: undefined, repeated: [] });
    expect(parseCreateQuery("name=")).toEqual({ name: undefined, repeated: [] });
    expect(parseCreateQuery("Image=a%3Ab&name=x1&Env=a&HostConfig=%5Bobject%5D")).toEqual({
      name: "x1",
      repeated: ["Image", "Env", "HostConfig"],
    });
    for (const query of [
      "image=a",
      "Image",
      "I1=a",
      `A${"a".repeat(41)}=b`,
      "platform=x",
      "Image=a;b",
    ]) {
      expect(ruleOf(() => parseCreateQuery(query))).toMatch(/^query-(key|syntax)$/);
    }
  });

  it("T3: a verb without a body takes an object that repeats its query, and no other", () => {
    const check = (target: string, body: string) =>
      ruleOf(() => checkRepeat(target, Buffer.from(body)));
    expect(check("/x", "{}")).toBe("");
    expect(check("/x?t=5", '{"t":5}')).toBe("");
    expect(check("/x?t=5&v=true", '{"t":"5","v":true}')).toBe("");
    const wrong = [
      '{"t":6}',
      '{"t":5,"x":1}',
      '{"t":[5]}',
      '{"t":null}',
      '{"T":5}',
      "[]",
      "null",
      "5",
      '"t=5"',
    ];
    for (const body of wrong) expect(check("/x?t=5", body)).toBe("body");
    expect(check("/x", '{"t":5}')).toBe("body");
  });

  it("T3: what a query of logs does not say is off, all lines, and any time", () => {
    const options = (query: string) => {
      const routed = route("GET", `/containers/berth-dev-lal/logs?${query}`);
      return "intent" in routed && routed.intent.verb === "logs"
        ? routed.intent.options
        : undefined;
    };
    const least = { stdout: true, stderr: false, follow: false, timestamps: false, tail: "all" };
    expect(options("stdout=1")).toEqual(least);
    expect(options("stdout=1&since=0&until=")).toEqual(least);
    expect(options("stdout=1&since=5&until=7.5&tail=0&follow=1&timestamps=1&stderr=1")).toEqual({
      stdout: true,
      stderr: true,
      follow: true,
      timestamps: true,
      tail: 0,
      since: "5",
      until: "7.5",
    });
  });

  it("T2: a segment more or less, or another method, is another request", () => {
    for (const [method, path] of [
      ["GET", "/containers/json/json/json"],
      ["GET", "/containers/berth-dev-lal/json/x"],
      ["GET", "/containers/berth-dev-lal"],
      ["POST", "/containers/create/x"],
      ["POST", "/containers/other"],
      ["GET", "/containers/create"],
      ["GET", "/berth/declarations/x"],
      ["GET", "/berth"],
      ["GET", "/networks/berth-dev-egress-net/x"],
      ["POST", "/networks/berth-dev-egress-net"],
      ["POST", "/images/a/json"],
      ["GET", "/images/a/history"],
      ["GET", "/images/json"],
    ] as const) {
      const routed = route(method, path);
      expect("denial" in routed && routed.denial.rule).toBe("verb");
    }
    const image = route("GET", "/images/localhost/berth/node:0123456789ab/json");
    expect("intent" in image && image.intent).toEqual({
      verb: "image",
      reference: "localhost/berth/node:0123456789ab",
    });
    const watch = route("GET", "/berth/declarations");
    expect("intent" in watch && watch.intent).toEqual({ verb: "declarations", watch: false });
  });
});

const declaration = declarationOf({ templates: { review } });
const local = declarationOf({
  name: "zed",
  driver: "local",
  templates: { box: { ...review, workspace: "scratch", network: "none" } },
});
const grant = testGrants().clients["admin-bridge"];
const [template] = templatesOf(declaration);
if (!grant || !template) throw new Error("no grant or template");
const asker = { stack: "dev", client: "admin-bridge", grant, now: 1_800_000_000 };
const settled = (wanted: Parameters<typeof settle>[0]) =>
  settle(wanted, [declaration, local], asker);
const native = (id: string) =>
  settled({ form: "native", template: id, instance: "x1", parameters: { TASK_ID: "7" } });

describe("T8: what a create means, at its edges", () => {
  it("A4: an id of more than two parts is no template's, whatever it begins with", () => {
    expect(native("lal.review").template.id).toBe("lal.review");
    for (const id of ["lal.review.x", "lal.review.", "lal", ".review", "lal.", ""]) {
      expect(ruleOf(() => native(id))).toBe("template");
    }
  });

  it("a template of an agent that runs outside of Docker is refused as that", () => {
    expect(ruleOf(() => native("zed.box"))).toBe("driver");
  });

  it("A3: twenty differences are named, of more the first twenty and how many more", () => {
    const wanted = (count: number) => {
      const members = Array.from({ length: count }, (_, i) => [`M${100 + i}`, 1]);
      const body = {
        ...Object.fromEntries(members),
        Image: template.container.Image,
        Env: ["TASK_ID=7"],
        Labels: { "berth.template": "lal.review" },
      };
      try {
        settled({ form: "docker", name: "x1", body });
        return undefined;
      } catch (error) {
        return error as Denial;
      }
    };
    expect(wanted(20)?.fields).toHaveLength(20);
    expect(wanted(20)?.message).not.toContain("more");
    expect(wanted(21)?.fields).toHaveLength(20);
    expect(wanted(21)?.message).toContain("and 1 more");
  });

  it("T4: what a query repeats of the body must be there, and the same name", () => {
    const body = Buffer.from('{"Image":"x","name":"x1"}');
    expect(readDockerCreate("x1", body, ["Image"])).toEqual({
      form: "docker",
      name: "x1",
      body: { Image: "x" },
    });
    expect(ruleOf(() => readDockerCreate("x1", body, ["Image", "Env"]))).toBe("query-key");
    expect(ruleOf(() => readDockerCreate("x2", body, []))).toBe("query-value");
    expect(ruleOf(() => readDockerCreate(undefined, body, []))).toBe("query-value");
    expect(ruleOf(() => readDockerCreate("x1", Buffer.from('{"Image":"x"}'), []))).toBe("");
  });
});

describe("A26: entries of the environment that nearly say a parameter", () => {
  const split = (env: Parameters<typeof splitEnvironment>[0]) =>
    splitEnvironment(env, (key) => key === "TASK_ID", ["HOME=/workspace"]);

  it("A26: the name begins the entry, and nothing stands before it", () => {
    expect(split(["TASK_ID=7"])).toEqual({ parameters: { TASK_ID: "7" }, differences: [] });
    for (const entry of ["xTASK_ID=7", " TASK_ID=7", "\nTASK_ID=7", "TASK_ID", "=TASK_ID=7"]) {
      expect(split([entry])).toEqual({ parameters: {}, differences: ["/Env/0"] });
    }
    expect(split(["TASK_ID=a=b\nc"]).parameters).toEqual({ TASK_ID: "a=b\nc" });
  });

  it("A26: no environment is none; what is no list of texts is a difference", () => {
    for (const env of [undefined, null]) {
      expect(split(env)).toEqual({ parameters: {}, differences: [] });
    }
    expect(split({}).differences).toEqual(["/Env"]);
    expect(split("HOME=/workspace").differences).toEqual(["/Env"]);
    expect(split([null, ["HOME=/workspace"], 7]).differences).toEqual([
      "/Env/0",
      "/Env/1",
      "/Env/2",
    ]);
  });
});

describe("A3: members that nearly say nothing", () => {
  const instance = { name: "x1", client: "c", parameters: { TASK_ID: "7" }, leaseEnds: 1 };
  const rendered = createBody(instanceContainer(template, instance));
  const differs = (host: Record<string, unknown>) =>
    differencesOfBody(
      { Image: template.container.Image, HostConfig: host } as Parameters<
        typeof differencesOfBody
      >[0],
      rendered as Parameters<typeof differencesOfBody>[1],
    );

  it("A3: the size of a terminal is two numbers", () => {
    expect(differs({ ConsoleSize: [0, 0] })).toEqual([]);
    expect(differs({ ConsoleSize: [24, 80] })).toEqual([]);
    for (const size of [[24], [24, 80, 1], [24, "80"], ["24", "80"], "24x80"]) {
      expect(differs({ ConsoleSize: size })).toEqual(["/HostConfig/ConsoleSize"]);
    }
  });

  it("A3: a key is shown with 64 characters at most, and none that a terminal acts on", () => {
    expect(differs({ ["k".repeat(70)]: 1 })).toEqual([`/HostConfig/${"k".repeat(64)}`]);
    expect(differs({ "a/b~\u001b[31m": 1 })).toEqual(["/HostConfig/a~1b~0??31m"]);
  });

  it("A7: labels that are null are none, and of any other kind a difference", () => {
    const labels = (Labels: unknown) =>
      differencesOfBody(
        { Image: template.container.Image, Labels } as Parameters<typeof differencesOfBody>[0],
        rendered as Parameters<typeof differencesOfBody>[1],
      );
    expect([labels(null), labels(undefined), labels({})]).toEqual([[], [], []]);
    expect([labels([]), labels("x"), labels(7)]).toEqual([["/Labels"], ["/Labels"], ["/Labels"]]);
  });
});
