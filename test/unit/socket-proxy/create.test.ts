import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Answer } from "../../../services/common/http.ts";
import { createBody } from "../../../spec/create-body.ts";
import {
  instanceContainer,
  type Parameters,
  problemsOfParameters,
} from "../../../spec/instance.ts";
import {
  createsOf,
  creatingGrants,
  declared,
  idOf,
  messageOf,
  mutationsOf,
  otherClient,
  refusalOf,
  removedOf,
  templateOf,
  templates,
} from "./creating.ts";
import { declarationOf } from "./engine-double.ts";
import { eventually, type Harness, lalId, startHarness } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { review } from "./templates.ts";

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({ grants: creatingGrants() });
  harness.agent(declared);
});
afterEach(async () => {
  const outside = outsideLanguage(harness.engine.recorded);
  await harness.close();
  // I1: after every test of this file.
  expect(outside).toEqual([]);
});

const create = (body: unknown, client?: string) =>
  harness.ask("/berth/instances", "POST", client, body);
const dockerCreate = (body: unknown, name?: string) =>
  harness.ask(`/containers/create${name === undefined ? "" : `?name=${name}`}`, "POST", undefined, {
    Image: review.image,
    ...(body as object),
  });
const wanted = { template: "lal.review", instance: "x1", parameters: { TASK_ID: "7" } };
const env = ["TASK_ID=7"];
const labelled = { "berth.template": "lal.review" };

/** The only create that the Engine got. */
function theCreate(): { name: string; body: Record<string, unknown>; text: string } {
  const [create, ...more] = createsOf(harness.engine);
  if (!create || more.length > 0) throw new Error(`${more.length + (create ? 1 : 0)} creates`);
  const name = new URL(create.path, "http://engine").searchParams.get("name") ?? "";
  return { name, body: JSON.parse(create.body) as Record<string, unknown>, text: create.body };
}

/** What the Engine must have been sent, byte for byte, given the two things that only the clock knows. */
function rendered(template: string, name: string, parameters: Parameters, leaseEnds: number) {
  const instance = { name, client: "admin-bridge", parameters, leaseEnds };
  return JSON.stringify(createBody(instanceContainer(templateOf(template), instance)));
}
const leaseOf = (body: Record<string, unknown>) =>
  Number((body.Labels as Record<string, string>)["berth.lease"]);

const proxyEnv = [
  "BERTH_AGENT=lal",
  "HOME=/workspace",
  "HTTPS_PROXY=http://127.0.0.1:3128",
  "HTTP_PROXY=http://127.0.0.1:3128",
  "MATTERMOST_URL=http://127.0.0.1:8065",
  "NO_PROXY=127.0.0.1,localhost,mattermost",
  "http_proxy=http://127.0.0.1:3128",
  "https_proxy=http://127.0.0.1:3128",
  "no_proxy=127.0.0.1,localhost,mattermost",
];
const gateway = "/run/berth/dev/agents/lal:/run/berth:ro";
const workspace = "berth-dev-lal-workspace:/workspace";
const tmpfs = (size: number) => `rw,noexec,nosuid,nodev,size=${size},mode=1777`;
const MiB = 1024 * 1024;

/** A body written out, but for the members that the kinds of templates differ in. */
const golden = (
  own: { Entrypoint: string[]; Env: string[]; Labels: Record<string, string> },
  host: object,
  restart = "no",
) => ({
  Image: "localhost/berth/node:0123456789ab",
  User: "10100:10100",
  ...own,
  WorkingDir: "/workspace",
  Labels: {
    "berth.agent": "lal",
    "berth.stack": "dev",
    "berth.client": "admin-bridge",
    "berth.config": expect.stringMatching(/^[0-9a-f]{16}$/),
    "berth.instance": "x1",
    "berth.lease": expect.stringMatching(/^[0-9]{10}$/),
    ...own.Labels,
  },
  StopSignal: "SIGTERM",
  StopTimeout: 30,
  Healthcheck: { Test: ["NONE"] },
  HostConfig: {
    NetworkMode: "none",
    RestartPolicy: { Name: restart },
    CapDrop: ["ALL"],
    SecurityOpt: ["no-new-privileges:true"],
    ReadonlyRootfs: true,
    Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }],
    ShmSize: 64 * MiB,
    Init: true,
    IpcMode: "private",
    LogConfig: { Type: "json-file", Config: { "max-file": "3", "max-size": "10m" } },
    ...host,
  },
});
const worker = { Memory: 2048 * MiB, MemorySwap: 2048 * MiB, NanoCpus: 2e9, PidsLimit: 256 };
const sandbox = { Memory: 64 * MiB, MemorySwap: 64 * MiB, NanoCpus: 1e9, PidsLimit: 128 };
const agent = { Memory: 4096 * MiB, MemorySwap: 4096 * MiB, NanoCpus: 2e9, PidsLimit: 512 };
const run = (script: string) => ["/usr/local/bin/node", script];
const labelsOf = (component: string, template: string, pids: number, parameters = "{}") => ({
  "berth.component": component,
  "berth.template": `lal.${template}`,
  "berth.parameters": parameters,
  "berth.pids": String(pids),
});
const taskEnv = ["LOG_LEVEL=info", "TASK_ID=7"];
const sorted = (entries: string[]) => [...entries].sort();

