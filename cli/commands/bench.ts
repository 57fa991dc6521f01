import { join } from "node:path";
import type { Command } from "../command.ts";
import { root } from "../paths.ts";
import { runOnTerminal } from "../run.ts";
import {
  environmentOf,
  openSession,
  prepareEngine,
  prepareImages,
  prepareTools,
} from "../session.ts";
import { deferExit } from "../signals.ts";
import { ownEngine, stopEngine } from "../toolchain/engine.ts";

/** Runs the measurements of `bench/` with the tools and the Engine at hand. */
export const bench: Command = {
  usage: "bench [arguments]",
  summary: "measure; each number beside its baseline",
  async run(args) {
    deferExit();
    const session = openSession();
    const tools = await prepareTools(session);
    const engine = await prepareEngine(session);
    try {
      await prepareImages(session, engine);
      return await runOnTerminal(process.execPath, [join(root, "bench/main.ts"), ...args], {
        cwd: root,
        env: environmentOf(session, tools, engine),
      });
    } finally {
      if (engine.started) await stopEngine(ownEngine(session.cache));
    }
  },
};
