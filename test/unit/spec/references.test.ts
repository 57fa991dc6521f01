import { describe, expect, it } from "vitest";
import { parseReference, problemOfReference } from "../../../spec/references.ts";

describe("secret references", () => {
  it.each([
    ["op://agents/lal/token", { scheme: "op", vault: "agents", item: "lal", path: ["token"] }],
    [
      "op://agents/lal/keys/token?attribute=otp",
      {
        scheme: "op",
        vault: "agents",
        item: "lal",
        path: ["keys", "token"],
        query: "attribute=otp",
      },
    ],
    [
      "{{ op://Vault/copilot-bridge/lal-token }}",
      { scheme: "op", vault: "Vault", item: "copilot-bridge", path: ["lal-token"] },
    ],
    ["file:/srv/secrets/a", { scheme: "file", path: "/srv/secrets/a" }],
    ["env:GH_TOKEN", { scheme: "env", name: "GH_TOKEN" }],
    ["generated:32", { scheme: "generated", bytes: 32 }],
  ])("A4: %s parses", (text, parsed) => expect(parseReference(text)).toEqual(parsed));

  it.each([
    "op://only-vault",
    "op://a/b",
    "op://a/b/c/d/e",
    "op://a//c",
    "op://a/b/c?x=y",
    "op://a/b/c?attribute=otp?attribute=otp",
    "file:relative",
    "env:1A",
    "generated:8",
    "generated:4096",
    "ghp_a-token-itself",
    "",
  ])("%j is refused with its own text and a cure", (text) => {
    expect(problemOfReference(text)).toContain(`"${text}"`);
    expect(problemOfReference(text)).toMatch(/write|only/);
  });

  it.each([undefined, 5, "x".repeat(2000)])("%s is no reference", (value) =>
    expect(problemOfReference(value)).toBe("must be a secret reference"),
  );
});