describe("T8: what the Engine is sent is written out here, for a template of each kind", () => {
  it.each([
    [
      "a worker with the gateway and the workspace",
      "review",
      golden(
        {
          Entrypoint: run("worker.mjs"),
          Env: sorted([...proxyEnv, ...taskEnv]),
          Labels: labelsOf("worker", "review", 256, '{"TASK_ID":"7"}'),
        },
        { ...worker, Binds: sorted([gateway, workspace]), Tmpfs: { "/tmp": tmpfs(256 * MiB) } },
      ),
    ],
    [
      "a worker that only reads the workspace",
      "look",
      golden(
        {
          Entrypoint: run("worker.mjs"),
          Env: proxyEnv,
          Labels: labelsOf("worker", "look", 256),
        },
        {
          ...worker,
          Binds: sorted([gateway, `${workspace}:ro`]),
          Tmpfs: { "/tmp": tmpfs(256 * MiB) },
        },
      ),
    ],
    [
      "a worker with a workspace of its own",
      "draft",
      golden(
        {
          Entrypoint: run("worker.mjs"),
          Env: sorted([...proxyEnv, ...taskEnv]),
          Labels: labelsOf("worker", "draft", 256, '{"TASK_ID":"7"}'),
        },
        {
          ...worker,
          Binds: [gateway],
          Tmpfs: { "/tmp": tmpfs(256 * MiB), "/workspace": tmpfs(256 * MiB) },
        },
      ),
    ],
    [
      "a sandbox with nothing",
      "box",
      golden(
        {
          Entrypoint: run("box.mjs"),
          Env: ["BERTH_AGENT=lal", "HOME=/workspace"],
          Labels: labelsOf("sandbox", "box", 128),
        },
        {
          ...sandbox,
          Binds: [],
          Tmpfs: { "/tmp": tmpfs(64 * MiB), "/workspace": tmpfs(64 * MiB) },
        },
      ),
    ],
    [
      "a sandbox that reads the workspace",
      "scan",
      golden(
        {
          Entrypoint: run("box.mjs"),
          Env: ["BERTH_AGENT=lal", "HOME=/workspace"],
          Labels: labelsOf("sandbox", "scan", 128),
        },
        { ...sandbox, Binds: [`${workspace}:ro`], Tmpfs: { "/tmp": tmpfs(64 * MiB) } },
      ),
    ],
    [
      "the agent itself",
      "agent",
      golden(
        {
          Entrypoint: run("/opt/berth/agent-runner.mjs"),
          Env: proxyEnv,
          Labels: labelsOf("agent", "agent", 512),
        },
        { ...agent, Binds: sorted([gateway, workspace]), Tmpfs: { "/tmp": tmpfs(256 * MiB) } },
        // As Pulumi makes it.
        "unless-stopped",
      ),
    ],
  ])("%s", async (_, name, body) => {
    const takesTask = ["review", "draft"].includes(name);
    const parameters = takesTask ? { TASK_ID: "7" } : {};
    const before = Math.floor(Date.now() / 1000);
    const answer = await create({ template: `lal.${name}`, instance: "x1", parameters });
    const after = Math.floor(Date.now() / 1000);
    expect([answer.status, Object.keys(JSON.parse(answer.text) as object)]).toEqual([
      201,
      ["Id", "Warnings"],
    ]);
    expect([theCreate().name, theCreate().body]).toEqual([`berth-dev-lal.${name}.x1`, body]);
    const { timeoutSeconds } = templateOf(name).instances;
    const lease = leaseOf(theCreate().body);
    expect(lease >= before + timeoutSeconds && lease <= after + timeoutSeconds).toBe(true);
    expect(theCreate().text).toBe(rendered(name, "x1", parameters, lease));
    expect(mutationsOf(harness.engine)).toHaveLength(1);
  });

  it("T8: the same, asked for as an ordinary Docker create, is the same bytes", async () => {
    const answer = await dockerCreate({ Labels: labelled, Env: env }, "x1");
    expect(answer.status).toBe(201);
    const { text, body } = theCreate();
    expect(text).toBe(rendered("review", "x1", { TASK_ID: "7" }, leaseOf(body)));
  });
});

