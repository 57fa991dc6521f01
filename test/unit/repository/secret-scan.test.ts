import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { secretsIn } from "../../support/secret-scan.ts";
import { root } from "../../support/stack.ts";

/** What is committed, and what would be with the next `git add`. */
const files = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "-z"],
  {
    cwd: root,
    encoding: "utf8",
  },
)
  .split("\0")
  .filter((file) => file !== "" && existsSync(`${root}/${file}`));
// One character a byte: also what is no text is searched.
const text = (file: string) => readFileSync(`${root}/${file}`, "latin1");

/** Random characters of an alphabet. Made here, so that no file holds what looks like a secret. */
const some = (
  length: number,
  alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
) => [...randomBytes(length)].map((byte) => alphabet[byte % alphabet.length]).join("");
const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/** As mixed as random values are on average, or more: the plant is found every time. */
const random = (length: number) =>
  Array.from({ length }, (_, i) =>
    some(1, ["abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789"][i % 3]),
  ).join("");
const join = (...parts: string[]) => parts.join("");

/** Each kind of secret as people commit it. */
const planted: readonly [string, () => string][] = [
  ["1Password service account token", () => join("ops_", "eyJ", some(400))],
  ["GitHub token", () => join("ghp_", some(36))],
  ["GitHub token", () => join("ghs_", some(36))],
  ["GitHub token", () => join("github_pat_", some(22), "_", some(59))],
  ["GitLab token", () => join("glpat-", some(20))],
  ["npm token", () => join("npm_", some(36))],
  ["Slack token", () => join("xoxb-", some(12, "0123456789"), "-", some(24))],
  ["AWS access key", () => join("AKIA", some(16, upper))],
  ["AWS access key", () => join("ASIA", some(16, upper))],
  ["Google API key", () => join("AIza", some(35))],
  ["model provider's key", () => join("sk-", "proj-", random(40))],
  ["private key", () => join("-----BEGIN ", "PRIVATE KEY-----\n", some(64), "\n")],
  ["private key", () => join("-----BEGIN OPENSSH ", "PRIVATE KEY-----\r\n", some(64))],
  ["private key", () => join('"-----BEGIN RSA ', "PRIVATE KEY-----", "\\n", some(64), '"')],
  ["JSON Web Token", () => join("eyJ", some(20), ".", "eyJ", some(40), ".", some(43))],
  ["random value of a secret's name", () => join("API_KEY", ' = "', random(32), '"')],
  ["random value of a secret's name", () => join('"password"', ': "', random(24), '"')],
  ["random value of a secret's name", () => join("const clientSecret", " = '", random(40), "'")],
  ["random value of a secret's name", () => join("\nexport MODEL_TOKEN", "=", random(32), "\n")],
];

describe("the repository", () => {
  it("B14: no file holds what looks like a live secret", () => {
    expect(files.length).toBeGreaterThan(300);
    const hits = files.flatMap((file) => secretsIn(text(file)).map((kind) => `${file}: ${kind}`));
    expect(hits).toEqual([]);
  });

  it.each(planted)(
    "B14: the search finds a planted %s, wherever in a file it stands",
    (kind, make) => {
      for (const file of ["agents/lal.ts", "Pulumi.dev.yaml", "docs/page.png", "README.md"]) {
        const content = text(file);
        expect(secretsIn(content)).toEqual([]);
        for (const at of [0, Math.floor(content.length / 2), content.length]) {
          const secret = make();
          const line = `\n${secret}\n`;
          expect(secretsIn(content.slice(0, at) + line + content.slice(at)), file).toContain(kind);
        }
      }
    },
  );

  it("B14: nearly every random value under a secret's name is found, hex or base64", () => {
    for (const make of [
      () => randomBytes(16).toString("hex"),
      () => randomBytes(32).toString("hex"),
      () => randomBytes(24).toString("base64"),
      () => randomBytes(32).toString("base64url"),
    ]) {
      const found = Array.from({ length: 1000 }, make).filter(
        (value) => secretsIn(join("API_KEY", ' = "', value, '"')).length > 0,
      );
      expect(found.length).toBeGreaterThan(850);
    }
  });

  it.each([
    "a token like ops_… or ghp_a-token-itself",
    'apiKey: "op://agents/lal/model-key"',
    'token: "{{ op://agents/lal/copilot-token }}"',
    'const tokenSocket = "/run/berth/tokens/tokens.sock"',
    'secret: "not-a-real-password-at-all-1"',
    'const token = "canary-token-0f3c61d9a2"',
    "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
    "task-sk-this-is-a-name-of-something-long-1",
    "MODEL_TOKEN=$(cat /run/berth/secrets/MODEL_TOKEN)",
  ])("the search is not set off by %j", (line) => expect(secretsIn(line)).toEqual([]));

  it("B14: references to items stand in the agents' files; what is beside them only explains the form", () => {
    const product = files.filter((file) => !/^(test|bench|docs)\/|\.md$/.test(file));
    const references = product.flatMap((file) =>
      [...text(file).matchAll(/op:\/\/([\w.-]+\/[\w.-]+)/g)].map((match) => [file, match[1] ?? ""]),
    );
    const elsewhere = references.filter(
      ([file = "", item]) => !/^agents\/(?!define|secrets)/.test(file) && item !== "vault/item",
    );
    expect(elsewhere).toEqual([]);
    expect(references.length).toBeGreaterThan(5);
  });
});
