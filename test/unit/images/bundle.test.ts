import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
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

  it.each(entries)("%s takes from Node's http only what it uses", async (entry) => {
    const text = (await bundleProgram(project, entry)).toString("utf8");
    expect(text).not.toMatch(/\b(?:from|import)\s*\(?["'](?:node:)?http["']/);
  });

  it("that import Node's http load no second HTTP client", async () => {
    const bundle = await bundleProgram(project, "services/common/health-main.ts");
    const folder = await mkdtemp(join(tmpdir(), "bundle-"));
    try {
      const file = join(folder, "health.mjs");
      await writeFile(file, bundle);
      const check = `process.argv[2] = "unix:///nowhere"; process.on("exit", () =>
        console.log(process.moduleLoadList.filter((name) => /undici/.test(name)).length));`;
      const { stdout } = await promisify(execFile)(process.execPath, [
        "--import",
        `data:text/javascript,${encodeURIComponent(check)}`,
        file,
      ]).catch((ended: { stdout: string }) => ended);
      expect(stdout).toBe("0\n");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("say in one sentence which file cannot be read", async () => {
    await expect(bundleProgram(project, "services/common/nothing.ts")).rejects.toThrow(
      "services/common/nothing.ts is missing",
    );
  });
});