/** Values that say nothing, which an ordinary Docker client's body is full of. */
const zero = fc.constantFrom(null, "", 0, false, [], {});
/** Members that a body may or may not be taken with. */
const member = fc.oneof(zero, fc.jsonValue({ maxDepth: 2 }), fc.constantFrom("none", "default", 1));
const keys = fc.constantFrom(
  ...["Image", "Cmd", "Entrypoint", "User", "Tty", "OpenStdin", "Hostname", "WorkingDir"],
  ...["Healthcheck", "Volumes", "ExposedPorts", "MacAddress", "HostConfig", "NetworkingConfig"],
  ...["StopSignal", "StopTimeout", "OnBuild", "Shell", "ArgsEscaped"],
);
const hostKeys = fc.constantFrom(
  ...["Binds", "Privileged", "CapAdd", "NetworkMode", "PidMode", "Memory", "Mounts", "Devices"],
  ...["RestartPolicy", "SecurityOpt", "Tmpfs", "Init", "ReadonlyRootfs", "ConsoleSize", "Runtime"],
);
const values = fc.oneof(
  fc.stringMatching(/^[a-z0-9-]{1,40}$/),
  fc.string({ maxLength: 50, unit: "binary" }),
  fc.constantFrom("", "x\ny", "7", "$(id)", "../..", "7 LD_PRELOAD=/x"),
);
const parameterKeys = fc.constantFrom("TASK_ID", "TASK_ID", "TASK_KIND", "PATH", "__proto__", "");
const nativeBodies = fc.record(
  {
    template: fc.oneof(
      { weight: 6, arbitrary: fc.constant("lal.many") },
      fc.constantFrom("lal.nothing", "lal", "", "lal.many.x", "other.many"),
      fc.string(),
    ),
    instance: fc.oneof(fc.stringMatching(/^[a-z0-9]{12}$/), fc.string(), member),
    parameters: fc.oneof(
      { weight: 4, arbitrary: fc.record({ TASK_ID: fc.stringMatching(/^[a-z0-9-]{1,40}$/) }) },
      fc.dictionary(parameterKeys, values, { maxKeys: 3 }),
      member,
    ),
    more: member,
  },
  { requiredKeys: ["template", "parameters"] },
);
const dockerBodies = fc
  .record({
    rest: fc.dictionary(keys, fc.oneof({ weight: 8, arbitrary: zero }, member), { maxKeys: 5 }),
    host: fc.dictionary(hostKeys, fc.oneof({ weight: 8, arbitrary: zero }, member), { maxKeys: 4 }),
    Env: fc.array(
      fc.oneof(
        { weight: 5, arbitrary: fc.stringMatching(/^TASK_ID=[a-z0-9-]{1,40}$/) },
        fc.tuple(parameterKeys, values).map((pair) => pair.join("=")),
        member,
      ),
      { maxLength: 2 },
    ),
    labels: fc.dictionary(fc.constantFrom("berth.stack", "a", "berth.agent"), values, {
      maxKeys: 1,
    }),
  })
  .map(({ rest, host, Env, labels }) => ({
    Image: review.image,
    Labels: { "berth.template": "lal.many", ...labels },
    Env: ["TASK_ID=7", ...Env].slice(Math.min(Env.length, 1)),
    ...rest,
    ...(rest.HostConfig === undefined ? { HostConfig: host } : {}),
  }));

