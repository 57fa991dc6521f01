import http from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Answer } from "../../../services/common/http.ts";
import type { Json } from "../../../spec/canonical.ts";
import { createBody } from "../../../spec/create-body.ts";
import { type InstanceTemplate, instanceContainer } from "../../../spec/instance.ts";
import type { CreateBody } from "../../corpus/create-dangers.ts";
import { allProbes, merge, namesLeaf, type Probe } from "../../corpus/create-probes.ts";
import {
  createsOf,
  creatingGrants,
  declared,
  idOf,
  messageOf,
  mutationsOf,
  refusalOf,
  templateOf,
} from "./creating.ts";
import { type Harness, startHarness } from "./harness.ts";
import { outsideLanguage } from "./language.ts";
import { review } from "./templates.ts";

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ grants: creatingGrants() });
  harness.agent({ ...declared, network: "mattermost" });
});
afterAll(() => harness.close());
afterEach(() => {
  // I1: after every test of this file.
  expect(outsideLanguage(harness.engine.recorded)).toEqual([]);
  harness.engine.recorded.length = 0;
});

const create = (body: unknown, path = "/containers/create") =>
  harness.ask(path, "POST", undefined, body);
let count = 0;

/** Creates, checks that exactly the rendering was sent, and takes it out of the way. */
async function isTaken(
  body: unknown,
  parameters: Readonly<Record<string, string>> = { TASK_ID: "7" },
  path = "/containers/create",
): Promise<void> {
  harness.engine.recorded.length = 0;
  count += 1;
  const name = `n${count}`;
  const answer = await create(body, `${path}?name=${name}`);
  const id = idOf(answer);
  const sent = createsOf(harness.engine).map(({ body: text }) => text);
  const labels = (JSON.parse(sent[0] ?? "") as { Labels: Record<string, string> }).Labels;
  const instance = {
    name,
    client: "admin-bridge",
    parameters,
    leaseEnds: Number(labels["berth.lease"]),
  };
  expect(sent).toEqual([JSON.stringify(createBody(instanceContainer(many, instance)))]);
  Object.assign(harness.engine.containers.get(id)?.inspect.State ?? {}, { Running: true });
  harness.engine.exit(id, 0);
}

/** Refused before anything is asked of the Engine that changes it. @returns the words */
async function isRefused(
  body: unknown,
  rule: string,
  path = "/containers/create",
): Promise<string> {
  harness.engine.recorded.length = 0;
  const answer = await create(body, path);
  const status = rule === "template-body" || rule === "template" ? 403 : 400;
  expect([JSON.stringify(body), ...refusalOf(answer)]).toEqual([
    JSON.stringify(body),
    status,
    rule,
  ]);
  expect(mutationsOf(harness.engine)).toEqual([]);
  return messageOf(answer);
}

/** The pointers that a refusal names. */
function pointersOf(words: string): string[] {
  const list = /differ from template [a-z.]+: (.*?)(?: and [0-9]+ more)?; leave them out/.exec(
    words,
  )?.[1];
  return list?.split(", ") ?? [];
}

const many: InstanceTemplate = templateOf("many");
/** The least that a Docker client says. */
const least = {
  Image: review.image,
  Env: ["TASK_ID=7"],
  Labels: { "berth.template": "lal.many" },
};
/** All that the rendering says, but what only the proxy knows. */
const full = (() => {
  const { Labels, ...body } = createBody(
    instanceContainer(many, {
      name: "x",
      client: "admin-bridge",
      parameters: { TASK_ID: "7" },
      leaseEnds: 1,
    }),
  ) as unknown as CreateBody & { Labels: CreateBody };
  const { "berth.instance": _, "berth.lease": __, ...known } = Labels;
  return { ...body, Labels: known } as CreateBody;
})();

