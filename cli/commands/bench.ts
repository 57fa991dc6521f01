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
  usage: "bench [proxy [operation...] | secrets]",
  summary:
    "measure, each number beside its baseline: a whole stack, the socket proxy or the secret store",
  async run(args) {
    deferExit();
    const session = openSession();
    const measure = (env: NodeJS.ProcessEnv) =>
      runOnTerminal(process.execPath, [join(root, "bench/main.ts"), ...args], { cwd: root, env });
    // The secret store is measured without an Engine.
    if (args[0] === "secrets") return await measure(session.env);
    // The socket proxy is measured without Pulumi, and its own image is all that it needs.
    const tools = args[0] === "proxy" ? undefined : await prepareTools(session);
    const engine = await prepareEngine(session);
    try {
      if (tools) await prepareImages(session, engine);
      return await measure(
        tools ? environmentOf(session, tools, engine) : { ...session.env, DOCKER_HOST: engine.url },
      );
    } finally {
      if (engine.started) await stopEngine(ownEngine(session.cache));
    }
  },
};
