import { waitForAgents } from "../admin-api.ts";
import { type Command, readArguments, wholeNumber } from "../command.ts";
import { CliError } from "../console.ts";
import { liveOutputs } from "../live-stack.ts";
import { openSession } from "../session.ts";

/** Seconds that `always` agents have for their first answer. */
export const waitSeconds = 180;

/** Returns when every `always` agent has answered, or names those that have not. */
export const wait: Command = {
  usage: "wait [--timeout SECONDS]",
  summary: "wait until every always agent has answered, or name those that have not",
  async run(args) {
    const { values } = readArguments(
      args,
      { timeout: { type: "string", default: String(waitSeconds) } },
      { least: 0, most: 0, usage: wait.usage },
    );
    const seconds = wholeNumber(values.timeout, "--timeout", 1, 86_400);
    const session = openSession({ quiet: true });
    const { adminUrl } = await liveOutputs(session);
    const result = await waitForAgents({ adminUrl, timeoutMs: seconds * 1000 });
    if (!result.done) {
      throw new CliError(`not up after ${seconds} s:\n${result.reasons.join("\n")}`);
    }
    for (const agent of result.status?.agents ?? []) {
      session.console.print(`${agent.name}: ${agent.greeting ?? agent.state}`);
    }
    return 0;
  },
};