/** What the docker command sends for `docker run -d` with an image and nothing else, as it was recorded. */
const ofTheCommand = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: ["TASK_ID=7"],
  Cmd: null,
  Image: review.image,
  Volumes: {},
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: { "berth.template": "lal.many" },
  HostConfig: {
    Binds: null,
    ContainerIDFile: "",
    LogConfig: { Type: "", Config: {} },
    NetworkMode: "default",
    PortBindings: {},
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    AutoRemove: false,
    VolumeDriver: "",
    VolumesFrom: null,
    ConsoleSize: [24, 80],
    CapAdd: null,
    CapDrop: null,
    CgroupnsMode: "",
    Dns: [],
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    IpcMode: "",
    Cgroup: "",
    Links: null,
    OomScoreAdj: 0,
    PidMode: "",
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    UTSMode: "",
    UsernsMode: "",
    ShmSize: 0,
    Isolation: "",
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CgroupParent: "",
    BlkioWeight: 0,
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: "",
    CpusetMems: "",
    Devices: [],
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: 0,
    MemorySwap: 0,
    MemorySwappiness: -1,
    OomKillDisable: false,
    PidsLimit: 0,
    Ulimits: null,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: null,
    ReadonlyPaths: null,
  },
  NetworkingConfig: { EndpointsConfig: { default: { IPAMConfig: null, Links: null } } },
};

describe("an ordinary Docker create", () => {
  it("A3: is taken with the least, with the docker command's zeros, and with all of the rendering", async () => {
    await isTaken(least);
    await isTaken(ofTheCommand);
    await isTaken(full);
    await isTaken({ ...ofTheCommand, NetworkingConfig: { EndpointsConfig: {} } });
    await isTaken({ ...ofTheCommand, NetworkingConfig: {} });
    await isTaken(least, undefined, "/v1.41/containers/create");
    await isTaken(least, undefined, "/v1.24/containers/create");
  });

  it("A3: the order of binds, capabilities and options means nothing; that of a command does", async () => {
    const host = full.HostConfig as { Binds: string[] };
    expect(host.Binds).toHaveLength(2);
    await isTaken({ ...full, HostConfig: { ...host, Binds: [...host.Binds].reverse() } });
    const Entrypoint = [...(full.Entrypoint as string[])].reverse();
    expect(pointersOf(await isRefused({ ...full, Entrypoint }, "template-body"))).toEqual([
      "/Entrypoint",
    ]);
    // A set of the same members as often: one twice is another.
    const Binds = [host.Binds[0], host.Binds[0]];
    await isRefused({ ...full, HostConfig: { ...host, Binds } }, "template-body");
  });

  it("A3: limits of setrlimit are those of the rendering or unsaid: no more, no fewer, no others", async () => {
    const core = { Name: "core", Soft: 0, Hard: 0 };
    const withUlimits = (Ulimits: Json) => ({ ...least, HostConfig: { Ulimits } });
    await isTaken(withUlimits([core]));
    await isTaken(withUlimits([]));
    await isTaken(withUlimits(null));
    for (const ulimits of [
      [{ ...core, Hard: 1 }],
      [{ ...core, Soft: -1, Hard: -1 }],
      [{ ...core, Name: "CORE" }],
      [{ Name: "nofile", Soft: 1, Hard: 1 }],
      [core, { Name: "nofile", Soft: 1, Hard: 1 }],
      [core, core],
      [{ Name: "core" }],
      [{}],
      core,
    ]) {
      const words = await isRefused(withUlimits(ulimits), "template-body");
      expect(pointersOf(words), JSON.stringify(ulimits)).toEqual(["/HostConfig/Ulimits"]);
    }
  });

  it("A3: every difference is named, in order, and a body that wants to be attached is told how", async () => {
    const words = await isRefused(
      {
        ...least,
        AttachStdout: true,
        Tty: true,
        HostConfig: { Privileged: true, Binds: ["/:/host"], CapAdd: ["ALL"] },
      },
      "template-body",
    );
    expect(pointersOf(words)).toEqual([
      "/AttachStdout",
      "/HostConfig/Binds",
      "/HostConfig/CapAdd",
      "/HostConfig/Privileged",
      "/Tty",
    ]);
    expect(words).toContain("run it detached (-d)");
  });

  it("A3: of very many differences the first are named and the rest counted", async () => {
    const host = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`Member${i}`, true]));
    const words = await isRefused({ ...least, HostConfig: host }, "template-body");
    expect(pointersOf(words)).toHaveLength(20);
    expect(words).toContain(" and 40 more");
  });

  it("a refusal repeats no value, and no character of a key that a terminal would act on", async () => {
    const words = await isRefused(
      {
        ...least,
        "Canary\u202e\u2028@channel x": "secret-canary",
        Labels: { ...least.Labels, "a/b~c": "secret-canary" },
        Env: ["TASK_ID=7", "SECRET=secret-canary"],
      },
      "template-body",
    );
    expect(words).not.toContain("secret-canary");
    expect(pointersOf(words)).toEqual(["/Canary??@channel?x", "/Labels/a~1b~0c", "/Env/1"]);
    expect(JSON.stringify(harness.audit)).not.toContain("secret-canary");
  });
});

