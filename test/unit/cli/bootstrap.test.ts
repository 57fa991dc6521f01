import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../../..");

/** A small project around the real bootstrap.sh, with an npm of the test's own. */
let folder: string;
let bin: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-boot-"));
  bin = join(folder, "bin");
  mkdirSync(join(folder, "cli"), { recursive: true });
  mkdirSync(bin);
  cpSync(join(root, "toolchain/bootstrap.sh"), join(folder, "toolchain/bootstrap.sh"));
  cpSync(join(root, "toolchain/node"), join(folder, "toolchain/node"), { recursive: true });
  writeFileSync(join(folder, "package-lock.json"), "{}");
  writeFileSync(
    join(folder, "cli/berth.ts"),
    "console.log(JSON.stringify([Number(process.versions.node.split('.')[0]), ...process.argv.slice(2)]));",
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function script(name: string, text: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** npm that notes each call and does `then`. */
function npm(then: string): void {
  script("npm", `[ "$1" = ci ] && echo "$PWD" >>"${folder}/npm-calls"\n${then}`);
}

function boot(...args: string[]) {
  const result = spawnSync(join(folder, "toolchain/bootstrap.sh"), args, {
    encoding: "utf8",
    env: {
      PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`,
      HOME: folder,
      XDG_CACHE_HOME: join(folder, "cache"),
    },
  });
  const calls = join(folder, "npm-calls");
  return {
    ...result,
    npmCalls: existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : [],
  };
}

const withNode24 = () => symlinkSync(process.execPath, join(bin, "node"));

describe("bootstrap.sh", () => {
  it("hands the arguments over, with nothing else on standard output", () => {
    withNode24();
    npm("mkdir -p node_modules");
    const result = boot("logs", "a b", "--tail=1");
    expect(result.stderr).toContain("node 24: using the one on PATH");
    const [major, ...args] = JSON.parse(result.stdout) as [number, ...string[]];
    expect(major).toBeGreaterThanOrEqual(24);
    expect(args).toEqual(["logs", "a b", "--tail=1"]);
  });

  it("installs the npm packages once, and again only for another lock file", () => {
    withNode24();
    npm("mkdir -p node_modules");
    boot("x");
    expect(boot("x").npmCalls).toEqual([folder]);
    writeFileSync(join(folder, "package-lock.json"), '{"other":1}');
    expect(boot("x").npmCalls).toEqual([folder, folder]);
  });

  it("tries a network failure three times at most, then shows npm's own words", () => {
    withNode24();
    npm("echo 'network timeout' >&2; exit 1");
    const result = boot("x");
    expect(result.status).toBe(1);
    expect(result.npmCalls).toHaveLength(3);
    expect(result.stderr).toContain("network timeout");
    expect(result.stdout).toBe("");
  }, 30_000);

  it("does not try again what is wrong and not missing: bytes that are not the pinned ones", () => {
    withNode24();
    npm("echo 'npm error code EINTEGRITY' >&2; exit 1");
    expect(boot("x").npmCalls).toHaveLength(1);
  });

  it("without Node 24 it fetches the pinned package and uses it, also the next time", () => {
    script("node", "exit 1"); // some other version: fails the question for 24
    npm(
      `case $PWD in */node/*) mkdir -p node_modules/.bin; ln -s ${process.execPath} node_modules/.bin/node;; *) mkdir -p node_modules;; esac`,
    );
    const first = boot("x");
    expect(first.stderr).toContain("node 24: fetched the pinned npm package");
    expect(JSON.parse(first.stdout)).toEqual([expect.any(Number), "x"]);
    expect(first.npmCalls).toHaveLength(2);
    expect(dirname(first.npmCalls[0] ?? "")).toBe(join(folder, "cache/berth/node"));
    const second = boot("x");
    expect(second.stderr).toContain("using the one in the cache");
    expect(second.npmCalls).toHaveLength(2);
  });
});
