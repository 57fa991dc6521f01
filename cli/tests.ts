import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.ts";
import { run, runOnTerminal, tail } from "./run.ts";
import { goEnvironment } from "./toolchain/go-build.ts";

/** How many tests passed, failed and did not run. Nothing that did not run counts as passed. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A failure outside any test. */
export const oneFailure: Tally = { passed: 0, failed: 1, skipped: 0 };

/** What is read of vitest's JSON report. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  /** Tests that were skipped. */
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/** Adds up a report. A file that failed without a failed test (it could not be loaded, a hook threw) counts as one failure. */
export function tallyOf(report: VitestReport | undefined, exitCode: number): Tally {
  if (!report) return oneFailure;
  const broken = report.testResults.filter(
    (file) =>
      file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const failed = report.numFailedTests + broken;
  // Errors outside any test (a global setup, an unhandled rejection) are in the exit code alone.
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: report.numPendingTests,
  };
}

/** Sums tallies. */
export function sum(tallies: readonly Tally[]): Tally {
  return {
    passed: tallies.reduce((total, { passed }) => total + passed, 0),
    failed: tallies.reduce((total, { failed }) => total + failed, 0),
    skipped: tallies.reduce((total, { skipped }) => total + skipped, 0),
  };
}

/** The line that ends every run of tests. */
export function lastLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Whether a run counts as green: something ran and nothing failed. */
export function isGreen({ passed, failed }: Tally): boolean {
  return failed === 0 && passed > 0;
}

/** Runs vitest on this terminal. `prefix` is a program that runs it, `name` tells its report apart. */
export async function runVitest(options: {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly prefix?: readonly string[];
}): Promise<Tally> {
  const folder = join(root, "test-results");
  const file = join(folder, `${options.name}.json`);
  mkdirSync(folder, { recursive: true });
  rmSync(file, { force: true });
  const [program = process.execPath, ...before] = [...(options.prefix ?? []), process.execPath];
  const code = await runOnTerminal(
    program,
    [
      ...before,
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      ...options.args,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
    ],
    { cwd: root, env: options.env },
  );
  const report = existsSync(file)
    ? (JSON.parse(readFileSync(file, "utf8")) as VitestReport)
    : undefined;
  return tallyOf(report, code);
}

/** Runs `go vet` and the docker plugin's own tests; each test counts, and so does a vet or build that fails. */
export async function runPluginTests(
  env: NodeJS.ProcessEnv,
  say: (line: string) => void,
): Promise<Tally> {
  const options = {
    cwd: join(root, "toolchain/docker-plugin"),
    env: { ...goEnvironment(env), DOCKER_LIVE: "1" },
    timeoutMs: 20 * 60_000,
  };
  const vet = await run("go", ["vet", "-tags", "no_compose", "."], options);
  if (vet.code !== 0) {
    say(`docker plugin: go vet:\n${tail(vet.output)}`);
    return oneFailure;
  }
  const tests = await run("go", ["test", "-count=1", "-v", "-tags", "no_compose", "."], options);
  const tally = goTally(tests.output, tests.code);
  say(`docker plugin: ${lastLine(tally)}`);
  if (tally.failed > 0) say(tail(tests.output, 40));
  return tally;
}

/** Counts the top-level tests in the output of `go test -v`. */
export function goTally(output: string, exitCode: number): Tally {
  const count = (word: string) => output.match(new RegExp(`^--- ${word}: `, "gm"))?.length ?? 0;
  const failed = count("FAIL");
  return {
    passed: count("PASS"),
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: count("SKIP"),
  };
}
