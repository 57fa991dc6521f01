import { existsSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../../../cli/paths.ts";
import { mutants } from "../../mutants/table.ts";

describe("the table of broken builds", () => {
  it("T15: has at least 25, each control once", () => {
    expect(mutants.length).toBeGreaterThanOrEqual(25);
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  });

  it.each(mutants)(
    "T15: $name: is in the code exactly once, can be taken out, and has tests",
    (mutant) => {
      const whole = readFileSync(join(root, mutant.file), "utf8");
      expect(whole.split(mutant.find)).toHaveLength(2);
      const broken = whole.replace(mutant.find, () => mutant.replace);
      expect(stripTypeScriptTypes(broken)).not.toBe(stripTypeScriptTypes(whole));
      expect(mutant.tests.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    },
  );
});
