import { readFileSync } from "node:fs";
import { RunError } from "@pulumi/pulumi";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { configKeys, readConfig } from "../../../config.ts";

const read = (values: Record<string, unknown> = {}, env = {}) =>
  readConfig(
    Object.fromEntries(Object.entries(values).map(([key, value]) => [`berth:${key}`, value])),
    "dev",
    env,
  );
const messageOf = (values: Record<string, unknown>): string => {
  try {
    read(values);
  } catch (error) {
    expect(RunError.isInstance(error)).toBe(true);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
};

describe("the stack's configuration", () => {
  it("has a default for everything", () => {
    expect(read()).toEqual({
      stack: "dev",
      dockerHost: "unix:///var/run/docker.sock",
      engineSocket: "/var/run/docker.sock",
      bindAddress: "127.0.0.1",
      mattermostPort: 8065,
      adminPort: 8066,
      siteUrl: "http://127.0.0.1:8065",
      mattermostImage: "standin",
      protectData: false,
      operators: ["operator"],
      team: "berth",
      channel: "town-square",
      secretsDirectory: undefined,
      isolatedGateway: false,
      privateEgress: [],
      allowMovingTags: false,
      instanceQuotas: {},
      suspension: {},
      secrets: {
        provider: "development",
        via: "sdk",
        connectUrl: undefined,
        connectCa: undefined,
        opPath: undefined,
        hosts: [],
        pollSeconds: 300,
        development: true,
        check: true,
      },
    });
    expect(Object.isFrozen(read())).toBe(true);
  });

  it("reads values as Pulumi hands them over, as text", () => {
    const config = read({
      mattermostPort: "9065",
      protectData: "true",
      operators: '["grace","ada","ada"]',
    });
    expect(config).toMatchObject({
      mattermostPort: 9065,
      siteUrl: "http://127.0.0.1:9065",
      protectData: true,
      operators: ["ada", "grace"],
    });
  });

  it.each([
    [{}, {}, "unix:///var/run/docker.sock", "/var/run/docker.sock"],
    [
      {},
      { DOCKER_HOST: "unix:///run/e/docker.sock" },
      "unix:///run/e/docker.sock",
      "/run/e/docker.sock",
    ],
    [
      { dockerHost: "ssh://deploy@host" },
      { DOCKER_HOST: "unix:///run/e/docker.sock" },
      "ssh://deploy@host",
      "/var/run/docker.sock",
    ],
    [
      {
        dockerHost: "unix:///home/me/.docker/run/docker.sock",
        engineSocket: "/var/run/docker.sock",
      },
      {},
      "unix:///home/me/.docker/run/docker.sock",
      "/var/run/docker.sock",
    ],
  ])(
    "config %j with environment %j means Engine %s and its socket %s",
    (values, env, host, socket) => {
      const config = read(values, env);
      expect([config.dockerHost, config.engineSocket]).toEqual([host, socket]);
    },
  );

  it("a misspelt key is an error with the file and the key that was meant", () => {
    const message = messageOf({ mattermostPrt: "1" });
    expect(message).toBe(
      "Fix Pulumi.dev.yaml:\n  - berth:mattermostPrt: is not known; did you mean berth:mattermostPort?",
    );
  });

  it("a key that is like no other is answered with all of them", () =>
    expect(messageOf({ zzz: "1" })).toContain("known keys: dockerHost"));

  it("another namespace's key is an error: nothing reads it", () => {
    expect(() => readConfig({ "docker:host": "tcp://x:1" }, "dev")).toThrow(
      /docker:host: nothing reads it/,
    );
    expect(readConfig({ "pulumi:disable-default-providers": '["*"]' }, "dev").stack).toBe("dev");
  });

  it("lists everything wrong at once, each with its key and what is wanted", () => {
    const message = messageOf({
      mattermostPort: "99999",
      bindAddress: "0.0.0.0",
      dockerHost: "docker.sock",
      operators: "[1]",
      team: "A B",
      mattermostImage: "mattermost/mattermost-team-edition:latest",
      isolatedGateway: "maybe",
      mispelt: "x",
    });
    for (const wanted of [
      /berth:mattermostPort: must be a whole number from 1 to 65535/,
      /berth:bindAddress: 0\.0\.0\.0 is reachable from outside/,
      /berth:dockerHost: must be unix:\/\/\/path/,
      /berth:operators\[0\]: must be a user name/,
      /berth:team: must be a team name/,
      /berth:mattermostImage: must be "standin" or an image by digest/,
      /berth:isolatedGateway: must be true or false/,
      /berth:mispelt: is not known/,
    ])
      expect(message).toMatch(wanted);
  });

  it.each(["0.0.0.0", "::", "8.8.8.8", "2001:4860::1", "::ffff:8.8.8.8"])(
    "C7: %s is refused unless allowPublicBind says so",
    (bindAddress) => {
      expect(messageOf({ bindAddress })).toContain("berth:allowPublicBind: true");
      expect(read({ bindAddress, allowPublicBind: "true" }).bindAddress).toBe(bindAddress);
    },
  );

  it.each(["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.20.0.1", "100.100.1.1", "::1", "fd00::1"])(
    "C7: %s is private and needs no further word",
    (bindAddress) => expect(read({ bindAddress }).bindAddress).toBe(bindAddress),
  );

  it("reads quotas in the units that people write, and only those that are given", () => {
    const quotas = '{"memory":"16g","cpus":0.5,"instances":0}';
    expect(read({ instanceQuotas: quotas, suspension: '{"denials":3}' })).toMatchObject({
      instanceQuotas: { memoryBytes: 17_179_869_184, nanoCpus: 500_000_000, instances: 0 },
      suspension: { denials: 3 },
    });
    expect(Object.keys(read({ instanceQuotas: quotas }).instanceQuotas)).toHaveLength(3);
  });

  it.each([
    [
      "instanceQuotas",
      '{"memory":"16 gigs"}',
      'berth:instanceQuotas.memory: must be a size like "32g"',
    ],
    ["instanceQuotas", '{"memory":16}', 'berth:instanceQuotas.memory: must be a size like "32g"'],
    ["instanceQuotas", '{"cpus":"four"}', "berth:instanceQuotas.cpus: must be a number of CPUs"],
    ["instanceQuotas", '{"cpus":0}', "berth:instanceQuotas.cpus: must be a number of CPUs"],
    ["instanceQuotas", '{"pids":1.5}', "berth:instanceQuotas.pids: must be a whole number from 1"],
    [
      "instanceQuotas",
      '{"memry":"1g"}',
      "berth:instanceQuotas.memry: is not known; there are: createsPerMinute",
    ],
    ["instanceQuotas", "[]", "berth:instanceQuotas: must be an object like"],
    ["suspension", "20", "berth:suspension: must be an object like { denials: 20"],
    [
      "suspension",
      '{"seconds":0}',
      "berth:suspension.seconds: must be a whole number from 1 to 3600",
    ],
    [
      "suspension",
      '{"forever":true}',
      "berth:suspension.forever: is not known; there are: denials",
    ],
  ])("%s %s is refused with the path and what is wanted, beside all else", (key, value, wanted) => {
    const message = messageOf({ [key]: value, adminPort: "8065" });
    expect(message).toContain(wanted);
    expect(message).toContain("berth:adminPort: is 8065 like");
  });

  it("equal ports are one error", () =>
    expect(messageOf({ adminPort: "8065" })).toMatch(/berth:adminPort: is 8065 like/));

  it.each(["10.0.0.5", "models.example.com:8443", "*.example.com", "https://x"])(
    "privateEgress takes host names only, not %s",
    (host) =>
      expect(messageOf({ privateEgress: JSON.stringify([host]) })).toMatch(/privateEgress\[0\]/),
  );

  it.each(["Prod", "a_b", "", "9a", "x".repeat(32)])(
    "a stack named %j is refused with the rule",
    (stack) => expect(() => readConfig({}, stack)).toThrow(/becomes part of container names/),
  );

  it("never shows a value: it might be a secret in the wrong place", () =>
    fc.assert(
      fc.property(fc.uuid(), fc.constantFrom(...configKeys, "unknown"), (secret, key) => {
        try {
          read({ [key]: `!${secret}!` });
        } catch (error) {
          expect((error as Error).message).not.toContain(secret);
        }
      }),
    ));

  it("Pulumi.yaml describes exactly the keys that are read, with the same defaults", () => {
    const block = /^config:\n((?: .*\n)+)/m.exec(readFileSync("Pulumi.yaml", "utf8"))?.[1] ?? "";
    const described = [
      ...block.matchAll(/^ {2}(\w+):\n {4}description: ".+"\n {4}default: (.+)$/gm),
    ];
    expect(described.map((match) => match[1]).sort()).toEqual([...configKeys].sort());
    const defaults = described.map(([, key = "", value = ""]) => [key, value.replace(/^""$/, "")]);
    expect(read(Object.fromEntries(defaults))).toEqual(read());
  });

  it("the production example is a valid configuration", () => {
    const text = readFileSync("Pulumi.prod.example.yaml", "utf8");
    const values = [...text.matchAll(/^ {2}berth:(\w+): ?(.*)\n((?: {4}- .*\n)*)/gm)].map(
      ([, key = "", value = "", items = ""]) => [
        key,
        value || JSON.stringify([...items.matchAll(/- (.*)/g)].map((item) => item[1])),
      ],
    );
    expect(values.length).toBeGreaterThan(7);
    const config = read(Object.fromEntries(values));
    expect(config.protectData).toBe(true);
    // Nothing of a production stack comes from somebody's shell or from a file on disk.
    expect(config.secrets).toMatchObject({ provider: "onepassword", development: false });
  });
});
