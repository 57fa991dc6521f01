import { homedir } from "node:os";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { bundleProgram } from "../../../images/bundle.ts";
import { recipes } from "../../../images/recipes.ts";

const project = resolve(import.meta.dirname, "../../..");
const entries = [
  ...new Set(
    Object.values(recipes)
      .flatMap(({ ingredients }) => ingredients)
      .flatMap((item) => (item.kind === "bundle" ? [item.entry] : [])),
  ),
].sort();

describe("bundles", () => {
  it("exist for every service", () => {
    expect(entries).toContain("services/common/health-main.ts");
    expect(entries.length).toBeGreaterThanOrEqual(8);
  });

  it.each(entries)(
    "%s is one file without a path of this machine, equal each time",
    async (entry) => {
      const bundle = await bundleProgram(project, entry);
      const text = bundle.toString("utf8");
      expect(text).not.toContain(project);
      expect(text).not.toContain(`${homedir()}/`);
      expect(text).not.toMatch(/\b(?:from|import)\s*\(?["']\.{1,2}\//);
      expect(bundle.equals(await bundleProgram(project, entry))).toBe(true);
    },
  );

  it("say in one sentence which file cannot be read", async () => {
    await expect(bundleProgram(project, "services/common/nothing.ts")).rejects.toThrow(
      "services/common/nothing.ts is missing",
    );
  });
});
