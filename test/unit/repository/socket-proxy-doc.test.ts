import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Agent, toDeclaration } from "../../../agents/define.ts";
import { type Layer, layers, rules } from "../../../services/socket-proxy/denial.ts";
import { apiVersion } from "../../../services/socket-proxy/upstream.ts";
import {
  defaultStackQuotas,
  defaultSuspension,
  renderGrants,
  type Verb,
  verbs,
} from "../../../spec/grants.ts";
import { templateIdsOf, templatesOf } from "../../../spec/instance.ts";
import { root } from "../../support/stack.ts";

const text = readFileSync(`${root}/docs/socket-proxy.md`, "utf8");
/** Cells of every table row. */
const table = text
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
/** Cells behind the first, by the first. */
const rows = new Map(table.map(([first = "", ...rest]) => [first, rest] as const));
/** The same for the rows of the layers' table: another has a row called after a layer, too. */
const layerRows = new Map(
  table
    .slice(0, Object.keys(layers).length + 2)
    .map(([first = "", ...rest]) => [first, rest] as const),
);
const codeIn = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? "");

describe("the socket proxy's document", () => {
  it("names every layer in its order, with the rules that the code has, and no other", () => {
    const named = [...layerRows.keys()]
      .flatMap((first) => codeIn(first))
      .filter((code) => code in layers);
    expect(named).toEqual(Object.keys(layers));
    for (const layer of named as Layer[]) {
      const known = Object.entries(rules).filter(([, of]) => of === layer);
      expect(codeIn(layerRows.get(`\`${layer}\``)?.at(-1)), layer).toEqual(
        known.map(([rule]) => rule),
      );
    }
  });

  it("has a row for every verb, with those to whom it is granted by default", () => {
    const grants = renderGrants();
    const who = (verb: Verb) =>
      Object.keys(grants.clients).filter((client) => grants.clients[client]?.verbs.includes(verb));
    for (const verb of verbs) {
      const granted = who(verb);
      const words =
        granted.length === 0
          ? "nobody"
          : granted.length === Object.keys(grants.clients).length
            ? "all"
            : granted.map((client) => client.replace("-", " ")).join(", ");
      expect(rows.get(`\`${verb}\``)?.at(-1), verb).toBe(words);
    }
    expect(text).toContain(`\`/v${apiVersion}\``);
  });

  it("says the quotas that hold where nobody sets others", () => {
    const { createsPerMinute, instances, pids } = defaultStackQuotas;
    expect(rows.get("creates a minute")?.at(-1)).toBe(String(createsPerMinute));
    expect(rows.get("instances at a time")?.at(-1)).toBe(String(instances));
    expect(rows.get("memory, CPUs, processes in all")?.at(-1)).toBe(`32 GB, 32, ${pids}`);
    const { denials, windowSeconds, seconds } = defaultSuspension;
    expect(text.replaceAll("\n", " ")).toContain(
      `refused ${denials} times within ${windowSeconds} seconds`,
    );
    expect(text).toContain(`not answered for ${seconds} seconds`);
  });

  it("has an answer and a test for every attack and every point of the acceptance list", () => {
    const firsts = [...rows.keys()];
    for (const id of [
      ...Array.from({ length: 30 }, (_, i) => `A${i + 1}`),
      ...Array.from({ length: 14 }, (_, i) => `T${i + 1}`),
    ]) {
      const first = firsts.find((cell) => cell.startsWith(`${id} `));
      expect(codeIn(rows.get(first ?? "")?.at(-1)).length, id).toBeGreaterThan(0);
    }
  });

  it("names tests that exist", () => {
    const files = [...text.matchAll(/`([\w/-]+\.test\.ts)`/g)].map(([, file]) => file ?? "");
    expect(files.length).toBeGreaterThan(40);
    expect([...new Set(files)].filter((file) => !existsSync(`${root}/test/${file}`))).toEqual([]);
  });

  it("shows an agent's templates as the program takes them, by the ids that it says", async () => {
    const code = /```ts\n\/\/ agents\/lal\.ts\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
    const folder = mkdtempSync(join(root, "agents/.doc-"));
    try {
      const file = join(folder, "lal.ts");
      writeFileSync(file, `import { defineAgent } from "../define.ts";\n${code}`);
      const { lal } = (await import(file)) as { lal: Agent };
      const declaration = toDeclaration(lal, {
        stack: "dev",
        images: (name) => `localhost/berth/${name}:0123456789ab`,
      });
      expect(templateIdsOf(declaration).sort()).toEqual(["lal.agent", "lal.review", "lal.run"]);
      for (const { id, instances } of templatesOf(declaration)) {
        expect(
          [...rows.values()].some(([cell]) => cell === `\`${id}\``),
          id,
        ).toBe(true);
        if (id === "lal.run") expect(instances.timeoutSeconds).toBe(300);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("never claims that the record cannot be forged", () => {
    expect(text).not.toMatch(/tamper[- ]?proof/i);
  });
});
