import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Command, readArguments } from "../command.ts";
import { Stages, terminal } from "../console.ts";
import { root } from "../paths.ts";
import { run } from "../run.ts";

/** What the compiler remembers from one check to the next. */
const buildInfo = "node_modules/.cache/check.tsbuildinfo";

/** Tests wait more than they compute: a small machine needs more workers than the one that vitest would take there. */
const workers = Math.max(4, availableParallelism() - 1);

/** What has to hold before every commit: name, program of node_modules, arguments. */
const checks = [
  ["types", "tsc", ["--noEmit", "--incremental", "--tsBuildInfoFile", buildInfo]],
  ["lint", "biome", ["check", "--error-on-warnings", "."]],
  ["unused code", "knip", ["--cache"]],
  [
    "fast tests",
    "vitest",
    ["run", "--project", "fast", "--reporter=dot", `--maxWorkers=${workers}`],
  ],
] as const;

/** Types, lint, unused code and the fast tests, side by side; no Engine. */
export const check: Command = {
  usage: "check",
  summary: "types, lint, unused code and the fast tests",
  async run(args) {
    readArguments(args, {}, { least: 0, most: 0, usage: check.usage });
    const stages = new Stages(terminal);
    const results = await Promise.all(
      checks.map(async ([name, program, programArgs]) => {
        const result = await stages.step(name, async () => {
          const done = await run(join(root, "node_modules/.bin", program), programArgs, {
            cwd: root,
          });
          return { ...done, says: done.code === 0 ? "ok" : "FAILED" };
        });
        if (result.code !== 0) terminal.say(result.output);
        return result.code === 0;
      }),
    );
    return results.every(Boolean) ? 0 : 1;
  },
};
