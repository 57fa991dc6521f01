import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readConfig } from "../../../config.ts";

const read = (secrets: unknown, more: Record<string, unknown> = {}) =>
  readConfig({ "berth:secrets": JSON.stringify(secrets), ...more }, "dev");
const problemsOf = (secrets: unknown, more: Record<string, unknown> = {}): string[] => {
  try {
    read(secrets, more);
  } catch (error) {
    const [, ...lines] = (error as Error).message.split("\n");
    return lines.map((line) => line.replace(/^ {2}- /, ""));
  }
  return [];
};
const certificate = "-----BEGIN CERTIFICATE-----\nMIIB+/a=\n-----END CERTIFICATE-----\n";

describe("berth:secrets", () => {
  it("B8: 1Password needs one word; the rest has a default, and development references are off", () =>
    expect(read({ provider: "onepassword" }).secrets).toEqual({
      provider: "onepassword",
      via: "sdk",
      connectUrl: undefined,
      connectCa: undefined,
      opPath: undefined,
      hosts: ["*.1password.ca", "*.1password.com", "*.1password.eu"],
      pollSeconds: 300,
      development: false,
      check: true,
    }));

  it.each([
    ["https://connect.example.com", "connect.example.com:443"],
    ["http://connect", "connect:80"],
    ["http://10.0.0.5:8080", "10.0.0.5:8080"],
  ])("a Connect server at %s: the store may go to %s and nowhere else", (connectUrl, host) =>
    expect(read({ provider: "onepassword", via: "connect", connectUrl }).secrets).toMatchObject({
      connectUrl,
      hosts: [host],
    }),
  );

  it("what is given holds: hosts sorted and once, development beside 1Password", () =>
    expect(
      read(
        {
          provider: "onepassword",
          via: "op",
          opPath: "/usr/local/bin/op",
          hosts: ["my.1password.eu", "a.example.com:8443", "my.1password.eu"],
          pollSeconds: 10,
          development: true,
          check: false,
        },
        { "berth:secretsDirectory": "/srv/secrets" },
      ).secrets,
    ).toEqual({
      provider: "onepassword",
      via: "op",
      connectUrl: undefined,
      connectCa: undefined,
      opPath: "/usr/local/bin/op",
      hosts: ["a.example.com:8443", "my.1password.eu"],
      pollSeconds: 10,
      development: true,
      check: false,
    }));

  it("a certificate authority of one's own goes with https", () => {
    const connect = { provider: "onepassword", via: "connect", connectCa: certificate };
    expect(problemsOf({ ...connect, connectUrl: "https://connect.example.com" })).toEqual([]);
    expect(problemsOf({ ...connect, connectUrl: "http://connect.example.com" })).toEqual([
      "berth:secrets.connectCa: is for a connectUrl that begins with https:",
    ]);
  });

  const onepassword = (more: object) => ({ provider: "onepassword", ...more });
  it.each<[object, RegExp[]]>([
    [{ provider: "vault" }, [/^berth:secrets\.provider: must be "development" or "onepassword"/]],
    [
      { providr: "onepassword" },
      [/^berth:secrets\.providr: is not known; there are: provider, via/],
    ],
    [onepassword({ via: "cli" }), [/^berth:secrets\.via: must be "sdk", "connect" or "op"/]],
    [onepassword({ via: "connect" }), [/^berth:secrets\.connectUrl: is missing/]],
    [onepassword({ via: "op" }), [/^berth:secrets\.opPath: is missing/]],
    [
      onepassword({ via: "op", connectUrl: "https://c.example.com", connectCa: certificate }),
      [
        /^berth:secrets\.opPath: is missing/,
        /^berth:secrets\.connectUrl: nothing reads it via "op"/,
      ],
    ],
    [
      onepassword({ opPath: "/usr/bin/op", connectCa: certificate }),
      [/^berth:secrets\.connectCa: is for/, /^berth:secrets\.opPath: nothing reads it via "sdk"/],
    ],
    [
      onepassword({ via: "op", opPath: "op" }),
      [/^berth:secrets\.opPath: must be an absolute path/],
    ],
    [
      onepassword({ pollSeconds: 9 }),
      [/^berth:secrets\.pollSeconds: must be a whole number from 10/],
    ],
    [onepassword({ hosts: [] }), [/^berth:secrets\.hosts: must be a list of at least one host/]],
    [onepassword({ hosts: ["https://x"] }), [/^berth:secrets\.hosts\[0\]: must be a host/]],
    [
      onepassword({
        via: "connect",
        connectUrl: "https://c",
        connectCa: "-----BEGIN PRIVATE KEY-----",
      }),
      [/^berth:secrets\.connectCa: must be one or more certificates/],
    ],
    [
      { via: "connect", connectUrl: "https://c", hosts: ["a.example.com"], connectCa: certificate },
      [
        /^berth:secrets\.via: nothing reads it with provider "development"/,
        /^berth:secrets\.connectUrl: nothing/,
        /^berth:secrets\.connectCa: nothing/,
        /^berth:secrets\.hosts: nothing/,
      ],
    ],
    [[], [/^berth:secrets: must be an object like/]],
  ])("%j is refused, everything wrong at once", (secrets, wanted) => {
    const problems = problemsOf(secrets);
    expect(problems).toHaveLength(wanted.length);
    for (const [i, pattern] of wanted.entries()) expect(problems[i]).toMatch(pattern);
  });

  it.each([
    "https://user:word@c.example.com",
    "https://c.example.com/path",
    "https://c.example.com?x=1",
    "https://c.example.com:99999",
    "http://300.300.300.300",
    "http://0x7f.1",
    "ftp://c.example.com",
    "c.example.com",
  ])("%s is no URL of a Connect server", (connectUrl) =>
    expect(problemsOf(onepassword({ via: "connect", connectUrl }))).toContainEqual(
      expect.stringMatching(/^berth:secrets\.connectUrl: must be like https:/),
    ),
  );

  it("a directory of secret files that nothing reads is refused", () => {
    const directory = { "berth:secretsDirectory": "/srv/secrets" };
    expect(problemsOf({ provider: "onepassword" }, directory)).toEqual([
      expect.stringMatching(/^berth:secretsDirectory: only file: references read it/),
    ]);
    expect(problemsOf({ provider: "onepassword", development: true }, directory)).toEqual([]);
    expect(problemsOf({}, directory)).toEqual([]);
  });

  it("B16: no value is shown, wherever a token was pasted", () =>
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.constantFrom(
          "provider",
          "via",
          "connectUrl",
          "connectCa",
          "opPath",
          "hosts",
          "pollSeconds",
          "token",
        ),
        (token, member) => {
          const problems = problemsOf(onepassword({ [member]: `ops_${token}` }));
          expect(problems).not.toEqual([]);
          expect(problems.join()).not.toContain(token);
        },
      ),
    ));
});
