import { reasonOf } from "../../services/common/log.ts";
import type { Command } from "../command.ts";
import {
  environmentOf,
  openSession,
  prepareEngine,
  prepareImages,
  prepareTools,
  type Session,
} from "../session.ts";
import { deferExit, interrupted } from "../signals.ts";
import {
  isGreen,
  lastLine,
  oneFailure,
  runPluginTests,
  runVitest,
  sum,
  type Tally,
} from "../tests.ts";
import { type FoundEngine, ownEngine, stopEngine } from "../toolchain/engine.ts";

/** Runs every suite on the real Engine and ends with one line of numbers. Stops the Engine that it has started. */
export const test: Command = {
  usage: "test [vitest arguments]",
  summary:
    "run every suite; the last line is: N passed, N failed (and N skipped where there are any)",
  async run(args) {
    deferExit();
    const session = openSession();
    let engine: FoundEngine | undefined;
    let tally: Tally = sum([]);
    try {
      const tools = await prepareTools(session);
      engine = await prepareEngine(session);
      if (interrupted() === undefined) await prepareImages(session, engine);
      if (interrupted() === undefined) {
        tally = await suites(session, environmentOf(session, tools, engine), args);
      }
    } catch (error) {
      session.console.say(`berth: ${reasonOf(error)}`);
      tally = sum([tally, oneFailure]);
    }
    if (engine?.started) await stopEngine(ownEngine(session.cache));
    session.console.print(lastLine(tally));
    return isGreen(tally) ? 0 : 1;
  },
};

async function suites(
  session: Session,
  env: NodeJS.ProcessEnv,
  args: readonly string[],
): Promise<Tally> {
  const vitest = await runVitest({ name: "all", args, env });
  if (args.length > 0 || interrupted() !== undefined) return vitest;
  return sum([vitest, await runPluginTests(env, session.console.say)]);
}
