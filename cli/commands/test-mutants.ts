import { join } from "node:path";
import { type Command, readArguments } from "../command.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../run.ts";

/** Shows that the tests of the socket proxy matter: each broken build must be caught by one of them. No Engine. */
export const testMutants: Command = {
  usage: "test-mutants [words of names...] | --score [--mutate FILES]",
  summary:
    "take out one control at a time and see a test fail; --score: every small change of the decision layers",
  run(args) {
    const options = { score: { type: "boolean" }, mutate: { type: "string" } } as const;
    const { values, positionals } = readArguments(args, options, {
      least: 0,
      most: 100,
      usage: testMutants.usage,
    });
    const program = values.score
      ? [
          "node_modules/@stryker-mutator/core/bin/stryker.js",
          "run",
          "test/mutants/stryker.config.json",
          ...(values.mutate ? ["--mutate", values.mutate] : []),
        ]
      : ["test/mutants/main.ts", ...positionals];
    const [script = "", ...rest] = program;
    return runOnTerminal(process.execPath, [join(root, script), ...rest], { cwd: root });
  },
};