describe("T8: a create depends on no byte of the client's but typed parameters", () => {
  it("T8: whatever body is taken, the Engine gets the rendering of its parameters; whatever is not, it gets nothing", async () => {
    let [taken, refused] = [0, 0];
    const check = async (path: string, body: unknown) => {
      harness.engine.recorded.length = 0;
      const answer = await harness.ask(path, "POST", undefined, body);
      if (answer.status !== 201) {
        refused += 1;
        expect([400, 403]).toContain(answer.status);
        expect(mutationsOf(harness.engine)).toEqual([]);
        return;
      }
      taken += 1;
      const { name, body: sent, text } = theCreate();
      const labels = sent.Labels as Record<string, string>;
      const parameters = JSON.parse(labels["berth.parameters"] ?? "") as Parameters;
      expect(problemsOfParameters(templateOf("many"), parameters)).toEqual([]);
      const instance = name.slice("berth-dev-lal.many.".length);
      expect(text).toBe(rendered("many", instance, parameters, leaseOf(sent)));
      // Out of the way of the next: it has ended.
      const made = harness.engine.containers.get(idOf(answer));
      Object.assign(made?.inspect.State ?? {}, { Running: true });
      harness.engine.exit(idOf(answer), 0);
    };
    await fc.assert(
      fc.asyncProperty(nativeBodies, (body) => check("/berth/instances", body)),
      { numRuns: 150 },
    );
    await fc.assert(
      fc.asyncProperty(dockerBodies, (body) => check("/containers/create", body)),
      { numRuns: 250 },
    );
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ maxDepth: 4 }), (body) => check("/containers/create", body)),
      { numRuns: 100 },
    );
    // Neither half of the law stands for nothing.
    expect([taken > 30, refused > 100]).toEqual([true, true]);
  });
});

