import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defineAgent, jsonTemplate, secret } from "../../../agents/define.ts";
import { subcommands } from "../../../cli/commands/secrets.ts";
import { readConfig } from "../../../config.ts";
import { root } from "../../support/stack.ts";

const text = readFileSync(`${root}/docs/secrets.md`, "utf8");
/** Cells of the table below a heading, without its head. */
function rowsUnder(heading: string): string[][] {
  const section = text.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  return section
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}
const codeIn = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? "");

describe("the document of secrets", () => {
  it("has a line for every command, and no other", () => {
    const named = rowsUnder("Commands").map(
      ([first]) => /berth secrets ([a-z]+)/.exec(first ?? "")?.[1],
    );
    expect(new Set(named)).toEqual(new Set(Object.keys(subcommands)));
    for (const [, name] of text.matchAll(/berth secrets ([a-z]+)/g))
      expect(Object.keys(subcommands)).toContain(name);
  });

  it("names for every threat tests that are there, and that carry its id", () => {
    const rows = rowsUnder("Threats");
    expect(rows.length).toBeGreaterThan(10);
    for (const [threat = "", , tests] of rows) {
      const files = codeIn(tests);
      expect(files.length, threat).toBeGreaterThan(0);
      const texts = files.map((file) => readFileSync(join(root, file), "utf8"));
      const id = /^B\d+/.exec(threat)?.[0];
      if (id)
        expect(
          texts.some((source) => new RegExp(`it\\(\\s*["\`][^"\`]*\\b${id}\\b`).test(source)),
          `${threat}: ${files}`,
        ).toBe(true);
    }
  });

  it("B9: says where each of the sub-issues is met, by files that are there", () => {
    const rows = rowsUnder("Where the requirements are met (B9)");
    for (const issue of ["#142", "#143", "#144", "#146", "#148"])
      expect(rows.map(([asked]) => asked).join(" ")).toContain(issue);
    const paths = rows
      .flatMap(([, where]) => codeIn(where))
      .filter((code) => /^[a-z][a-z-]*(\/|\.ts$)/.test(code));
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) expect(existsSync(join(root, path)), path).toBe(true);
  });

  it("shows an agent's file and a stack's config that are taken as they stand", async () => {
    const folder = await mkdtemp(join(tmpdir(), "doc-"));
    try {
      const file = join(folder, "lal.config.json.tpl");
      await writeFile(file, '{ "token": "{{ op://agents/lal/api-token }}" }');
      const block = [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)]
        .map(([, code]) => code ?? "")
        .find((code) => code.startsWith("secrets: {"));
      const members = block?.replace(/new URL\([^)]*\)/, "file");
      const make = new Function("secret", "jsonTemplate", "file", `return {${members}};`) as (
        ...given: readonly unknown[]
      ) => object;
      const agent = defineAgent({
        name: "lal",
        program: { acp: ["demo-agent"] },
        ...make(secret, jsonTemplate, new URL(`file://${file}`)),
      });
      expect(Object.keys(agent.secrets)).toEqual(["API_TOKEN", "SIGNING_KEY", "HOOK_KEY"]);
      expect(Object.keys(agent.endpoints ?? {})).toEqual(["model"]);
      const config = /berth:secrets: (\{.*\})/.exec(text)?.[1];
      expect(readConfig({ "berth:secrets": config }, "prod").secrets).toMatchObject({
        provider: "onepassword",
        development: false,
        pollSeconds: 300,
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
