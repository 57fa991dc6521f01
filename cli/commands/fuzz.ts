import { join } from "node:path";
import type { Command } from "../command.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../run.ts";

/** Fuzzes the socket proxy in memory; no Engine. */
export const fuzz: Command = {
  usage: "fuzz [--executions N] [--seed N] [--minutes N] [--target NAME] [--workers N]",
  summary: "a million random connections to the socket proxy, and random inputs to its readers",
  run: (args) =>
    runOnTerminal(process.execPath, [join(root, "test/fuzz/main.ts"), ...args], { cwd: root }),
};
