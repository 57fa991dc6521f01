import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { joinPath } from "../../../cli/session.ts";
import { apiIsEnough, ownEngine, suites } from "../../../cli/toolchain/engine.ts";
import { buildKey, type GoProgram } from "../../../cli/toolchain/go-build.ts";
import { pluginVersion } from "../../../cli/toolchain/plugin.ts";
import { atLeast, parseVersion } from "../../../cli/toolchain/pulumi.ts";

const root = join(import.meta.dirname, "../../..");

describe("versions", () => {
  it.each([
    ["v3.259.0", [3, 259, 0]],
    ["warning: x\nv3.270.1-alpha+abc", [3, 270, 1]],
    ["26.1.5+dfsg1", [26, 1, 5]],
  ])("%j is read", (text, numbers) => expect(parseVersion(text)).toEqual(numbers));

  it("what is no version is none", () => expect(parseVersion("command not found")).toBeUndefined());

  it.each([
    [[3, 259, 0], true],
    [[3, 260, 0], true],
    [[3, 259, 1], true],
    [[3, 258, 9], false],
    [[4, 0, 0], false],
    [[2, 999, 0], false],
  ] as const)("Pulumi %j is new enough: %s", (version, enough) =>
    expect(atLeast(version, [3, 259, 0])).toBe(enough),
  );

  it.each([
    ["1.41", true],
    ["1.40", false],
    ["1.51", true],
    ["2.0", true],
  ])("Engine API %s is new enough: %s", (version, enough) =>
    expect(apiIsEnough(version)).toBe(enough),
  );

  it("the plugin has the version of npm @pulumi/docker in package.json", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    expect(pluginVersion).toBe(dependencies["@pulumi/docker"]);
    expect(readFileSync(join(root, "toolchain/docker-plugin/main.go"), "utf8")).toContain(
      `const version = "${pluginVersion}"`,
    );
  });
});

describe("what a Go build is named by", () => {
  let module: string;
  let program: GoProgram;
  beforeEach(() => {
    module = mkdtempSync(join(tmpdir(), "berth-go-"));
    cpSync(join(root, "toolchain/docker-plugin"), module, { recursive: true });
    program = { name: "x", module, target: ".", flags: ["-trimpath"], instead: "" };
  });
  afterEach(() => rmSync(module, { recursive: true, force: true }));

  it("equal sources give an equal key", () =>
    expect(buildKey(program, "go1")).toBe(
      buildKey({ ...program, module: join(root, "toolchain/docker-plugin") }, "go1"),
    ));

  it.each(["go.mod", "go.sum", "main.go", "shim/shim.go"])("%s is part of it", (file) => {
    const before = buildKey(program, "go1");
    writeFileSync(join(module, file), `${readFileSync(join(module, file), "utf8")}\n`);
    expect(buildKey(program, "go1")).not.toBe(before);
  });

  it("so are Go's version and the flags; tests and words are not", () => {
    const before = buildKey(program, "go1");
    writeFileSync(join(module, "more_test.go"), "package main\n");
    writeFileSync(join(module, "README.md"), "other\n");
    expect(buildKey(program, "go1")).toBe(before);
    expect(buildKey(program, "go2")).not.toBe(before);
    expect(buildKey({ ...program, flags: [] }, "go1")).not.toBe(before);
  });
});

describe("an Engine of ours", () => {
  it("two suites share neither data nor socket nor tree", () => {
    const engines = Object.values(suites).map((suite) => ownEngine("/cache", suite));
    for (const key of ["data", "run", "tree", "url"] as const) {
      expect(new Set(engines.map((engine) => engine[key])).size).toBe(engines.length);
    }
  });

  it("the lock file of Node pins a version and an integrity for every platform", () => {
    const lock = JSON.parse(
      readFileSync(join(root, "toolchain/node/package-lock.json"), "utf8"),
    ) as { packages: Record<string, { version: string; integrity?: string; resolved?: string }> };
    const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
    expect(packages.length).toBeGreaterThan(0);
    for (const [, pin] of packages) {
      expect(pin.version).toMatch(/^24\.[0-9]+\.[0-9]+$/);
      expect(pin.integrity).toMatch(/^sha512-/);
      expect(pin).not.toHaveProperty("resolved");
    }
  });
});

describe("PATH", () => {
  it("has our folders first, and no folder twice, however often it is made", () => {
    const once = joinPath(["/ours"], "/usr/bin:/bin:/usr/bin");
    expect(once).toBe("/ours:/usr/bin:/bin");
    expect(joinPath(["/ours"], once)).toBe(once);
  });
});