/** Each body of the probes once, with a pointer of each leaf that it probes. */
const probes: readonly Probe[] = [
  ...new Map(allProbes().map((probe) => [JSON.stringify(probe.body), probe])).values(),
];
const at = (pointer: string, body: CreateBody): Json | undefined =>
  pointer
    .split("/")
    .slice(1)
    .reduce<Json | undefined>(
      (value, key) => (value as { [key: string]: Json } | undefined)?.[key],
      body,
    );

describe("T5: every leaf of every version's schema, in a body that is right but for it", () => {
  it("T5: there is a body for each leaf", () => {
    expect(probes.length).toBeGreaterThanOrEqual(500);
    expect(new Set(probes.map(({ pointer }) => pointer)).size).toBeGreaterThanOrEqual(250);
  });

  for (const [name, base] of [
    ["the least body", least as CreateBody],
    ["the docker command's", ofTheCommand as CreateBody],
    ["the whole rendering", full],
  ] as const) {
    it(`T5: a leaf that differs in ${name} is refused by its pointer, and the Engine is sent nothing`, async () => {
      const wrong: unknown[] = [];
      const taken: Probe[] = [];
      for (const probe of probes) {
        harness.engine.recorded.length = 0;
        const body = merge(base, probe.body);
        if (Buffer.byteLength(JSON.stringify(body)) > 60_000) wrong.push([probe.pointer, "size"]);
        const answer = await create(body);
        if (answer.status === 201) {
          taken.push(probe);
          Object.assign(harness.engine.containers.get(idOf(answer))?.inspect.State ?? {}, {
            Running: true,
          });
          harness.engine.exit(idOf(answer), 0);
          continue;
        }
        const words = messageOf(answer);
        const named = pointersOf(words).filter((pointer) => namesLeaf(pointer, probe.pointer));
        if (answer.status !== 403 || named.length === 0 || mutationsOf(harness.engine).length > 0) {
          wrong.push([probe.pointer, probe.body, words]);
        }
      }
      expect(wrong).toEqual([]);
      // What is taken asks for what every rendering has.
      const unexplained = taken.filter(({ asRendered }) => !asRendered);
      expect(unexplained.map(({ pointer, body }) => [pointer, body])).toEqual([]);
      expect(taken.length).toBeLessThan(5);
    });
  }

  it("T5: the probes that may be taken ask for what the rendering has", () => {
    for (const { pointer, body } of probes.filter((probe) => probe.asRendered)) {
      if (pointer.startsWith("/HostConfig")) expect(at(pointer, body)).toBe(at(pointer, full));
    }
  });
});

/** Sends a text as it stands. */
function createText(text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(text);
    const sent = http.request(
      {
        host: "127.0.0.1",
        port: harness.port,
        method: "POST",
        path: "/containers/create",
        agent: false,
        headers: {
          host: "x",
          "content-type": "application/json",
          "content-length": bytes.length,
        },
      },
      (answer) => {
        let text = "";
        answer.on("data", (part: Buffer) => {
          text += part.toString();
        });
        answer.on("end", () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }),
        );
        answer.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(bytes);
  });
}

/** Other spellings of a key that an Engine's decoder takes for it, or nearly. */
function spellingsOf(key: string): string[] {
  const swapped = [...key]
    .map((letter) =>
      letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
    )
    .join("");
  const folded = [key.replace(/s/i, "\u017f"), key.replace(/k/i, "\u212a")];
  const all = [key.toLowerCase(), key.toUpperCase(), swapped, ...folded];
  return [...new Set(all)].filter((spelling) => spelling !== key);
}

/** Every object of a body, by its pointer, with a body where something else stands in its place. */
function placesOf(
  value: Json,
  pointer = "",
  rebuild: (inner: Json) => Json = (inner) => inner,
): { pointer: string; object: { [key: string]: Json }; put: (inner: Json) => Json }[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const object = value as { [key: string]: Json };
  return [
    { pointer, object, put: rebuild },
    ...Object.entries(object).flatMap(([key, member]) =>
      placesOf(member, `${pointer}/${key}`, (inner) => rebuild({ ...object, [key]: inner })),
    ),
  ];
}
const places = placesOf(full as unknown as Json);

