import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { packageName, SourceTree } from "../../../images/sources.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "berth-sources-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  }
}

const lock = (packages: Record<string, unknown>) => ({
  "package-lock.json": JSON.stringify({ packages }),
});

describe("the sources of a program", () => {
  it("are what its imports reach, in every way of writing one", () => {
    write({
      ...lock({}),
      "a/main.ts": `import "./plain.ts";\nimport {\n  one,\n  two,\n} from "../b/named.ts";
export * from "./again.ts";\nconst late = () => import("./late.ts");\nimport { type T, v } from "./mixed.ts";`,
      "a/plain.ts": 'import x from "./deep.ts"',
      "a/deep.ts": 'import { back } from "./main.ts"; import fs from "node:fs";',
      "a/again.ts": "",
      "a/late.ts": "",
      "a/mixed.ts": "",
      "b/named.ts": "",
      "b/other.ts": "",
    });
    expect(new SourceTree(root).sourcesOf("a/main.ts").files).toEqual([
      "a/again.ts",
      "a/deep.ts",
      "a/late.ts",
      "a/main.ts",
      "a/mixed.ts",
      "a/plain.ts",
      "b/named.ts",
    ]);
  });

  it("leave out what is imported for its types alone", () => {
    write({
      ...lock({ "node_modules/typed": { version: "1.0.0" } }),
      "main.ts": 'import type { A } from "./a.ts";\nimport type { T } from "typed";',
      "a.ts": "",
    });
    expect(new SourceTree(root).sourcesOf("main.ts")).toEqual({ files: ["main.ts"], packages: [] });
  });

  it("include packages and what those need, from the nearest node_modules", () => {
    write({
      ...lock({
        "node_modules/shared": { version: "1.0.0" },
        "s/node_modules/shared": { version: "2.0.0", dependencies: { deep: "1" } },
        "node_modules/deep": { version: "1.0.0", peerDependencies: { shared: "1", extra: "1" } },
        "node_modules/extra": { version: "1.0.0" },
        "node_modules/@x/y": {
          version: "1.0.0",
          peerDependencies: { optional: "1" },
          peerDependenciesMeta: { optional: { optional: true } },
        },
        "node_modules/optional": { version: "1.0.0" },
      }),
      "s/main.ts": 'import "shared/sub"; import { y } from "@x/y/z";',
    });
    expect(new SourceTree(root).sourcesOf("s/main.ts").packages).toEqual([
      "node_modules/@x/y",
      "node_modules/deep",
      "node_modules/extra",
      "node_modules/shared",
      "s/node_modules/shared",
    ]);
  });
});

describe("packageName", () => {
  it.each([
    ["pg", "pg"],
    ["pg/lib/client", "pg"],
    ["@scope/name", "@scope/name"],
    ["@scope/name/deep/er", "@scope/name"],
  ])("%s → %s", (specifier, name) => {
    expect(packageName(specifier)).toBe(name);
  });
});
