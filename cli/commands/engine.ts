import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { openSession, prepareEngine, type Session } from "../session.ts";
import {
  type FoundEngine,
  type OwnEngine,
  ownEngine,
  startEngine,
  stopEngine,
  suites,
} from "../toolchain/engine.ts";

/** Starts an Engine where none answers, or stops the one that berth has started; `--suite` is for those of `test-engines`. */
export const engine: Command = {
  usage: "engine start|stop [--suite NAME [--netns NAME]]",
  summary: "start an Engine where none answers; stop berth's own",
  async run(args) {
    const { values, positionals } = readArguments(
      args,
      { suite: { type: "string" }, netns: { type: "string" } },
      { least: 1, most: 1, usage: engine.usage },
    );
    const { suite, netns } = values;
    if (suite !== undefined && !Object.values<string>(suites).includes(suite)) {
      throw new CliError(`--suite: must be one of ${Object.values(suites).join(", ")}`, 2);
    }
    const session = openSession();
    const own = ownEngine(session.cache, suite);
    if (positionals[0] === "start") {
      const found = await (suite ? startSuite(session, own, netns) : prepareEngine(session));
      session.console.print(found.url);
    } else if (positionals[0] === "stop") {
      await session.stages.step("engine", async () => {
        await stopEngine(own);
        return { says: "berth's own Engine is stopped" };
      });
    } else throw new CliError(`usage: berth ${engine.usage}`, 2);
    return 0;
  },
};

function startSuite(session: Session, own: OwnEngine, netns?: string): Promise<FoundEngine> {
  return session.stages.step("engine", () => startEngine(own, session.console.say, netns));
}