describe("names", () => {
  it.each([
    ["x1", labelled, "berth-dev-lal.review.x1"],
    ["/x1", labelled, "berth-dev-lal.review.x1"],
    ["lal.review.x1", {}, "berth-dev-lal.review.x1"],
    ["berth-dev-lal.review.x1", {}, "berth-dev-lal.review.x1"],
    ["berth-dev-lal.review.x1", labelled, "berth-dev-lal.review.x1"],
    ["7", labelled, "berth-dev-lal.review.7"],
    ["a".repeat(31), labelled, `berth-dev-lal.review.${"a".repeat(31)}`],
  ])("%s with labels %j is %s", async (name, Labels, full) => {
    expect((await dockerCreate({ Labels, Env: env }, name)).status).toBe(201);
    expect(theCreate().name).toBe(full);
  });

  it("an instance without a name gets one, each its own", async () => {
    for (const body of [
      () => create({ template: "lal.review", parameters: { TASK_ID: "7" } }),
      () => dockerCreate({ Labels: labelled, Env: env }),
    ]) {
      expect((await body()).status).toBe(201);
    }
    const names = createsOf(harness.engine).map(({ path }) => path.split("name=")[1]);
    expect(new Set(names).size).toBe(2);
    expect(names).toEqual(
      Array(2).fill(expect.stringMatching(/^berth-dev-lal\.review\.i[0-9a-f]{12}$/)),
    );
  });

  it("A8: no other name is one: not the platform's, not an agent's, not upper case, not too long", async () => {
    const wrong = [
      ...["X1", "-x", "x_1", "x y", "a".repeat(32), "x1.", ".x1", "a.b", "a.b.c.d", "lal.review."],
      ...["lal.review.X", "berth-dev-lal.review", "ſ1", "x1\n", "%2e%2e", "x1/../x2", "//x1"],
    ];
    for (const name of wrong) {
      const answer = await dockerCreate({ Labels: labelled, Env: env }, encodeURIComponent(name));
      expect([name, ...refusalOf(answer)]).toEqual([name, 400, "instance"]);
    }
    for (const instance of [...wrong, "", "lal.review.x1"]) {
      expect([instance, ...refusalOf(await create({ ...wanted, instance }))]).toEqual([
        instance,
        400,
        "instance",
      ]);
    }
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("a service's name as an instance's is only the last part of a longer one", async () => {
    expect((await create({ ...wanted, instance: "mattermost" })).status).toBe(201);
    expect(theCreate().name).toBe("berth-dev-lal.review.mattermost");
  });

  it("name and label that say different templates are refused", async () => {
    const answer = await dockerCreate({ Labels: labelled, Env: env }, "lal.many.x1");
    expect(refusalOf(answer)).toEqual([403, "template-body"]);
    expect(messageOf(answer)).toContain("?name");
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("T8: a name that is taken is refused with 409, whoever has it, and its holder stays as it is", async () => {
    const first = await create(wanted);
    const before = structuredClone(harness.engine.containers.get(idOf(first)));
    expect(refusalOf(await create(wanted))).toEqual([409, "name-taken"]);
    expect(refusalOf(await create(wanted, otherClient))).toEqual([409, "name-taken"]);
    expect(harness.engine.containers.get(idOf(first))).toEqual(before);
    expect(removedOf(harness.engine)).toEqual([]);
  });

  it("T8: a container that took the name meanwhile, and is none of the stack's, is not touched either", async () => {
    const foreign = harness.agent(declared, "f".repeat(64));
    foreign.inspect.Name = "/berth-dev-lal.review.x1";
    (foreign.inspect.Config as { Labels: object }).Labels = {};
    expect(refusalOf(await create(wanted))).toEqual([409, "name-taken"]);
    expect(mutationsOf(harness.engine)).toEqual([
      "POST /v1.41/containers/create?name=berth-dev-lal.review.x1",
    ]);
    expect([...harness.engine.containers.keys()]).toEqual([lalId, "f".repeat(64)]);
  });

  it("two creates of one name at the same time: one is made, the other refused, and the one stays", async () => {
    const answers = await Promise.all([create(wanted), create(wanted, otherClient)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect(removedOf(harness.engine)).toEqual([]);
    expect(harness.engine.containers.size).toBe(2);
  });
});

describe("which templates there are", () => {
  const words = async (template: string, client?: string) => {
    const answer = await create({ ...wanted, template }, client);
    return [answer.status, messageOf(answer).replace(/\(request .*\)/, "")];
  };

  it("A4: one that is not granted and one that is not declared are refused in the same words", async () => {
    await harness.close();
    harness = await startHarness({ grants: creatingGrants({ templates: ["lal.box"] }) });
    harness.agent(declared);
    harness.engine.declare(declarationOf({ ...declared, name: "kim" }));
    const denied = await words("lal.review");
    expect(denied).toEqual([403, expect.stringContaining("has no such template")]);
    const other = ["lal.nothing", "kim.review", "kim.nothing", "nobody.review", "lal.agent"];
    for (const name of [
      ...other,
      "lal",
      "",
      ".",
      "lal.review.x",
      "toString.constructor",
      "LAL.box",
    ])
      expect([name, ...(await words(name))]).toEqual([name, ...denied]);
    expect((await create({ template: "lal.box" })).status).toBe(201);
  });

  it("A4: the image that a client names chooses nothing", async () => {
    expect(refusalOf(await dockerCreate({ Env: env }))).toEqual([403, "template"]);
    expect(refusalOf(await dockerCreate({ Env: env }, "x1"))).toEqual([403, "template"]);
    const other = await dockerCreate({ Labels: labelled, Env: env, Image: "alpine" });
    expect(messageOf(other)).toContain("/Image");
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("an agent without `instances` has no further containers of itself", async () => {
    await harness.close();
    harness = await startHarness({ grants: creatingGrants() });
    harness.agent({ templates });
    expect(refusalOf(await create({ template: "lal.agent" }))).toEqual([403, "template"]);
  });

  it("an agent that runs outside of Docker has no instances", async () => {
    await harness.close();
    harness = await startHarness({ grants: creatingGrants() });
    // A declaration that says both is none at all.
    harness.agent({ ...declared, driver: "local" });
    expect(refusalOf(await create(wanted))).toEqual([403, "template"]);
    expect(harness.logged.join()).toContain("declaration-refused");
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("what was declared a moment ago can be made at once; what is gone cannot", async () => {
    const more = { ...declared.templates, fresh: { ...review, parameters: {} } };
    harness.engine.declare(declarationOf({ ...declared, templates: more }), {
      created: "2027-01-01T00:00:00Z",
    });
    expect((await create({ template: "lal.fresh" })).status).toBe(201);
    harness.engine.declare(declarationOf(declared), { created: "2028-01-01T00:00:00Z" });
    expect(refusalOf(await create({ template: "lal.fresh" }))).toEqual([403, "template"]);
  });
});

describe("T8: what the rendering needs must be there, and be what it means", () => {
  const image = () => [...harness.engine.images.values()][0] as Record<string, unknown>;
  const volume = (change: object) => {
    const name = "berth-dev-lal-workspace";
    harness.engine.volumes.set(name, { ...harness.engine.volumes.get(name), ...change });
  };
  const refusedWith = async (answer: Answer, names: string) => {
    expect([...refusalOf(answer), messageOf(answer)]).toEqual([
      403,
      "verify",
      expect.stringContaining(`not as declared: ${names} [verify]`),
    ]);
    expect(mutationsOf(harness.engine)).toEqual([]);
    expect(harness.audit.filter(({ phase }) => phase === "alert")).toHaveLength(1);
  };

  it("an image that is not on the Engine: 409, and nothing is pulled", async () => {
    harness.engine.images.clear();
    expect(refusalOf(await create(wanted))).toEqual([409, "image-missing"]);
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it.each(["berth.stack", "berth.template", "berth.client", "berth.lease", "berth.instance"])(
    "A5: an image that brings the label %s is not used",
    async (label) => {
      image().Config = { ...(image().Config as object), Labels: { [label]: "x" } };
      await refusedWith(await create(wanted), "Image.Labels");
    },
  );

  it("an image without an id is none", async () => {
    image().Id = "";
    await refusedWith(await create(wanted), "Image");
  });

  it.each([
    ["with driver options", { Options: { type: "none", o: "bind", device: "/" } }],
    ["of another driver", { Driver: "vieux" }],
    ["of another stack", { Labels: { "berth.stack": "prod" } }],
    ["without labels", { Labels: null }],
    ["under another name", { Name: "other" }],
  ])("A9: a volume %s is not mounted", async (_, change) => {
    volume(change);
    await refusedWith(await create(wanted), "Volumes");
  });

  it("A9: a volume that is missing is not made by the Engine without a word", async () => {
    harness.engine.volumes.delete("berth-dev-lal-workspace");
    await refusedWith(await create(wanted), "Volumes");
    // A sandbox without the workspace does not need it.
    expect((await create({ template: "lal.box" })).status).toBe(201);
  });

  it.each([
    ["missing", undefined],
    ["not internal", { Internal: false }],
    ["of another stack", { Labels: { "berth.stack": "prod" } }],
    ["under another name", { Name: "other" }],
  ])("a network that is %s is not joined", async (_, change) => {
    await harness.close();
    harness = await startHarness({ grants: creatingGrants() });
    harness.agent({ ...declared, network: "mattermost" });
    expect((await create({ template: "lal.agent", instance: "first" })).status).toBe(201);
    harness.engine.recorded.length = 0;
    const name = "berth-dev-mattermost-net";
    const network = harness.engine.networks.get(name) ?? {};
    if (change) harness.engine.networks.set(name, { ...network, ...change });
    else harness.engine.networks.delete(name);
    await refusedWith(await create({ template: "lal.agent" }), "Networks");
  });
});

describe("the record of a create", () => {
  it("A24: no record, no create: 503, nothing asked of the Engine that changes it, and reads go on", async () => {
    harness.sink.fails = true;
    expect(refusalOf(await create(wanted))).toEqual([503, "audit"]);
    expect(mutationsOf(harness.engine)).toEqual([]);
    expect((await harness.ask("/containers/json")).status).toBe(200);
    harness.sink.fails = false;
    expect((await create(wanted)).status).toBe(201);
  });

  it("names template, hash, instance and rule, and no value of a parameter (A25)", async () => {
    const parameters = { TASK_ID: "canary-7f3a" };
    expect((await create({ ...wanted, parameters })).status).toBe(201);
    await eventually(() => harness.audit.some(({ phase }) => phase === "result"));
    expect(harness.audit.find(({ verb }) => verb === "create")).toMatchObject({
      phase: "decision",
      decision: "allow",
      client: "admin-bridge",
      template: "lal.review",
      templateHash:
        theCreate().body.Labels &&
        (theCreate().body.Labels as Record<string, string>)["berth.config"],
      instance: "x1",
      object: "berth-dev-lal.review.x1",
    });
    const refused = { ...parameters, TASK_KIND: "canary-other" };
    expect((await create({ ...wanted, instance: "x2", parameters: refused })).status).toBe(400);
    expect(JSON.stringify([harness.audit, harness.logged])).not.toContain("canary");
  });
});
