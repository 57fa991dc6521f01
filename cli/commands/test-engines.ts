import { join } from "node:path";
import { reasonOf } from "../../services/common/log.ts";
import type { Command } from "../command.ts";
import { CliError } from "../console.ts";
import { root } from "../paths.ts";
import { mustRun } from "../run.ts";
import {
  environmentOf,
  openSession,
  prepareImages,
  prepareTools,
  type Session,
  type Tools,
} from "../session.ts";
import { deferExit, interrupted } from "../signals.ts";
import { isGreen, lastLine, oneFailure, runVitest, sum, type Tally } from "../tests.ts";
import {
  obstacleToStart,
  ownEngine,
  startEngine,
  stopEngine,
  suites,
} from "../toolchain/engine.ts";

const script = join(root, "toolchain/engine.sh");

/**
 * Runs the real-run suite on the oldest Engine that berth supports and on the newest that can be had, one after the other. Each
 * runs in a network namespace of its own, so that it meets no other Engine of this machine, and so do its tests.
 */
export const testEngines: Command = {
  usage: "test-engines [vitest arguments]",
  summary: "run the real-run suite on the oldest and the newest Engine",
  async run(args) {
    const obstacle = obstacleToStart();
    if (obstacle) throw new CliError(`other Engines cannot be started here: ${obstacle}`);
    deferExit();
    const session = openSession();
    const tools = await prepareTools(session);
    const tallies: Tally[] = [];
    for (const [index, suite] of [suites.oldest, suites.newest].entries()) {
      if (interrupted() === undefined)
        tallies.push(await onSuite(session, tools, suite, index, args));
    }
    const total = sum(tallies);
    session.console.print(lastLine(total));
    return isGreen(total) ? 0 : 1;
  },
};

async function onSuite(
  session: Session,
  tools: Tools,
  suite: string,
  index: number,
  args: readonly string[],
): Promise<Tally> {
  const own = ownEngine(session.cache, suite);
  const netns = `berth-${suite}`;
  const { say } = session.console;
  let tally: Tally = oneFailure;
  try {
    await mustRun(script, ["netns", netns, String(index)]);
    const engine = await session.stages.step(`engine of ${suite}`, () =>
      startEngine(own, say, netns),
    );
    await prepareImages(session, engine);
    tally = await runVitest({
      name: `engine-${suite}`,
      args: ["--project", "engine", "--project", "integration", ...args],
      env: environmentOf(session, tools, engine),
      prefix: ["nsenter", `--net=/run/netns/${netns}`],
    });
    say(`Engine ${engine.version.Version} (${suite}): ${lastLine(tally)}`);
  } catch (error) {
    say(`Engine of ${suite}: ${reasonOf(error)}`);
  } finally {
    await stopEngine(own);
    await mustRun(script, ["netns-remove", netns, String(index)]);
  }
  return tally;
}
