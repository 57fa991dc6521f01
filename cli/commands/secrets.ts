import { type Command, readArguments } from "../command.ts";
import { CliError } from "../console.ts";
import { openLive } from "../live-stack.ts";
import { pushSecrets } from "../operator.ts";

/** Hands the values of `env:NAME` references to the secret store. */
export const secrets: Command = {
  usage: "secrets push",
  summary: "hand the values of env: references to the secret store",
  async run(args) {
    const { positionals } = readArguments(args, {}, { least: 1, most: 1, usage: secrets.usage });
    if (positionals[0] !== "push") throw new CliError(`usage: berth ${secrets.usage}`, 2);
    const { session, engine } = await openLive();
    const { pushed, missing } = await pushSecrets(session, engine);
    if (missing.length > 0) {
      throw new CliError(`these have no value in this environment: ${missing.join(", ")}`);
    }
    session.console.print(
      pushed.length === 0 ? "no agent refers to env:" : `handed over: ${pushed.join(", ")}`,
    );
    return 0;
  },
};
