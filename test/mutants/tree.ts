import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { root } from "../../cli/paths.ts";
import { type RunResult, run } from "../../cli/run.ts";
import type { VitestReport } from "../../cli/tests.ts";
import type { Mutant } from "./table.ts";

/** Not part of a copy: what is linked, kept by git, or made by runs. */
const left = new Set(["node_modules", ".git", ".berth", "test-results", "reports", ".stryker-tmp"]);

/** What came of a broken build. */
export interface Outcome {
  /** The first test that failed on it; undefined: none did. */
  readonly caughtBy: string | undefined;
  /** Why it says nothing; undefined: it was tried. */
  readonly problem?: string;
}

/** Longest run of the tests of one build. */
const mostMs = 5 * 60_000;

/** A copy of the project that is broken and mended again. */
export class Tree {
  readonly #folder = mkdtempSync(join(tmpdir(), "berth-mutants-"));

  constructor() {
    for (const name of readdirSync(root)) {
      if (!left.has(name)) {
        cpSync(join(root, name), join(this.#folder, name), {
          recursive: true,
          filter: (path) => !path.endsWith("/node_modules"),
        });
      }
    }
    symlinkSync(join(root, "node_modules"), join(this.#folder, "node_modules"));
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Runs tests on the copy as it is. @returns those of the files that do not pass, each with its first failure */
  async failing(files: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const { report, result } = await this.#run(files, []);
    if (!report) return new Map(files.map((file) => [file, result.output.slice(-500)]));
    const bad = report.testResults.filter(({ status }) => status === "failed");
    return new Map(
      bad.map(({ name, message, assertionResults }) => [
        relative(this.#folder, name),
        assertionResults.find(({ status }) => status === "failed")?.fullName ?? message,
      ]),
    );
  }

  async #run(files: readonly string[], more: readonly string[]) {
    const path = join(this.#folder, "report.json");
    rmSync(path, { force: true });
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const args = ["run", "--project", "fast", "--reporter=json", `--outputFile=${path}`, ...more];
    const result = await run(process.execPath, [vitest, ...args, ...files], {
      cwd: this.#folder,
      timeoutMs: mostMs,
    });
    const report = existsSync(path)
      ? (JSON.parse(readFileSync(path, "utf8")) as Report)
      : undefined;
    return { result, report };
  }

  /** Takes a control out, runs the tests, and puts it back. */
  async outcome({ file, find, replace, tests }: Mutant): Promise<Outcome> {
    const path = join(this.#folder, file);
    const whole = readFileSync(path, "utf8");
    if (whole.split(find).length !== 2) {
      return { caughtBy: undefined, problem: `${file} does not have it exactly once` };
    }
    writeFileSync(
      path,
      whole.replace(find, () => replace),
    );
    try {
      return outcomeOf(await this.#run(tests, ["--bail=1"]));
    } finally {
      writeFileSync(path, whole);
    }
  }
}

function outcomeOf({ result, report }: { result: RunResult; report: Report | undefined }): Outcome {
  if (result.timedOut) return { caughtBy: "the time limit: its tests hang" };
  if (!report) {
    return {
      caughtBy: undefined,
      problem: `the tests cannot be run: ${result.output.slice(-500)}`,
    };
  }
  const failed = report.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === "failed").map(({ fullName }) => fullName),
  );
  if (failed[0] !== undefined) return { caughtBy: failed[0] };
  const broken = report.testResults.find(({ status }) => status === "failed");
  if (broken) return { caughtBy: undefined, problem: `a file cannot be loaded: ${broken.message}` };
  if (report.numPassedTests === 0) return { caughtBy: undefined, problem: "no test has run" };
  return { caughtBy: result.code === 0 ? undefined : "an error outside of any test" };
}

interface Report extends VitestReport {
  readonly testResults: readonly {
    /** Path of the file. */
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}