describe("T4: a create's body has one meaning", () => {
  it("T4: a key of the rendering in other case or by another letter that folds to it is another key", async () => {
    let tried = 0;
    for (const { pointer, object, put } of places) {
      for (const [key, member] of Object.entries(object)) {
        const { [key]: _, ...rest } = object;
        for (const spelling of spellingsOf(key)) {
          // In place of the right one, where it says something: taken for nothing, or refused by its name.
          const alone = put({ ...rest, [spelling]: member });
          const answer = await create(alone);
          const asked = JSON.stringify([pointer, spelling]);
          // Without its environment the parameter is missing; anything else is named as a difference.
          const refusal = key === "Env" ? [400, "parameters"] : [403, expect.any(String)];
          expect([asked, ...refusalOf(answer)]).toEqual([asked, ...refusal]);
          // Beside the right one: one key twice.
          const both = await create(put({ ...object, [spelling]: member }));
          expect([asked, ...refusalOf(both)]).toEqual([asked, 400, "json-duplicate"]);
          tried += 2;
        }
      }
    }
    expect(mutationsOf(harness.engine)).toEqual([]);
    expect(tried).toBeGreaterThan(200);
  });

  it("T4: a key twice is refused at every place, also where both say the same", async () => {
    const text = JSON.stringify(full);
    let tried = 0;
    for (const { object } of places) {
      for (const [key, member] of Object.entries(object)) {
        const once = `${JSON.stringify(key)}:${JSON.stringify(member)}`;
        expect(text).toContain(once);
        const answer = await createText(text.replace(once, `${once},${once}`));
        expect([once, ...refusalOf(answer)]).toEqual([once, 400, "json-duplicate"]);
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(30);
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("T4: another kind of value in the place of an object is a difference, or an error where there must be one", async () => {
    for (const { pointer, put } of places) {
      for (const other of [1, -1, true, "x", [1], [{}], [[]], [null]]) {
        const answer = await create(put(other));
        const asked = JSON.stringify([pointer, other]);
        expect([asked, refusalOf(answer)[0]]).toEqual([asked, pointer === "" ? 400 : 403]);
      }
    }
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("T4: a value that says nothing in the place of an object says nothing", async () => {
    for (const { pointer, put } of places.filter(({ pointer: here }) => here !== "")) {
      for (const nothing of [null, {}]) {
        // Without its labels it does not say which template.
        if (pointer === "/Labels") await isRefused(put(nothing), "template");
        else await isTaken(put(nothing));
      }
    }
    for (const nothing of [null, [], "", 0, false]) await isRefused(nothing, "json-syntax");
  });

  it("T4: a scalar of the rendering as a float, another type or a near value is a difference or an error", async () => {
    let tried = 0;
    const text = JSON.stringify(full);
    for (const { object, put } of places) {
      for (const [key, member] of Object.entries(object)) {
        if (typeof member === "number") {
          const here = `${JSON.stringify(key)}:${member}`;
          expect(text).toContain(here);
          for (const spelling of [`${member}.0`, `${member}e0`, `${member}E+0`, `-0`, `1e999`]) {
            const answer = await createText(
              text.replace(here, `${JSON.stringify(key)}:${spelling}`),
            );
            expect([here, spelling, ...refusalOf(answer)]).toEqual([
              here,
              spelling,
              400,
              "json-number",
            ]);
          }
          for (const other of [String(member), member + 1, -member, [member], { value: member }]) {
            await isRefused(put({ ...object, [key]: other }), "template-body");
          }
        } else if (typeof member === "boolean") {
          for (const other of ["true", 1, [true]]) {
            await isRefused(put({ ...object, [key]: other }), "template-body");
          }
        } else if (typeof member === "string" && key !== "berth.template") {
          const near = [`${member} `, ` ${member}`, `${member}\t`, member.toUpperCase(), [member]];
          for (const other of near.filter((value) => value !== member)) {
            await isRefused(put({ ...object, [key]: other }), "template-body");
          }
        } else continue;
        tried += 1;
      }
    }
    expect(tried).toBeGreaterThan(20);
  });

  it("T4: deep nesting and very many keys are refused by their size, and cost nothing more", async () => {
    for (const deep of ["[", '{"a":'].map((open) => `{"HostConfig":${open.repeat(10_000)}`)) {
      expect(refusalOf(await createText(deep))).toEqual([400, "json-depth"]);
    }
    const keys = (count: number) =>
      `{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join(",")}}`;
    expect(refusalOf(await createText(keys(1_000_000)))[0]).toBe(413);
    expect(refusalOf(await createText(keys(5_000)))).toEqual([400, "json-size"]);
    expect(refusalOf(await createText(`[${"0,".repeat(30_000)}0]`))).toEqual([400, "json-size"]);
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it.each([
    ["nothing", " ", "json-syntax"],
    ["half an object", '{"Image":', "json-syntax"],
    ["something behind", `${JSON.stringify(least)}{}`, "json-syntax"],
    ["a byte order mark", `\ufeff${JSON.stringify(least)}`, "json-utf8"],
    ["half a surrogate pair", '{"Image":"\\ud800"}', "json-utf8"],
    ["__proto__", '{"__proto__":{"Image":"x"}}', "json-key"],
    ["constructor", '{"HostConfig":{"constructor":1}}', "json-key"],
    ["a NUL in a key", '{"Image\\u0000":"x"}', "json-syntax"],
    ["a number over 53 bits", '{"HostConfig":{"Memory":9007199254740993}}', "json-number"],
    ["a comment", '{"Image":"x"/**/}', "json-syntax"],
  ])("T4: %s is refused", async (_, text, rule) => {
    expect(refusalOf(await createText(text))).toEqual([400, rule]);
    expect(mutationsOf(harness.engine)).toEqual([]);
  });

  it("T4: keys that an object of this language inherits are keys like any other", async () => {
    for (const key of ["toString", "hasOwnProperty", "valueOf", "isPrototypeOf"]) {
      expect(pointersOf(await isRefused({ ...least, [key]: "x" }, "template-body"))).toEqual([
        `/${key}`,
      ]);
      const labels = { ...least, Labels: { ...least.Labels, [key]: "x" } };
      expect(pointersOf(await isRefused(labels, "template-body"))).toEqual([`/Labels/${key}`]);
      await isRefused({ ...least, Env: [`${key}=x`, "TASK_ID=7"] }, "template-body");
      await isRefused({ ...least, HostConfig: { [key]: { a: 1 } } }, "template-body");
    }
  });
});

describe("A7: labels", () => {
  it("A7: none but those that are set anyway, with the value that they get", async () => {
    const others = [
      ...["traefik.enable", "com.centurylinklabs.watchtower.enable", "com.docker.compose.project"],
      ...["ofelia.enabled", "berth.declaration", "berth.lease", "berth.instance", "BERTH.STACK"],
      ...["a".repeat(300), "ſtack"],
    ];
    for (const label of others) {
      for (const value of ["true", ""]) {
        const body = { ...least, Labels: { ...least.Labels, [label]: value } };
        const [pointer = ""] = pointersOf(await isRefused(body, "template-body"));
        expect(pointer.startsWith("/Labels/")).toBe(true);
      }
    }
    await isTaken({ ...least, Labels: full.Labels });
  });

  it("A7: a label of the rendering with another or no value is a difference", async () => {
    for (const [label, set] of Object.entries(full.Labels as Record<string, string>)) {
      if (label === "berth.template") continue;
      for (const value of ["", "other", `${set} `, 1, null, [set]]) {
        const body = { ...least, Labels: { ...least.Labels, [label]: value } };
        expect(pointersOf(await isRefused(body, "template-body"))).toEqual([`/Labels/${label}`]);
      }
    }
  });

  it("labels of another kind than an object say no template", async () => {
    for (const Labels of [
      null,
      [],
      ["berth.template=lal.many"],
      "berth.template=lal.many",
      0,
      "",
    ]) {
      await isRefused({ ...least, Labels }, "template");
    }
    for (const value of [null, 7, ["lal.many"], {}]) {
      await isRefused({ ...least, Labels: { "berth.template": value } }, "template");
    }
    // The name can say it; labels must be labels all the same.
    const path = "/containers/create?name=lal.many.x";
    for (const Labels of [[], "x", 0]) {
      const words = await isRefused({ ...least, Labels }, "template-body", path);
      expect(pointersOf(words)).toEqual(["/Labels"]);
    }
  });
});

describe("A26: the environment and what runs", () => {
  const withEnv = (...Env: unknown[]) => ({ ...least, Env });

  it("A26: holds declared parameters, once each, and what the rendering has; nothing that is code", async () => {
    await isTaken(withEnv("TASK_ID=7", "LOG_LEVEL=info"));
    await isTaken(withEnv("TASK_ID=7", "TASK_KIND=review"), { TASK_ID: "7", TASK_KIND: "review" });
    await isTaken(withEnv("TASK_KIND=implement", "TASK_ID=a-b", "BERTH_AGENT=lal"), {
      TASK_ID: "a-b",
      TASK_KIND: "implement",
    });
    const code = [
      ...["LD_PRELOAD=/workspace/x.so", "LD_LIBRARY_PATH=/workspace", "NODE_OPTIONS=--require=x"],
      ...["PATH=/workspace", "PYTHONPATH=/x", "BASH_ENV=/x", "GIT_SSH_COMMAND=sh", "HOME=/"],
      ...["HTTPS_PROXY=http://192.0.2.1", "https_proxy=", "NO_PROXY=*", "BERTH_AGENT=other"],
      ...[
        "LOG_LEVEL=debug",
        "LOG_LEVEL=info ",
        "LOG_LEVEL",
        "task_id=7",
        "TASK_ID =7",
        " TASK_ID=7",
      ],
      ...["TASK_ID", "=7", "", "=", "TASK_OTHER=1", "TASK_ID\u0000=7", "TASK_ID=7\u0000"],
    ];
    for (const entry of code) {
      harness.engine.recorded.length = 0;
      const answer = await create(withEnv("TASK_KIND=review", entry, "TASK_ID=7"));
      expect([entry, answer.status === 400 || answer.status === 403]).toEqual([entry, true]);
      expect(mutationsOf(harness.engine)).toEqual([]);
    }
    expect(code.length).toBeGreaterThan(20);
  });

  it("A26: a parameter twice is refused, also where both are the same", async () => {
    for (const again of ["TASK_ID=8", "TASK_ID=7", "TASK_ID="]) {
      const words = await isRefused(withEnv("TASK_ID=7", again), "template-body");
      expect(pointersOf(words)).toEqual(["/Env/1"]);
    }
  });

  it("A26: entries that are no texts, and an environment that is no list, are refused", async () => {
    for (const entry of [1, null, true, ["TASK_ID=7"], { TASK_ID: "7" }]) {
      const words = await isRefused(withEnv("TASK_ID=7", entry), "template-body");
      expect(pointersOf(words)).toEqual(["/Env/1"]);
    }
    for (const Env of ["TASK_ID=7", { TASK_ID: "7" }, 0, "", false]) {
      const path = "/containers/create?name=lal.box.x";
      const words = await isRefused({ Image: review.image, Env }, "template-body", path);
      expect(pointersOf(words)).toEqual(["/Env"]);
    }
    for (const Env of [null, []]) await isRefused({ ...least, Env }, "parameters");
  });

  it("A26: no command of the client's, in any of its spellings", async () => {
    const Entrypoint = full.Entrypoint as string[];
    await isTaken({ ...least, Entrypoint });
    for (const [key, value] of [
      ["Entrypoint", Entrypoint.join(" ")],
      ["Entrypoint", Entrypoint[0]],
      ["Entrypoint", [...Entrypoint, "-e"]],
      ["Entrypoint", Entrypoint.slice(0, 1)],
      ["Entrypoint", [""]],
      ["Entrypoint", [null]],
      ["Cmd", "sh"],
      ["Cmd", ["sh"]],
      ["Cmd", [""]],
      ["Cmd", Entrypoint],
      ["Shell", ["sh"]],
      ["Healthcheck", { Test: ["CMD", "sh"] }],
      ["Healthcheck", { Test: ["NONE"], Interval: 1 }],
      ["Healthcheck", { Test: "NONE" }],
      ["OnBuild", ["RUN sh"]],
    ] as const) {
      const words = await isRefused({ ...least, [key]: value }, "template-body");
      expect(pointersOf(words)[0]?.startsWith(`/${key}`)).toBe(true);
    }
    for (const nothing of [null, [], ""]) {
      await isTaken({ ...least, Entrypoint: nothing, Cmd: nothing });
    }
  });

  it("A4: another image, or none, is refused: it says nothing of which template is meant", async () => {
    for (const Image of [undefined, null, "", `${review.image} `, "alpine", 1, [review.image]]) {
      const words = await isRefused({ ...least, Image }, "template-body");
      expect(pointersOf(words)).toEqual(["/Image"]);
    }
  });
});
