import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { quoted } from "../../../cli/commands/env.ts";
import { table, withoutControls } from "../../../cli/console.ts";
import { goTally, isGreen, lastLine, sum, tallyOf } from "../../../cli/tests.ts";

const root = join(import.meta.dirname, "../../..");
const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((test) => ({ status: test })),
});

describe("counting tests", () => {
  it("passed and failed are vitest's own", () => {
    const report = {
      numPassedTests: 3,
      numFailedTests: 1,
      numPendingTests: 2,
      testResults: [file("passed", "passed", "passed"), file("failed", "passed", "failed")],
    };
    expect(tallyOf(report, 1)).toEqual({ passed: 3, failed: 1, skipped: 2 });
  });

  it("a file that cannot be loaded, or whose hook throws, is a failure", () => {
    const report = {
      numPassedTests: 2,
      numFailedTests: 0,
      numPendingTests: 0,
      testResults: [file("passed", "passed", "passed"), file("failed"), file("failed", "skipped")],
    };
    expect(tallyOf(report, 1)).toEqual({ passed: 2, failed: 2, skipped: 0 });
  });

  it("a red exit code is a failure even when no test says so", () => {
    const report = { numPassedTests: 2, numFailedTests: 0, numPendingTests: 0, testResults: [] };
    expect(tallyOf(report, 1)).toEqual({ passed: 2, failed: 1, skipped: 0 });
    expect(tallyOf(undefined, 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });

  it("Go's tests are counted at the top level", () => {
    const output =
      "=== RUN   TestA\n    --- PASS: TestA/x\n--- PASS: TestA (0s)\n--- FAIL: TestB (0s)\n--- SKIP: TestC (0s)\n";
    expect(goTally(output, 1)).toEqual({ passed: 1, failed: 1, skipped: 1 });
    expect(goTally("build failed", 2)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });

  it("a run without tests is not green", () => {
    expect(isGreen(sum([]))).toBe(false);
    expect(isGreen({ passed: 1, failed: 0, skipped: 4 })).toBe(true);
    expect(isGreen({ passed: 9, failed: 1, skipped: 0 })).toBe(false);
    expect(
      lastLine(
        sum([
          { passed: 2, failed: 0, skipped: 0 },
          { passed: 1, failed: 1, skipped: 0 },
        ]),
      ),
    ).toBe("3 passed, 1 failed");
    expect(lastLine({ passed: 3, failed: 0, skipped: 2 })).toBe("3 passed, 0 failed, 2 skipped");
  });
});

describe(".ci/run", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "berth-ci-"));
    mkdirSync(join(folder, ".ci"));
    cpSync(join(root, ".ci/run"), join(folder, ".ci/run"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function ciRun(recipe: string): { code: number | null; lines: string[] } {
    writeFileSync(join(folder, "Makefile"), `test:\n\t@${recipe}\n`);
    const result = spawnSync(join(folder, ".ci/run"), { encoding: "utf8" });
    return { code: result.status, lines: result.stdout.trimEnd().split("\n") };
  }

  it("ends with the numbers, and keeps exit code 0", () => {
    const { code, lines } = ciRun("echo progress >&2; echo '3 passed, 0 failed'");
    expect(code).toBe(0);
    expect(lines).toEqual(["progress", "3 passed, 0 failed"]);
  });

  it("ends with the numbers where tests failed too, with make's exit code", () => {
    const { code, lines } = ciRun("echo '2 passed, 1 failed'; exit 1");
    expect(code).not.toBe(0);
    expect(lines.at(-1)).toBe("2 passed, 1 failed");
  });

  it("keeps the number of tests that did not run", () => {
    const { code, lines } = ciRun("echo '2 passed, 0 failed, 1 skipped'");
    expect(code).toBe(0);
    expect(lines).toEqual(["2 passed, 0 failed, 1 skipped"]);
  });

  it("what breaks before the tests is one failure", () => {
    const { code, lines } = ciRun("exit 3");
    expect(code).not.toBe(0);
    expect(lines.at(-1)).toBe("0 passed, 1 failed");
  });

  it("has no standard input and says CI", () => {
    const { lines } = ciRun('cat; echo "CI=$$CI"; echo "1 passed, 0 failed"');
    expect(lines[0]).toBe("CI=true");
  });
});

describe("text for a shell and for a terminal", () => {
  it("an export gives the shell exactly the value, whatever is in it", () => {
    const values = fc.array(fc.string({ unit: "grapheme-ascii" }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(values, (list) => {
        const script = list.map((value) => `printf '%s\\0' ${quoted(value)}`).join("\n");
        const out = execFileSync("bash", ["-c", script], { encoding: "utf8" });
        expect(out.split("\0").slice(0, -1)).toEqual(list);
      }),
      { numRuns: 20 },
    );
  });

  it("a log cannot steer the terminal", () => {
    expect(withoutControls("a\u001b[31mb\u0007\tc\r\n\u009bd")).toBe("a[31mb\tc\nd");
  });

  it("columns line up", () => {
    expect(
      table([
        ["a", "bb"],
        ["ccc", "d"],
      ]),
    ).toEqual(["a    bb", "ccc  d"]);
  });
});
