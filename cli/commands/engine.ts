import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { openSession, prepareEngine } from "../session.ts";
import { ownEngine, stopEngine } from "../toolchain/engine.ts";

/** Starts an Engine where none answers, or stops the one that berth has started. */
export const engine: Command = {
  usage: "engine start|stop",
  summary: "start an Engine where none answers; stop berth's own",
  async run(args) {
    const { positionals } = readArguments(args, {}, { least: 1, most: 1, usage: engine.usage });
    const session = openSession();
    if (positionals[0] === "start") {
      const found = await prepareEngine(session);
      session.console.print(found.url);
    } else if (positionals[0] === "stop") {
      await session.stages.step("engine", async () => {
        await stopEngine(ownEngine(session.cache));
        return { says: "berth's own Engine is stopped" };
      });
    } else throw new CliError(`usage: berth ${engine.usage}`, 2);
    return 0;
  },
};
