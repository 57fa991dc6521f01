import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { configKeys } from "../../../config.ts";
import { root } from "../../support/stack.ts";

const readme = readFileSync(`${root}/README.md`, "utf8");

describe("the README", () => {
  it("names every config key and no other", () => {
    const named = [...readme.matchAll(/^\| `berth:(\w+)`\s*\|/gm)].map((match) => match[1]);
    expect(named.sort()).toEqual([...configKeys].sort());
  });

  it("shows an agent that the program takes", async () => {
    const code = /```ts\n\/\/ agents\/nova\.ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    const folder = mkdtempSync(join(root, "agents/.readme-"));
    try {
      const file = join(folder, "nova.ts");
      writeFileSync(file, code.replace('"./define.ts"', '"../define.ts"'));
      const { nova } = (await import(file)) as {
        nova: { name: string; egress: readonly string[] };
      };
      expect(nova.name).toBe("nova");
      expect(nova.egress).toHaveLength(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("mentions only files and make targets that exist", () => {
    const targets = new Set(
      [...readFileSync(`${root}/Makefile`, "utf8").matchAll(/^([a-z-]+):/gm)].map((m) => m[1]),
    );
    for (const [, target] of readme.matchAll(/`make ([a-z-]+)`/g))
      expect(targets, target).toContain(target);
    for (const [, file] of readme.matchAll(
      /`((?:docs|agents|toolchain|cli)\/[\w./-]+\.(?:md|ts))`/g,
    )) {
      expect(() => readFileSync(`${root}/${file}`), file).not.toThrow();
    }
  });

  it("A22, B19: the documents say what is not a goal and what is out of scope", () => {
    const text = (file: string) => readFileSync(`${root}/docs/${file}`, "utf8");
    expect(text("architecture.md")).toMatch(/Kubernetes is not a goal/);
    expect(text("security.md")).toMatch(/host root \(B19\)\s*\|\s*out of scope/);
  });

  it("E35: `npm test` is vitest, with a config of its own", () => {
    const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(scripts.test).toBe("vitest run");
    expect(readFileSync(`${root}/vitest.config.ts`, "utf8")).toContain("test/unit/**/*.test.ts");
  });
});
